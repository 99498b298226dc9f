//! Ordered-set aggregates: `percentile_cont`, `percentile_disc` and `mode`, by PostgreSQL's formulas; `median` with them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::types::{Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListBuilder};
use datafusion::arrow::compute::{SortOptions, concat, filter, is_not_null, sort_to_indices};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use outcrop_types::{Condition, Error};

use super::intervals;
use crate::error::to_datafusion;
use crate::types::INTERVAL;

/// All of them.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    [Kind::Continuous, Kind::Median, Kind::Discrete, Kind::Mode]
        .into_iter()
        .map(|kind| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(AggregateUDF::from(Percentile { kind, signature }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Between two values of double precision or interval.
    Continuous,
    /// The same at one half, without WITHIN GROUP.
    Median,
    /// The first value whose share of the rows reaches the fraction.
    Discrete,
    /// The value that comes most often, the first of several.
    Mode,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    kind: Kind,
    signature: Signature,
}

impl Percentile {
    fn interpolates(&self) -> bool {
        matches!(self.kind, Kind::Continuous | Kind::Median)
    }

    fn takes_fraction(&self) -> bool {
        matches!(self.kind, Kind::Continuous | Kind::Discrete)
    }

    fn undefined(&self, arg_types: &[ArrowType]) -> Error {
        let names: Vec<_> = arg_types
            .iter()
            .map(|arrow| crate::types::data_type_of_arrow(arrow).map_or_else(|| arrow.to_string(), |t| t.to_string()))
            .collect();
        Error::new(
            Condition::UndefinedFunction,
            format!("function {}({}) does not exist", self.name(), names.join(", ")),
        )
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Continuous => "percentile_cont",
            Kind::Median => "median",
            Kind::Discrete => "percentile_disc",
            Kind::Mode => "mode",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        let undefined = || to_datafusion(self.undefined(arg_types));
        let (value, fraction) = match (arg_types, self.takes_fraction()) {
            ([value], false) => (value, None),
            ([value, fraction], true) => (value, Some(fraction)),
            _ => return Err(undefined()),
        };
        let value = match value {
            ArrowType::Interval(_) | ArrowType::Duration(_) => INTERVAL,
            other if !self.interpolates() => other.clone(),
            ArrowType::Null => ArrowType::Float64,
            other if other.is_numeric() => ArrowType::Float64,
            _ => return Err(undefined()),
        };
        let fraction = match fraction {
            None => return Ok(vec![value]),
            Some(ArrowType::List(_) | ArrowType::LargeList(_) | ArrowType::FixedSizeList(_, _))
                if value == INTERVAL =>
            {
                let message = "arrays of intervals are not supported";
                return Err(to_datafusion(
                    Error::new(Condition::FeatureNotSupported, message).with_hint("Ask for one fraction at a time."),
                ));
            }
            Some(ArrowType::List(_) | ArrowType::LargeList(_) | ArrowType::FixedSizeList(_, _)) => float_list(),
            Some(ArrowType::Null) => ArrowType::Float64,
            Some(fraction) if fraction.is_numeric() => ArrowType::Float64,
            Some(_) => return Err(undefined()),
        };
        Ok(vec![value, fraction])
    }

    fn return_type(&self, arg_types: &[ArrowType]) -> Result<ArrowType> {
        let [value, fraction @ ..] = arg_types else {
            return Err(to_datafusion(self.undefined(arg_types)));
        };
        Ok(match fraction {
            [ArrowType::List(_)] => list_of(value.clone()),
            _ => value.clone(),
        })
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<_> = arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(match arg_fields.first() {
            Some(first) if first.data_type() == field.data_type() => field.with_metadata(first.metadata().clone()),
            _ => field,
        }))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let wanted = Wanted::read(self.kind, &args)?;
        if wanted.interpolates_floats() {
            return Ok(Box::new(Floats { wanted, values: Vec::new() }));
        }
        Ok(Box::new(Values { wanted, parts: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args.input_fields.first().map_or(ArrowType::Null, |field| field.data_type().clone());
        Ok(vec![Arc::new(Field::new(format!("{}[values]", args.name), list_of(value), true))])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        Wanted::read(self.kind, &args).is_ok_and(|wanted| wanted.interpolates_floats())
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FloatGroups { wanted: Wanted::read(self.kind, &args)?, groups: Vec::new(), held: 0 }))
    }

    fn supports_within_group_clause(&self) -> bool {
        self.kind != Kind::Median
    }
}

fn list_of(item: ArrowType) -> ArrowType {
    ArrowType::List(Arc::new(Field::new_list_field(item, true)))
}

fn float_list() -> ArrowType {
    list_of(ArrowType::Float64)
}

/// What is asked of the values.
#[derive(Clone, Debug)]
struct Wanted {
    kind: Kind,
    /// NULL where the fraction is.
    fractions: Vec<Option<f64>>,
    /// Whether the answer is an array.
    many: bool,
    descending: bool,
    item: ArrowType,
}

impl Wanted {
    fn read(kind: Kind, args: &AccumulatorArgs<'_>) -> Result<Self> {
        let item = args.expr_fields.first().map_or(ArrowType::Null, |field| field.data_type().clone());
        let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
        let (fractions, many) = match kind {
            Kind::Median => (vec![Some(0.5)], false),
            Kind::Mode => (vec![None], false),
            Kind::Continuous | Kind::Discrete => fractions(args)?,
        };
        Ok(Self { kind, fractions, many, descending, item })
    }

    fn interpolates_floats(&self) -> bool {
        matches!(self.kind, Kind::Continuous | Kind::Median) && self.item == ArrowType::Float64
    }

    fn answer(&self, one: impl FnMut(Option<f64>) -> Result<ScalarValue>) -> Result<ScalarValue> {
        let values = self.fractions.iter().copied().map(one).collect::<Result<Vec<_>>>()?;
        if self.many {
            return Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.item)));
        }
        values.into_iter().next().map_or_else(|| ScalarValue::try_from(&self.item), Ok)
    }

    fn null(&self) -> Result<ScalarValue> {
        let arrow = if self.many { list_of(self.item.clone()) } else { self.item.clone() };
        ScalarValue::try_from(&arrow)
    }

    /// The answer for floats, which lose their order.
    fn answer_floats(&self, values: &mut [f64]) -> Result<ScalarValue> {
        if values.is_empty() {
            return self.null();
        }
        self.answer(|fraction| Ok(ScalarValue::Float64(fraction.map(|at| between_floats(values, at, self.descending)))))
    }
}

