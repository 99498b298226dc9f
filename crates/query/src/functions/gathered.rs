//! Aggregates that keep values: `percentile_disc`, and the one value of a scalar subquery.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// All of them.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        Arc::new(AggregateUDF::from(Gathered {
            kind: Kind::SingleRow,
            signature: Signature::any(1, Volatility::Immutable),
        })),
        Arc::new(AggregateUDF::from(Gathered {
            kind: Kind::PercentileDisc,
            signature: Signature::any(2, Volatility::Immutable),
        })),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    SingleRow,
    PercentileDisc,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gathered {
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for Gathered {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::SingleRow => "single_row_value",
            Kind::PercentileDisc => "percentile_disc",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        arg_types.first().cloned().ok_or_else(|| to_datafusion(Error::internal("an aggregate without argument")))
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let first =
            arg_fields.first().ok_or_else(|| to_datafusion(Error::internal("an aggregate without argument")))?;
        let field = Field::new(self.name(), first.data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(first.metadata().clone())))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let arrow = args.return_type().clone();
        match self.kind {
            Kind::SingleRow => Ok(Box::new(SingleRow { value: ScalarValue::try_from(&arrow)?, rows: 0 })),
            Kind::PercentileDisc => {
                let fraction = fraction_of(&args)?;
                let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
                Ok(Box::new(PercentileDisc { fraction, descending, arrow, values: Vec::new() }))
            }
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let arrow = args.return_field.data_type().clone();
        let field = |suffix: &str, arrow: ArrowType| -> FieldRef {
            Arc::new(Field::new(format!("{}[{suffix}]", args.name), arrow, true))
        };
        Ok(match self.kind {
            Kind::SingleRow => vec![field("value", arrow), field("rows", ArrowType::Int64)],
            Kind::PercentileDisc => {
                vec![field("values", ArrowType::List(Arc::new(Field::new_list_field(arrow, true))))]
            }
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        self.kind == Kind::PercentileDisc
    }
}

fn fraction_of(args: &AccumulatorArgs<'_>) -> Result<f64> {
    let wrong = || {
        to_datafusion(Error::new(
            Condition::InvalidParameterValue,
            "percentile value must be a constant between 0 and 1",
        ))
    };
    let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>()).ok_or_else(wrong)?;
    match literal.value().cast_to(&ArrowType::Float64)? {
        ScalarValue::Float64(Some(fraction)) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err(wrong()),
    }
}

/// The value of the only row; NULL without rows, 21000 with more than one.
#[derive(Debug)]
struct SingleRow {
    value: ScalarValue,
    rows: i64,
}

impl SingleRow {
    fn add(&mut self, value: ScalarValue, rows: i64) -> Result<()> {
        self.rows += rows;
        if self.rows > 1 {
            return Err(to_datafusion(Error::new(
                Condition::CardinalityViolation,
                "more than one row returned by a subquery used as an expression",
            )));
        }
        if rows == 1 {
            self.value = value;
        }
        Ok(())
    }
}

impl Accumulator for SingleRow {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else {
            return Ok(());
        };
        for at in 0..values.len() {
            self.add(ScalarValue::try_from_array(values, at)?, 1)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, rows] = states else {
            return Err(to_datafusion(Error::internal("the state of a single row has two columns")));
        };
        for at in 0..values.len() {
            let ScalarValue::Int64(Some(rows)) = ScalarValue::try_from_array(rows, at)? else {
                continue;
            };
            self.add(ScalarValue::try_from_array(values, at)?, rows)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}

/// The first value whose share of the rows reaches the fraction.
#[derive(Debug)]
struct PercentileDisc {
    fraction: f64,
    descending: bool,
    arrow: ArrowType,
    values: Vec<ScalarValue>,
}

impl PercentileDisc {
    fn gather(&mut self, values: &ArrayRef) -> Result<()> {
        for at in (0..values.len()).filter(|at| values.is_valid(*at)) {
            self.values.push(ScalarValue::try_from_array(values, at)?);
        }
        Ok(())
    }
}

impl Accumulator for PercentileDisc {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |values| self.gather(values))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_by(|a, b| {
            let order = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
            if self.descending { order.reverse() } else { order }
        });
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position among the rows, which are far fewer than 2^53"
        )]
        let position = (self.fraction * self.values.len() as f64).ceil() as usize;
        match self.values.get(position.saturating_sub(1)) {
            Some(value) => Ok(value.clone()),
            None => ScalarValue::try_from(&self.arrow),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&self.values, &self.arrow))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else {
            return Ok(());
        };
        lists.as_list::<i32>().iter().flatten().try_for_each(|values| self.gather(&values))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }
}
