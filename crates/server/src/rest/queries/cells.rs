//! Cells as Rockset writes them: JSON, and wrappers for what JSON does not have.

use outcrop_ingest::{Cells, TextSettings};
use outcrop_query::{ResultColumn, ResultType};
use outcrop_types::{DataType, Result, jsonb};

/// How cells of a column become JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As `ingest` writes them.
    Plain,
    /// Numbers that always have a point or an exponent: clients tell floats from integers by it.
    Float,
    /// A time in UTC, always with six digits after the second: JDBC parses exactly that.
    Timestamp,
    /// `{"__rockset_type": "<name>", "value": "<text>"}`
    Wrapped(&'static str),
}

/// Writes rows of a result as JSON objects, members in column order.
#[derive(Debug)]
pub(super) struct RowWriter {
    /// Names as JSON strings with their colon, and forms.
    columns: Vec<(String, Form)>,
    types: Vec<ResultType>,
    settings: TextSettings,
}

impl RowWriter {
    pub(super) fn new(columns: &[ResultColumn], settings: TextSettings) -> Self {
        let named = columns.iter().map(|column| {
            let mut name = String::new();
            jsonb::write_string(&mut name, &column.name);
            name.push(':');
            (name, form(&column.data_type))
        });
        Self {
            columns: named.collect(),
            types: columns.iter().map(|column| column.data_type.clone()).collect(),
            settings,
        }
    }

    /// Looks at the columns of a batch.
    pub(super) fn cells<'a>(&self, batch: &'a arrow_array::RecordBatch) -> Result<Vec<Cells<'a>>> {
        let columns = batch.columns().iter().zip(&self.types);
        columns
            .map(|(array, result_type)| match result_type {
                ResultType::Data(data_type) => Cells::of_type(array.as_ref(), data_type),
                ResultType::Interval | ResultType::Unknown | ResultType::Catalog(_) => Cells::try_new(array.as_ref()),
            })
            .collect()
    }

    /// Writes one row.
    pub(super) fn write(&self, cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (position, ((name, form), cell)) in self.columns.iter().zip(cells).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            self.write_cell(*form, cell, row, out);
        }
        out.push(b'}');
    }

    fn write_cell(&self, form: Form, cell: &Cells<'_>, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        match form {
            Form::Plain => cell.write_json(row, &self.settings, out),
            Form::Float => {
                cell.write_json(row, &self.settings, out);
                let written = out.get(start..).unwrap_or_default();
                if written.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') {
                    out.extend_from_slice(b".0");
                }
            }
            Form::Timestamp => {
                cell.write_json(row, &self.settings, out);
                pad_fraction(start, out);
            }
            Form::Wrapped(_) if cell.is_null(row) => out.extend_from_slice(b"null"),
            Form::Wrapped(name) => {
                out.extend_from_slice(b"{\"__rockset_type\":\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\",\"value\":");
                let value = out.len();
                cell.write_json(row, &self.settings, out);
                if name == DATETIME {
                    pad_fraction(value, out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Gives the time that was written at `start` (`"2024-01-02T03:04:05.6Z"`) six digits after the second. What is no such
/// time (infinity, years before 1) stays.
fn pad_fraction(start: usize, out: &mut Vec<u8>) {
    let written = out.get(start..).unwrap_or_default();
    let (time, end): (&[u8], &[u8]) = match written {
        [b'"', time @ .., b'Z', b'"'] => (time, b"Z\""),
        [b'"', time @ .., b'"'] => (time, b"\""),
        _ => return,
    };
    if !time.last().is_some_and(u8::is_ascii_digit) {
        return;
    }
    let digits = time.iter().position(|byte| *byte == b'.').map(|point| time.len() - point - 1);
    out.truncate(out.len() - end.len());
    if digits.is_none() {
        out.push(b'.');
    }
    out.extend(std::iter::repeat_n(b'0', FRACTION_DIGITS.saturating_sub(digits.unwrap_or(0))));
    out.extend_from_slice(end);
}

const FRACTION_DIGITS: usize = 6;
const DATETIME: &str = "DATETIME";

fn form(result_type: &ResultType) -> Form {
    match result_type {
        // JDBC compares these names in upper case, the other clients in any.
        ResultType::Data(DataType::Date) => Form::Wrapped("DATE"),
        ResultType::Data(DataType::Time) => Form::Wrapped("TIME"),
        ResultType::Data(DataType::Timestamp) => Form::Wrapped(DATETIME),
        ResultType::Data(DataType::TimestampTz) => Form::Timestamp,
        ResultType::Data(DataType::Float4 | DataType::Float8) => Form::Float,
        ResultType::Data(
            DataType::Bool
            | DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Numeric { .. }
            | DataType::Text
            | DataType::Varchar { .. }
            | DataType::Bytea
            | DataType::Uuid
            | DataType::Jsonb
            | DataType::Array(_),
        )
        | ResultType::Interval
        | ResultType::Unknown
        | ResultType::Catalog(_) => Form::Plain,
    }
}

/// Rockset's name of a type, for `column_fields`.
pub(super) fn type_name(result_type: &ResultType) -> &'static str {
    match result_type {
        ResultType::Data(data_type) => match data_type {
            DataType::Bool => "bool",
            DataType::Int2 | DataType::Int4 | DataType::Int8 => "int",
            DataType::Float4 | DataType::Float8 | DataType::Numeric { .. } => "float",
            DataType::Text | DataType::Varchar { .. } | DataType::Uuid => "string",
            DataType::Bytea => "bytes",
            DataType::Date => "date",
            DataType::Time => "time",
            DataType::Timestamp => "datetime",
            DataType::TimestampTz => "timestamp",
            DataType::Jsonb => "object",
            DataType::Array(_) => "array",
        },
        ResultType::Interval | ResultType::Unknown | ResultType::Catalog(_) => "string",
    }
}
