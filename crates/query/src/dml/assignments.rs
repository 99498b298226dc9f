//! `SET a = …, (b, c) = (…, …)`.

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result};
use std::sync::Arc;

use super::rows::{default_expression, scatter, table_batch};
use super::syntax::{hint, is_default};
use super::target::Target;
use crate::planning::{BindExpression, BoundExpressions, Relation};
use crate::session::Work;
use crate::statement::name_of;

/// Which columns of the target get which expressions.
#[derive(Clone, Debug)]
pub(super) struct Assignments {
    /// Position in the table and expression, in the order of the statement.
    pub(super) pairs: Vec<(usize, ast::Expr)>,
}

impl Assignments {
    pub(super) fn read(target: &Target, given: &[ast::Assignment]) -> Result<Self> {
        let mut pairs: Vec<(usize, ast::Expr)> = Vec::new();
        for assignment in given {
            let assigned = match &assignment.target {
                ast::AssignmentTarget::ColumnName(name) => vec![(name, assignment.value.clone())],
                ast::AssignmentTarget::Tuple(names) => {
                    names.iter().zip(tuple_values(&assignment.value, names.len())?).collect()
                }
            };
            for (name, expr) in assigned {
                let position = target.position(&assigned_column(target, name)?)?;
                if pairs.iter().any(|(other, _)| *other == position) {
                    return Err(Error::new(
                        Condition::SyntaxError,
                        format!("multiple assignments to same column \"{}\"", column_name(target, position)),
                    ));
                }
                let expr = if is_default(&expr) { default_expression(&target.schema, position)? } else { expr };
                pairs.push((position, expr));
            }
        }
        Ok(Self { pairs })
    }

    /// The expression that a column gets, if it gets one.
    pub(super) fn of(&self, position: usize) -> Option<&ast::Expr> {
        self.pairs.iter().find(|(at, _)| *at == position).map(|(_, expr)| expr)
    }

    /// Bare parameters take the types of their columns.
    pub(super) fn hint(&self, target: &Target, types: &mut [Option<DataType>]) {
        for (position, expr) in &self.pairs {
            if let Some(column) = target.schema.columns.get(*position) {
                hint(expr, &column.data_type, types);
            }
        }
    }
}

/// `SET` and `WHERE` ready to judge rows, without queries inside.
#[derive(Clone, Debug)]
pub(super) struct BoundChange {
    target: Target,
    arrow: SchemaRef,
    positions: Vec<usize>,
    values: Option<BoundExpressions>,
    selection: Option<BoundExpressions>,
}

impl BoundChange {
    /// `FeatureNotSupported` if there is a query inside.
    pub(super) fn bind(
        work: &Work,
        target: &Target,
        relations: &[Relation<'_>],
        assignments: Option<&Assignments>,
        selection: Option<&ast::Expr>,
    ) -> Result<Self> {
        let pairs = assignments.map(|assignments| assignments.pairs.as_slice()).unwrap_or_default();
        let expressions = pairs
            .iter()
            .map(|(position, expr)| {
                let column = target.schema.columns.get(*position);
                BindExpression { expr: expr.clone(), target: column.map(|column| column.data_type.clone()) }
            })
            .collect::<Vec<_>>();
        let bind = |expressions: &[BindExpression]| work.context.bind(expressions, relations, &work.parameters);
        let values = if expressions.is_empty() { None } else { Some(bind(&expressions)?) };
        let selection = selection
            .map(|expr| bind(&[BindExpression { expr: expr.clone(), target: Some(DataType::Bool) }]))
            .transpose()?;
        Ok(Self {
            target: target.clone(),
            arrow: target.schema.to_arrow(),
            positions: pairs.iter().map(|(position, _)| *position).collect(),
            values,
            selection,
        })
    }

    /// Judges rows: `input` has the columns of the relations, `current` those of the table. Answers which match, and for
    /// each the new row; rows that do not match stay as in `current`.
    pub(super) fn judge(&self, current: &RecordBatch, input: &RecordBatch) -> Result<(BooleanArray, RecordBatch)> {
        let rows = current.num_rows();
        let matches = match &self.selection {
            None => BooleanArray::from(vec![true; rows]),
            Some(selection) => truth(selection, input)?,
        };
        // SET must not be evaluated where WHERE is not true: it may fail there.
        let (input, changed) = if matches.true_count() == rows {
            (input.clone(), current.clone())
        } else {
            let filter = |batch| filter_record_batch(batch, &matches).map_err(crate::error::from_arrow);
            (filter(input)?, filter(current)?)
        };
        let mut columns = changed.columns().to_vec();
        if let Some(values) = &self.values {
            for (position, value) in self.positions.iter().zip(values.evaluate(&input)?) {
                if let Some(column) = columns.get_mut(*position) {
                    *column = value;
                }
            }
        }
        let changed = table_batch(&self.target.schema, &self.arrow, columns, changed.num_rows())?;
        let current = RecordBatch::try_new(Arc::clone(&self.arrow), current.columns().to_vec())
            .map_err(crate::error::from_arrow)?;
        let rows = scatter(&current, &changed, &matches)?;
        Ok((matches, rows))
    }
}

/// Where a condition is true; NULL is not.
fn truth(condition: &BoundExpressions, input: &RecordBatch) -> Result<BooleanArray> {
    let arrays = condition.evaluate(input)?;
    let array = arrays.first().and_then(|array| array.as_any().downcast_ref::<BooleanArray>());
    let array = array.ok_or_else(|| Error::new(Condition::DatatypeMismatch, "argument of WHERE must be type boolean"))?;
    Ok(if array.nulls().is_some() { prep_null_mask_filter(array) } else { array.clone() })
}

fn tuple_values(value: &ast::Expr, wanted: usize) -> Result<Vec<ast::Expr>> {
    let values = match value {
        ast::Expr::Tuple(values) => values.clone(),
        ast::Expr::Nested(inner) => vec![inner.as_ref().clone()],
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => row_values(function)?,
        ast::Expr::Subquery(_) => {
            return Err(Error::new(
                Condition::FeatureNotSupported,
                "assigning a query to several columns is not supported",
            )
            .with_hint("Use UPDATE … FROM, or one subquery for each column."));
        }
        other => vec![other.clone()],
    };
    if values.len() == wanted {
        return Ok(values);
    }
    Err(Error::new(Condition::SyntaxError, "number of columns does not match number of values"))
}

fn row_values(function: &ast::Function) -> Result<Vec<ast::Expr>> {
    let ast::FunctionArguments::List(list) = &function.args else {
        return Ok(Vec::new());
    };
    list.args
        .iter()
        .map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            other => Err(Error::new(Condition::SyntaxError, format!("syntax error at or near \"{other}\""))),
        })
        .collect()
}

/// The column on the left of an assignment. PostgreSQL allows no table name before it.
fn assigned_column(target: &Target, name: &ast::ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] => Ok(part.as_ident().map(name_of).unwrap_or_default()),
        [table, ..] => {
            let table = table.as_ident().map(name_of).unwrap_or_default();
            let error = Error::new(
                Condition::UndefinedColumn,
                format!("column \"{table}\" of relation \"{}\" does not exist", target.schema.name.table),
            );
            Err(if table == target.alias { error.with_hint("Leave the table name out on the left of SET.") } else { error })
        }
        [] => Err(Error::internal("an assignment without column")),
    }
}

fn column_name(target: &Target, position: usize) -> &str {
    target.schema.columns.get(position).map_or("", |column| &column.name)
}
