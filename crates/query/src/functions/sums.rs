//! `sum` and `avg` of integers: exact, never wrapped. `sum(bigint)` and `avg` of integers are numeric.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, Int64Builder, ListArray, PrimitiveArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, Decimal128Type, Field, FieldRef, Int64Type, i256};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::{average::Avg, sum::Sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use outcrop_types::{Condition, Error};

use crate::error::to_datafusion;

/// Digits after the point of the average of integers.
const AVERAGE_SCALE: u8 = 16;

/// `sum` and `avg`.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    [
        Integers { kind: Kind::Sum, inner: Arc::new(AggregateUDF::from(Sum::new())), signature: signature() },
        Integers { kind: Kind::Average, inner: Arc::new(AggregateUDF::from(Avg::new())), signature: signature() },
    ]
    .into_iter()
    .map(|function| Arc::new(AggregateUDF::from(function)))
    .collect()
}

fn signature() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Average,
}

/// Integers by ourselves, everything else by DataFusion's function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Integers {
    kind: Kind,
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

fn is_integer(arrow: &ArrowType) -> bool {
    matches!(arrow, ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64)
}

impl AggregateUDFImpl for Integers {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let [argument] = arg_types else {
            return Err(to_datafusion(Error::new(
                Condition::UndefinedFunction,
                format!("function {} takes one argument", self.name()),
            )));
        };
        Ok(vec![match argument {
            ArrowType::Int8 | ArrowType::UInt8 => ArrowType::Int16,
            ArrowType::UInt16 => ArrowType::Int32,
            ArrowType::UInt32 => ArrowType::Int64,
            ArrowType::UInt64 => ArrowType::Decimal128(20, 0),
            ArrowType::Float16 | ArrowType::Float32 | ArrowType::Null => ArrowType::Float64,
            other if other.is_numeric() => other.clone(),
            ArrowType::Duration(unit) => ArrowType::Duration(*unit),
            other => {
                let name = crate::types::data_type_of_arrow(other)
                    .map_or_else(|| other.to_string(), |known| known.to_string());
                return Err(to_datafusion(
                    Error::new(Condition::UndefinedFunction, format!("function {}({name}) does not exist", self.name()))
                        .with_hint(
                            "No function matches the given name and argument types. You might need to add explicit type casts.",
                        ),
                ));
            }
        }])
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        match (self.kind, arg_types.first()) {
            (Kind::Sum, Some(ArrowType::Int16 | ArrowType::Int32)) => Ok(ArrowType::Int64),
            (Kind::Sum, Some(ArrowType::Int64)) => Ok(ArrowType::Decimal128(38, 0)),
            (Kind::Average, Some(argument)) if is_integer(argument) => {
                Ok(ArrowType::Decimal128(38, AVERAGE_SCALE.cast_signed()))
            }
            _ => self.inner.inner().return_type(arg_types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if !reads_integers(&args)? {
            return self.inner.inner().accumulator(args);
        }
        let output = Output { kind: self.kind, arrow: args.return_type().clone() };
        Ok(if args.is_distinct {
            Box::new(DistinctTotal { output, seen: HashSet::new() })
        } else {
            Box::new(Total { output, sum: 0, count: 0 })
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if !args.input_fields.first().is_some_and(|field| is_integer(field.data_type())) {
            return self.inner.inner().state_fields(args);
        }
        let field = |suffix: &str, arrow: ArrowType| -> FieldRef {
            Arc::new(Field::new(format!("{}[{suffix}]", args.name), arrow, true))
        };
        if args.is_distinct {
            return Ok(vec![field("values", ArrowType::List(Arc::new(Field::new_list_field(ArrowType::Int64, true))))]);
        }
        Ok(vec![field("sum", ArrowType::Decimal128(38, 0)), field("count", ArrowType::Int64)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        match reads_integers(&args) {
            Ok(true) => !args.is_distinct,
            _ => self.inner.inner().groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        if !reads_integers(&args)? {
            return self.inner.inner().create_groups_accumulator(args);
        }
        let output = Output { kind: self.kind, arrow: args.return_type().clone() };
        Ok(Box::new(GroupTotals { output, sums: Vec::new(), counts: Vec::new() }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if reads_integers(&args)? {
            self.accumulator(args)
        } else {
            self.inner.inner().create_sliding_accumulator(args)
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

fn reads_integers(args: &AccumulatorArgs<'_>) -> Result<bool> {
    match args.exprs.first() {
        Some(expr) => Ok(is_integer(&expr.data_type(args.schema)?)),
        None => Ok(false),
    }
}

/// How a sum and a count become the result.
#[derive(Clone, Debug)]
struct Output {
    kind: Kind,
    arrow: ArrowType,
}

impl Output {
    fn value(&self, sum: i128, count: i64) -> Result<Option<i128>> {
        if count == 0 {
            return Ok(None);
        }
        match self.kind {
            Kind::Sum => Ok(Some(sum)),
            Kind::Average => average(sum, count).map(Some),
        }
    }

    fn scalar(&self, sum: i128, count: i64) -> Result<ScalarValue> {
        let array = self.array(&[sum], &[count])?;
        ScalarValue::try_from_array(&array, 0)
    }

    fn array(&self, sums: &[i128], counts: &[i64]) -> Result<ArrayRef> {
        let values =
            sums.iter().zip(counts).map(|(sum, count)| self.value(*sum, *count)).collect::<Result<Vec<_>>>()?;
        match &self.arrow {
            ArrowType::Decimal128(precision, scale) => {
                Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?))
            }
            _ => {
                let narrow = values
                    .into_iter()
                    .map(|value| value.map(i64::try_from).transpose())
                    .collect::<std::result::Result<Vec<_>, _>>();
                let narrow = narrow.map_err(|_large| {
                    to_datafusion(Error::new(Condition::NumericValueOutOfRange, "bigint out of range"))
                })?;
                Ok(Arc::new(Int64Array::from(narrow)))
            }
        }
    }
}

/// With [`AVERAGE_SCALE`] digits, halves away from zero.
fn average(sum: i128, count: i64) -> Result<i128> {
    let overflow = || to_datafusion(Error::new(Condition::NumericValueOutOfRange, "numeric field overflow"));
    let factor = i256::from_i128(10_i128.pow(u32::from(AVERAGE_SCALE)));
    let count = i256::from_i128(i128::from(count));
    let scaled = i256::from_i128(sum).checked_mul(factor).ok_or_else(overflow)?;
    let quotient = scaled.checked_div(count).ok_or_else(overflow)?;
    let rest = scaled.checked_rem(count).ok_or_else(overflow)?.wrapping_abs();
    let rounded = if rest.wrapping_add(rest) < count {
        quotient
    } else {
        quotient.wrapping_add(if sum < 0 { i256::MINUS_ONE } else { i256::ONE })
    };
    rounded.to_i128().ok_or_else(overflow)
}

fn integers(values: &[ArrayRef]) -> Result<PrimitiveArray<Int64Type>> {
    let array = values.first().ok_or_else(|| to_datafusion(Error::internal("an aggregate without argument")))?;
    Ok(cast(array, &ArrowType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn overflow() -> datafusion::common::DataFusionError {
    to_datafusion(Error::new(Condition::NumericValueOutOfRange, "numeric field overflow"))
}

#[derive(Debug)]
struct Total {
    output: Output,
    sum: i128,
    count: i64,
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in integers(values)?.iter().flatten() {
            self.sum += i128::from(value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in integers(values)?.iter().flatten() {
            self.sum -= i128::from(value);
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.output.scalar(self.sum, self.count)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = state_columns(states)?;
        for (sum, count) in sums.iter().zip(&counts) {
            self.sum = self.sum.checked_add(sum.unwrap_or(0)).ok_or_else(overflow)?;
            self.count += count.unwrap_or(0);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

fn state_columns(states: &[ArrayRef]) -> Result<(PrimitiveArray<Decimal128Type>, PrimitiveArray<Int64Type>)> {
    let [sums, counts] = states else {
        return Err(to_datafusion(Error::internal("a sum's state has two columns")));
    };
    Ok((sums.as_primitive::<Decimal128Type>().clone(), counts.as_primitive::<Int64Type>().clone()))
}

#[derive(Debug)]
struct DistinctTotal {
    output: Output,
    seen: HashSet<i64>,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.seen.extend(integers(values)?.iter().flatten());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.seen.iter().map(|value| i128::from(*value)).sum();
        self.output.scalar(sum, i64::try_from(self.seen.len()).unwrap_or(i64::MAX))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut values = Int64Builder::with_capacity(self.seen.len());
        self.seen.iter().for_each(|value| values.append_value(*value));
        let values = Arc::new(values.finish()) as ArrayRef;
        let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        let field = Arc::new(Field::new_list_field(ArrowType::Int64, true));
        Ok(vec![ScalarValue::List(Arc::new(ListArray::new(field, offsets, values, None)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else {
            return Ok(());
        };
        for list in lists.as_list::<i32>().iter().flatten() {
            self.seen.extend(integers(&[list])?.iter().flatten());
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * size_of::<i64>() * 2
    }
}

#[derive(Debug)]
struct GroupTotals {
    output: Output,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl GroupTotals {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups.max(self.sums.len()), 0);
        self.counts.resize(groups.max(self.counts.len()), 0);
    }

    fn add(&mut self, group: usize, sum: i128, count: i64) -> Result<()> {
        let (Some(total), Some(rows)) = (self.sums.get_mut(group), self.counts.get_mut(group)) else {
            return Err(to_datafusion(Error::internal("a group beyond the number of groups")));
        };
        *total = total.checked_add(sum).ok_or_else(overflow)?;
        *rows += count;
        Ok(())
    }
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let values = integers(values)?;
        for (row, (group, value)) in group_indices.iter().zip(&values).enumerate() {
            let wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let Some(value) = value.filter(|_| wanted) {
                self.add(*group, i128::from(value), 1)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let (sums, counts) = state_columns(values)?;
        for ((group, sum), count) in group_indices.iter().zip(&sums).zip(&counts) {
            self.add(*group, sum.unwrap_or(0), count.unwrap_or(0))?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit_to.take_needed(&mut self.sums), emit_to.take_needed(&mut self.counts));
        self.output.array(&sums, &counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = Decimal128Array::from(emit_to.take_needed(&mut self.sums)).with_precision_and_scale(38, 0)?;
        let counts = Int64Array::from(emit_to.take_needed(&mut self.counts));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = integers(values)?;
        let mut sums = Vec::with_capacity(values.len());
        let mut counts = Vec::with_capacity(values.len());
        for (row, value) in values.iter().enumerate() {
            let wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            let value = value.filter(|_| wanted);
            sums.push(value.map_or(0, i128::from));
            counts.push(i64::from(value.is_some()));
        }
        Ok(vec![
            Arc::new(Decimal128Array::from(sums).with_precision_and_scale(38, 0)?),
            Arc::new(Int64Array::from(counts)),
        ])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}
