//! Table schemas.

use std::ops::RangeInclusive;

use outcrop_types::{
    Column, ColumnId, Comments, DataType, IndexId, KeyIndex, KeySecret, SchemaVersion, TableId, TableName,
    TableOptions, TableSchema, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What schemas to make.
#[derive(Clone, Debug)]
pub struct SchemaShape {
    /// Identity of the table.
    pub table: TableId,
    /// How many columns beside the key.
    pub columns: RangeInclusive<usize>,
    /// How many key columns; 0 = no primary key.
    pub key_columns: RangeInclusive<usize>,
}

impl Default for SchemaShape {
    fn default() -> Self {
        Self { table: TableId::new(1), columns: 0..=6, key_columns: 1..=2 }
    }
}

/// All data types, arrays of each included.
pub fn data_types() -> BoxedStrategy<DataType> {
    let array = scalar_types().prop_map(|item| DataType::Array(Box::new(item)));
    prop_oneof![5 => scalar_types(), 1 => array].boxed()
}

fn scalar_types() -> impl Strategy<Value = DataType> {
    prop_oneof![
        Just(DataType::Bool),
        Just(DataType::Int2),
        Just(DataType::Int4),
        Just(DataType::Int8),
        Just(DataType::Float4),
        Just(DataType::Float8),
        (1_u8..=76)
            .prop_flat_map(|precision| (Just(precision), 0..=precision.cast_signed()))
            .prop_map(|(precision, scale)| DataType::Numeric { precision, scale }),
        Just(DataType::NUMERIC_DEFAULT),
        Just(DataType::Text),
        (1_u32..20).prop_map(|length| DataType::Varchar { length }),
        Just(DataType::Bytea),
        Just(DataType::Date),
        Just(DataType::Time),
        Just(DataType::Timestamp),
        Just(DataType::TimestampTz),
        Just(DataType::Uuid),
        Just(DataType::Jsonb),
    ]
}

/// Schemas of this shape: key columns first, then columns of any type, some NOT NULL.
pub fn schemas(shape: SchemaShape) -> BoxedStrategy<TableSchema> {
    let SchemaShape { table, columns, key_columns } = shape;
    let key = vec(scalar_types().prop_filter("a key type", DataType::is_key_type), key_columns);
    let others = vec((data_types(), any::<bool>()), columns);
    (key, others).prop_map(move |(key, others)| build(table, key, others)).boxed()
}

fn build(table: TableId, key: Vec<DataType>, others: Vec<(DataType, bool)>) -> TableSchema {
    let key_len = key.len();
    let types = key.into_iter().map(|data_type| (data_type, false)).chain(others);
    let columns: Vec<Column> = (1..)
        .zip(types)
        .map(|(number, (data_type, nullable))| Column {
            id: ColumnId::new(number),
            name: format!("c{number}"),
            data_type,
            collation: 0,
            nullable,
            initial_default: Value::Null,
            write_default: None,
        })
        .collect();
    let keys = match columns.get(..key_len) {
        None | Some([]) => Vec::new(),
        Some(key) => vec![KeyIndex {
            id: IndexId::new(1),
            name: format!("{table}_pkey"),
            columns: key.iter().map(|column| column.id).collect(),
            secret: KeySecret::default(),
        }],
    };
    TableSchema {
        id: table,
        version: SchemaVersion::new(1),
        name: TableName::new("commons", table.to_string()),
        columns,
        keys,
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}
