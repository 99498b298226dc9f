//! Errors at crate edges, and the one table of SQLSTATEs and kinds (architecture §7, style rules 34 and 37).

use std::error::Error as StdError;
use std::fmt;

/// Result with Outcrop's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do next. Few and prescriptive; a new kind needs an ADR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong; change it.
    Invalid,
    /// The thing does not exist.
    NotFound,
    /// Retry the whole operation from the start.
    Conflict,
    /// Retry later with backoff; nothing was applied, or it is safe to repeat.
    Unavailable,
    /// A limit was hit; shed load or raise the limit.
    Exhausted,
    /// The caller went away or the deadline passed.
    Cancelled,
    /// The caller is not who they say, or may not do this.
    Denied,
    /// Stored bytes are wrong; do not retry, run `outcrop check`.
    Corrupt,
    /// An earlier durable write failed; restart the process.
    Poisoned,
    /// A bug of ours; the message carries what to report.
    Internal,
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident $state:literal $kind:ident;)*) => {
        /// What went wrong, by its SQL name. Each has one SQLSTATE and one [`ErrorKind`] (T3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
            /// Every condition, for the reference page and its test.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The five characters that SQL clients test.
            pub const fn sqlstate(self) -> &'static str {
                match self { $(Self::$name => $state,)* }
            }

            /// The caller's next move.
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

conditions! {
    /// Malformed or unexpected protocol message.
    ProtocolViolation "08P01" Invalid;
    /// A feature that Outcrop does not have.
    FeatureNotSupported "0A000" Invalid;
    /// ON CONFLICT DO UPDATE met one row twice.
    CardinalityViolation "21000" Invalid;
    /// Text too long for its type.
    StringDataRightTruncation "22001" Invalid;
    /// Number does not fit its type.
    NumericValueOutOfRange "22003" Invalid;
    /// NULL where it is not allowed, in data.
    NullValueNotAllowed "22004" Invalid;
    /// Malformed date or time.
    InvalidDatetimeFormat "22007" Invalid;
    /// Date or time outside its range.
    DatetimeFieldOverflow "22008" Invalid;
    /// Division by zero.
    DivisionByZero "22012" Invalid;
    /// Bytes that are not valid UTF-8, or a NUL in text.
    CharacterNotInRepertoire "22021" Invalid;
    /// A parameter's value does not fit its place.
    InvalidParameterValue "22023" Invalid;
    /// Text that does not parse as its type.
    InvalidTextRepresentation "22P02" Invalid;
    /// Bytes that do not parse as their type's binary format.
    InvalidBinaryRepresentation "22P03" Invalid;
    /// A COPY or CSV line with wrong columns.
    BadCopyFileFormat "22P04" Invalid;
    /// Sequence or subscript outside an array.
    ArraySubscript "2202E" Invalid;
    /// A negative LIMIT.
    InvalidRowCountInLimitClause "2201W" Invalid;
    /// A negative OFFSET.
    InvalidRowCountInOffsetClause "2201X" Invalid;
    /// A bad argument of a regular expression.
    InvalidRegularExpression "2201B" Invalid;
    /// Any other error in data.
    DataException "22000" Invalid;
    /// NULL in a NOT NULL column.
    NotNullViolation "23502" Invalid;
    /// A key that exists already.
    UniqueViolation "23505" Invalid;
    /// Statement not allowed in the state of the transaction.
    InvalidTransactionState "25000" Invalid;
    /// Write in a read-only transaction.
    ReadOnlyTransaction "25006" Invalid;
    /// COMMIT or ROLLBACK outside a block.
    NoActiveTransaction "25P01" Invalid;
    /// Statement in a failed block.
    InFailedTransaction "25P02" Invalid;
    /// An unknown prepared statement.
    InvalidStatementName "26000" NotFound;
    /// Wrong user or key.
    InvalidPassword "28P01" Denied;
    /// Authentication failed otherwise.
    InvalidAuthorization "28000" Denied;
    /// An unknown portal.
    InvalidCursorName "34000" NotFound;
    /// An unknown database.
    InvalidCatalogName "3D000" NotFound;
    /// An unknown schema.
    InvalidSchemaName "3F000" NotFound;
    /// A serialisation failure: retry the transaction.
    SerializationFailure "40001" Conflict;
    /// SQL that does not parse.
    SyntaxError "42601" Invalid;
    /// Not allowed for this user.
    InsufficientPrivilege "42501" Denied;
    /// Value of a wrong type that cannot be converted.
    CannotCoerce "42846" Invalid;
    /// A grouping error.
    GroupingError "42803" Invalid;
    /// A type mismatch.
    DatatypeMismatch "42804" Invalid;
    /// ON CONFLICT target that is not the primary key.
    InvalidColumnReference "42P10" Invalid;
    /// A name longer than allowed.
    NameTooLong "42622" Invalid;
    /// A name that means more than one column.
    AmbiguousColumn "42702" Invalid;
    /// A column that does not exist.
    UndefinedColumn "42703" NotFound;
    /// A function or operator that does not exist for these types.
    UndefinedFunction "42883" NotFound;
    /// A table that does not exist.
    UndefinedTable "42P01" NotFound;
    /// A parameter number that does not exist.
    UndefinedParameter "42P02" Invalid;
    /// An unknown type or other object.
    UndefinedObject "42704" NotFound;
    /// A column name given twice.
    DuplicateColumn "42701" Invalid;
    /// A table that exists already.
    DuplicateTable "42P07" Invalid;
    /// A schema that exists already.
    DuplicateSchema "42P06" Invalid;
    /// A prepared statement that exists already.
    DuplicatePreparedStatement "42P05" Invalid;
    /// A portal that exists already.
    DuplicateCursor "42P03" Invalid;
    /// A definition that makes no sense.
    InvalidTableDefinition "42P16" Invalid;
    /// Windows that contradict each other.
    WindowingError "42P20" Invalid;
    /// A parameter whose type cannot be found out.
    IndeterminateDatatype "42P18" Invalid;
    /// Statement too complex.
    StatementTooComplex "54001" Exhausted;
    /// Too many columns.
    TooManyColumns "54011" Invalid;
    /// A program limit was exceeded.
    ProgramLimitExceeded "54000" Exhausted;
    /// The operating system has no more open files for us.
    InsufficientResources "53000" Exhausted;
    /// No room on disk.
    DiskFull "53100" Exhausted;
    /// No room in memory.
    OutOfMemory "53200" Exhausted;
    /// Too many connections.
    TooManyConnections "53300" Exhausted;
    /// Writes arrive faster than they can be stored; retry with backoff.
    WriteStalled "53400" Unavailable;
    /// A thing in the wrong state, as DROP SCHEMA with tables in it.
    DependentObjectsStillExist "2BP01" Invalid;
    /// An object that is not in the state that the operation needs.
    ObjectNotInPrerequisiteState "55000" Invalid;
    /// A setting that cannot be changed now.
    CantChangeRuntimeParam "55P02" Invalid;
    /// A snapshot that was held for too long: read again from a new one.
    SnapshotTooOld "72000" Conflict;
    /// The data directory is in use by another process.
    ObjectInUse "55006" Unavailable;
    /// Cancelled by the user or by a deadline.
    QueryCanceled "57014" Cancelled;
    /// The server is stopping.
    AdminShutdown "57P01" Unavailable;
    /// The server is starting or not ready for this yet.
    CannotConnectNow "57P03" Unavailable;
    /// An earlier durable write failed; reads go on, writes need a restart.
    Poisoned "58P02" Poisoned;
    /// The operating system refused a read or write.
    IoError "58030" Unavailable;
    /// Stored bytes are wrong.
    DataCorrupted "XX001" Corrupt;
    /// Data written by a version that this build does not read.
    UnsupportedVersion "58P01" Invalid;
    /// A bug of ours.
    InternalError "XX000" Internal;
}

