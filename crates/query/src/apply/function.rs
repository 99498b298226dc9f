//! The call that answers a subquery for each row.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, ListArray, RecordBatch, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use futures::TryStreamExt;
use outcrop_types::{Condition, Error};
use parking_lot::Mutex;

use super::outer::with_values;
use crate::context::SessionExtension;
use crate::error::to_datafusion;
use crate::planning::StatementContext;

/// Most answers that a call remembers.
const ANSWERS_MAX: usize = 65_536;

/// What is asked of a subquery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Its only value.
    Value,
    /// Whether it has rows.
    Exists { negated: bool },
    /// Whether the first argument is among its values.
    In { negated: bool },
    /// All of its rows, as a list of structures.
    Rows,
}

/// A subquery as a function of the outer columns that it names.
#[derive(Debug)]
pub(super) struct Applied {
    question: Question,
    subquery: Arc<LogicalPlan>,
    /// The outer columns, in the order of the arguments.
    outer: Vec<Column>,
    returns: FieldRef,
    signature: Signature,
    answers: Mutex<HashMap<Vec<ScalarValue>, Answer>>,
}

/// What a subquery says for one combination of outer values.
#[derive(Clone, Debug)]
enum Answer {
    One(ScalarValue),
    /// Its values; whether NULL is among them.
    Among(Arc<HashSet<ScalarValue>>, bool),
}

impl Applied {
    /// The call over the rows of the node that asks. `arguments` are those of the outer columns; `tested` comes first.
    pub(super) fn call(
        question: Question,
        subquery: Arc<LogicalPlan>,
        outer: &[Expr],
        arguments: Vec<Expr>,
        tested: Option<Expr>,
    ) -> Result<Expr> {
        let columns = outer
            .iter()
            .filter_map(|expr| match expr {
                Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
                _ => None,
            })
            .collect();
        let returns = match question {
            Question::Value => {
                let first = subquery.schema().fields().first();
                let first = first.ok_or_else(|| to_datafusion(Error::internal("a scalar subquery without column")))?;
                Arc::new(first.as_ref().clone().with_nullable(true))
            }
            Question::Exists { .. } | Question::In { .. } => Arc::new(Field::new("subquery", ArrowType::Boolean, true)),
            Question::Rows => Arc::new(Field::new("subquery", rows_type(&subquery), true)),
        };
        let signature =
            Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Volatile);
        let applied =
            Self { question, subquery, outer: columns, returns, signature, answers: Mutex::new(HashMap::new()) };
        let function: ScalarUDF = AsyncScalarUDF::new(Arc::new(applied)).into_scalar_udf();
        Ok(function.call(tested.into_iter().chain(arguments).collect()))
    }

    async fn answer(&self, outer: &[ScalarValue], options: &Arc<ConfigOptions>) -> Result<Answer> {
        if let Some(answer) = self.answers.lock().get(outer) {
            return Ok(answer.clone());
        }
        let values = self.outer.iter().cloned().zip(outer.iter().cloned()).collect();
        let plan = with_values(&self.subquery, &values)?;
        let answer = match self.question {
            Question::Value => Answer::One(self.value(&run(plan, Some(2), options).await?)?),
            Question::Exists { negated } => {
                let found = run(plan, Some(1), options).await?.num_rows() > 0;
                Answer::One(ScalarValue::Boolean(Some(found != negated)))
            }
            Question::In { .. } => among(&run(plan, None, options).await?)?,
            Question::Rows => Answer::One(rows(&run(plan, None, options).await?, &rows_fields(&self.subquery))?),
        };
        let mut answers = self.answers.lock();
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(outer.to_vec(), answer.clone());
        Ok(answer)
    }

    fn value(&self, rows: &RecordBatch) -> Result<ScalarValue> {
        match (rows.num_rows(), rows.columns().first()) {
            (1, Some(column)) => ScalarValue::try_from_array(column, 0),
            (0, _) => ScalarValue::try_from(self.returns.data_type()),
            _ => Err(to_datafusion(Error::new(
                Condition::CardinalityViolation,
                "more than one row returned by a subquery used as an expression",
            ))),
        }
    }
}

