//! Rows that a client sends: `COPY … FROM STDIN`.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::{OnConflict, WriteMode};
use outcrop_types::{Condition, DataType, Error, Result};

use super::options::CopyDirection;
use super::statement::{CopyStatement, CopySubject, CopyTarget};
use crate::copy::CopyOptions;
use crate::dml::{Keep, RowMaker, Target, Writer};
use crate::result::CommandTag;
use crate::session::{Owned, Work};
use crate::statement::name_of;

/// A `COPY … FROM STDIN` that takes rows. All of them are committed by [`CopyIn::finish`], or none.
///
/// # Cancel safety
/// Dropping it, or a future of it, aborts the statement: nothing is applied.
pub struct CopyIn {
    table: String,
    columns: Vec<(String, DataType)>,
    options: CopyOptions,
    work: Work,
    maker: RowMaker,
    writer: Option<Writer>,
}

impl CopyIn {
    /// The table that takes the rows, as error contexts name it.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Ready with the reason once the statement must end: for a caller that waits for more rows.
    ///
    /// # Cancel safety
    /// It only watches.
    pub fn cancelled(&self) -> impl Future<Output = Error> + Send + use<> {
        let cancellation = self.work.cancellation.clone();
        async move { cancellation.cancelled().await }
    }

    /// The columns that batches must have, in order.
    pub fn columns(&self) -> &[(String, DataType)] {
        &self.columns
    }

    /// How the client writes them.
    pub fn options(&self) -> &CopyOptions {
        &self.options
    }

    /// Takes rows whose columns are [`CopyIn::columns`] in their Arrow types. Waits while the engine is behind.
    ///
    /// # Errors
    /// `NotNullViolation`, `UniqueViolation`, `DiskFull`, `QueryCanceled`; after an error the statement is over.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the statement.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut writer = self.take()?;
        let (maker, cancellation) = (self.maker.clone(), self.work.cancellation.clone());
        let task = Owned::spawn(self.work.database.queries(), async move {
            writer.insert(maker.make(rows.columns(), rows.num_rows())?).await?;
            Ok::<_, Error>(writer)
        });
        self.writer = Some(cancellation.run(task.join()).await??);
        Ok(())
    }

    /// Commits the rows: `COPY n`.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub async fn finish(mut self) -> Result<CommandTag> {
        let (writer, work) = (self.take()?, self.work.clone());
        let task = Owned::spawn(self.work.database.queries(), async move { writer.commit(&work).await });
        let commit = self.work.cancellation.run(task.join()).await??;
        Ok(CommandTag::with_rows("COPY", commit.inserted))
    }

    fn take(&mut self) -> Result<Writer> {
        self.writer
            .take()
            .ok_or_else(|| Error::new(Condition::ObjectNotInPrerequisiteState, "this COPY has failed already"))
    }
}

impl fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn").field("columns", &self.columns).field("options", &self.options).finish_non_exhaustive()
    }
}

/// The table, the positions of its columns and the checked options of a `COPY FROM`.
pub(crate) fn copy_columns(work: &Work, copy: &CopyStatement) -> Result<(Target, Vec<usize>, CopyOptions)> {
    if copy.target != CopyTarget::Stdin {
        return Err(server_files());
    }
    if copy.selection.is_some() {
        return Err(Error::new(Condition::FeatureNotSupported, "COPY FROM … WHERE is not supported")
            .with_hint("Copy into a table of its own and use INSERT … SELECT … WHERE."));
    }
    let CopySubject::Table { name, columns } = &copy.subject else {
        return Err(Error::new(Condition::SyntaxError, "COPY FROM needs a table"));
    };
    let target = Target::resolve(work, name, None)?;
    let positions = target.positions(&columns.iter().map(name_of).collect::<Vec<_>>())?;
    let names: Vec<String> = positions
        .iter()
        .filter_map(|position| target.schema.columns.get(*position))
        .map(|column| column.name.clone())
        .collect();
    let options = CopyOptions::check(&copy.options, CopyDirection::From, &names)?;
    Ok((target, positions, options))
}

/// Begins a `COPY … FROM STDIN`.
pub(crate) fn begin_copy_in(work: &Work, copy: &CopyStatement) -> Result<CopyIn> {
    let (target, positions, options) = copy_columns(work, copy)?;
    let columns = positions
        .iter()
        .filter_map(|position| target.schema.columns.get(*position))
        .map(|column| (column.name.clone(), column.data_type.clone()))
        .collect();
    let maker = RowMaker::new(work, &target, &positions)?;
    let writer = Writer::begin(work, &target, WriteMode::Insert(OnConflict::Error), Keep::Counts)?;
    let table = target.schema.name.table.clone();
    Ok(CopyIn { table, columns, options, work: work.clone(), maker, writer: Some(writer) })
}

/// 0A000 for files and programs of the server.
pub(super) fn server_files() -> Error {
    Error::new(Condition::FeatureNotSupported, "COPY to or from files and programs of the server is not supported")
        .with_hint("Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does it for a file of yours.")
}