/// The constant fractions of a call, and whether they are an array.
fn fractions(args: &AccumulatorArgs<'_>) -> Result<(Vec<Option<f64>>, bool)> {
    let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>()).ok_or_else(|| {
        to_datafusion(Error::new(Condition::FeatureNotSupported, "the fraction of a percentile must be a constant"))
    })?;
    let (fractions, many) = match literal.value() {
        ScalarValue::Float64(fraction) => (vec![*fraction], false),
        ScalarValue::List(list) if list.is_valid(0) => {
            (list.value(0).as_primitive::<Float64Type>().iter().collect(), true)
        }
        ScalarValue::List(_) => (Vec::new(), true),
        other => {
            let message = format!("a percentile of the fraction {other}");
            return Err(to_datafusion(Error::internal(message)));
        }
    };
    match fractions.iter().flatten().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
        None => Ok((fractions, many)),
        Some(fraction) => Err(to_datafusion(Error::new(
            Condition::NumericValueOutOfRange,
            format!("percentile value {fraction} is not between 0 and 1"),
        ))),
    }
}

/// Where among `rows` sorted values a fraction falls: the place below, and how far behind it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position among the rows, which are far fewer than 2^53"
)]
fn continuous_place(fraction: f64, rows: usize) -> (usize, f64) {
    let place = fraction * (rows.saturating_sub(1)) as f64;
    (place.floor() as usize, place - place.floor())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position among the rows, which are far fewer than 2^53"
)]
fn discrete_place(fraction: f64, rows: usize) -> usize {
    ((fraction * rows as f64).ceil() as usize).saturating_sub(1)
}

