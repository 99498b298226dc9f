//! Messages without a type byte, as connections begin with them.

use bytes::Bytes;
use outcrop_types::{Condition, Error, Result};

/// The startup packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Of protocol 3.
    pub minor_version: u16,
    /// Never empty.
    pub user: String,
    /// The user's name if the client did not say.
    pub database: String,
    /// Settings of the session, in the order given.
    pub settings: Vec<(String, String)>,
    /// Protocol options (`_pq_.…`) that we do not know.
    pub unknown_options: Vec<String>,
}

/// What a message without type byte says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To speak encrypted from now on.
    Encrypt(Encryption),
    /// To cancel what another connection runs: its process id and its secret key.
    Cancel(i32, Bytes),
    /// To begin a session.
    Start(Startup),
}

/// Which encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS.
    Tls,
    /// Kerberos, which we refuse.
    Gss,
}

/// Newest minor version of protocol 3.
pub const MINOR_VERSION_MAX: u16 = 2;
/// As PostgreSQL: longest message before authentication.
pub const STARTUP_BYTES_MAX: usize = 10_000;
const CANCEL_CODE: u32 = 80_877_102;
const TLS_CODE: u32 = 80_877_103;
const GSS_CODE: u32 = 80_877_104;

impl Request {
    /// Understands a message.
    ///
    /// # Errors
    /// `ProtocolViolation`, `FeatureNotSupported` for other major versions and for replication,
    /// `InvalidAuthorization` without a user.
    pub fn parse(body: &Bytes) -> Result<Self> {
        let (code, rest) = body.split_first_chunk().ok_or_else(invalid_packet)?;
        match u32::from_be_bytes(*code) {
            TLS_CODE if rest.is_empty() => Ok(Self::Encrypt(Encryption::Tls)),
            GSS_CODE if rest.is_empty() => Ok(Self::Encrypt(Encryption::Gss)),
            CANCEL_CODE => {
                let (id, key) = rest.split_first_chunk().ok_or_else(invalid_packet)?;
                Ok(Self::Cancel(i32::from_be_bytes(*id), body.slice_ref(key)))
            }
            code if code >> 16 == 3 => {
                // The mask leaves 16 bits.
                let minor_version = u16::try_from(code & 0xffff).unwrap_or(u16::MAX);
                Startup::parse(minor_version, rest).map(Self::Start)
            }
            code => Err(Error::new(
                Condition::FeatureNotSupported,
                format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", code >> 16, code & 0xffff),
            )),
        }
    }
}

impl Startup {
    fn parse(minor_version: u16, body: &[u8]) -> Result<Self> {
        let body = body.strip_suffix(&[0]).ok_or_else(invalid_packet)?;
        let mut startup = Self { minor_version, ..Self::default() };
        let mut texts = body.split_inclusive(|byte| *byte == 0).map(|text| {
            let text = text.strip_suffix(&[0]).ok_or_else(invalid_packet)?;
            std::str::from_utf8(text)
                .map_err(|_not_utf8| Error::new(Condition::CharacterNotInRepertoire, "the startup packet is not UTF-8"))
        });
        while let Some(name) = texts.next() {
            let (name, value) = (name?, texts.next().ok_or_else(invalid_packet)??);
            startup.set(name, value)?;
        }
        if startup.user.is_empty() {
            return Err(Error::new(
                Condition::InvalidAuthorization,
                "no PostgreSQL user name specified in startup packet",
            ));
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        Ok(startup)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "user" => value.clone_into(&mut self.user),
            "database" => value.clone_into(&mut self.database),
            "replication" if !matches!(value, "false" | "off" | "no" | "0") => {
                return Err(Error::new(Condition::FeatureNotSupported, "replication connections are not supported"));
            }
            "replication" => {}
            "options" => self.settings.extend(parse_options(value)?),
            name if name.starts_with("_pq_.") => self.unknown_options.push(name.to_owned()),
            name => self.settings.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

/// `-c name=value` and `--name=value`, as on the command line of PostgreSQL; a backslash keeps a space.
fn parse_options(options: &str) -> Result<Vec<(String, String)>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let invalid = || {
            Error::new(Condition::InvalidParameterValue, format!("invalid command-line argument for server: {word}"))
                .with_hint("Write settings as -c name=value.")
        };
        let setting = match word.strip_prefix("--") {
            Some(setting) => setting.to_owned(),
            None => match word.strip_prefix("-c").ok_or_else(invalid)? {
                "" => words.next().ok_or_else(invalid)?,
                setting => setting.to_owned(),
            },
        };
        let (name, value) = setting.split_once('=').ok_or_else(invalid)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn invalid_packet() -> Error {
    Error::new(Condition::ProtocolViolation, "invalid startup packet layout")
}
