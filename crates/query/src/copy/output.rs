//! Rows that a client receives: `COPY … TO STDOUT`.

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result};

use super::input::server_files;
use super::options::CopyDirection;
use super::statement::{CopyStatement, CopySubject, CopyTarget};
use crate::copy::CopyOptions;
use crate::dml::{Target, table_query};
use crate::planning::PlannedQuery;
use crate::result::RowStream;
use crate::session::Work;
use crate::statement::{hint_query, name_of, stream};

/// A `COPY … TO STDOUT`: its rows (tag `COPY n`) and how to write them.
#[derive(Debug)]
pub struct CopyOut {
    /// The rows.
    pub rows: RowStream,
    /// How the client wants them.
    pub options: CopyOptions,
}

/// The query of a `COPY TO`.
pub(crate) fn plan_copy_out(work: &Work, copy: &CopyStatement, types: &[Option<DataType>]) -> Result<PlannedQuery> {
    let (query, mut types) = (copied_query(work, copy)?, types.to_vec());
    hint_query(work.context()?, &query, &mut types)?;
    let planned = work.context()?.plan_query(&query, &types)?;
    let names: Vec<String> = planned.columns.iter().map(|column| column.name.clone()).collect();
    CopyOptions::check(&copy.options, CopyDirection::To, &names)?;
    Ok(planned)
}

/// Starts a `COPY … TO STDOUT`.
pub(crate) async fn run_copy_out(work: &Work, copy: &CopyStatement) -> Result<CopyOut> {
    let planned = work.context()?.plan_query(&copied_query(work, copy)?, &work.types())?;
    let names: Vec<String> = planned.columns.iter().map(|column| column.name.clone()).collect();
    let options = CopyOptions::check(&copy.options, CopyDirection::To, &names)?;
    let rows = work.context()?.execute(&planned, &work.values()).await?;
    Ok(CopyOut { rows: stream("COPY", work, rows), options })
}

fn copied_query(work: &Work, copy: &CopyStatement) -> Result<ast::Query> {
    if copy.target != CopyTarget::Stdout {
        return Err(server_files());
    }
    if copy.selection.is_some() {
        return Err(Error::new(Condition::SyntaxError, "WHERE clause not allowed with COPY TO"));
    }
    match &copy.subject {
        CopySubject::Query(query) => Ok(query.as_ref().clone()),
        CopySubject::Table { name, columns } => {
            let target = Target::resolve(work, name, None)?;
            let positions = target.positions(&columns.iter().map(name_of).collect::<Vec<_>>())?;
            table_query(&target, &positions)
        }
    }
}
