//! Functions that change feed cursors: `outcrop.create_feed_cursor`, `advance_feed_cursor` and `drop_feed_cursor`. Each is a
//! commit of its own and gives a position back.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, StringViewArray};
use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use outcrop_engine::{CommitHandle, Engine, FeedTables};
use outcrop_types::{Condition, Error};

use crate::context::SessionExtension;
use crate::error::to_datafusion;
use crate::functions::catalog::table_named;
use crate::session::{Position, blocking};

/// All of them, for this engine.
pub(super) fn functions(engine: &Engine) -> Vec<Arc<ScalarUDF>> {
    let of = |name, usage, signature, change| {
        let function = FeedFunction { name, usage, signature, change, engine: engine.clone() };
        Arc::new(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf())
    };
    let texts = |count| Signature::string(count, Volatility::Volatile);
    let name_and_tables = (1..=1 + TABLES_MAX).map(TypeSignature::String).collect();
    let name_and_tables = Signature::one_of(name_and_tables, Volatility::Volatile);
    vec![
        of("outcrop.create_feed_cursor", "('name', 'table', …)", name_and_tables, create),
        of("outcrop.advance_feed_cursor", "('name', 'position')", texts(2), advance),
        of("outcrop.drop_feed_cursor", "('name')", texts(1), drop_cursor),
    ]
}

/// A change of the cursor that the first text names.
type Change = fn(&Engine, &[String], Option<&SessionExtension>) -> outcrop_types::Result<CommitHandle>;

fn create(
    engine: &Engine,
    texts: &[String],
    session: Option<&SessionExtension>,
) -> outcrop_types::Result<CommitHandle> {
    let (name, tables) = texts.split_first().ok_or_else(no_name)?;
    let tables = match tables {
        [] => FeedTables::All,
        some => {
            let ids = some.iter().map(|table| table_named(table, session));
            FeedTables::Some(ids.collect::<outcrop_types::Result<BTreeSet<_>>>()?)
        }
    };
    Ok(engine.create_feed_cursor(name, tables))
}

fn advance(engine: &Engine, texts: &[String], _: Option<&SessionExtension>) -> outcrop_types::Result<CommitHandle> {
    let [name, position] = texts else { return Err(no_name()) };
    Ok(engine.advance_feed_cursor(name, position.parse::<Position>()?.within(engine.log_id())?))
}

fn drop_cursor(engine: &Engine, texts: &[String], _: Option<&SessionExtension>) -> outcrop_types::Result<CommitHandle> {
    let [name] = texts else { return Err(no_name()) };
    Ok(engine.drop_feed_cursor(name))
}

fn no_name() -> Error {
    Error::internal("a function of feed cursors has other arguments than its signature")
}

/// A function of texts, the first of which is the name of a cursor.
#[derive(Debug)]
struct FeedFunction {
    name: &'static str,
    usage: &'static str,
    signature: Signature,
    change: Change,
    engine: Engine,
}

impl PartialEq for FeedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for FeedFunction {}

impl Hash for FeedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for FeedFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> Result<ArrowType> {
        Ok(ArrowType::Utf8View)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let message = format!("{} is not supported in this place", self.name);
        let hint = format!("Write SELECT {}{}.", self.name, self.usage);
        Err(to_datafusion(Error::new(Condition::FeatureNotSupported, message).with_hint(hint)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for FeedFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
        let mut positions: Vec<Option<String>> = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let texts: Option<Vec<String>> = arrays
                .iter()
                .map(|array| {
                    let value = ScalarValue::try_from_array(array, if array.len() == 1 { 0 } else { row })?;
                    Ok(value.try_as_str().flatten().map(str::to_owned))
                })
                .collect::<Result<_>>()?;
            let Some(texts) = texts else {
                positions.push(None);
                continue;
            };
            let handle = (self.change)(&self.engine, &texts, session).map_err(to_datafusion)?;
            let commit = blocking(move || handle.wait()).await.map_err(to_datafusion)?;
            positions.push(Some(Position::new(self.engine.log_id(), commit.seq).to_string()));
        }
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from_iter(positions))))
    }
}

/// Tables that can be named in a call; a cursor of more follows all.
const TABLES_MAX: usize = 64;
