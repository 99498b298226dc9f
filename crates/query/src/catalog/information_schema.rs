//! The standard's views of the catalog.

use datafusion::arrow::array::RecordBatch;
use outcrop_types::{Column, DataType, Result};

use super::oid::{Objects, column_number};
use super::pg_types::{TYPES, type_oid};
use super::rows::Kind::{Int4, Name, Text};
use super::rows::{Cell, Kind, Rows};
use super::system::SYSTEM_SCHEMAS;
use crate::planning::SessionView;

/// The rows of a view; `None` if there is none of this name.
pub(super) fn table(name: &str, objects: &Objects, view: &SessionView) -> Result<Option<RecordBatch>> {
    Ok(Some(match name {
        "columns" => columns(objects, view)?,
        "key_column_usage" => key_column_usage(objects, view)?,
        "schemata" => schemata(objects, view)?,
        "table_constraints" => table_constraints(objects, view)?,
        "tables" => tables(objects, view)?,
        other => {
            return EMPTY
                .iter()
                .find(|(known, _)| *known == other)
                .map(|(_, columns)| Rows::new(columns).finish())
                .transpose();
        }
    }))
}

/// Views without rows.
const EMPTY: &[(&str, &[(&str, Kind)])] = &[
    ("views", &[("table_catalog", Name), ("table_schema", Name), ("table_name", Name), ("view_definition", Text)]),
    (
        "referential_constraints",
        &[
            ("constraint_catalog", Name),
            ("constraint_schema", Name),
            ("constraint_name", Name),
            ("unique_constraint_catalog", Name),
            ("unique_constraint_schema", Name),
            ("unique_constraint_name", Name),
            ("match_option", Text),
            ("update_rule", Text),
            ("delete_rule", Text),
        ],
    ),
    (
        "routines",
        &[("routine_catalog", Name), ("routine_schema", Name), ("routine_name", Name), ("routine_type", Text)],
    ),
    ("sequences", &[("sequence_catalog", Name), ("sequence_schema", Name), ("sequence_name", Name)]),
];

fn schemata(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("catalog_name", Name),
        ("schema_name", Name),
        ("schema_owner", Name),
        ("default_character_set_name", Name),
    ]);
    for schema in SYSTEM_SCHEMAS.into_iter().chain(objects.schemas().map(|(_, name)| name)) {
        rows.push([view.database.as_str().into(), schema.into(), view.user.as_str().into()])?;
    }
    rows.finish()
}

fn tables(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("table_catalog", Name),
        ("table_schema", Name),
        ("table_name", Name),
        ("table_type", Text),
        ("is_insertable_into", Text),
    ]);
    for table in objects.tables() {
        rows.push([
            view.database.as_str().into(),
            table.name.schema.as_str().into(),
            table.name.table.as_str().into(),
            "BASE TABLE".into(),
            "YES".into(),
        ])?;
    }
    rows.finish()
}

fn columns(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("table_catalog", Name),
        ("table_schema", Name),
        ("table_name", Name),
        ("column_name", Name),
        ("ordinal_position", Int4),
        ("column_default", Text),
        ("is_nullable", Text),
        ("data_type", Text),
        ("character_maximum_length", Int4),
        ("numeric_precision", Int4),
        ("numeric_precision_radix", Int4),
        ("numeric_scale", Int4),
        ("datetime_precision", Int4),
        ("udt_catalog", Name),
        ("udt_schema", Name),
        ("udt_name", Name),
        ("is_identity", Text),
        ("is_generated", Text),
        ("is_updatable", Text),
    ]);
    for table in objects.tables() {
        for (position, column) in table.columns.iter().map(|column| (column_number(column), column)) {
            let mut row: Vec<Cell> = vec![
                view.database.as_str().into(),
                table.name.schema.as_str().into(),
                table.name.table.as_str().into(),
                column.name.as_str().into(),
                position.into(),
                column.write_default.clone().into(),
                if column.nullable { "YES" } else { "NO" }.into(),
            ];
            row.extend(type_cells(column));
            row.push(view.database.as_str().into());
            row.push("pg_catalog".into());
            row.push(internal_name(&column.data_type).into());
            row.extend(["NO".into(), "NEVER".into(), "YES".into()]);
            rows.push(row)?;
        }
    }
    rows.finish()
}

