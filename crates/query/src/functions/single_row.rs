//! The one value of a scalar subquery.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// `single_row_value`, which the dialect puts around the output of scalar subqueries.
pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(SingleRowValue { signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRowValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleRowValue {
    fn name(&self) -> &'static str {
        "single_row_value"
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
        Ok(Box::new(SingleRow { value: ScalarValue::try_from(args.return_type())?, rows: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let arrow = args.return_field.data_type().clone();
        let field = |suffix: &str, arrow: ArrowType| -> FieldRef {
            Arc::new(Field::new(format!("{}[{suffix}]", args.name), arrow, true))
        };
        Ok(vec![field("value", arrow), field("rows", ArrowType::Int64)])
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