/// NaN comes last, as everywhere.
fn float_order(a: f64, b: f64, descending: bool) -> Ordering {
    let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    if descending { order.reverse() } else { order }
}

/// PostgreSQL's `float8_lerp` between the two values around the place, without sorting them all.
fn between_floats(values: &mut [f64], fraction: f64, descending: bool) -> f64 {
    let (at, behind) = continuous_place(fraction, values.len());
    let (_, low, above) = values.select_nth_unstable_by(at, |a, b| float_order(*a, *b, descending));
    let low = *low;
    let high = above.iter().copied().min_by(|a, b| float_order(*a, *b, descending));
    match high {
        Some(high) if behind > 0.0 => low + behind * (high - low),
        _ => low,
    }
}

/// Doubles of one group.
#[derive(Debug)]
struct Floats {
    wanted: Wanted,
    values: Vec<f64>,
}

impl Accumulator for Floats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let Some(values) = values.first() {
            self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.wanted.answer_floats(&mut self.values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: ArrayRef = Arc::new(Float64Array::from(std::mem::take(&mut self.values)));
        Ok(vec![one_list(values)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.first().into_iter().flat_map(|lists| lists.as_list::<i32>().iter().flatten());
        for values in lists {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// Doubles of all groups.
#[derive(Debug)]
struct FloatGroups {
    wanted: Wanted,
    groups: Vec<Vec<f64>>,
    /// Bytes that the groups have reserved.
    held: usize,
}

impl FloatGroups {
    fn push(&mut self, group: usize, value: f64) {
        if let Some(values) = self.groups.get_mut(group) {
            let before = values.capacity();
            values.push(value);
            self.held += (values.capacity() - before) * size_of::<f64>();
        }
    }

    fn grow(&mut self, groups: usize) {
        if self.groups.len() < groups {
            self.groups.resize_with(groups, Vec::new);
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Vec<f64>> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.held = self.held.saturating_sub(taken.iter().map(|values| values.capacity() * size_of::<f64>()).sum());
        taken
    }
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let Some(values) = values.first() else {
            return Ok(());
        };
        for (row, (group, value)) in group_indices.iter().zip(values.as_primitive::<Float64Type>()).enumerate() {
            let counts = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let Some(value) = value.filter(|_| counts) {
                self.push(*group, value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let Some(lists) = values.first() else {
            return Ok(());
        };
        for (group, list) in group_indices.iter().zip(lists.as_list::<i32>().iter()) {
            for value in list.iter().flat_map(|list| list.as_primitive::<Float64Type>().iter().flatten()) {
                self.push(*group, value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = self.take(emit_to);
        let answers =
            groups.iter_mut().map(|values| self.wanted.answer_floats(values)).collect::<Result<Vec<ScalarValue>>>()?;
        if answers.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.wanted.null()?.data_type()));
        }
        ScalarValue::iter_to_array(answers)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut lists = ListBuilder::new(Float64Builder::new());
        for values in self.take(emit_to) {
            lists.values().append_slice(&values);
            lists.append(true);
        }
        Ok(vec![Arc::new(lists.finish())])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut lists = ListBuilder::new(Float64Builder::new());
        let values = values.first().map(|values| values.as_primitive::<Float64Type>());
        for (row, value) in values.into_iter().flatten().enumerate() {
            let counts = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let Some(value) = value.filter(|_| counts) {
                lists.values().append_value(value);
            }
            lists.append(true);
        }
        Ok(vec![Arc::new(lists.finish())])
    }

    fn size(&self) -> usize {
        self.held + self.groups.capacity() * size_of::<Vec<f64>>()
    }
}

/// Values of any type, of one group.
#[derive(Debug)]
struct Values {
    wanted: Wanted,
    parts: Vec<ArrayRef>,
}

impl Values {
    /// All of them as one array, and their places in order.
    fn sorted(&self) -> Result<(ArrayRef, Vec<usize>)> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        let all = concat(&parts)?;
        let places = match all.as_primitive_opt::<IntervalMonthDayNanoType>() {
            Some(values) => {
                let mut places: Vec<usize> = (0..values.len()).collect();
                places.sort_by_key(|at| intervals::microseconds(values.value(*at)));
                if self.wanted.descending {
                    places.reverse();
                }
                places
            }
            None => {
                let options = SortOptions { descending: self.wanted.descending, nulls_first: false };
                let places = sort_to_indices(&all, Some(options), None)?;
                places.values().iter().filter_map(|at| usize::try_from(*at).ok()).collect()
            }
        };
        Ok((all, places))
    }

    fn one(&self, all: &ArrayRef, places: &[usize], fraction: Option<f64>) -> Result<ScalarValue> {
        let value = |at: usize| match places.get(at) {
            Some(place) => ScalarValue::try_from_array(all, *place),
            None => ScalarValue::try_from(&self.wanted.item),
        };
        let Some(fraction) = fraction else {
            return ScalarValue::try_from(&self.wanted.item);
        };
        if self.wanted.kind == Kind::Discrete {
            return value(discrete_place(fraction, places.len()));
        }
        let (at, behind) = continuous_place(fraction, places.len());
        match (value(at)?, value((at + 1).min(places.len().saturating_sub(1)))?) {
            (ScalarValue::IntervalMonthDayNano(Some(low)), ScalarValue::IntervalMonthDayNano(Some(high))) => {
                Ok(ScalarValue::IntervalMonthDayNano(Some(between_intervals(low, high, behind))))
            }
            (low, _) => Ok(low),
        }
    }

    fn mode(&self, all: &ArrayRef, places: &[usize]) -> Result<ScalarValue> {
        let mut best: Option<(usize, ScalarValue)> = None;
        let mut run = 0;
        let mut current: Option<ScalarValue> = None;
        for place in places {
            let value = ScalarValue::try_from_array(all, *place)?;
            run = if current.as_ref() == Some(&value) { run + 1 } else { 1 };
            if best.as_ref().is_none_or(|(longest, _)| run > *longest) {
                best = Some((run, value.clone()));
            }
            current = Some(value);
        }
        best.map_or_else(|| self.wanted.null(), |(_, value)| Ok(value))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first().filter(|values| !values.is_empty()) else {
            return Ok(());
        };
        // Also where nothing is NULL: a slice would hold its whole batch.
        let valid = filter(values.as_ref(), &is_not_null(values.as_ref())?)?;
        if !valid.is_empty() {
            self.parts.push(valid);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.parts.is_empty() {
            return self.wanted.null();
        }
        let (all, places) = self.sorted()?;
        if self.wanted.kind == Kind::Mode {
            return self.mode(&all, &places);
        }
        self.wanted.answer(|fraction| self.one(&all, &places, fraction))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        let values = if parts.is_empty() {
            datafusion::arrow::array::new_empty_array(&self.wanted.item)
        } else {
            concat(&parts)?
        };
        Ok(vec![one_list(values)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.first().into_iter().flat_map(|lists| lists.as_list::<i32>().iter().flatten());
        for values in lists {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.parts.iter().map(|part| part.get_array_memory_size()).sum::<usize>()
    }
}

/// PostgreSQL's `interval_lerp`.
fn between_intervals(low: IntervalMonthDayNano, high: IntervalMonthDayNano, behind: f64) -> IntervalMonthDayNano {
    if behind <= 0.0 {
        return low;
    }
    let difference = intervals::sum(high, intervals::negative(low));
    intervals::sum(intervals::fraction(difference, behind), low)
}

fn one_list(values: ArrayRef) -> ScalarValue {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(datafusion::arrow::array::ListArray::new(item, offsets, values, None)))
}