/// Type, longest text, precision, radix, scale, digits of seconds.
fn type_cells(column: &Column) -> [Cell; 6] {
    let name = match &column.data_type {
        DataType::Array(_) => "ARRAY".to_owned(),
        DataType::Numeric { .. } => "numeric".to_owned(),
        DataType::Varchar { .. } => "character varying".to_owned(),
        other => other.to_string(),
    };
    let (length, precision, radix, scale, seconds) = match &column.data_type {
        DataType::Varchar { length } => (Some(i64::from(*length)), None, None, None, None),
        DataType::Int2 => (None, Some(16), Some(2), Some(0), None),
        DataType::Int4 => (None, Some(32), Some(2), Some(0), None),
        DataType::Int8 => (None, Some(64), Some(2), Some(0), None),
        DataType::Float4 => (None, Some(24), Some(2), None, None),
        DataType::Float8 => (None, Some(53), Some(2), None, None),
        DataType::Numeric { precision, scale } => {
            (None, Some(i64::from(*precision)), Some(10), Some(i64::from(*scale)), None)
        }
        DataType::Date => (None, None, None, None, Some(0)),
        DataType::Time | DataType::Timestamp | DataType::TimestampTz => (None, None, None, None, Some(6)),
        DataType::Bool | DataType::Text | DataType::Bytea | DataType::Uuid | DataType::Jsonb | DataType::Array(_) => {
            (None, None, None, None, None)
        }
    };
    [name.into(), length.into(), precision.into(), radix.into(), scale.into(), seconds.into()]
}

fn internal_name(data_type: &DataType) -> String {
    if let DataType::Array(item) = data_type {
        return format!("_{}", internal_name(item));
    }
    let oid = type_oid(data_type);
    TYPES.iter().find(|known| known.oid == oid).map_or_else(String::new, |known| known.name.to_owned())
}

fn table_constraints(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("constraint_catalog", Name),
        ("constraint_schema", Name),
        ("constraint_name", Name),
        ("table_catalog", Name),
        ("table_schema", Name),
        ("table_name", Name),
        ("constraint_type", Text),
        ("is_deferrable", Text),
        ("initially_deferred", Text),
        ("enforced", Text),
    ]);
    for table in objects.tables() {
        let Some(key) = table.primary_key() else {
            continue;
        };
        rows.push([
            view.database.as_str().into(),
            table.name.schema.as_str().into(),
            key.name.as_str().into(),
            view.database.as_str().into(),
            table.name.schema.as_str().into(),
            table.name.table.as_str().into(),
            "PRIMARY KEY".into(),
            "NO".into(),
            "NO".into(),
            "YES".into(),
        ])?;
    }
    rows.finish()
}

fn key_column_usage(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("constraint_catalog", Name),
        ("constraint_schema", Name),
        ("constraint_name", Name),
        ("table_catalog", Name),
        ("table_schema", Name),
        ("table_name", Name),
        ("column_name", Name),
        ("ordinal_position", Int4),
        ("position_in_unique_constraint", Int4),
    ]);
    for table in objects.tables() {
        let Some(key) = table.primary_key() else {
            continue;
        };
        for (position, column) in (1_i64..).zip(key.columns.iter().filter_map(|id| table.column(*id))) {
            rows.push([
                view.database.as_str().into(),
                table.name.schema.as_str().into(),
                key.name.as_str().into(),
                view.database.as_str().into(),
                table.name.schema.as_str().into(),
                table.name.table.as_str().into(),
                column.name.as_str().into(),
                position.into(),
            ])?;
        }
    }
    rows.finish()
}
