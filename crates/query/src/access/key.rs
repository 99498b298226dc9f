//! Key look-ups hidden in predicates: every column of the primary key is one of a few constants.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use outcrop_engine::TableSnapshot;
use outcrop_types::{ColumnId, CompareOp, Error, Predicate, Result, RowAddress, TableSchema, Value};

use crate::error::{from_arrow, from_datafusion};
use crate::types::value_to_scalar;

/// Most keys that one scan looks up.
pub(super) const KEYS_MAX: usize = 65_536;

/// For each column of the primary key, in key order, the values that it may have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeySet {
    columns: Vec<(ColumnId, Vec<Value>)>,
}

impl KeySet {
    /// The keys that rows wanted by `predicate` can have, if they are at most [`KEYS_MAX`].
    pub(super) fn of_predicate(schema: &TableSchema, predicate: &Predicate) -> Option<Self> {
        let key = schema.primary_key()?;
        let conjuncts = match predicate {
            Predicate::And(parts) => parts.as_slice(),
            Predicate::Compare(..)
            | Predicate::In(..)
            | Predicate::IsNull(_)
            | Predicate::IsNotNull(_)
            | Predicate::Or(_) => std::slice::from_ref(predicate),
        };
        let columns =
            key.columns.iter().map(|id| Some((*id, fewest_values(*id, conjuncts)?))).collect::<Option<Vec<_>>>()?;
        let set = Self { columns };
        (set.keys()? <= KEYS_MAX).then_some(set)
    }

    /// How many keys there are to look up.
    pub(super) fn len(&self) -> usize {
        self.keys().unwrap_or(usize::MAX)
    }

    /// Where the live rows with these keys are; in address order, each once.
    pub(super) fn addresses(&self, table: &TableSnapshot) -> Result<Vec<RowAddress>> {
        let mut addresses: Vec<_> = table.lookup(&self.to_batch(table.schema())?)?.into_iter().flatten().collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    fn keys(&self) -> Option<usize> {
        self.columns.iter().try_fold(1_usize, |product, (_, values)| product.checked_mul(values.len()))
    }

    /// The cross product of the values, as a batch of the key columns.
    fn to_batch(&self, schema: &TableSchema) -> Result<RecordBatch> {
        let keys = self.len();
        let mut repeat = keys;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (id, values) in &self.columns {
            let column =
                schema.column(*id).ok_or_else(|| Error::internal(format!("key column {id} is not in the table")))?;
            let scalars = values
                .iter()
                .map(|value| value_to_scalar(value, &column.data_type))
                .collect::<Result<Vec<ScalarValue>>>()?;
            repeat /= values.len().max(1);
            let cycle =
                scalars.iter().flat_map(|scalar| std::iter::repeat_n(scalar, repeat)).cycle().take(keys).cloned();
            let array = ScalarValue::iter_to_array(cycle).map_err(from_datafusion)?;
            arrays.push((column.name.as_str(), array));
        }
        RecordBatch::try_from_iter(arrays).map_err(from_arrow)
    }
}

/// The shortest list of values that a conjunct allows for a column.
fn fewest_values(column: ColumnId, conjuncts: &[Predicate]) -> Option<Vec<Value>> {
    conjuncts
        .iter()
        .filter_map(|conjunct| match conjunct {
            Predicate::Compare(id, CompareOp::Equal, value) if *id == column => Some(vec![value.clone()]),
            Predicate::In(id, values) if *id == column => Some(values.clone()),
            Predicate::Compare(..)
            | Predicate::In(..)
            | Predicate::IsNull(_)
            | Predicate::IsNotNull(_)
            | Predicate::And(_)
            | Predicate::Or(_) => None,
        })
        .min_by_key(Vec::len)
}
