//! The data files of a segment and where its columns are in them.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use outcrop_env::{Env, FileName};
use outcrop_format::SegmentMeta;
use outcrop_format::meta::{MetaFile, MetaFileKind};
use outcrop_types::{ColumnId, Condition, DataType, Error, Result};
use parking_lot::Mutex;

use crate::columns::ColumnReader;
use crate::meta::{DATA_VERSION, file_name};
use crate::pages::{PageCache, PagedFile};

/// Where a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which data file.
    pub(crate) file: usize,
    /// Which column of the file.
    pub(crate) position: usize,
}

/// A column that the segment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredColumn {
    pub(crate) place: Place,
    /// Its type when the segment was written; the table's may be wider by now.
    pub(crate) data_type: DataType,
}

/// The data files, opened when they are first read.
pub(crate) struct DataFiles {
    env: Env,
    cache: Arc<PageCache>,
    rows: u32,
    stored: HashMap<ColumnId, StoredColumn>,
    files: Vec<DataFile>,
}

struct DataFile {
    name: FileName,
    length: u64,
    checksums: Vec<u32>,
    /// Columns that it may hold: those of the table, and in the first file the hidden one, which rows of one commit do
    /// without.
    columns: RangeInclusive<usize>,
    reader: Mutex<Option<Arc<ColumnReader>>>,
}

impl DataFiles {
    /// The data files that `meta` names, in `dir`.
    pub(crate) fn new(env: &Env, dir: &str, meta: &SegmentMeta, cache: &Arc<PageCache>) -> Result<Self> {
        let types: HashMap<ColumnId, &DataType> =
            meta.columns.iter().map(|column| (column.id, &column.data_type)).collect();
        let mut stored = HashMap::new();
        let mut files = Vec::new();
        for file in &meta.files {
            let MetaFileKind::Data { version } = file.kind else { continue };
            if version > DATA_VERSION {
                let message = format!("{} has data version {version}, this build reads {DATA_VERSION}", file.name);
                return Err(Error::new(Condition::UnsupportedVersion, message));
            }
            let index = files.len();
            for (position, column) in file.columns.iter().enumerate() {
                let data_type = types
                    .get(column)
                    .map(|data_type| DataType::clone(data_type))
                    .ok_or_else(|| Error::corrupt(&file.name, 0, format!("column {column} has no description")))?;
                stored.insert(*column, StoredColumn { place: Place { file: index, position }, data_type });
            }
            files.push(DataFile::new(dir, file, index)?);
        }
        Ok(Self { env: env.clone(), cache: Arc::clone(cache), rows: meta.rows, stored, files })
    }

    /// Data files.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// A column, if the segment has it.
    pub(crate) fn column(&self, column: ColumnId) -> Option<&StoredColumn> {
        self.stored.get(&column)
    }

    /// Where the hidden column is, if it is stored: after the columns of the first file.
    pub(crate) fn seq_place(&self) -> Option<Place> {
        self.files.first().map(|file| Place { file: 0, position: *file.columns.start() })
    }

    /// Reads from a file. After an error it is opened anew by the next read, because Vortex's readers remember failures.
    pub(crate) fn read<T>(&self, file: usize, read: impl FnOnce(&ColumnReader) -> Result<T>) -> Result<T> {
        let file = self.files.get(file).ok_or_else(|| Error::internal(format!("there is no data file {file}")))?;
        let reader = self.open(file)?;
        let outcome = read(&reader);
        if outcome.is_err() {
            let mut kept = file.reader.lock();
            if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &reader)) {
                *kept = None;
            }
        }
        outcome
    }

    fn open(&self, file: &DataFile) -> Result<Arc<ColumnReader>> {
        let mut kept = file.reader.lock();
        if let Some(reader) = &*kept {
            return Ok(Arc::clone(reader));
        }
        let paged = PagedFile::open(&self.env.disk, &file.name, file.length, &file.checksums, &self.cache)?;
        let reader = ColumnReader::open(paged, self.cache.session(), file.columns.clone(), u64::from(self.rows))?;
        let reader = Arc::new(reader);
        *kept = Some(Arc::clone(&reader));
        Ok(reader)
    }
}

impl DataFile {
    fn new(dir: &str, file: &MetaFile, index: usize) -> Result<Self> {
        Ok(Self {
            name: file_name(dir, &file.name)?,
            length: file.length,
            checksums: file.page_crc32c.clone(),
            columns: file.columns.len()..=file.columns.len() + usize::from(index == 0),
            reader: Mutex::new(None),
        })
    }
}
