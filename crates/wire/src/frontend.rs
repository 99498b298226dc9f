//! Messages from clients. Every length in them is checked, and text is UTF-8 without NUL.

use bytes::Bytes;
use outcrop_types::{Condition, Error, Result};

use crate::frame::Frame;

/// A message of a started connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// Parameters for a statement: makes a portal.
    Bind(Bind),
    /// Forgets a portal or a statement.
    Close(Target),
    /// A piece of the data of a COPY.
    CopyData(Bytes),
    /// The end of the data.
    CopyDone,
    /// The client gives the COPY up, and says why.
    CopyFail(String),
    /// Asks for parameter and column types.
    Describe(Target),
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: String,
        /// Most rows wanted now; `None` for all.
        max_rows: Option<u64>,
    },
    /// Asks for what is written so far.
    Flush,
    /// Prepares a statement.
    Parse {
        /// Its name; empty for the unnamed one.
        name: String,
        /// Its text.
        sql: String,
        /// Types of the first parameters; 0 for one that is to be found out.
        types: Vec<u32>,
    },
    /// One or more statements, to be run at once.
    Query(String),
    /// The end of a run of messages.
    Sync,
    /// Good-bye.
    Terminate,
}

/// What Describe and Close are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The portal of this name.
    Portal(String),
    /// The prepared statement of this name.
    Statement(String),
}

/// A Bind message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The portal to make.
    pub portal: String,
    /// The statement that it runs.
    pub statement: String,
    /// How the parameters are written: one for all, one each, or none for text.
    pub formats: Vec<Format>,
    /// The parameters; `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// How the columns of the result are wanted; as `formats`.
    pub result_formats: Vec<Format>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As people write it.
    #[default]
    Text,
    /// As the type's binary form.
    Binary,
}

/// Longest text of a statement.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

impl Frontend {
    /// Understands a frame.
    ///
    /// # Errors
    /// `ProtocolViolation`, `CharacterNotInRepertoire`, `ProgramLimitExceeded` for too long statements,
    /// `FeatureNotSupported` for function calls. The frame's end is known, so the connection can go on.
    pub fn parse(frame: &Frame) -> Result<Self> {
        let mut body = Body { rest: frame.body.clone() };
        let message = match frame.kind {
            b'B' => Self::Bind(body.bind()?),
            b'C' => Self::Close(body.target()?),
            b'D' => Self::Describe(body.target()?),
            b'E' => {
                let portal = body.text()?;
                // Zero and less mean all rows.
                let max_rows = u64::try_from(body.i32()?).ok().filter(|rows| *rows > 0);
                Self::Execute { portal, max_rows }
            }
            b'F' => {
                return Err(Error::new(Condition::FeatureNotSupported, "function calls are not supported")
                    .with_hint("Call the function in a SELECT."));
            }
            b'H' => Self::Flush,
            b'P' => {
                let name = body.text()?;
                let sql = body.statement()?;
                let count = body.count(4)?;
                let types = (0..count).map(|_| body.u32()).collect::<Result<_>>()?;
                Self::Parse { name, sql, types }
            }
            b'Q' => Self::Query(body.statement()?),
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'c' => Self::CopyDone,
            b'd' => Self::CopyData(body.all()),
            b'f' => Self::CopyFail(body.text()?),
            kind => {
                return Err(Error::new(Condition::ProtocolViolation, format!("invalid frontend message type {kind}")));
            }
        };
        if body.rest.is_empty() { Ok(message) } else { Err(malformed()) }
    }

    /// Whether there are messages of this type at all.
    pub fn is_known(kind: u8) -> bool {
        matches!(kind, b'Q' | b'S' | b'X' | b'c' | b'd' | b'f' | b'F') || Self::is_extended(kind)
    }

    /// Whether the extended protocol's rule applies: after an error, skip to Sync.
    pub fn is_extended(kind: u8) -> bool {
        matches!(kind, b'B' | b'C' | b'D' | b'E' | b'H' | b'P')
    }
}

/// Takes fields off a message.
struct Body {
    rest: Bytes,
}

impl Body {
    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(malformed());
        }
        Ok(self.rest.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or_else(malformed)
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A count of things of at least `size` bytes each: one that cannot be true allocates nothing.
    fn count(&mut self, size: usize) -> Result<usize> {
        let count = usize::from(u16::from_be_bytes(self.array()?));
        if count * size > self.rest.len() { Err(malformed()) } else { Ok(count) }
    }

    fn all(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// Text up to a NUL.
    fn text(&mut self) -> Result<String> {
        let length = self.rest.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
        let text = self.take(length)?;
        self.take(1)?;
        match std::str::from_utf8(&text) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let byte = text.get(error.valid_up_to()).copied().unwrap_or_default();
                Err(Error::new(
                    Condition::CharacterNotInRepertoire,
                    format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
                ))
            }
        }
    }

    fn statement(&mut self) -> Result<String> {
        let sql = self.text()?;
        if sql.len() > STATEMENT_BYTES_MAX {
            return Err(Error::new(
                Condition::ProgramLimitExceeded,
                format!("a statement of {} bytes is too long", sql.len()),
            )
            .with_detail(format!("A statement may have {STATEMENT_BYTES_MAX} bytes."))
            .with_hint("Use COPY for many rows."));
        }
        Ok(sql)
    }

    fn target(&mut self) -> Result<Target> {
        match self.array()? {
            [b'P'] => Ok(Target::Portal(self.text()?)),
            [b'S'] => Ok(Target::Statement(self.text()?)),
            [kind] => Err(Error::new(Condition::ProtocolViolation, format!("invalid message subtype {kind}"))),
        }
    }

    fn formats(&mut self) -> Result<Vec<Format>> {
        let count = self.count(2)?;
        (0..count)
            .map(|_| match u16::from_be_bytes(self.array()?) {
                0 => Ok(Format::Text),
                1 => Ok(Format::Binary),
                code => Err(Error::new(Condition::InvalidParameterValue, format!("unsupported format code: {code}"))),
            })
            .collect()
    }

    fn bind(&mut self) -> Result<Bind> {
        let portal = self.text()?;
        let statement = self.text()?;
        let formats = self.formats()?;
        let count = self.count(4)?;
        let parameters = (0..count)
            .map(|_| match self.i32()? {
                -1 => Ok(None),
                length => self.take(usize::try_from(length).map_err(|_negative| malformed())?).map(Some),
            })
            .collect::<Result<_>>()?;
        let result_formats = self.formats()?;
        Ok(Bind { portal, statement, formats, parameters, result_formats })
    }
}

fn malformed() -> Error {
    Error::new(Condition::ProtocolViolation, "invalid message format")
}
