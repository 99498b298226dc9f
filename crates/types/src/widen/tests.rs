use std::cmp::Ordering;

use crate::{DataType, Value};

fn numeric(precision: u8, scale: i8) -> DataType {
    DataType::Numeric { precision, scale }
}

#[test]
fn only_what_keeps_every_value_is_a_widening() {
    use DataType::{Date, Float4, Float8, Int2, Int4, Int8, Text, Timestamp, Varchar};
    let wider = [
        (Int2, Int4),
        (Int2, Int8),
        (Int4, Int8),
        (Float4, Float8),
        (Int2, numeric(5, 0)),
        (Int4, numeric(12, 2)),
        (Int8, numeric(38, 10)),
        (numeric(10, 2), numeric(11, 2)),
        (numeric(10, 2), numeric(12, 4)),
        (numeric(38, 10), numeric(76, 20)),
        (Varchar { length: 3 }, Varchar { length: 4 }),
        (Varchar { length: 3 }, Text),
    ];
    for (from, to) in &wider {
        assert!(from.widens_to(to), "{from} to {to}");
        assert!(!to.widens_to(from), "{to} to {from}");
    }
    let others = [
        (Int2, numeric(4, 0)),
        (Int4, numeric(10, 1)),
        (Int8, numeric(18, 0)),
        (Int4, Float8),
        (Int4, Text),
        (numeric(10, 2), numeric(11, 4)),
        (numeric(10, 2), numeric(12, 1)),
        (numeric(10, 2), Int8),
        (Text, Varchar { length: 10 }),
        (Date, Timestamp),
    ];
    for (from, to) in &others {
        assert!(!from.widens_to(to), "{from} to {to}");
    }
    assert!(Text.widens_to(&Text));
}

#[test]
fn numbers_become_decimals_and_come_back() {
    let five = Value::Int(-5);
    let wide = five.widened(&numeric(12, 3)).unwrap();
    assert_eq!(wide, Value::Decimal(-5_000, 3));
    assert_eq!(wide.narrowed(&DataType::Int2), Some(five));
    assert_eq!(Value::Decimal(5_001, 3).narrowed(&DataType::Int8), None);
    assert_eq!(Value::Decimal(1 << 64, 0).narrowed(&DataType::Int8), None);
    assert_eq!(Value::Decimal(125, 2).widened(&numeric(20, 4)), Some(Value::Decimal(12_500, 4)));
    assert_eq!(Value::Decimal(i128::MAX, 2).widened(&numeric(76, 4)), None);
    assert_eq!(Value::Text("a".to_owned()).widened(&DataType::Text), Some(Value::Text("a".to_owned())));
}

#[test]
fn numbers_of_different_types_compare_by_value() {
    let cases = [
        (Value::Int(2), Value::Decimal(200, 2), Ordering::Equal),
        (Value::Int(2), Value::Decimal(201, 2), Ordering::Less),
        (Value::Decimal(15, 1), Value::Decimal(150, 2), Ordering::Equal),
        (Value::Decimal(i128::MAX, 0), Value::Decimal(1, 10), Ordering::Greater),
        (Value::Decimal(i128::MIN, 0), Value::Decimal(-1, 10), Ordering::Less),
        (Value::Int(0), Value::Decimal(0, 60), Ordering::Equal),
        (Value::Int(-1), Value::Decimal(5, 60), Ordering::Less),
    ];
    for (a, b, order) in cases {
        assert_eq!(a.compare(&b), Some(order), "{a} and {b}");
        assert_eq!(b.compare(&a), Some(order.reverse()), "{b} and {a}");
    }
}
