//! Cells in PostgreSQL's binary format.

use crate::binary::decode::{EPOCH_DAYS, EPOCH_US};
use crate::binary::numeric::{write_decimal128, write_numeric};
use crate::cells::{Cells, Items, Kind, list_range};

impl Cells<'_> {
    /// Writes a cell that is not NULL in the binary format. Rows beyond the last one write nothing.
    pub fn write_binary(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_beyond(row) || self.is_null(row) {
            return;
        }
        match &self.kind {
            Kind::Null => {}
            Kind::Bool(cells) => out.push(u8::from(cells.value(row))),
            Kind::Int1(cells) => out.extend_from_slice(&i16::from(cells.value(row)).to_be_bytes()),
            Kind::Int2(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Int4(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Int8(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            // The catalog makes none that is larger.
            Kind::Oid(cells) => {
                out.extend_from_slice(&u32::try_from(cells.value(row)).unwrap_or_default().to_be_bytes());
            }
            Kind::UInt4(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::UInt8(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Float4(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Float8(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Decimal128(cells, scale) => write_decimal128(out, cells.value(row), *scale),
            Kind::Decimal256(cells, scale) => write_numeric(out, &cells.value(row).to_string(), *scale),
            Kind::TextView(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::Jsonb(cells) => {
                out.push(1);
                out.extend_from_slice(cells.value(row).as_bytes());
            }
            Kind::Text(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::LargeText(cells) => out.extend_from_slice(cells.value(row).as_bytes()),
            Kind::BytesView(cells) => out.extend_from_slice(cells.value(row)),
            Kind::Bytes(cells) => out.extend_from_slice(cells.value(row)),
            Kind::Date(cells) => {
                let days = match cells.value(row) {
                    days @ (i32::MIN | i32::MAX) => days,
                    days => days.saturating_sub(EPOCH_DAYS),
                };
                out.extend_from_slice(&days.to_be_bytes());
            }
            Kind::Time(cells) => out.extend_from_slice(&cells.value(row).to_be_bytes()),
            Kind::Timestamp(cells) | Kind::TimestampTz(cells) => {
                let us = match cells.value(row) {
                    us @ (i64::MIN | i64::MAX) => us,
                    us => us.saturating_sub(EPOCH_US),
                };
                out.extend_from_slice(&us.to_be_bytes());
            }
            Kind::Uuid(cells) => out.extend_from_slice(cells.value(row)),
            Kind::Interval(cells) => {
                let interval = cells.value(row);
                out.extend_from_slice(&(interval.nanoseconds / 1_000).to_be_bytes());
                out.extend_from_slice(&interval.days.to_be_bytes());
                out.extend_from_slice(&interval.months.to_be_bytes());
            }
            Kind::List(list, items) => write_array(out, list_range(list, row), items),
        }
    }
}

fn write_array(out: &mut Vec<u8>, range: std::ops::Range<usize>, items: &Items<'_>) {
    let has_nulls = range.clone().any(|item| items.cells.is_null(item));
    let dimensions = i32::from(!range.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&i32::from(has_nulls).to_be_bytes());
    out.extend_from_slice(&items.oid.to_be_bytes());
    if range.is_empty() {
        return;
    }
    let count = i32::try_from(range.len()).unwrap_or(i32::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    for item in range {
        if items.cells.is_null(item) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            write_sized(out, |out| items.cells.write_binary(item, out));
        }
    }
}

/// Writes what `write` writes, with its length before it in four bytes: a cell of a data row.
pub fn write_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
