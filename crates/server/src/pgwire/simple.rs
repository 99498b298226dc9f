//! The simple protocol: a text of one or more statements, executed one after the other.

use futures::StreamExt as _;
use outcrop_query::{ExecuteOptions, Execution, RowStream};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::connection::{Connection, Stop, watched};
use super::rows::RowWriter;
use super::wire_type::row_description;

impl Connection {
    /// Executes the statements of a Query message. The first error ends it.
    pub(super) async fn simple_query(&mut self, sql: &str) -> Result<(), Stop> {
        self.statements.remove("");
        self.portals.remove("");
        let statements = self.session.parse(sql).await?;
        self.session.check_batch(&statements)?;
        if statements.is_empty() {
            self.outbox.put(&EmptyQueryResponse::new())?;
        }
        for statement in statements {
            let Self { session, reader, .. } = self;
            let execution = watched(reader, async {
                let prepared = session.prepare(statement, &[]).await?;
                session.execute(&prepared, &[], ExecuteOptions::default()).await
            });
            match Box::pin(execution).await?? {
                Execution::Rows(rows) => self.send_all(rows).await?,
                Execution::Done(tag) => self.complete(tag.to_string())?,
                Execution::CopyIn(copy) => self.copy_in(copy).await?,
                Execution::CopyOut(copy) => self.copy_out(copy).await?,
                Execution::Empty => self.outbox.put(&EmptyQueryResponse::new())?,
            }
            self.drop_portals_outside_blocks();
            self.outbox.relieve().await?;
        }
        Ok(())
    }

    /// Sends a whole result in text, as it is made.
    async fn send_all(&mut self, mut rows: RowStream) -> Result<(), Stop> {
        let settings = self.text_settings();
        self.outbox.put(&row_description(rows.columns(), &[]))?;
        while let Some(batch) = watched(&mut self.reader, rows.next()).await? {
            let batch = batch?;
            let writer = RowWriter::try_new(&batch, rows.columns(), &[], settings)?;
            for row in 0..batch.num_rows() {
                writer.put(row, &mut self.outbox);
                self.outbox.relieve().await?;
            }
        }
        self.complete(rows.tag().to_string())
    }

    /// Says that a statement is done.
    pub(super) fn complete(&mut self, tag: String) -> Result<(), Stop> {
        self.put_notices()?;
        // Poolers expect that this forgets the statements of the protocol too.
        if matches!(tag.as_str(), "DEALLOCATE ALL" | "DISCARD ALL") {
            self.statements.clear();
            self.portals.clear();
        }
        Ok(self.outbox.put(&CommandComplete::new(tag))?)
    }
}
