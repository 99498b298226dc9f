//! Rows to JSON objects.

use outcrop_types::jsonb;

use crate::{Cells, TextSettings};

/// Writes rows as JSON objects, the members in column order.
#[derive(Debug)]
pub struct RowEncoder {
    /// Column names as JSON strings with their colon.
    names: Vec<String>,
    settings: TextSettings,
}

impl RowEncoder {
    /// An encoder for columns of these names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, settings: TextSettings) -> Self {
        let names = names
            .into_iter()
            .map(|name| {
                let mut quoted = String::new();
                jsonb::write_string(&mut quoted, name);
                quoted.push(':');
                quoted
            })
            .collect();
        Self { names, settings }
    }

    /// Writes one row.
    pub fn write_row(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (position, (name, column)) in self.names.iter().zip(columns).enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            column.write_json(row, &self.settings, out);
        }
        out.push(b'}');
    }
}
