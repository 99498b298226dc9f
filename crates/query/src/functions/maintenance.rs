//! Functions that make the engine do something: `outcrop.compact` and `outcrop.verify`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use outcrop_engine::{Engine, TableReport};
use outcrop_types::{DataType, Error, TableId};

use crate::context::SessionExtension;
use crate::error::to_datafusion;
use crate::functions::catalog::table_named;
use crate::session::blocking;

/// All of them, for this engine.
pub(super) fn functions(engine: &Engine) -> Vec<Arc<ScalarUDF>> {
    let texts = DataType::Array(Box::new(DataType::Text));
    let of = |name, returns: &DataType, work| {
        let function = Maintenance {
            name,
            signature: Signature::string(1, Volatility::Volatile),
            returns: Arc::new(returns.to_field(name, true)),
            work,
            engine: engine.clone(),
        };
        Arc::new(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf())
    };
    vec![of("outcrop.compact", &DataType::Int8, compact), of("outcrop.verify", &texts, verify)]
}

/// What is done with one table; it may block for long.
type WorkOnTable = fn(&Engine, TableId) -> outcrop_types::Result<ScalarValue>;

/// Flushes a table and rewrites its segments as long as they can be better; how many it has then.
fn compact(engine: &Engine, table: TableId) -> outcrop_types::Result<ScalarValue> {
    engine.flush(Some(table))?;
    engine.compact_table(table)?;
    let segments = engine.segments_of(table);
    Ok(ScalarValue::Int64(Some(i64::try_from(segments).unwrap_or(i64::MAX))))
}

/// Reads and checks a table with its key index; what is wrong, or nothing.
fn verify(engine: &Engine, table: TableId) -> outcrop_types::Result<ScalarValue> {
    let Some(TableReport { problems, .. }) = engine.verify(table)? else {
        return Err(Error::new(outcrop_types::Condition::UndefinedTable, "the table was dropped meanwhile"));
    };
    let problems: Vec<ScalarValue> =
        problems.iter().map(|problem| ScalarValue::Utf8View(Some(problem.to_string()))).collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&problems, &ArrowType::Utf8View)))
}

/// A function of the name of a table.
#[derive(Debug)]
struct Maintenance {
    name: &'static str,
    signature: Signature,
    returns: FieldRef,
    work: WorkOnTable,
    engine: Engine,
}

impl PartialEq for Maintenance {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Maintenance {}

impl Hash for Maintenance {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Maintenance {
    fn name(&self) -> &str {
        self.name
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
        let message = format!("{} is not supported in this place", self.name);
        Err(to_datafusion(
            Error::new(outcrop_types::Condition::FeatureNotSupported, message)
                .with_hint(format!("Write SELECT {}('table').", self.name)),
        ))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Maintenance {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let name = match arrays.first() {
                Some(names) => ScalarValue::try_from_array(names, if names.len() == 1 { 0 } else { row })?,
                None => ScalarValue::Null,
            };
            let Some(name) = name.try_as_str().flatten() else {
                results.push(ScalarValue::try_from(self.returns.data_type())?);
                continue;
            };
            let table = table_named(name, session).map_err(to_datafusion)?;
            let (engine, work) = (self.engine.clone(), self.work);
            results.push(blocking(move || work(&engine, table)).await.map_err(to_datafusion)?);
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(self.returns.data_type())));
        }
        ScalarValue::iter_to_array(results).map(ColumnarValue::Array)
    }
}