/// An error of Outcrop, as its user sees it: condition, message, and where they help detail, hint, context and position.
///
/// `Display` prints the message alone; causes travel through `source()`.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    condition: Condition,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    context: Option<String>,
    position: Option<u32>,
    constraint: Option<Constraint>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Which constraint was violated; drivers read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// Schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column, for NOT NULL.
    pub column: Option<String>,
    /// Name of the constraint, for keys.
    pub name: Option<String>,
}

impl Error {
    /// An error with a message in lower case, without a full stop.
    pub fn new(condition: Condition, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            condition,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
            constraint: None,
            source: None,
        }))
    }

    /// Adds a DETAIL sentence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a HINT sentence: what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds where it happened, as `COPY flights, line 3, column year: "x"`.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    /// Adds the place in the statement: characters, from 1.
    #[must_use]
    pub fn with_position(mut self, position: u32) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Names the violated constraint.
    #[must_use]
    pub fn with_constraint(mut self, constraint: Constraint) -> Self {
        self.0.constraint = Some(constraint);
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Condition::InternalError, message)
            .with_hint("This is a bug in Outcrop; please report it with the statement that caused it.")
    }

    /// Stored bytes are wrong: names the file and the offset in it.
    pub fn corrupt(file: impl fmt::Display, offset: u64, what: impl fmt::Display) -> Self {
        Self::new(Condition::DataCorrupted, format!("{file} is corrupt at offset {offset}: {what}"))
            .with_hint("Stop the server and run `outcrop check` on the data directory.")
    }

    /// What went wrong.
    pub fn condition(&self) -> Condition {
        self.0.condition
    }

    /// The caller's next move.
    pub fn kind(&self) -> ErrorKind {
        self.0.condition.kind()
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The DETAIL sentence.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The HINT sentence.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where it happened: the line and column of a COPY.
    pub fn context(&self) -> Option<&str> {
        self.0.context.as_deref()
    }

    /// Place in the statement: characters, from 1.
    pub fn position(&self) -> Option<u32> {
        self.0.position
    }

    /// The violated constraint.
    pub fn constraint(&self) -> Option<&Constraint> {
        self.0.constraint.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
