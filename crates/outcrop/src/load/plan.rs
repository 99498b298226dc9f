//! What goes where: decided from the file's columns and the table's, before a row is sent. Pure.

use std::sync::Arc;

use anyhow::{Result, bail};
use outcrop_types::DataType;

use super::batch::Form;
use super::input::InputFile;
use super::sample::{FileColumn, Sample};
use super::table::{Table, TableColumn, TableName};
use crate::cli::FileFormat;
use crate::client::quote_name;
use crate::terminal::{grouped, megabytes, width};

/// The decision.
#[derive(Debug)]
pub(super) struct Plan {
    /// The table as it is, or as it must be created.
    pub(super) table: Table,
    pub(super) is_new: bool,
    /// The table's columns that cells of a row go to, in order.
    pub(super) targets: Vec<Target>,
}

/// A column that is loaded.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name in the file.
    pub(super) source: String,
    /// The type of the file's cells, where the file itself knows it.
    pub(super) source_type: Option<DataType>,
    pub(super) column: TableColumn,
    /// Whether a number that the column would round is refused. Columns that a user made say themselves what they keep.
    pub(super) keeps_digits: bool,
    /// What a user should know about it.
    note: Option<String>,
}

impl Plan {
    /// A plan for a table that must be created.
    ///
    /// # Errors
    /// If the key names what is no column, or none that may be in a key.
    pub(super) fn create(sample: &Sample, format: FileFormat, key: &[String]) -> Result<Self> {
        let columns: Vec<TableColumn> = sample
            .columns
            .iter()
            .map(|column| TableColumn {
                name: column.name.clone(),
                data_type: Some(column.data_type.clone()),
                is_nullable: !key.contains(&column.name),
                has_default: false,
            })
            .collect();
        for name in key {
            match columns.iter().find(|column| column.name == *name) {
                None => bail!("the key names column \"{name}\", which the file does not have"),
                Some(TableColumn { data_type: Some(data_type), .. }) if !data_type.is_key_type() => {
                    bail!("column \"{name}\" cannot be part of the key: its values are {data_type}");
                }
                Some(_) => {}
            }
        }
        let targets = sample.columns.iter().zip(&columns);
        let targets =
            targets.map(|(source, column)| Target::new(source, column.clone(), format).keeping_digits()).collect();
        Ok(Self { table: Table { columns, key: key.to_vec() }, is_new: true, targets })
    }

    /// A plan for a table that exists.
    ///
    /// # Errors
    /// If the file has a column that the table lacks, if it lacks one that every row must have, or if the key differs.
    pub(super) fn append(sample: &Sample, format: FileFormat, table: Table, key: &[String]) -> Result<Self> {
        if !key.is_empty() && key != table.key {
            let found = if table.key.is_empty() { "no key".to_owned() } else { table.key.join(", ") };
            bail!("the table exists and has {found} as its key, not {}", key.join(", "));
        }
        let mut targets: Vec<Target> = Vec::new();
        for source in &sample.columns {
            let Some(column) = find(&table.columns, &source.name) else {
                let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
                bail!("the table exists and has no column \"{}\"; it has {}", source.name, names.join(", "));
            };
            if targets.iter().any(|target| target.column.name == column.name) {
                bail!("two columns of the file go to column \"{}\"", column.name);
            }
            targets.push(Target::new(source, column.clone(), format));
        }
        let absent =
            table.columns.iter().filter(|column| !targets.iter().any(|target| target.column.name == column.name));
        let mut late = Vec::new();
        for column in absent.filter(|column| !column.has_default) {
            match format {
                // Later lines may have more members than the sample.
                FileFormat::Ndjson => late.push(Target::of_column(column)),
                FileFormat::Csv | FileFormat::Parquet if !column.is_nullable => {
                    bail!("the file has no column \"{}\", which every row of the table must have", column.name);
                }
                FileFormat::Csv | FileFormat::Parquet => {}
            }
        }
        targets.extend(late);
        Ok(Self { table, is_new: false, targets })
    }

    /// Rows are to replace those of the same key, which they do as a whole.
    ///
    /// # Errors
    /// If there is no key, or if a column of the table is not loaded: its values would be lost.
    pub(super) fn check_upsert(&self) -> Result<()> {
        if self.table.key.is_empty() {
            bail!("--upsert needs a primary key by which rows are replaced; name its columns with --key");
        }
        let is_loaded = |column: &&TableColumn| self.targets.iter().any(|target| target.column.name == column.name);
        if let Some(column) = self.table.columns.iter().find(|column| !is_loaded(column)) {
            bail!(
                "the file has no column \"{}\", and --upsert replaces whole rows; load it into a table of its own and use \
                 INSERT … SELECT … ON CONFLICT DO UPDATE",
                column.name
            );
        }
        Ok(())
    }

