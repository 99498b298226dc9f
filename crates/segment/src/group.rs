//! One data file of a segment while it is written: some columns of all its rows, and their zone maps.

use std::sync::Arc;

use arrow_array::ArrayRef;
use outcrop_env::{Env, FileName};
use outcrop_format::meta::{MetaFile, MetaFileKind, Zone};
use outcrop_types::{Column, Result, TableSchema};

use crate::columns::{ColumnWriter, Layout};
use crate::failure::io_error;
use crate::meta::{DATA_VERSION, TemporaryFile, temporary_name};
use crate::predicate::ZoneBuilder;
use crate::writer::RowSeqs;

/// The file of one group of columns. Dropped unfinished it leaves nothing.
pub(crate) struct GroupWriter {
    env: Env,
    name: FileName,
    temporary: TemporaryFile,
    /// The columns, by their position in the schema.
    positions: Vec<usize>,
    columns: ColumnWriter,
    zones: ZoneBuilder,
    pub(crate) rows: u32,
}

/// A data file that has its name.
pub(crate) struct WrittenGroup {
    pub(crate) file: MetaFile,
    /// Position in the schema and zone maps of each column, in the order of the file.
    pub(crate) zones: Vec<(usize, Vec<Zone>)>,
}

impl GroupWriter {
    /// Starts file `name` with these columns of the table, and the hidden one if it is wanted.
    ///
    /// # Errors
    /// `DiskFull` or `IoError` when the file cannot be created.
    pub(crate) fn create(
        env: &Env,
        name: FileName,
        schema: &TableSchema,
        positions: Vec<usize>,
        row_seqs: RowSeqs,
        layout: Layout,
    ) -> Result<Self> {
        let path = env.disk.describe(&name);
        let temporary =
            TemporaryFile::create(env, temporary_name(&name)?).map_err(|error| io_error("create", &path, error))?;
        let stored: Vec<Column> =
            positions.iter().filter_map(|position| schema.columns.get(*position)).cloned().collect();
        let columns = ColumnWriter::new(Arc::clone(temporary.file()), path, &stored, row_seqs, layout)?;
        let zones = ZoneBuilder::new(stored.into_iter().map(|column| column.data_type), layout.block_rows);
        Ok(Self { env: env.clone(), name, temporary, positions, columns, zones, rows: 0 })
    }

    /// The columns, by their position in the schema.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Adds rows, `rows` of them beside those that are there.
    pub(crate) fn write(&mut self, columns: &[ArrayRef], seqs: Option<ArrayRef>, rows: u32) -> Result<()> {
        self.zones.append(columns, rows);
        self.columns.write(columns, seqs, usize::try_from(rows).unwrap_or(usize::MAX))?;
        self.rows = self.rows.saturating_add(rows);
        Ok(())
    }

    /// Bytes written and bytes waiting.
    pub(crate) fn bytes(&self) -> u64 {
        self.columns.bytes()
    }

    /// Completes the file and gives it its name (S5).
    ///
    /// # Errors
    /// `DiskFull`, `IoError`.
    pub(crate) fn finish(self, schema: &TableSchema) -> Result<WrittenGroup> {
        let path = self.env.disk.describe(&self.name);
        let written = self.columns.finish()?;
        self.temporary.publish(&self.name).map_err(|error| io_error("publish", &path, error))?;
        let ids = self.positions.iter().filter_map(|position| schema.columns.get(*position)).map(|column| column.id);
        let file = MetaFile {
            name: self.name.base().to_owned(),
            kind: MetaFileKind::Data { version: DATA_VERSION },
            length: written.length,
            page_crc32c: written.page_checksums,
            columns: ids.collect(),
        };
        Ok(WrittenGroup { file, zones: self.positions.into_iter().zip(self.zones.finish()).collect() })
    }
}
