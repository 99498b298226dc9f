//! `SET` and `WHERE` without queries inside: bound once, evaluated on batches of rows.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use outcrop_types::{
    Column, ColumnId, Comments, Condition, DataType, Error, Result, SchemaVersion, TableId, TableName, TableOptions,
    TableSchema, Value,
};

use super::assignments::Assignments;
use super::rows::{scatter, table_batch};
use super::syntax::column_of;
use super::target::Target;
use crate::error::{from_arrow, from_datafusion};
use crate::planning::{BindExpression, BoundExpressions, Relation, StatementContext};
use crate::session::Work;
use crate::statement::parameter_number;
use crate::types::value_to_scalar;

/// The relation whose columns stand for parameters.
pub(crate) const PARAMETERS: &str = "__parameters";

/// What a prepared statement keeps between executions.
pub(crate) type ChangeCache = OnceLock<BoundChange>;

/// `SET` and `WHERE` ready to judge rows. Holds no parameter value (Q5): parameters are columns beside the row's.
#[derive(Clone, Debug)]
pub(crate) struct BoundChange {
    target: Target,
    arrow: SchemaRef,
    positions: Vec<usize>,
    values: Option<BoundExpressions>,
    selection: Option<BoundExpressions>,
    /// Constants were read in this zone.
    time_zone: String,
}

/// What a [`BoundChange`] is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangeSource<'a> {
    pub(super) target: &'a Target,
    /// Rows that the expressions see beside the target's, by name; they have the target's columns.
    pub(super) beside: Option<&'a str>,
    pub(super) assignments: Option<&'a Assignments>,
    pub(super) selection: Option<&'a ast::Expr>,
}

impl BoundChange {
    /// Takes the change from the cache, or binds it and leaves it there if it means the same at any time.
    ///
    /// # Errors
    /// `FeatureNotSupported` if there is a query inside.
    pub(super) fn cached(work: &Work, source: ChangeSource<'_>, cache: &ChangeCache) -> Result<Self> {
        let time_zone = &work.view().time_zone;
        if let Some(change) = cache.get() {
            let (old, new) = (&change.target.schema, &source.target.schema);
            if (old.id, old.version) == (new.id, new.version) && change.time_zone == *time_zone {
                return Ok(change.clone());
            }
        }
        if !source.is_timeless() {
            return Self::bind(work, work.context()?, source);
        }
        // Expressions keep their context.
        let change = Self::bind(work, &work.lasting_context()?, source)?;
        Ok(cache.get_or_init(|| change.clone()).same_or(change))
    }

    fn bind(work: &Work, context: &StatementContext, source: ChangeSource<'_>) -> Result<Self> {
        let target = source.target;
        let parameters = parameter_columns(&work.parameters);
        let mut relations = vec![target.relation()];
        relations.extend(source.beside.map(|name| target.relation_as(name)));
        if !work.parameters.is_empty() {
            relations.push(Relation { name: PARAMETERS.to_owned(), schema: &parameters });
        }
        let pairs = source.assignments.map(|assignments| assignments.pairs.as_slice()).unwrap_or_default();
        let expressions = pairs
            .iter()
            .map(|(position, expr)| {
                let column = target.schema.columns.get(*position);
                BindExpression { expr: with_columns(expr), target: column.map(|column| column.data_type.clone()) }
            })
            .collect::<Vec<_>>();
        let values = if expressions.is_empty() { None } else { Some(context.bind(&expressions, &relations, &[])?) };
        let selection = source
            .selection
            .map(|expr| context.bind(&[BindExpression { expr: with_columns(expr), target: None }], &relations, &[]))
            .transpose()?;
        Ok(Self {
            target: target.clone(),
            arrow: target.schema.to_arrow(),
            positions: pairs.iter().map(|(position, _)| *position).collect(),
            values,
            selection,
            time_zone: work.view().time_zone.clone(),
        })
    }

    /// Judges rows: `current` has the columns of the table, `input` what the expressions see before the parameters.
    /// Answers which match, and for each the new row; rows that do not match stay as in `current`.
    pub(super) fn judge(
        &self,
        current: &RecordBatch,
        input: &RecordBatch,
        parameters: &[(DataType, Value)],
    ) -> Result<(BooleanArray, RecordBatch)> {
        let rows = current.num_rows();
        let input = with_parameter_values(input, parameters)?;
        let matches = match &self.selection {
            None => BooleanArray::from(vec![true; rows]),
            Some(selection) => truth(selection, &input)?,
        };
        // SET must not be evaluated where WHERE is not true: it may fail there.
        let (input, changed) = if matches.true_count() == rows {
            (input, current.clone())
        } else {
            let filter = |batch| filter_record_batch(batch, &matches).map_err(from_arrow);
            (filter(&input)?, filter(current)?)
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
        let current = RecordBatch::try_new(Arc::clone(&self.arrow), current.columns().to_vec()).map_err(from_arrow)?;
        let rows = scatter(&current, &changed, &matches)?;
        Ok((matches, rows))
    }

    /// This one, if it is of the same schema; else the other.
    fn same_or(&self, other: Self) -> Self {
        let (old, new) = (&self.target.schema, &other.target.schema);
        if (old.id, old.version) == (new.id, new.version) && self.time_zone == other.time_zone {
            self.clone()
        } else {
            other
        }
    }
}

impl ChangeSource<'_> {
    /// Whether the expressions mean the same in every execution.
    fn is_timeless(&self) -> bool {
        let assigned = self.assignments.map(|assignments| assignments.pairs.as_slice()).unwrap_or_default();
        assigned.iter().map(|(_, expr)| expr).chain(self.selection).all(is_timeless)
    }
}

