//! `outcrop.backup('directory' [, 'earlier backup'])`.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, StringViewArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::arrow::temporal_conversions::timestamp_us_to_datetime;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use outcrop_engine::backup::{open_backup, open_target};
use outcrop_engine::{BackupReport, Engine};
use outcrop_types::{Condition, DataType, Error};

use crate::error::to_datafusion;
use crate::session::blocking;

/// The function, for this engine.
pub(super) fn function(engine: &Engine) -> Arc<ScalarUDF> {
    let texts = vec![TypeSignature::String(1), TypeSignature::String(2)];
    let function = Backup {
        signature: Signature::one_of(texts, Volatility::Volatile),
        returns: Arc::new(DataType::Jsonb.to_field(NAME, true)),
        engine: engine.clone(),
    };
    Arc::new(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf())
}

const NAME: &str = "outcrop.backup";

#[derive(Debug)]
struct Backup {
    signature: Signature,
    returns: FieldRef,
    engine: Engine,
}

impl PartialEq for Backup {
    fn eq(&self, other: &Self) -> bool {
        self.engine.log_id() == other.engine.log_id()
    }
}

impl Eq for Backup {}

impl Hash for Backup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl ScalarUDFImpl for Backup {
    fn name(&self) -> &str {
        NAME
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
        let message = format!("{NAME} is not supported in this place");
        let hint = format!("Write SELECT {NAME}('/directory').");
        Err(to_datafusion(Error::new(Condition::FeatureNotSupported, message).with_hint(hint)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Backup {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
        let mut reports: Vec<Option<String>> = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let text = |array: &ArrayRef| {
                let value = ScalarValue::try_from_array(array, if array.len() == 1 { 0 } else { row })?;
                Ok(value.try_as_str().flatten().map(str::to_owned))
            };
            let texts = arrays.iter().map(text).collect::<Result<Option<Vec<String>>>>()?;
            reports.push(match texts {
                Some(texts) => Some(take(&self.engine, texts).await.map_err(to_datafusion)?),
                None => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from_iter(reports))))
    }
}

/// Takes a backup on a thread that may block. Dropped before its end it makes that one stop, which removes what there is.
async fn take(engine: &Engine, texts: Vec<String>) -> outcrop_types::Result<String> {
    let cancel = CancelOnDrop(Arc::default());
    let (engine, is_cancelled) = (engine.clone(), Arc::clone(&cancel.0));
    let report = blocking(move || {
        let mut texts = texts.iter().map(Path::new);
        let target = texts.next().ok_or_else(|| Error::internal("a backup without a directory"))?;
        let since = texts.next().map(open_backup).transpose()?;
        let target = open_target(&engine, target)?;
        engine.backup(&target, since.as_ref(), &|| is_cancelled.load(Ordering::Relaxed))
    })
    .await?;
    Ok(describe(&report))
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The report as jsonb has it: shorter keys first.
fn describe(report: &BackupReport) -> String {
    let BackupReport { range, files, bytes, copied_files, copied_bytes, .. } = *report;
    format!(
        "{{\"bytes\": {bytes}, \"files\": {files}, \"last_time\": \"{}\", \"first_time\": \"{}\", \"last_commit\": {}, \
         \"copied_bytes\": {copied_bytes}, \"copied_files\": {copied_files}, \"first_commit\": {}}}",
        time(range.last_us),
        time(range.first_us),
        range.last.get(),
        range.first.get()
    )
}

/// As PostgreSQL shows a time in UTC; µs since 1970 where there is no such day.
fn time(us: i64) -> String {
    timestamp_us_to_datetime(us).map_or_else(|| us.to_string(), |time| format!("{time}+00"))
}
