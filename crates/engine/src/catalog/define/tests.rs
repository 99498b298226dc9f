use outcrop_types::{Retention, TableName, TableOptions, Value};

use super::super::NewColumn;
use super::*;

fn table(columns: &[(&str, DataType)], key: Option<&[&str]>) -> NewTable {
    NewTable {
        name: TableName::new("commons", "t"),
        columns: columns
            .iter()
            .map(|(name, data_type)| NewColumn {
                name: (*name).to_owned(),
                data_type: data_type.clone(),
                nullable: true,
                write_default: None,
                initial_default: Value::Null,
            })
            .collect(),
        primary_key: key.map(|key| ("t_pkey".to_owned(), key.iter().map(|name| (*name).to_owned()).collect())),
        options: TableOptions::default(),
    }
}

fn refused(new: &NewTable) -> Condition {
    define_table(new, TableId::new(1)).unwrap_err().condition()
}

#[test]
fn key_columns_become_not_null_in_key_order() {
    let new = table(&[("a", DataType::Int8), ("b", DataType::Text), ("c", DataType::Uuid)], Some(&["c", "a"]));
    let schema = define_table(&new, TableId::new(5)).unwrap();
    assert_eq!(schema.primary_key().unwrap().columns, [ColumnId::new(3), ColumnId::new(1)]);
    assert_eq!(schema.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let int = DataType::Int8;
    assert_eq!(refused(&table(&[], None)), Condition::FeatureNotSupported);
    assert_eq!(refused(&table(&[("a", int.clone()), ("a", int.clone())], None)), Condition::DuplicateColumn);
    assert_eq!(refused(&table(&[("a", int.clone())], Some(&["b"]))), Condition::UndefinedColumn);
    assert_eq!(refused(&table(&[("a", int.clone())], Some(&["a", "a"]))), Condition::DuplicateColumn);
    assert_eq!(refused(&table(&[("a", int.clone())], Some(&[]))), Condition::InvalidTableDefinition);
    assert_eq!(refused(&table(&[("a", DataType::Jsonb)], Some(&["a"]))), Condition::InvalidTableDefinition);
    assert_eq!(refused(&table(&[(&"x".repeat(200), int.clone())], None)), Condition::NameTooLong);
    let numeric = DataType::Numeric { precision: 5, scale: 6 };
    assert_eq!(refused(&table(&[("a", numeric)], None)), Condition::InvalidTableDefinition);
    let names: Vec<String> = (0..5_000).map(|number| format!("c{number}")).collect();
    let many: Vec<(&str, DataType)> = names.iter().map(|name| (name.as_str(), int.clone())).collect();
    assert_eq!(refused(&table(&many, None)), Condition::TooManyColumns);
    let mut append_only = table(&[("a", int)], Some(&["a"]));
    append_only.options.append_only = true;
    assert_eq!(refused(&append_only), Condition::InvalidTableDefinition);
    let with = |data_type, options: TableOptions| NewTable { options, ..table(&[("a", data_type)], None) };
    let sorted = |columns: &[u32]| TableOptions {
        sort_key: columns.iter().map(|id| ColumnId::new(*id)).collect(),
        ..TableOptions::default()
    };
    assert_eq!(refused(&with(DataType::Int8, sorted(&[2]))), Condition::UndefinedColumn);
    assert_eq!(refused(&with(DataType::Int8, sorted(&[1, 1]))), Condition::DuplicateColumn);
    assert_eq!(refused(&with(DataType::Jsonb, sorted(&[1]))), Condition::FeatureNotSupported);
    let kept = |period_us| {
        let retention = Some(Retention { column: ColumnId::new(1), period_us });
        TableOptions { retention, ..TableOptions::default() }
    };
    assert_eq!(refused(&with(DataType::Int8, kept(1))), Condition::InvalidTableDefinition);
    assert_eq!(refused(&with(DataType::Date, kept(-1))), Condition::InvalidParameterValue);
}
