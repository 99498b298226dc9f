//! Result columns as row descriptions describe them.

use outcrop_ingest::Cells;
use outcrop_ingest::binary::oid;
use outcrop_query::{ResultColumn, ResultType};
use outcrop_types::Result;
use outcrop_wire::Format;
use pgwire::messages::data::{FieldDescription, RowDescription};

/// Describes the columns of a result whose values will be written in `formats`.
pub(super) fn row_description(columns: &[ResultColumn], formats: &[Format]) -> RowDescription {
    let fields = columns.iter().enumerate().map(|(position, column)| {
        let type_oid = type_oid(&column.data_type);
        FieldDescription::new(
            column.name.replace('\0', "\u{fffd}"),
            0,
            0,
            type_oid,
            oid::size(type_oid),
            typmod(&column.data_type),
            match format_of(formats, position) {
                Format::Text => 0,
                Format::Binary => 1,
            },
        )
    });
    RowDescription::new(fields.collect())
}

/// The format of a column: none given means text, one is for all.
pub(super) fn format_of(formats: &[Format], position: usize) -> Format {
    match formats {
        [] => Format::Text,
        [all] => *all,
        each => each.get(position).copied().unwrap_or_default(),
    }
}

/// Looks at a column of a batch by its type.
pub(super) fn cells<'a>(array: &'a dyn arrow_array::Array, column: &ResultColumn) -> Result<Cells<'a>> {
    match &column.data_type {
        ResultType::Data(data_type) => Cells::of_type(array, data_type),
        ResultType::Catalog(catalog) => Cells::of_catalog_type(array, catalog.oid),
        ResultType::Interval | ResultType::Unknown => Cells::try_new(array),
    }
}

fn type_oid(result_type: &ResultType) -> u32 {
    match result_type {
        ResultType::Data(data_type) => oid::oid(data_type),
        ResultType::Interval => oid::INTERVAL,
        ResultType::Unknown => oid::TEXT,
        ResultType::Catalog(catalog) => catalog.oid,
    }
}

fn typmod(result_type: &ResultType) -> i32 {
    match result_type {
        ResultType::Data(data_type) => oid::typmod(data_type),
        ResultType::Interval | ResultType::Unknown => -1,
        ResultType::Catalog(catalog) => catalog.typmod,
    }
}
