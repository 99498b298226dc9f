use outcrop_types::{Condition, DataType, TableId, TableName, TableOptions, TableSchema, Value};

use super::super::define::define_table;
use super::super::{AlterAction, NewColumn, NewTable};
use super::{Altered, alter_table};

fn new_column(name: &str, data_type: DataType) -> NewColumn {
    NewColumn { name: name.to_owned(), data_type, nullable: true, write_default: None, initial_default: Value::Null }
}

/// `id bigint PRIMARY KEY, a integer, b text`
fn table() -> TableSchema {
    let columns = [("id", DataType::Int8), ("a", DataType::Int4), ("b", DataType::Text)];
    let new = NewTable {
        name: TableName::new("commons", "t"),
        columns: columns.into_iter().map(|(name, data_type)| new_column(name, data_type)).collect(),
        primary_key: Some(("t_pkey".to_owned(), vec!["id".to_owned()])),
        options: TableOptions::default(),
    };
    define_table(&new, TableId::new(1)).unwrap()
}

fn add(name: &str) -> AlterAction {
    AlterAction::AddColumn { column: new_column(name, DataType::Text), if_not_exists: false }
}

fn drop_column(name: &str) -> AlterAction {
    AlterAction::DropColumn { name: name.to_owned(), if_exists: false }
}

fn set_type(column: &str, data_type: DataType) -> AlterAction {
    AlterAction::SetType { column: column.to_owned(), data_type }
}

fn after(actions: &[AlterAction]) -> Altered {
    alter_table(&table(), actions).unwrap()
}

fn refused(actions: &[AlterAction]) -> Condition {
    alter_table(&table(), actions).unwrap_err().condition()
}

#[test]
fn the_id_of_a_dropped_column_is_never_given_again() {
    let altered = after(&[drop_column("b"), add("b")]).schema;
    let ids: Vec<u32> = altered.columns.iter().map(|column| column.id.get()).collect();
    assert_eq!(ids, [1, 2, 4]);
    let altered = alter_table(&altered, &[drop_column("b")]).unwrap().schema;
    let altered = alter_table(&altered, &[add("c")]).unwrap().schema;
    assert_eq!(altered.column_named("c").unwrap().id.get(), 5);
    assert_eq!(altered.version.get(), 4);
}

#[test]
fn a_table_has_a_limited_number_of_columns_in_its_life() {
    let mut schema = table();
    schema.next_column = outcrop_types::ColumnId::new(outcrop_types::schema::COLUMNS_EVER_MAX);
    let altered = alter_table(&schema, &[add("c")]).unwrap().schema;
    assert_eq!(alter_table(&altered, &[add("d")]).unwrap_err().condition(), Condition::ProgramLimitExceeded);
    // A column can be dropped all the same.
    let altered = alter_table(&altered, &[drop_column("c")]).unwrap().schema;
    assert_eq!(alter_table(&altered, &[add("d")]).unwrap_err().condition(), Condition::ProgramLimitExceeded);
}

#[test]
fn actions_that_make_no_sense_are_refused_as_postgresql_does() {
    let rename = |from: &str, to: &str| AlterAction::RenameColumn { from: from.to_owned(), to: to.to_owned() };
    let nullable = |column: &str| AlterAction::SetNullable { column: column.to_owned(), nullable: true };
    assert_eq!(refused(&[add("a")]), Condition::DuplicateColumn);
    assert_eq!(refused(&[drop_column("x")]), Condition::UndefinedColumn);
    assert_eq!(refused(&[rename("x", "y")]), Condition::UndefinedColumn);
    assert_eq!(refused(&[rename("a", "b")]), Condition::DuplicateColumn);
    assert_eq!(refused(&[rename("a", "a")]), Condition::DuplicateColumn);
    assert_eq!(refused(&[drop_column("id")]), Condition::FeatureNotSupported);
    assert_eq!(refused(&[nullable("id")]), Condition::InvalidTableDefinition);
    assert_eq!(refused(&[set_type("b", DataType::Int4)]), Condition::DatatypeMismatch);
    assert_eq!(refused(&[set_type("a", DataType::Int2)]), Condition::FeatureNotSupported);
    let numeric = DataType::Numeric { precision: 38, scale: 10 };
    assert_eq!(refused(&[set_type("id", numeric.clone())]), Condition::FeatureNotSupported);
    assert_eq!(after(&[set_type("a", numeric.clone())]).schema.columns[1].data_type, numeric);
    // One that fails fails all, and a name is free as soon as its column is renamed.
    assert_eq!(refused(&[add("c"), add("c")]), Condition::DuplicateColumn);
    assert_eq!(after(&[rename("a", "c"), rename("b", "a")]).schema.columns[2].name, "a");
}

#[test]
fn rows_are_asked_only_about_columns_that_lost_their_nulls() {
    let set = |nullable| AlterAction::SetNullable { column: "a".to_owned(), nullable };
    let strict = |initial_default| {
        let column = NewColumn { nullable: false, initial_default, ..new_column("c", DataType::Int4) };
        AlterAction::AddColumn { column, if_not_exists: false }
    };
    let asked = |actions: &[AlterAction]| after(actions).without_nulls.iter().map(|id| id.get()).collect::<Vec<_>>();
    assert_eq!(asked(&[set(false)]), [2]);
    assert!(asked(&[set(true)]).is_empty());
    assert!(asked(&[set(false), set(true)]).is_empty());
    assert!(asked(&[strict(Value::Int(1))]).is_empty());
    assert_eq!(asked(&[strict(Value::Null)]), [4]);
    assert!(asked(&[strict(Value::Null), drop_column("c")]).is_empty());
}

#[test]
fn the_initial_default_is_widened_with_its_column() {
    let column = NewColumn { initial_default: Value::Int(5), ..new_column("c", DataType::Int2) };
    let add = AlterAction::AddColumn { column, if_not_exists: false };
    let numeric = DataType::Numeric { precision: 10, scale: 2 };
    let altered = after(&[add, set_type("c", DataType::Int4)]).schema;
    assert_eq!(altered.columns[3].initial_default, Value::Int(5));
    assert_eq!(
        alter_table(&altered, &[set_type("c", numeric)]).unwrap_err().condition(),
        Condition::FeatureNotSupported
    );
    let numeric = DataType::Numeric { precision: 12, scale: 2 };
    let altered = alter_table(&altered, &[set_type("c", numeric)]).unwrap().schema;
    assert_eq!(altered.columns[3].initial_default, Value::Decimal(500, 2));
}

#[test]
fn comments_go_with_their_column() {
    let comment = |column: Option<&str>, text: Option<&str>| AlterAction::Comment {
        column: column.map(str::to_owned),
        text: text.map(str::to_owned),
    };
    let altered =
        after(&[comment(None, Some("t")), comment(Some("a"), Some("x")), comment(Some("b"), Some("y"))]).schema;
    assert_eq!(altered.comments.table.as_deref(), Some("t"));
    assert_eq!(altered.comments.columns.len(), 2);
    let altered =
        alter_table(&altered, &[drop_column("a"), comment(Some("b"), None), comment(None, None)]).unwrap().schema;
    assert_eq!(altered.comments, outcrop_types::Comments::default());
}
