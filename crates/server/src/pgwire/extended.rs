//! The extended protocol: Parse, Bind, Describe, Execute, Close. Each Execute commits by itself.

use futures::StreamExt as _;
use outcrop_ingest::binary::oid;
use outcrop_query::{CommandTag, ExecuteOptions, Execution, Prepared, TransactionStatus};
use outcrop_types::{Condition, DataType, Error, Result, Value};
use outcrop_wire::{Bind, Format, Target};
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::EmptyQueryResponse;

use super::bind::decode_parameters;
use super::connection::{Connection, Stop, watched};
use super::portal::{Portal, PortalState, Reading};
use super::rows::RowWriter;
use super::wire_type::row_description;

impl Connection {
    /// Prepares a statement.
    pub(super) async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Stop> {
        if name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains(&name) {
            return Err(Error::new(
                Condition::DuplicatePreparedStatement,
                format!("prepared statement \"{name}\" already exists"),
            )
            .into());
        }
        let mut statements = self.session.parse(sql).await?;
        let statement = statements.pop();
        if !statements.is_empty() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Error::new(Condition::SyntaxError, message).into());
        }
        let prepared = match statement {
            None => None,
            Some(statement) => {
                let types = types.iter().map(|oid| parameter_type(*oid)).collect::<Result<Vec<_>>>()?;
                let Self { session, reader, .. } = self;
                Some(Box::pin(watched(reader, session.prepare(statement, &types))).await??)
            }
        };
        let bytes = prepared.as_ref().map_or(0, Prepared::estimated_bytes);
        self.statements.insert(name, prepared, bytes, self.room())?;
        Ok(self.outbox.put(&ParseComplete::new())?)
    }

    /// Makes a portal of a statement and its parameters.
    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        let prepared = self.statements.get(&bind.statement).ok_or_else(|| unknown_statement(&bind.statement))?.clone();
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains(&bind.portal) {
            return Err(
                Error::new(Condition::DuplicateCursor, format!("portal \"{}\" already exists", bind.portal)).into()
            );
        }
        let types = prepared.as_ref().map_or(&[][..], |prepared| prepared.parameters());
        let columns = prepared.as_ref().and_then(|prepared| prepared.columns()).map_or(0, <[_]>::len);
        let settings = self.text_settings();
        let parameters = decode_parameters(&bind, types, columns, &settings)?;
        let portal = Portal { prepared, formats: bind.result_formats, state: PortalState::Bound(parameters) };
        let bytes = portal.bytes();
        self.portals.insert(bind.portal, portal, bytes, self.room())?;
        Ok(self.outbox.put(&BindComplete::new())?)
    }

    /// Describes the rows, and for a statement the parameters before.
    pub(super) fn describe(&mut self, target: &Target) -> Result<(), Stop> {
        let (prepared, formats) = match target {
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| unknown_portal(name))?;
                (&portal.prepared, portal.formats.as_slice())
            }
            Target::Statement(name) => {
                let prepared = self.statements.get(name).ok_or_else(|| unknown_statement(name))?;
                let types = prepared.as_ref().map_or(&[][..], |prepared| prepared.parameters());
                self.outbox.put(&ParameterDescription::new(types.iter().map(oid::oid).collect()))?;
                (prepared, &[][..])
            }
        };
        match prepared.as_ref().and_then(|prepared| prepared.columns()) {
            Some(columns) => self.outbox.put(&row_description(columns, formats))?,
            None => self.outbox.put(&NoData::new())?,
        }
        Ok(())
    }

    /// Executes a portal, or goes on with it, for at most `max_rows` rows.
    pub(super) async fn execute(&mut self, name: &str, max_rows: Option<u64>) -> Result<(), Stop> {
        // A portal whose execution fails is gone, as its rows are.
        let portal = self.portals.remove(name).ok_or_else(|| unknown_portal(name))?;
        let Portal { prepared, formats, state } = portal;
        let state = match state {
            PortalState::Bound(parameters) => {
                Box::pin(self.begin(prepared.as_ref(), &formats, &parameters, max_rows)).await?
            }
            PortalState::Suspended(mut reading) => {
                self.session.resume(&mut reading.rows);
                self.send_some(&formats, reading, max_rows).await?
            }
            PortalState::Done(Some(tag)) if tag.command() == "SELECT" => {
                let tag = CommandTag::with_rows("SELECT", 0);
                self.complete(tag.to_string())?;
                PortalState::Done(Some(tag))
            }
            PortalState::Done(_) => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(Error::new(Condition::ObjectNotInPrerequisiteState, message).into());
            }
        };
        // COMMIT ends all portals of its block, and DISCARD ALL all there are.
        let is_over = self.session.transaction() == TransactionStatus::Idle
            && prepared.as_ref().is_some_and(|prepared| prepared.statement().ends_transaction());
        if is_over {
            self.portals.clear();
        } else {
            let is_suspended = matches!(state, PortalState::Suspended(_));
            let portal = Portal { prepared, formats, state };
            let bytes = portal.bytes();
            self.portals.insert(name.to_owned(), portal, bytes, self.room())?;
            if is_suspended {
                self.put_notices()?;
                self.outbox.put(&PortalSuspended::new())?;
            }
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        prepared: Option<&Prepared>,
        formats: &[Format],
        parameters: &[Value],
        max_rows: Option<u64>,
    ) -> Result<PortalState, Stop> {
        let Some(prepared) = prepared else {
            self.outbox.put(&EmptyQueryResponse::new())?;
            return Ok(PortalState::Done(None));
        };
        let Self { session, reader, .. } = self;
        let options = ExecuteOptions { max_rows };
        match watched(reader, session.execute(prepared, parameters, options)).await?? {
            Execution::Rows(rows) => self.send_some(formats, Box::new(Reading::new(rows)), max_rows).await,
            Execution::Done(tag) => {
                self.complete(tag.to_string())?;
                Ok(PortalState::Done(Some(tag)))
            }
            Execution::CopyIn(copy) => {
                self.copy_in(copy).await?;
                Ok(PortalState::Done(None))
            }
            Execution::CopyOut(copy) => {
                self.copy_out(copy).await?;
                Ok(PortalState::Done(None))
            }
            Execution::Empty => {
                self.outbox.put(&EmptyQueryResponse::new())?;
                Ok(PortalState::Done(None))
            }
        }
    }

    /// Sends up to `max_rows` rows of a result.
    async fn send_some(
        &mut self,
        formats: &[Format],
        mut reading: Box<Reading>,
        max_rows: Option<u64>,
    ) -> Result<PortalState, Stop> {
        let settings = self.text_settings();
        let mut sent = 0_u64;
        loop {
            let batch = match reading.batch.take() {
                Some(batch) => batch,
                None => match watched(&mut self.reader, reading.rows.next()).await? {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let writer = RowWriter::try_new(&batch, reading.rows.columns(), formats, settings)?;
            for row in reading.next_row..batch.num_rows() {
                if max_rows == Some(sent) {
                    reading.next_row = row;
                    reading.batch = Some(batch);
                    return Ok(PortalState::Suspended(reading));
                }
                writer.put(row, &mut self.outbox);
                sent += 1;
                self.outbox.relieve().await?;
            }
            reading.next_row = 0;
        }
        // The tag of a SELECT counts the rows of this Execute, that of a write the rows that it changed.
        let tag = match reading.rows.tag() {
            tag if tag.command() == "SELECT" => CommandTag::with_rows("SELECT", sent),
            tag => tag,
        };
        self.complete(tag.to_string())?;
        Ok(PortalState::Done(Some(tag)))
    }

    /// Forgets a statement or portal. One that does not exist is no error.
    pub(super) fn close(&mut self, target: &Target) -> Result<(), Stop> {
        match target {
            Target::Portal(name) => drop(self.portals.remove(name)),
            Target::Statement(name) => drop(self.statements.remove(name)),
        }
        Ok(self.outbox.put(&CloseComplete::new())?)
    }

    /// Portals live as long as their transaction, which outside of blocks ends at Sync.
    pub(super) fn drop_portals_outside_blocks(&mut self) {
        if self.session.transaction() == TransactionStatus::Idle {
            self.portals.clear();
        }
    }
}

/// The type that a client gives for a parameter; `None` leaves it to us.
fn parameter_type(type_oid: u32) -> Result<Option<DataType>> {
    if matches!(type_oid, 0 | oid::UNKNOWN) {
        return Ok(None);
    }
    oid::data_type(type_oid).map(Some).ok_or_else(|| {
        Error::new(Condition::UndefinedObject, format!("parameter type with oid {type_oid} is not supported"))
            .with_hint("Leave the type open (oid 0), or cast the parameter in the statement.")
    })
}

fn unknown_statement(name: &str) -> Error {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    };
    Error::new(Condition::InvalidStatementName, message)
}

fn unknown_portal(name: &str) -> Error {
    Error::new(Condition::InvalidCursorName, format!("portal \"{name}\" does not exist"))
}
