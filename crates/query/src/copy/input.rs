//! Rows that a client sends: `COPY … FROM STDIN`.

use std::fmt;

use datafusion::arrow::array::RecordBatch;
use outcrop_engine::{Commit, OnConflict, RowOutcome, WriteMode};
use outcrop_types::{Condition, DataType, Error, Result};

use super::options::CopyDirection;
use super::statement::{CopyStatement, CopySubject, CopyTarget};
use crate::copy::{CopyConflict, CopyOptions};
use crate::dml::{Keep, RowMaker, Target, Writer};
use crate::result::CommandTag;
use crate::session::{Notice, Owned, Work};
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
    writing: Writing,
}

/// What the writer does.
enum Writing {
    /// It waits for rows.
    Idle(Writer),
    /// It takes some, while the caller decodes the next ones.
    Busy(Owned<Result<Writer>>),
    /// It has failed, or is with a caller that was dropped.
    Over,
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

    /// Takes rows whose columns are [`CopyIn::columns`] in their Arrow types, once the ones before are with the engine. What is
    /// wrong with rows may be said by a later call, at the latest by [`CopyIn::finish`].
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
        let (mut writer, maker) = (self.idle().await?, self.maker.clone());
        self.writing = Writing::Busy(Owned::spawn(self.work.database.queries(), async move {
            writer.insert(maker.make(rows.columns(), rows.num_rows())?).await?;
            Ok(writer)
        }));
        Ok(())
    }

    /// Waits until all rows are with the engine, for a caller that has nothing but an error to add: what is wrong with the rows
    /// before comes first.
    ///
    /// # Errors
    /// As [`CopyIn::push`].
    pub async fn settle(&mut self) -> Result<()> {
        self.writing = Writing::Idle(self.idle().await?);
        Ok(())
    }

    /// Commits the rows: `COPY n`, with notices of the rows that were skipped.
    ///
    /// # Cancel safety
    /// A commit that has begun goes on without its caller.
    pub async fn finish(mut self) -> Result<(CommandTag, Vec<Notice>)> {
        let (writer, work) = (self.idle().await?, self.work.clone());
        let task = Owned::spawn(self.work.database.queries(), async move { writer.commit(&work).await });
        let commit = self.work.cancellation.run(task.join()).await??;
        let notices = match self.options.on_conflict {
            CopyConflict::Skip => skipped_rows(&commit),
            CopyConflict::Error | CopyConflict::Replace => Vec::new(),
        };
        Ok((CommandTag::with_rows("COPY", commit.inserted + commit.updated), notices))
    }

    /// The writer, when it is done with the rows that it has.
    async fn idle(&mut self) -> Result<Writer> {
        match std::mem::replace(&mut self.writing, Writing::Over) {
            Writing::Idle(writer) => Ok(writer),
            Writing::Busy(task) => self.work.cancellation.run(task.join()).await?,
            Writing::Over => Err(Error::new(Condition::ObjectNotInPrerequisiteState, "this COPY has failed already")),
        }
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
    let (mode, keep) = match options.on_conflict {
        CopyConflict::Error => (WriteMode::Insert(OnConflict::Error), Keep::Counts),
        CopyConflict::Skip => (WriteMode::Insert(OnConflict::Nothing), Keep::Rows),
        CopyConflict::Replace => (WriteMode::Upsert, Keep::Counts),
    };
    if options.on_conflict == CopyConflict::Replace && target.schema.primary_key().is_none() {
        return Err(Error::new(
            Condition::InvalidColumnReference,
            format!("table \"{}\" has no primary key by which rows could be replaced", target.schema.name.table),
        ));
    }
    let writer = Writer::begin(work, &target, mode, keep)?;
    let table = target.schema.name.table.clone();
    Ok(CopyIn { table, columns, options, work: work.clone(), maker, writing: Writing::Idle(writer) })
}

/// Longest list of rows in one notice: clients get texts of at most 4,096 characters.
const ROWS_TEXT_MAX: usize = 2_000;

/// `skipped rows 3, 7-9: their keys are there already`; rows are counted from 1, and no row is left out.
fn skipped_rows(commit: &Commit) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut rows = String::new();
    let mut tell = |rows: &mut String| {
        if !rows.is_empty() {
            let text = format!("skipped rows {rows}: their keys are there already");
            notices.push(Notice::new(Condition::UniqueViolation.sqlstate(), text));
            rows.clear();
        }
    };
    let mut number = 0_usize;
    for run in commit.outcomes.chunk_by(|a, b| (*a == RowOutcome::Skipped) == (*b == RowOutcome::Skipped)) {
        let (first, last) = (number + 1, number + run.len());
        number = last;
        if run.first() != Some(&RowOutcome::Skipped) {
            continue;
        }
        if rows.len() > ROWS_TEXT_MAX {
            tell(&mut rows);
        }
        let separator = if rows.is_empty() { "" } else { ", " };
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        rows.push_str(&format!("{separator}{range}"));
    }
    tell(&mut rows);
    notices
}

/// 0A000 for files and programs of the server.
pub(super) fn server_files() -> Error {
    Error::new(Condition::FeatureNotSupported, "COPY to or from files and programs of the server is not supported")
        .with_hint("Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does it for a file of yours.")
}
