//! The command.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result, anyhow};
use outcrop_types::DataType;
use tokio::sync::mpsc;

use super::batch::{Batch, BatchReader, BatchSource, Form};
use super::copy::Loader;
use super::csv::CsvReader;
use super::input::InputFile;
use super::ndjson::NdjsonReader;
use super::parquet::ParquetReader;
use super::parquet_batch::ParquetBatches;
use super::plan::{Plan, Target};
use super::progress::{Progress, per_second};
use super::rejects::Rejects;
use super::row::RowReader;
use super::sample::Sample;
use super::table::{Table, TableName};
use crate::cli::{FileFormat, LoadArguments};
use crate::client::{Notices, connect};
use crate::terminal::{duration, grouped, note};

/// Loads a file. The exit code is 0 if every row is stored, 2 if some were rejected.
///
/// # Errors
/// If the load could not be started or ended early; what was stored by then is said first.
pub(crate) fn run(arguments: &LoadArguments) -> Result<ExitCode> {
    let name = TableName::parse(&arguments.table)?;
    let input = InputFile::look(arguments)?;
    let sample = Sample::take(&input, u64::from(arguments.sample))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(Box::pin(load(arguments, &name, &input, &sample)))
}

async fn load(arguments: &LoadArguments, name: &TableName, input: &InputFile, sample: &Sample) -> Result<ExitCode> {
    let connection = connect(&arguments.server, "outcrop load", Notices::Kept).await?;
    let client = &connection.client;
    let plan = match Table::find(client, name).await? {
        Some(table) => Plan::append(sample, input.format(), table, &arguments.key),
        None => Plan::create(sample, input.format(), &arguments.key),
    }
    .with_context(|| format!("load {} into {}", input.path().display(), name.sql()))?;
    if arguments.upsert {
        plan.check_upsert().with_context(|| format!("load {} into {}", input.path().display(), name.sql()))?;
    }
    note(plan.describe(input, sample, name).trim_end());
    if plan.is_new {
        plan.table.create(client, name).await?;
    }

    let taken = Arc::new(AtomicU64::new(0));
    let batches = batches(input, &plan, &taken)?;
    let mut loader = Loader::open(&connection, plan.copy_sql(name, arguments.upsert)).await?;
    let mut rejects = Rejects::new(input.path(), input.place(), arguments.rejects_max);
    let mut progress = Progress::begin(input.bytes());
    let mut batches = read_ahead(batches);
    let mut rounded = 0;
    let ended = send(&mut batches, &mut loader, &mut rejects, &mut progress, &mut rounded).await;
    // Ends the reading thread, which must not outlive the runtime.
    batches.close();
    progress.clear();
    let (stored, elapsed) = (loader.stored(), progress.elapsed());
    let rate = grouped(per_second(stored, elapsed));
    note(&format!("{} rows stored in {} ({rate} rows/s)", grouped(stored), duration(elapsed)));
    if rounded > 0 {
        note(&format!("{} numbers have more digits than the table's columns keep; they are rounded", grouped(rounded)));
    }
    rejects.flush()?;
    if let Err(error) = ended {
        return Err(error.context(format!("load {} into {}", input.path().display(), name.sql())));
    }
    if rejects.count() == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!("{} rows rejected; they are in {}", grouped(rejects.count()), rejects.path().display()));
    Ok(ExitCode::from(SOME_REJECTED))
}

async fn send(
    batches: &mut mpsc::Receiver<Result<Batch>>,
    loader: &mut Loader<'_>,
    rejects: &mut Rejects,
    progress: &mut Progress,
    rounded: &mut u64,
) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        *rounded += batch.rounded;
        if !batch.rejected.is_empty() {
            progress.clear();
        }
        for rejected in &batch.rejected {
            rejects.add(rejected)?;
        }
        loader.store(&batch, rejects).await?;
        progress.show(loader.stored(), batch.taken);
    }
    Ok(())
}

/// Opens the file, to be read in the form of the plan.
fn batches(input: &InputFile, plan: &Plan, taken: &Arc<AtomicU64>) -> Result<Box<dyn BatchSource>> {
    Ok(match plan.form() {
        Form::Text => Box::new(BatchReader::new(rows(input, &plan.targets, taken)?, Arc::clone(taken), &plan.targets)),
        Form::Binary(types) => Box::new(ParquetBatches::open(input, types, &plan.targets, taken)?),
    })
}

/// Opens the rows of the file, with their cells in the order of `targets`.
fn rows(input: &InputFile, targets: &[Target], taken: &Arc<AtomicU64>) -> Result<Box<dyn RowReader>> {
    Ok(match input.format() {
        FileFormat::Csv => Box::new(CsvReader::open(input.text_at_last(taken)?, input.csv().clone())?),
        FileFormat::Ndjson => {
            let column = |target: &Target| -> (String, Option<DataType>) {
                (target.source.clone(), target.column.data_type.clone())
            };
            let columns: Vec<_> = targets.iter().map(column).collect();
            Box::new(NdjsonReader::new(input.text_at_last(taken)?, &columns))
        }
        FileFormat::Parquet => Box::new(ParquetReader::open(input, Arc::clone(taken))?),
    })
}

/// Reads, checks and encodes while the server stores.
fn read_ahead(mut reader: Box<dyn BatchSource>) -> mpsc::Receiver<Result<Batch>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let failed = sender.clone();
    let task = tokio::task::spawn_blocking(move || {
        while let Some(batch) = reader.next_batch().transpose() {
            let is_failed = batch.is_err();
            // A closed channel: the load ended early.
            if sender.blocking_send(batch).is_err() || is_failed {
                break;
            }
        }
    });
    tokio::spawn(async move {
        if let Err(error) = task.await {
            failed.send(Err(anyhow!(error).context("read the file"))).await.unwrap_or_default();
        }
    });
    receiver
}

/// With the one that is sent and the one that is read, memory holds so many and two.
const BATCHES_AHEAD: usize = 1;
/// Exit code.
const SOME_REJECTED: u8 = 2;
