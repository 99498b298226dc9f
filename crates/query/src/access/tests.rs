//! What storage is asked of a condition: never less than what is wanted.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, DynamicFilterPhysicalExpr, col, in_list, is_null, like, lit, not,
};
use outcrop_engine::ScanColumn;
use outcrop_types::{
    Column, ColumnId, Comments, CompareOp, DataType, IndexId, KeyIndex, KeySecret, Predicate, SchemaVersion, TableId,
    TableName, TableOptions, TableSchema, Value,
};

use super::key::KeySet;
use super::predicate::{Translator, Wanted};

const ID: ColumnId = ColumnId::new(1);
const NAME: ColumnId = ColumnId::new(2);

fn column(id: ColumnId, name: &str, data_type: DataType) -> Column {
    Column {
        id,
        name: name.to_owned(),
        data_type,
        collation: 0,
        nullable: true,
        initial_default: Value::Null,
        write_default: None,
    }
}

fn table() -> TableSchema {
    TableSchema {
        id: TableId::new(1),
        version: SchemaVersion::new(1),
        name: TableName::new("commons", "t"),
        columns: vec![column(ID, "id", DataType::Int4), column(NAME, "name", DataType::Text)],
        keys: vec![KeyIndex {
            id: IndexId::new(1),
            name: "t_pkey".to_owned(),
            columns: vec![ID, NAME],
            secret: KeySecret::default(),
        }],
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

fn arrow() -> Schema {
    Schema::new(vec![Field::new("id", ArrowType::Int32, true), Field::new("name", ArrowType::Utf8View, true)])
}

fn wanted(condition: Arc<dyn PhysicalExpr>) -> Wanted {
    let columns = [ScanColumn::Column(ID), ScanColumn::Column(NAME)];
    Translator { schema: &table(), columns: &columns }.conjunction(&[condition])
}

fn id() -> Arc<dyn PhysicalExpr> {
    col("id", &arrow()).unwrap()
}

fn name() -> Arc<dyn PhysicalExpr> {
    col("name", &arrow()).unwrap()
}

fn text(value: &str) -> Arc<dyn PhysicalExpr> {
    lit(ScalarValue::Utf8View(Some(value.to_owned())))
}

fn binary(left: Arc<dyn PhysicalExpr>, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn id_is(op: CompareOp, value: i64) -> Predicate {
    Predicate::Compare(ID, op, Value::Int(value))
}

#[test]
fn comparisons_translate_in_both_directions() {
    assert_eq!(wanted(binary(id(), Operator::Lt, lit(5_i32))), Wanted::Where(id_is(CompareOp::Less, 5)));
    assert_eq!(wanted(binary(lit(5_i32), Operator::Lt, id())), Wanted::Where(id_is(CompareOp::Greater, 5)));
}

#[test]
fn a_comparison_with_null_wants_no_row() {
    assert_eq!(wanted(binary(id(), Operator::Eq, lit(ScalarValue::Int32(None)))), Wanted::None);
}

#[test]
fn what_cannot_be_said_is_dropped_from_and_but_not_from_or() {
    let unknown = not(binary(id(), Operator::Eq, lit(1_i32))).unwrap();
    let known = binary(id(), Operator::Eq, lit(5_i32));
    let both = binary(Arc::clone(&known), Operator::And, Arc::clone(&unknown));
    assert_eq!(wanted(both), Wanted::Where(id_is(CompareOp::Equal, 5)));
    assert_eq!(wanted(binary(known, Operator::Or, unknown)), Wanted::All);
}

#[test]
fn a_chain_of_equalities_is_one_list() {
    let chain = binary(binary(id(), Operator::Eq, lit(1_i32)), Operator::Or, binary(id(), Operator::Eq, lit(2_i32)));
    assert_eq!(wanted(chain), Wanted::Where(Predicate::In(ID, vec![Value::Int(1), Value::Int(2)])));
}

#[test]
fn a_widening_cast_of_the_column_is_seen_through_only_where_the_constant_fits() {
    let cast = || -> Arc<dyn PhysicalExpr> { Arc::new(CastExpr::new(id(), ArrowType::Int64, None)) };
    assert_eq!(wanted(binary(cast(), Operator::Eq, lit(7_i64))), Wanted::Where(id_is(CompareOp::Equal, 7)));
    assert_eq!(wanted(binary(cast(), Operator::Eq, lit(1_i64 << 40))), Wanted::All);
}

#[test]
fn lists_prefixes_and_nulls_translate() {
    let list = in_list(id(), vec![lit(1_i32), lit(ScalarValue::Int32(None))], &false, &arrow()).unwrap();
    assert_eq!(wanted(list), Wanted::Where(Predicate::In(ID, vec![Value::Int(1)])));
    let negated = in_list(id(), vec![lit(1_i32)], &true, &arrow()).unwrap();
    assert_eq!(wanted(negated), Wanted::All);
    assert_eq!(wanted(is_null(name()).unwrap()), Wanted::Where(Predicate::IsNull(NAME)));
    let prefix = like(false, false, name(), text("ab%c"), &arrow()).unwrap();
    assert_eq!(
        wanted(prefix),
        Wanted::Where(Predicate::And(vec![
            Predicate::Compare(NAME, CompareOp::GreaterOrEqual, Value::Text("ab".to_owned())),
            Predicate::Compare(NAME, CompareOp::Less, Value::Text("ac".to_owned())),
        ]))
    );
}

#[test]
fn a_dynamic_filter_is_read_again_each_time() {
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![id()], lit(true)));
    assert_eq!(wanted(Arc::clone(&filter) as _), Wanted::All);
    filter.update(binary(id(), Operator::Eq, lit(9_i32))).unwrap();
    assert_eq!(wanted(Arc::clone(&filter) as _), Wanted::Where(id_is(CompareOp::Equal, 9)));
    filter.update(lit(false)).unwrap();
    assert_eq!(wanted(filter), Wanted::None);
}

#[test]
fn keys_need_every_column_and_multiply() {
    let name_in = Predicate::In(NAME, vec![Value::Text("a".to_owned()), Value::Text("b".to_owned())]);
    let id_in = Predicate::In(ID, vec![Value::Int(1), Value::Int(2), Value::Int(3)]);
    assert_eq!(KeySet::of_predicate(&table(), &id_in), None);
    let both = Predicate::And(vec![id_in, name_in.clone()]);
    assert_eq!(KeySet::of_predicate(&table(), &both).map(|keys| keys.len()), Some(6));
    let narrower = Predicate::And(vec![both, id_is(CompareOp::Equal, 2), name_in]);
    assert_eq!(KeySet::of_predicate(&table(), &narrower).map(|keys| keys.len()), Some(2));
    let either = Predicate::Or(vec![id_is(CompareOp::Equal, 2), id_is(CompareOp::Equal, 3)]);
    assert_eq!(KeySet::of_predicate(&table(), &either), None);
}
