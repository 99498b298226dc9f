//! The file of users and API keys.

use std::fmt::Write as _;

use outcrop_env::Rng;
use outcrop_types::{Condition, Error, Result, jsonb};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Verifier;
use super::scram::is_equal;

/// How clients prove who they are.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// Anyone is who they say. For loopback only: [`crate::Server::start`] refuses it on other addresses.
    Trust,
    /// Users by SCRAM-SHA-256, REST by API key.
    Users(Users),
}

/// Users and API keys. Its text form is TOML and can be edited by hand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Users {
    /// Makes up salts for names that do not exist: 32 bytes, hexadecimal. They stay the same over restarts, as salts of
    /// users do, so that nobody learns who exists. `None` in files without one.
    secret: Option<String>,
    /// People and programs that connect.
    #[serde(rename = "user")]
    users: Vec<User>,
    /// Keys of the REST API.
    #[serde(rename = "api_key")]
    api_keys: Vec<ApiKey>,
}

/// A user of the PostgreSQL protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name.
    pub name: String,
    /// The verifier in PostgreSQL's form.
    verifier: String,
}

/// A key of the REST API. The key itself is shown once, when it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// What the key is for.
    pub name: String,
    /// Whose rights it has.
    pub user: String,
    /// SHA-256 of the key, hexadecimal. Keys are random and long, so no salt is needed.
    sha256: String,
}

const KEY_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;

impl Users {
    /// Reads the file's text.
    ///
    /// # Errors
    /// `InvalidParameterValue` with the line of the fault, for bad verifiers and for names given twice.
    pub fn parse(text: &str) -> Result<Self> {
        let users: Self = toml::from_str(text).map_err(|source| {
            Error::new(Condition::InvalidParameterValue, "the users file cannot be read")
                .with_detail(source.to_string())
        })?;
        if users.secret.as_deref().is_some_and(|secret| secret_of(secret).is_none()) {
            return Err(Error::new(
                Condition::InvalidParameterValue,
                "the secret of the users file is not 32 bytes in hex",
            ));
        }
        for (position, user) in users.users.iter().enumerate() {
            user.verifier.parse::<Verifier>()?;
            if users.users.iter().take(position).any(|other| other.name == user.name) {
                return Err(Error::new(
                    Condition::InvalidParameterValue,
                    format!("user \"{}\" is in the users file twice", user.name),
                ));
            }
        }
        Ok(users)
    }

    /// Adds a user, or gives one a new password.
    pub fn set_password(&mut self, name: &str, password: &str, rng: &dyn Rng) {
        self.make_secret(rng);
        let verifier = Verifier::new(password, rng).to_string();
        match self.users.iter_mut().find(|user| user.name == name) {
            Some(user) => user.verifier = verifier,
            None => self.users.push(User { name: name.to_owned(), verifier }),
        }
    }

    /// Takes a user away, with its keys; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.users.len();
        self.users.retain(|user| user.name != name);
        self.api_keys.retain(|key| key.user != name);
        self.users.len() < before
    }

    /// Makes an API key and returns it. It cannot be shown again.
    pub fn add_api_key(&mut self, name: &str, user: &str, rng: &dyn Rng) -> String {
        self.make_secret(rng);
        let mut random = [0; KEY_BYTES];
        rng.fill(&mut random);
        let key = format!("outcrop_{}", hex::encode(random));
        self.api_keys.push(ApiKey { name: name.to_owned(), user: user.to_owned(), sha256: digest(&key) });
        key
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text =
            String::from("# Users and API keys of Outcrop. Made by `outcrop user`; no password is stored here.\n");
        if let Some(secret) = &self.secret {
            // Writing to a string cannot fail.
            writeln!(text, "\nsecret = {}", quote(secret)).unwrap_or_default();
        }
        for user in &self.users {
            write_table(&mut text, "user", &[("name", quote(&user.name)), ("verifier", quote(&user.verifier))]);
        }
        for key in &self.api_keys {
            let fields = [("name", quote(&key.name)), ("user", quote(&key.user)), ("sha256", quote(&key.sha256))];
            write_table(&mut text, "api_key", &fields);
        }
        text
    }

    /// The users.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The API keys.
    pub fn api_keys(&self) -> &[ApiKey] {
        &self.api_keys
    }

    /// The user whose key this is. All keys are compared, whichever fits.
    pub fn user_of_key(&self, key: &str) -> Option<&str> {
        let digest = digest(key);
        let fits = |candidate: &&ApiKey| is_equal(candidate.sha256.as_bytes(), digest.as_bytes());
        self.api_keys.iter().filter(fits).map(|key| key.user.as_str()).next_back()
    }

    /// What salts for names that do not exist are made from. A file without a secret has its verifiers, which nobody knows
    /// either, and which change less often than the server starts.
    pub(crate) fn stranger_secret(&self) -> [u8; SECRET_BYTES] {
        self.secret.as_deref().and_then(secret_of).unwrap_or_else(|| {
            let verifiers = self.users.iter().fold(Sha256::new(), |hash, user| hash.chain_update(&user.verifier));
            verifiers.finalize().into()
        })
    }

    fn make_secret(&mut self, rng: &dyn Rng) {
        self.secret.get_or_insert_with(|| {
            let mut random = [0; SECRET_BYTES];
            rng.fill(&mut random);
            hex::encode(random)
        });
    }

    pub(crate) fn verifier(&self, name: &str) -> Option<Verifier> {
        self.users.iter().find(|user| user.name == name)?.verifier.parse().ok()
    }
}

fn digest(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

fn secret_of(text: &str) -> Option<[u8; SECRET_BYTES]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// A TOML string; JSON's escapes are valid there, but TOML wants DEL escaped too.
fn quote(text: &str) -> String {
    let mut quoted = String::new();
    jsonb::write_string(&mut quoted, text);
    quoted.replace('\u{7f}', "\\u007f")
}

fn write_table(text: &mut String, name: &str, fields: &[(&str, String)]) {
    writeln!(text, "\n[[{name}]]").unwrap_or_default();
    for (field, value) in fields {
        writeln!(text, "{field} = {value}").unwrap_or_default();
    }
}
