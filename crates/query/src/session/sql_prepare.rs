//! `PREPARE`, `EXECUTE` and `DEALLOCATE` as statements.

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

use outcrop_types::{Condition, DataType, Error, Result, Value};

use crate::error::{from_arrow, from_datafusion};
use crate::planning::BindExpression;
use crate::result::CommandTag;
use crate::session::{Owned, Session};
use crate::statement::{Body, Prepared, Statement, name_of};
use crate::types::{scalar_to_value, sql_data_type};

/// Most statements that a session keeps by `PREPARE`.
const PREPARED_MAX: usize = 10_000;

impl Session {
    /// The statement that an EXECUTE names.
    pub(super) fn executed(&self, statement: &Statement) -> Result<&Prepared> {
        let name = statement.executed_name().unwrap_or_default();
        self.statements.get(&name).ok_or_else(|| undefined(&name))
    }

    /// What an EXECUTE executes, and with which values.
    pub(super) async fn resolve_execute(&mut self, statement: &Statement) -> Result<(Prepared, Vec<Value>)> {
        let prepared = self.executed(statement)?.clone();
        let Body::Sql(ast::Statement::Execute { parameters, .. }) = statement.body() else {
            return Err(Error::internal("EXECUTE without a name"));
        };
        if parameters.len() != prepared.parameters().len() {
            return Err(Error::new(
                Condition::SyntaxError,
                format!(
                    "wrong number of parameters for prepared statement \"{}\"",
                    statement.executed_name().unwrap_or_default()
                ),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                prepared.parameters().len(),
                parameters.len()
            )));
        }
        if parameters.is_empty() {
            return Ok((prepared, Vec::new()));
        }
        let cancellation = self.begin_statement();
        let work = self.work(statement, cancellation.clone()).await?;
        let expressions: Vec<_> = parameters
            .iter()
            .zip(prepared.parameters())
            .map(|(expr, data_type)| BindExpression { expr: expr.clone(), target: Some(data_type.clone()) })
            .collect();
        let task = Owned::spawn(self.database.queries(), async move {
            work.context()?.bind(&expressions, &[], &[])?.evaluate(&one_row()?)
        });
        let arrays = cancellation.run(task.join()).await??;
        let values = arrays
            .iter()
            .zip(prepared.parameters())
            .map(|(array, data_type)| {
                let scalar = ScalarValue::try_from_array(array, 0).map_err(from_datafusion)?;
                scalar_to_value(&scalar, data_type)
                    .ok_or_else(|| Error::internal(format!("a parameter is not of type {data_type}")))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((prepared, values))
    }

    pub(super) async fn prepare_named(
        &mut self,
        whole: &Statement,
        name: &ast::Ident,
        types: &[ast::DataType],
        inner: &ast::Statement,
    ) -> Result<()> {
        let name = name_of(name);
        if self.statements.contains_key(&name) {
            return Err(Error::new(
                Condition::DuplicatePreparedStatement,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() >= PREPARED_MAX {
            return Err(Error::new(Condition::ProgramLimitExceeded, "too many prepared statements")
                .with_hint("Free some with DEALLOCATE."));
        }
        let types = types
            .iter()
            .map(|data_type| match data_type {
                ast::DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("unknown") => Ok(None),
                data_type => sql_data_type(data_type).map(Some),
            })
            .collect::<Result<Vec<Option<DataType>>>>()?;
        let statement = whole.inner(inner.clone());
        let prepared = Box::pin(self.prepare(statement, &types)).await?;
        let kept = self.statements.values().map(Prepared::estimated_bytes).fold(0, usize::saturating_add);
        let room = self.database.options().session_bytes_max.saturating_sub(kept);
        let needed = prepared.estimated_bytes();
        if needed > room {
            let detail =
                format!("This one needs about {needed} bytes, the session has {room} left (session_bytes_max).");
            return Err(Error::new(Condition::ProgramLimitExceeded, "too many prepared statements")
                .with_detail(detail)
                .with_hint("Free some with DEALLOCATE."));
        }
        self.statements.insert(name, prepared);
        Ok(())
    }

    pub(super) fn deallocate(&mut self, name: &ast::Ident) -> Result<CommandTag> {
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
            self.statements.clear();
            return Ok(CommandTag::new("DEALLOCATE ALL"));
        }
        let name = name_of(name);
        self.statements.remove(&name).map(|_| CommandTag::new("DEALLOCATE")).ok_or_else(|| undefined(&name))
    }
}

/// One row without columns, to evaluate constants on.
pub(crate) fn one_row() -> Result<RecordBatch> {
    rows_without_columns(1)
}

/// Rows without columns.
pub(crate) fn rows_without_columns(rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).map_err(from_arrow)
}

fn undefined(name: &str) -> Error {
    Error::new(Condition::InvalidStatementName, format!("prepared statement \"{name}\" does not exist"))
}
