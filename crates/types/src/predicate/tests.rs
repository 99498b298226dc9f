use std::cmp::Ordering;

use super::{Bounds, CompareOp, Predicate};
use crate::{ColumnId, Value};

const COLUMN: ColumnId = ColumnId::new(1);

fn compare(op: CompareOp, value: i64) -> Predicate {
    Predicate::Compare(COLUMN, op, Value::Int(value))
}

/// Whether `predicate` may hold in ten rows of which `null_count` are NULL and the others lie between 3 and 7.
fn may_match(predicate: &Predicate, null_count: u32) -> bool {
    let (min, max) = (Value::Int(3), Value::Int(7));
    let bounds = Bounds { min: Some(&min), max: Some(&max), null_count, rows: 10 };
    predicate.may_match(&|column| (column == COLUMN).then_some(bounds))
}

#[test]
fn bounds_exclude_exactly_what_lies_outside() {
    let cases = [
        (CompareOp::Equal, [false, true, true, true, false]),
        (CompareOp::NotEqual, [true, true, true, true, true]),
        (CompareOp::Less, [false, false, true, true, true]),
        (CompareOp::LessOrEqual, [false, true, true, true, true]),
        (CompareOp::Greater, [true, true, true, false, false]),
        (CompareOp::GreaterOrEqual, [true, true, true, true, false]),
    ];
    for (op, expected) in cases {
        assert_eq!([2, 3, 5, 7, 8].map(|value| may_match(&compare(op, value), 0)), expected, "{op:?}");
    }
    let five = Value::Int(5);
    let all_five = Bounds { min: Some(&five), max: Some(&five), null_count: 0, rows: 10 };
    assert!(!compare(CompareOp::NotEqual, 5).may_match(&|_| Some(all_five)));
}

#[test]
fn nulls_are_counted() {
    assert!(!may_match(&compare(CompareOp::Equal, 5), 10), "NULL equals nothing");
    assert_eq!([0, 1, 10].map(|nulls| may_match(&Predicate::IsNull(COLUMN), nulls)), [false, true, true]);
    assert_eq!([0, 1, 10].map(|nulls| may_match(&Predicate::IsNotNull(COLUMN), nulls)), [true, true, false]);
}

#[test]
fn what_is_unknown_excludes_nothing() {
    let unknown = Bounds { min: None, max: None, null_count: 0, rows: 10 };
    assert!(compare(CompareOp::Equal, 5).may_match(&|_| Some(unknown)));
    assert!(compare(CompareOp::Equal, 5).may_match(&|_| None));
    assert!(may_match(&Predicate::Compare(COLUMN, CompareOp::Less, Value::Text("a".into())), 0), "no common order");
}

#[test]
fn parts_are_combined() {
    let (inside, outside) = (compare(CompareOp::Equal, 5), compare(CompareOp::Equal, 8));
    assert!(!may_match(&Predicate::And(vec![inside.clone(), outside.clone()]), 0));
    assert!(may_match(&Predicate::Or(vec![inside, outside.clone()]), 0));
    assert!(!may_match(&Predicate::Or(vec![outside.clone(), outside]), 0));
    assert!(!may_match(&Predicate::In(COLUMN, vec![Value::Int(1), Value::Int(9)]), 0));
    assert!(may_match(&Predicate::In(COLUMN, vec![Value::Int(1), Value::Int(4)]), 0));
    assert!(!Predicate::In(COLUMN, Vec::new()).may_match(&|_| None));
}

#[test]
fn values_have_the_order_of_sql() {
    let float = |value| Value::Float(value);
    assert_eq!(float(f64::NAN).compare(&float(f64::INFINITY)), Some(Ordering::Greater));
    assert_eq!(float(f64::NAN).compare(&float(f64::NAN)), Some(Ordering::Equal));
    assert_eq!(float(-0.0).compare(&float(0.0)), Some(Ordering::Equal));
    assert_eq!(Value::Text("Z".into()).compare(&Value::Text("a".into())), Some(Ordering::Less));
    assert_eq!(Value::Null.compare(&Value::Null), None);
    assert_eq!(Value::Decimal(10, 1).compare(&Value::Decimal(1, 0)), Some(Ordering::Equal));
    assert_eq!(Value::Int(1).compare(&Value::Date(1)), None);
}
