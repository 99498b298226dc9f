//! Physical expressions to storage predicates. What cannot be said is left out: storage then keeps more rows, and the
//! filter above drops them.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal,
};
use outcrop_engine::ScanColumn;
use outcrop_types::{ColumnId, CompareOp, DataType, Predicate, TableSchema, Value};

/// What storage can use of a condition. Always a superset: rows outside it are never wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// Any row may be.
    All,
    /// No row is.
    None,
    /// Rows for which this is true may be.
    Where(Predicate),
}

/// Translates conditions over the output columns of one scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translator<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) columns: &'a [ScanColumn],
}

impl Translator<'_> {
    /// All conditions at once.
    pub(super) fn conjunction(&self, conditions: &[Arc<dyn PhysicalExpr>]) -> Wanted {
        all_of(conditions.iter().map(|condition| self.wanted(condition)))
    }

    fn wanted(&self, expr: &Arc<dyn PhysicalExpr>) -> Wanted {
        if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
            return dynamic.current().map_or(Wanted::All, |current| self.wanted(&current));
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            return match literal.value() {
                ScalarValue::Boolean(Some(true)) => Wanted::All,
                ScalarValue::Boolean(Some(false) | None) | ScalarValue::Null => Wanted::None,
                _ => Wanted::All,
            };
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            return self.binary(binary);
        }
        if let Some(list) = expr.downcast_ref::<InListExpr>() {
            return self.in_list(list);
        }
        if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
            return self.column(is_null.arg()).map_or(Wanted::All, |(id, _)| Wanted::Where(Predicate::IsNull(id)));
        }
        if let Some(is_not_null) = expr.downcast_ref::<IsNotNullExpr>() {
            return self
                .column(is_not_null.arg())
                .map_or(Wanted::All, |(id, _)| Wanted::Where(Predicate::IsNotNull(id)));
        }
        if let Some(like) = expr.downcast_ref::<LikeExpr>() {
            return self.prefix(like);
        }
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            // Partitioned hash joins route by hash; a row may take any branch.
            let otherwise = case.else_expr().map_or(Wanted::None, |expr| self.wanted(expr));
            let branches = case.when_then_expr().iter().map(|(_, then)| self.wanted(then));
            return any_of(branches.chain([otherwise]));
        }
        Wanted::All
    }

    fn binary(&self, binary: &BinaryExpr) -> Wanted {
        match binary.op() {
            Operator::And => return all_of([self.wanted(binary.left()), self.wanted(binary.right())].into_iter()),
            Operator::Or => return any_of([self.wanted(binary.left()), self.wanted(binary.right())].into_iter()),
            _ => {}
        }
        let Some(op) = compare_op(*binary.op()) else {
            return Wanted::All;
        };
        if let (Some((id, data_type)), Some(scalar)) = (self.column(binary.left()), literal(binary.right())) {
            return compare(id, op, scalar, data_type);
        }
        if let (Some(scalar), Some((id, data_type))) = (literal(binary.left()), self.column(binary.right())) {
            return compare(id, mirrored(op), scalar, data_type);
        }
        Wanted::All
    }

    fn in_list(&self, list: &InListExpr) -> Wanted {
        let (Some((id, data_type)), false) = (self.column(list.expr()), list.negated()) else {
            return Wanted::All;
        };
        let mut values = Vec::with_capacity(list.list().len());
        for item in list.list() {
            match literal(item).and_then(|scalar| scalar_value(scalar, data_type)) {
                Some(Value::Null) => {}
                Some(value) => values.push(value),
                None => return Wanted::All,
            }
        }
        if values.is_empty() { Wanted::None } else { Wanted::Where(Predicate::In(id, values)) }
    }

    /// `LIKE 'abc%'` reads only values that begin with `abc`: bytewise order makes them one range.
    fn prefix(&self, like: &LikeExpr) -> Wanted {
        let (Some((id, _)), Some(pattern), false, false) =
            (self.column(like.expr()), literal(like.pattern()), like.negated(), like.case_insensitive())
        else {
            return Wanted::All;
        };
        let Some(Some(pattern)) = pattern.try_as_str() else {
            return Wanted::All;
        };
        let prefix: String = pattern.chars().take_while(|c| !matches!(c, '%' | '_' | '\\')).collect();
        if prefix.is_empty() {
            return Wanted::All;
        }
        let from = Predicate::Compare(id, CompareOp::GreaterOrEqual, Value::Text(prefix.clone()));
        match text_after_prefix(&prefix) {
            Some(end) => {
                Wanted::Where(Predicate::And(vec![from, Predicate::Compare(id, CompareOp::Less, Value::Text(end))]))
            }
            None => Wanted::Where(from),
        }
    }

    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(ColumnId, &DataType)> {
        let column = match expr.downcast_ref::<CastExpr>() {
            // Widening keeps order and equality; constants come back to the column's type or are not used.
            Some(cast) if is_widening(cast, self.columns, self.schema) => cast.expr().downcast_ref::<Column>()?,
            _ => expr.downcast_ref::<Column>()?,
        };
        match self.columns.get(column.index())? {
            ScanColumn::Column(id) => self.schema.column(*id).map(|column| (column.id, &column.data_type)),
            ScanColumn::Unit | ScanColumn::Row | ScanColumn::CommitSeq => None,
        }
    }
}

