//! One connection's view of the database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outcrop_engine::Snapshot;
use outcrop_engine::snapshot::snapshot_too_old;
use outcrop_types::{Condition, DataType, Error, Result, Value};

use crate::planning::{AccessPath, SessionView};
use crate::result::{Execution, RowStream};
use crate::session::{
    Cancellation, CancellationHandle, Database, Newest, Notice, Owned, Position, Transaction, TransactionStatus, Work,
    blocking_on,
};
use crate::settings::Settings;
use crate::statement::{
    Prepared, Statement, StatementKind, parse_statements, prepare, prepare_unplanned, run, run_unplanned, search_path,
};

/// Longest text that is parsed on the thread of the connection.
const PARSED_AT_ONCE_BYTES: usize = 16 << 10;

/// Who a session is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// `current_user`.
    pub user: String,
    /// `current_database()`.
    pub database: String,
    /// `application_name`.
    pub application_name: String,
    /// `pg_backend_pid()`.
    pub process_id: i32,
    /// Where the client is, as `address:port`.
    pub client_addr: Option<String>,
}

/// How to execute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecuteOptions {
    /// Rows that the caller will read at most, if it knows: a hint, the stream may hold more.
    pub max_rows: Option<u64>,
}

/// One connection: settings, transaction state, prepared statements of SQL `PREPARE`.
///
/// A session runs one statement at a time. Its streams ([`crate::RowStream`], [`crate::CopyIn`]) do not borrow it, so a
/// portal may stay open while other statements run. Whoever meets an error in one of them, or outside the session (a
/// broken message, say), calls [`Session::fail_transaction`]; errors that the session itself returns are counted already.
#[derive(Debug)]
pub struct Session {
    pub(super) database: Database,
    pub(super) info: SessionInfo,
    pub(super) settings: Settings,
    pub(super) transaction: Transaction,
    /// SQL `PREPARE`, by name.
    pub(super) statements: HashMap<String, Prepared>,
    pub(super) notices: Vec<Notice>,
    cancel: CancellationHandle,
    newest: Newest,
    /// The position that the settings show.
    noted: Option<Position>,
}

impl Session {
    pub(crate) fn new(database: Database, info: SessionInfo) -> Self {
        let options = database.options();
        let timeout = options.statement_timeout.map_or(0, |timeout| timeout.as_millis());
        let settings = Settings::new([
            ("server_version", options.server_version.clone()),
            ("session_authorization", info.user.clone()),
            ("application_name", info.application_name.clone()),
            ("statement_timeout", if timeout == 0 { "0".to_owned() } else { format!("{timeout}ms") }),
        ]);
        Self {
            database,
            info,
            settings,
            transaction: Transaction::Idle,
            statements: HashMap::new(),
            notices: Vec::new(),
            cancel: CancellationHandle::default(),
            newest: Newest::default(),
            noted: None,
        }
    }

    /// Gives a setting its value at session start, to which `RESET` returns: the options of a startup message.
    ///
    /// # Errors
    /// `UndefinedObject`, `InvalidParameterValue`, `CantChangeRuntimeParam`.
    pub fn set_default(&mut self, name: &str, value: &str) -> Result<()> {
        self.settings.set_default(name, value)
    }