/// Runs a subquery whose outer columns have values, up to `limit` rows, in the statement's own snapshot.
async fn run(plan: LogicalPlan, limit: Option<usize>, options: &Arc<ConfigOptions>) -> Result<RecordBatch> {
    let session = options.extensions.get::<SessionExtension>();
    let session = session.ok_or_else(|| to_datafusion(Error::internal("a subquery runs outside of a session")))?;
    let context = StatementContext::of_extension(session).map_err(to_datafusion)?;
    let plan = match limit {
        Some(_) => LogicalPlanBuilder::from(plan).limit(0, limit)?.build()?,
        None => plan,
    };
    let stream = Box::pin(context.run_plan(&plan)).await.map_err(to_datafusion)?;
    let schema = stream.schema();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

fn among(rows: &RecordBatch) -> Result<Answer> {
    let Some(column) = rows.columns().first() else {
        return Err(to_datafusion(Error::internal("IN of a subquery without column")));
    };
    let mut values = HashSet::with_capacity(column.len());
    for at in (0..column.len()).filter(|at| column.is_valid(*at)) {
        values.insert(ScalarValue::try_from_array(column, at)?);
    }
    Ok(Answer::Among(Arc::new(values), column.null_count() > 0))
}

/// `IN` of three values.
fn is_among(value: &ScalarValue, values: &HashSet<ScalarValue>, null: bool) -> Option<bool> {
    match (values.is_empty() && !null, value.is_null()) {
        (true, _) => Some(false),
        (false, true) => None,
        (false, false) if values.contains(value) => Some(true),
        (false, false) => (!null).then_some(false),
    }
}

fn rows_fields(subquery: &LogicalPlan) -> Fields {
    let fields = subquery.schema().fields().iter().enumerate();
    fields.map(|(at, field)| Arc::new(field.as_ref().clone().with_name(format!("c{at}")).with_nullable(true))).collect()
}

fn rows_type(subquery: &LogicalPlan) -> ArrowType {
    ArrowType::List(Arc::new(Field::new_list_field(ArrowType::Struct(rows_fields(subquery)), true)))
}

/// The rows as one list; NULL without rows, which UNNEST turns into none, or into a row of NULLs for a LEFT JOIN.
fn rows(rows: &RecordBatch, fields: &Fields) -> Result<ScalarValue> {
    let item = Arc::new(Field::new_list_field(ArrowType::Struct(fields.clone()), true));
    if rows.num_rows() == 0 {
        return ScalarValue::try_from(&ArrowType::List(item));
    }
    let columns = rows
        .columns()
        .iter()
        .zip(fields)
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            Ok(datafusion::arrow::compute::cast(column, field.data_type())?)
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    let structs: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), columns, None)?);
    let offsets = OffsetBuffer::from_lengths([structs.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, structs, None)?)))
}

impl PartialEq for Applied {
    fn eq(&self, other: &Self) -> bool {
        self.question == other.question && self.outer == other.outer && self.subquery == other.subquery
    }
}

impl Eq for Applied {}

impl Hash for Applied {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.question.hash(state);
        self.outer.hash(state);
        self.subquery.hash(state);
    }
}

impl ScalarUDFImpl for Applied {
    fn name(&self) -> &'static str {
        "subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(to_datafusion(Error::new(
            Condition::FeatureNotSupported,
            "a correlated subquery in this place is not supported",
        )))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Applied {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let tested = usize::from(matches!(self.question, Question::In { .. }));
        let mut answers = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let value = |array: &ArrayRef| ScalarValue::try_from_array(array, if array.len() == 1 { 0 } else { row });
            let outer = arrays.iter().skip(tested).map(value).collect::<Result<Vec<_>>>()?;
            answers.push(match (self.answer(&outer, &args.config_options).await?, self.question) {
                (Answer::One(value), _) => value,
                (Answer::Among(values, null), Question::In { negated }) => {
                    let tested = arrays.first().map(value).transpose()?.unwrap_or(ScalarValue::Null);
                    ScalarValue::Boolean(is_among(&tested, &values, null).map(|found| found != negated))
                }
                (Answer::Among(..), _) => return Err(to_datafusion(Error::internal("values of a subquery for no IN"))),
            });
        }
        if answers.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(self.returns.data_type())));
        }
        ScalarValue::iter_to_array(answers).map(ColumnarValue::Array)
    }
}

/// The schema of the structures that [`Question::Rows`] lists.
pub(super) fn row_schema(subquery: &LogicalPlan) -> Schema {
    Schema::new(rows_fields(subquery))
}