fn all_of(parts: impl Iterator<Item = Wanted>) -> Wanted {
    let mut predicates = Vec::new();
    for part in parts {
        match part {
            Wanted::All => {}
            Wanted::None => return Wanted::None,
            Wanted::Where(Predicate::And(inner)) => predicates.extend(inner),
            Wanted::Where(predicate) => predicates.push(predicate),
        }
    }
    match predicates.len() {
        0 => Wanted::All,
        1 => predicates.pop().map_or(Wanted::All, Wanted::Where),
        _ => Wanted::Where(Predicate::And(predicates)),
    }
}

fn any_of(parts: impl Iterator<Item = Wanted>) -> Wanted {
    let mut predicates = Vec::new();
    for part in parts {
        match part {
            Wanted::All => return Wanted::All,
            Wanted::None => {}
            Wanted::Where(Predicate::Or(inner)) => predicates.extend(inner),
            Wanted::Where(predicate) => predicates.push(predicate),
        }
    }
    if let Some(list) = one_list(&predicates) {
        return Wanted::Where(list);
    }
    match predicates.len() {
        0 => Wanted::None,
        1 => predicates.pop().map_or(Wanted::None, Wanted::Where),
        _ => Wanted::Where(Predicate::Or(predicates)),
    }
}

/// `a = 1 OR a = 2 OR a IN (3, 4)` is one list; DataFusion writes short lists as such chains.
fn one_list(predicates: &[Predicate]) -> Option<Predicate> {
    let mut found: Option<(ColumnId, Vec<Value>)> = None;
    for predicate in predicates {
        let (id, values) = match predicate {
            Predicate::Compare(id, CompareOp::Equal, value) => (*id, std::slice::from_ref(value)),
            Predicate::In(id, values) => (*id, values.as_slice()),
            Predicate::Compare(..)
            | Predicate::IsNull(_)
            | Predicate::IsNotNull(_)
            | Predicate::And(_)
            | Predicate::Or(_) => return None,
        };
        match &mut found {
            None => found = Some((id, values.to_vec())),
            Some((known, list)) if *known == id => list.extend_from_slice(values),
            Some(_) => return None,
        }
    }
    found.filter(|(_, values)| values.len() > 1).map(|(id, values)| Predicate::In(id, values))
}

fn compare(id: ColumnId, op: CompareOp, scalar: &ScalarValue, data_type: &DataType) -> Wanted {
    match scalar_value(scalar, data_type) {
        Some(Value::Null) => Wanted::None,
        Some(value) => Wanted::Where(Predicate::Compare(id, op, value)),
        None => Wanted::All,
    }
}

/// Whether a cast turns an integer column into a wider integer.
fn is_widening(cast: &CastExpr, columns: &[ScanColumn], schema: &TableSchema) -> bool {
    let Some(ScanColumn::Column(id)) =
        cast.expr().downcast_ref::<Column>().and_then(|column| columns.get(column.index()))
    else {
        return false;
    };
    let from = schema.column(*id).map(|column| &column.data_type);
    matches!(
        (from, cast.cast_type()),
        (Some(DataType::Int2), ArrowType::Int32 | ArrowType::Int64) | (Some(DataType::Int4), ArrowType::Int64)
    )
}

/// The constant as stored values are: of the column's own width, and floats have no -0.0.
fn scalar_value(scalar: &ScalarValue, data_type: &DataType) -> Option<Value> {
    let own = data_type.to_arrow();
    let narrowed;
    let scalar = if own.is_integer() && scalar.data_type().is_integer() && scalar.data_type() != own {
        narrowed = scalar.cast_to(&own).ok().filter(|narrow| scalar.is_null() || !narrow.is_null())?;
        &narrowed
    } else {
        scalar
    };
    match crate::types::scalar_to_value(scalar, data_type)? {
        Value::Float(0.0) => Some(Value::Float(0.0)),
        value => Some(value),
    }
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

fn compare_op(op: Operator) -> Option<CompareOp> {
    match op {
        Operator::Eq => Some(CompareOp::Equal),
        Operator::NotEq => Some(CompareOp::NotEqual),
        Operator::Lt => Some(CompareOp::Less),
        Operator::LtEq => Some(CompareOp::LessOrEqual),
        Operator::Gt => Some(CompareOp::Greater),
        Operator::GtEq => Some(CompareOp::GreaterOrEqual),
        _ => None,
    }
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Equal | CompareOp::NotEqual => op,
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
    }
}

/// The least text that is greater than every text with this prefix; `None` if there is none.
fn text_after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => u32::from(other).checked_add(1).and_then(char::from_u32),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