    /// Splits and parses the text of a Query or Parse message. Empty text is an empty vector.
    ///
    /// # Errors
    /// `SyntaxError` with the position in characters from 1.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        if sql.len() <= PARSED_AT_ONCE_BYTES {
            return parse_statements(sql);
        }
        let sql = sql.to_owned();
        blocking_on(self.database.queries(), move || parse_statements(&sql)).await
    }

    /// Whether the statements of one Query message may run together: only the last of them may write, because a message is
    /// one transaction to its sender, and what follows a write could still fail.
    ///
    /// # Errors
    /// `FeatureNotSupported` with a hint.
    pub fn check_batch(&self, statements: &[Statement]) -> Result<()> {
        let Some((_, before)) = statements.split_last() else { return Ok(()) };
        let mut prepared_here = HashSet::new();
        for statement in before {
            prepared_here.extend(statement.prepared_write());
            if self.writes(statement, &prepared_here) {
                return Err(Error::new(
                    Condition::FeatureNotSupported,
                    format!("{} must be the last statement of its message", statement.command()),
                )
                .with_detail("A write commits by itself; what follows it in the message could fail.")
                .with_hint("Send each writing statement in a message of its own."));
            }
        }
        Ok(())
    }

    /// Plans a statement. Types may be given for some parameters; the others are inferred.
    ///
    /// # Errors
    /// `IndeterminateDatatype` for a parameter whose type cannot be inferred, and all that names and types can do wrong.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the session as it was.
    pub async fn prepare(&mut self, statement: Statement, parameter_types: &[Option<DataType>]) -> Result<Prepared> {
        let result = self.prepare_inner(statement, parameter_types).await;
        self.count_error(result)
    }

    /// Executes. `parameters` are of the types [`Prepared::parameters`], one for each.
    ///
    /// # Cancel safety
    /// Dropping the future cancels a read. A write that has reached its commit is committed, whoever waits for it;
    /// before that nothing is applied.
    pub async fn execute(
        &mut self,
        prepared: &Prepared,
        parameters: &[Value],
        options: ExecuteOptions,
    ) -> Result<Execution> {
        let result = self.execute_inner(prepared, parameters, &options).await;
        self.count_error(result)
    }

    /// A reader goes on with rows that it left for a while: the statement's time limit begins anew, as each Execute of a
    /// portal has its own.
    pub fn resume(&self, rows: &mut RowStream) {
        rows.restart_deadline(self.settings.duration("statement_timeout"));
    }

    /// An error happened outside: a block, if there is one, has failed.
    pub fn fail_transaction(&mut self) {
        if self.transaction.status() != TransactionStatus::Idle {
            self.transaction = Transaction::Failed;
        }
    }

    /// How long the snapshot that an open block holds can still be read; `None` if none is held, or for ever.
    pub fn snapshot_time_left(&self) -> Option<Duration> {
        match &self.transaction {
            Transaction::Block { snapshot, .. } => snapshot.as_ref()?.time_left(),
            Transaction::Idle | Transaction::Expired { .. } | Transaction::Failed => None,
        }
    }

    /// Gives the snapshot of a block back, because nobody reads it and it keeps files. The block's next statement is refused
    /// with `SnapshotTooOld`.
    pub fn give_back_snapshot(&mut self) {
        let Transaction::Block { snapshot: Some(snapshot), .. } = &self.transaction else { return };
        if let Some(age_max) = snapshot.age_max() {
            self.transaction = Transaction::Expired { age_max };
        }
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Settings that changed since the last call and that clients are told (ParameterStatus), with `outcrop.commit_seq`
    /// among them. The first call reports all.
    pub fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        self.note_position();
        self.settings.take_changes()
    }

    /// Who the session is for.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// State of the transaction block.
    pub fn transaction(&self) -> TransactionStatus {
        self.transaction.status()
    }

    /// Cancels the running statement from elsewhere.
    pub fn cancel_token(&self) -> CancellationHandle {
        self.cancel.clone()
    }

    /// The newest commit that the session has made or seen.
    pub fn commit_seq(&self) -> Position {
        Position::new(self.database.engine().log_id(), self.newest.get())
    }

    /// A number that changes when a setting does, `outcrop.commit_seq` apart.
    pub fn settings_version(&self) -> u64 {
        self.settings.version()
    }

    /// The value of a setting, by its name in any case.
    pub fn setting(&self, name: &str) -> Option<String> {
        if name.eq_ignore_ascii_case("outcrop.commit_seq") {
            return Some(self.commit_seq().to_string());
        }
        self.settings.show(name).ok().map(|(_, value)| value)
    }

    async fn prepare_inner(&mut self, statement: Statement, types: &[Option<DataType>]) -> Result<Prepared> {
        self.check_state(&statement)?;
        if let Some(prepared) = self.prepare_here(&statement, types)? {
            return Ok(prepared);
        }
        let cancellation = self.begin_statement();
        let snapshot = match &self.transaction {
            Transaction::Block { snapshot: Some(snapshot), .. } => snapshot.clone(),
            Transaction::Idle | Transaction::Block { .. } | Transaction::Expired { .. } | Transaction::Failed => {
                self.database.engine().snapshot()
            }
        };
        let work =
            Work::new(&self.database, snapshot, self.view(&statement), cancellation.clone(), self.newest.clone());
        if let Some(prepared) = prepare_unplanned(&work, &statement, types) {
            return Ok(prepared);
        }
        let types = types.to_vec();
        let task = Owned::spawn(self.database.queries(), async move { prepare(&work, statement, &types).await });
        cancellation.run(task.join()).await?
    }

    async fn execute_inner(
        &mut self,
        prepared: &Prepared,
        parameters: &[Value],
        options: &ExecuteOptions,
    ) -> Result<Execution> {
        let statement = prepared.statement();
        self.check_state(statement)?;
        if parameters.len() != prepared.parameters().len() {
            return Err(Error::new(
                Condition::ProtocolViolation,
                format!(
                    "bind message supplies {} parameters, but the statement requires {}",
                    parameters.len(),
                    prepared.parameters().len()
                ),
            ));
        }
        if statement.writes() {
            self.check_may_write(statement)?;
        }
        if statement.kind() == StatementKind::Execute {
            let (prepared, values) = self.resolve_execute(statement).await?;
            return Box::pin(self.execute_inner(&prepared, &values, options)).await;
        }
        if let Some(execution) = self.execute_here(statement, prepared).await? {
            return Ok(execution);
        }
        let cancellation = self.begin_statement();
        let work = self.work(statement, cancellation.clone()).await?.with_parameters(prepared.parameters(), parameters);
        let outcome = match Box::pin(cancellation.run(run_unplanned(&work, prepared))).await? {
            Some(outcome) => outcome,
            None => {
                let prepared = prepared.clone();
                let task = Owned::spawn(self.database.queries(), async move { Box::pin(run(work, &prepared)).await });
                cancellation.run(task.join()).await??
            }
        };
        let guard = cancellation.guard();
        self.notices.extend(outcome.notices);
        Ok(match outcome.execution {
            Execution::Rows(rows) => Execution::Rows(rows.guarded(guard)),
            Execution::CopyOut(mut copy) => {
                copy.rows = copy.rows.guarded(guard);
                Execution::CopyOut(copy)
            }
            other @ (Execution::Done(_) | Execution::CopyIn(_) | Execution::Empty) => other,
        })
    }

    /// Brings the setting that shows [`Self::commit_seq`] up to it.
    pub(super) fn note_position(&mut self) {
        let position = self.commit_seq();
        if self.noted.replace(position) != Some(position) {
            self.settings.set_position(position.to_string());
        }
    }

    /// Everything that a statement works with, at the snapshot that it must see.
    pub(super) async fn work(&mut self, statement: &Statement, cancellation: Cancellation) -> Result<Work> {
        let snapshot = cancellation.run(self.snapshot()).await?;
        Ok(Work::new(&self.database, snapshot, self.view(statement), cancellation, self.newest.clone()))
    }

    pub(super) fn begin_statement(&self) -> Cancellation {
        self.cancel.begin(self.settings.duration("statement_timeout"))
    }

    /// The snapshot of the next statement: the block's, or the newest that `outcrop.min_commit_seq` allows (Q1).
    async fn snapshot(&mut self) -> Result<Snapshot> {
        if let Transaction::Block { snapshot: Some(snapshot), .. } = &self.transaction {
            return Ok(snapshot.clone());
        }
        let wanted = self.settings.text("outcrop.min_commit_seq");
        let engine = self.database.engine().clone();
        let taken = if wanted.is_empty() {
            engine.snapshot()
        } else {
            let seq = wanted.parse::<Position>()?.within(engine.log_id())?;
            let timeout = self.settings.duration("outcrop.min_commit_seq_timeout").unwrap_or(Duration::MAX);
            let now = engine.snapshot();
            if now.commit_seq() >= seq {
                now
            } else {
                let threads = self.database.queries();
                self.database.published().snapshot_at_least(&engine, threads, seq, timeout).await?
            }
        };
        if let Transaction::Block { snapshot, .. } = &mut self.transaction {
            *snapshot = Some(taken.clone());
        }
        Ok(taken)
    }

    pub(super) fn view(&self, statement: &Statement) -> SessionView {
        let now = self.database.env().clock.wall_us();
        SessionView {
            sql: Arc::clone(statement.source()),
            user: self.info.user.clone(),
            database: self.info.database.clone(),
            application_name: self.settings.text("application_name").to_owned(),
            search_path: search_path(self.settings.text("search_path"), &self.info.user),
            time_zone: self.settings.text("TimeZone").to_owned(),
            access_path: match self.settings.text("outcrop.access_path") {
                "scan" => AccessPath::Scan,
                "key" => AccessPath::Key,
                _ => AccessPath::Auto,
            },
            statement_time_us: now,
            transaction_time_us: match &self.transaction {
                Transaction::Block { started_us, .. } => *started_us,
                Transaction::Idle | Transaction::Expired { .. } | Transaction::Failed => now,
            },
            process_id: self.info.process_id,
            settings: self.settings.view(),
            position: Some(self.commit_seq()),
            server_version: self.settings.text("server_version").to_owned(),
        }
    }

    /// A failed block takes only its end.
    fn check_state(&self, statement: &Statement) -> Result<()> {
        if self.transaction.status() == TransactionStatus::Failed && !statement.ends_transaction() {
            return Err(Error::new(
                Condition::InFailedTransaction,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        match &self.transaction {
            Transaction::Expired { age_max } if !statement.ends_transaction() => Err(snapshot_too_old(*age_max)),
            Transaction::Idle | Transaction::Block { .. } | Transaction::Expired { .. } | Transaction::Failed => Ok(()),
        }
    }

    fn check_may_write(&self, statement: &Statement) -> Result<()> {
        let command = statement.command();
        if self.settings.is_on("transaction_read_only") {
            return Err(Error::new(
                Condition::ReadOnlyTransaction,
                format!("cannot execute {command} in a read-only transaction"),
            ));
        }
        if self.transaction.status() == TransactionStatus::InBlock {
            return Err(Error::new(
                Condition::FeatureNotSupported,
                format!("{command} cannot run inside a transaction block"),
            )
            .with_detail("Blocks read one snapshot; each write commits by itself.")
            .with_hint("Send the statement outside of BEGIN … COMMIT, or turn autocommit on in the driver."));
        }
        Ok(())
    }

    /// Whether a statement of a message writes; `prepared_here` are writes that the message itself prepares.
    fn writes(&self, statement: &Statement, prepared_here: &HashSet<String>) -> bool {
        statement.writes()
            || statement.executed_name().is_some_and(|name| {
                prepared_here.contains(&name) || self.statements.get(&name).is_some_and(Prepared::writes)
            })
    }

    fn count_error<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.fail_transaction();
        }
        result
    }
}
