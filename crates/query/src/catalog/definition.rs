//! Definitions as SQL text.

use outcrop_types::{KeyIndex, TableSchema};

/// `CREATE UNIQUE INDEX …` of a key.
pub(crate) fn index_definition(table: &TableSchema, key: &KeyIndex) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quoted(&key.name),
        quoted(&table.name.schema),
        quoted(&table.name.table),
        key_columns(table, key)
    )
}

/// `PRIMARY KEY (…)`.
pub(crate) fn constraint_definition(table: &TableSchema, key: &KeyIndex) -> String {
    format!("PRIMARY KEY ({})", key_columns(table, key))
}

/// A name as SQL must write it.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn key_columns(table: &TableSchema, key: &KeyIndex) -> String {
    let names: Vec<_> =
        key.columns.iter().filter_map(|id| table.column(*id)).map(|column| quoted(&column.name)).collect();
    names.join(", ")
}