/// Whether an expression means the same in every execution: no functions, which may ask for the time or the user, and no
/// queries.
pub(crate) fn is_timeless(expr: &ast::Expr) -> bool {
    ast::visit_expressions(expr, |expr| match expr {
        ast::Expr::Identifier(ident) if ident.quote_style.is_none() && is_function_name(&ident.value) => {
            ControlFlow::Break(())
        }
        ast::Expr::Identifier(_)
        | ast::Expr::CompoundIdentifier(_)
        | ast::Expr::BinaryOp { .. }
        | ast::Expr::UnaryOp { .. }
        | ast::Expr::Nested(_)
        | ast::Expr::IsNull(_)
        | ast::Expr::IsNotNull(_)
        | ast::Expr::Between { .. }
        | ast::Expr::InList { .. }
        | ast::Expr::Case { .. }
        | ast::Expr::Cast { .. } => ControlFlow::Continue(()),
        // Words such as 'now' and 'today' are times too.
        ast::Expr::Value(value) => match value.value.clone().into_string() {
            Some(text) if is_moving_time(&text) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Break(()),
    })
    .is_continue()
}

pub(super) fn is_function_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("current_") || matches!(name.as_str(), "localtime" | "localtimestamp" | "session_user" | "user")
}

fn is_moving_time(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "now" | "today" | "tomorrow" | "yesterday")
}

/// Where a condition is true; NULL is not.
pub(crate) fn truth(condition: &BoundExpressions, input: &RecordBatch) -> Result<BooleanArray> {
    let arrays = condition.evaluate(input)?;
    let array = arrays.first().and_then(|array| array.as_any().downcast_ref::<BooleanArray>());
    let array =
        array.ok_or_else(|| Error::new(Condition::DatatypeMismatch, "argument of WHERE must be type boolean"))?;
    Ok(if array.nulls().is_some() { prep_null_mask_filter(array) } else { array.clone() })
}

fn parameter_name(number: usize) -> String {
    format!("${number}")
}

/// Parameters as the columns of a relation.
pub(crate) fn parameter_columns(parameters: &[(DataType, Value)]) -> TableSchema {
    let columns = parameters.iter().zip(1..).map(|((data_type, _), number)| Column {
        id: ColumnId::new(number),
        name: parameter_name(usize::try_from(number).unwrap_or_default()),
        data_type: data_type.clone(),
        collation: 0,
        nullable: true,
        initial_default: Value::Null,
        write_default: None,
    });
    TableSchema {
        id: TableId::new(0),
        version: SchemaVersion::new(0),
        name: TableName::new("", PARAMETERS),
        columns: columns.collect(),
        keys: Vec::new(),
        options: TableOptions::default(),
        next_column: ColumnId::new(0),
        comments: Comments::default(),
    }
}

/// The expression with columns in the places of its parameters.
pub(crate) fn with_columns(expr: &ast::Expr) -> ast::Expr {
    let mut expr = expr.clone();
    let _visited: ControlFlow<()> = ast::visit_expressions_mut(&mut expr, |expr| {
        if let Some(number) = parameter_number(expr) {
            *expr = column_of(PARAMETERS, &parameter_name(number));
        }
        ControlFlow::Continue(())
    });
    expr
}

/// The rows with a constant column for each parameter.
pub(crate) fn with_parameter_values(input: &RecordBatch, parameters: &[(DataType, Value)]) -> Result<RecordBatch> {
    if parameters.is_empty() {
        return Ok(input.clone());
    }
    let mut fields = input.schema().fields().to_vec();
    let mut columns = input.columns().to_vec();
    for (at, (data_type, value)) in parameters.iter().enumerate() {
        let scalar = value_to_scalar(value, data_type)?;
        fields.push(Arc::new(data_type.to_field(&parameter_name(at + 1), true)));
        columns.push(scalar.to_array_of_size(input.num_rows()).map_err(from_datafusion)?);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(from_arrow)
}