    /// How the rows are sent: as they are if the file knows the types of its columns and they are the table's, as text
    /// otherwise, for the types of the table to read.
    pub(super) fn form(&self) -> Form {
        let types = self.targets.iter().map(|target| {
            let source = target.source_type.as_ref()?;
            (target.column.data_type.as_ref() == Some(source)).then(|| source.clone())
        });
        types.collect::<Option<Arc<[DataType]>>>().map_or(Form::Text, Form::Binary)
    }

    /// The statement that takes the rows.
    pub(super) fn copy_sql(&self, name: &TableName, is_upsert: bool) -> String {
        let columns: Vec<String> = self.targets.iter().map(|target| quote_name(&target.column.name)).collect();
        let format = match self.form() {
            Form::Text => "text",
            Form::Binary(_) => "binary",
        };
        let on_conflict = match (self.table.key.is_empty(), is_upsert) {
            (true, _) => "",
            (false, false) => ", ON_CONFLICT skip",
            (false, true) => ", ON_CONFLICT replace",
        };
        format!("COPY {} ({}) FROM STDIN WITH (FORMAT {format}{on_conflict})", name.sql(), columns.join(", "))
    }

    /// What a user sees before it starts.
    pub(super) fn describe(&self, input: &InputFile, sample: &Sample, name: &TableName) -> String {
        let format = match input.format() {
            FileFormat::Csv => "CSV",
            FileFormat::Ndjson => "NDJSON",
            FileFormat::Parquet => "Parquet",
        };
        let size = match input.bytes() {
            bytes @ 0..1_000_000 => format!("{} bytes", grouped(bytes)),
            bytes => megabytes(bytes),
        };
        let mut text = format!("{}: {format}, {size}\n", input.name());
        let of = match (self.is_new, sample.rows, sample.is_whole) {
            (false, _, _) => "exists".to_owned(),
            (true, None, _) => "is created, with the types of the file".to_owned(),
            (true, Some(_), true) => "is created, with types that fit all values of the file".to_owned(),
            (true, Some(rows), false) => {
                format!("is created, with types from the first {} rows (more with --sample)", grouped(rows))
            }
        };
        text.push_str(&format!("table {} {of}\n", name.sql()));
        let widest =
            self.targets.iter().map(|target| width(&target.column.name)).max().unwrap_or(0).min(NAME_WIDTH_MAX);
        for target in &self.targets {
            let column = &target.column;
            let space = " ".repeat(widest.saturating_sub(width(&column.name)));
            let data_type = column.data_type.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            let not_null = if column.is_nullable { "" } else { " not null" };
            let note = target.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
            text.push_str(&format!("  {}{space}  {data_type}{not_null}{note}\n", column.name));
        }
        match (self.table.key.is_empty(), self.is_new) {
            (false, _) => text.push_str(&format!("  primary key ({})\n", self.table.key.join(", "))),
            (true, true) => text.push_str("  no primary key (name its columns with --key)\n"),
            (true, false) => text.push_str("  no primary key\n"),
        }
        text
    }
}

impl Target {
    fn new(source: &FileColumn, column: TableColumn, format: FileFormat) -> Self {
        let source_type = match format {
            FileFormat::Parquet => Some(source.data_type.clone()),
            FileFormat::Csv | FileFormat::Ndjson => None,
        };
        Self { source: source.name.clone(), source_type, column, keeps_digits: false, note: source.note.clone() }
    }

    fn keeping_digits(self) -> Self {
        Self { keeps_digits: true, ..self }
    }

    fn of_column(column: &TableColumn) -> Self {
        let note = Some("not in the file so far".to_owned());
        Self { source: column.name.clone(), source_type: None, column: column.clone(), keeps_digits: false, note }
    }
}

/// By the same name, else by the only one that differs in capital letters alone.
fn find<'c>(columns: &'c [TableColumn], name: &str) -> Option<&'c TableColumn> {
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return Some(column);
    }
    let mut alike = columns.iter().filter(|column| column.name.to_lowercase() == name.to_lowercase());
    let first = alike.next();
    if alike.next().is_none() { first } else { None }
}

const NAME_WIDTH_MAX: usize = 40;
