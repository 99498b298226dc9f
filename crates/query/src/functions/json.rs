//! `->`, `->>`, `#>`, `#>>`, `@>` and functions of jsonb, over its normal text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, StringViewArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use outcrop_types::{Condition, DataType, Error, Result};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::cast::parse_json;
use super::simple::{RowBody, RowFunction, integer_arg, text, text_arg, text_or_null};
use crate::error::to_datafusion;

/// Functions by name.
pub(super) fn functions() -> Vec<RowFunction> {
    vec![
        of("jsonb_typeof", &DataType::Text, &[1], |args, _| {
            Ok(text_or_null(read(args)?.map(|json| kind(&json).to_owned())))
        })
        .with_aliases(&["json_typeof"]),
        of("jsonb_array_length", &DataType::Int4, &[1], |args, _| {
            let length = read(args)?.and_then(|json| json.as_array().map(Vec::len));
            Ok(ScalarValue::Int32(length.and_then(|length| i32::try_from(length).ok())))
        })
        .with_aliases(&["json_array_length"]),
        of("jsonb_extract_path", &DataType::Jsonb, &[2, 3, 4, 5], |args, _| {
            jsonb(walk(text_arg(args, 0), args.get(1..).unwrap_or_default())?)
        })
        .with_aliases(&["json_extract_path"]),
        of("jsonb_extract_path_text", &DataType::Text, &[2, 3, 4, 5], |args, _| {
            plain_text(walk(text_arg(args, 0), args.get(1..).unwrap_or_default())?)
        }),
    ]
}

/// The call of an operator whose left side is jsonb.
pub(crate) fn json_operator(op: &BinaryOperator, left: &Expr, right: &Expr) -> Option<Expr> {
    let function: RowFunction = match op {
        BinaryOperator::Arrow => of("jsonb_get", &DataType::Jsonb, &[2], |args, _| jsonb(member(args)?)),
        BinaryOperator::LongArrow => of("jsonb_get_text", &DataType::Text, &[2], |args, _| plain_text(member(args)?)),
        BinaryOperator::HashArrow => of("jsonb_path", &DataType::Jsonb, &[2], |args, _| jsonb(descendant(args)?)),
        BinaryOperator::HashLongArrow => {
            of("jsonb_path_text", &DataType::Text, &[2], |args, _| plain_text(descendant(args)?))
        }
        BinaryOperator::AtArrow => of("jsonb_contains", &DataType::Bool, &[2], |args, _| {
            let (Some(left), Some(right)) = (read(args)?, text_arg(args, 1)) else {
                return Ok(ScalarValue::Boolean(None));
            };
            Ok(ScalarValue::Boolean(Some(contains(&left, &parse_json(right)?))))
        }),
        BinaryOperator::Question => of("jsonb_exists", &DataType::Bool, &[2], |args, _| {
            let (Some(json), Some(key)) = (read(args)?, text_arg(args, 1)) else {
                return Ok(ScalarValue::Boolean(None));
            };
            let found = match &json {
                Json::Object(members) => members.contains_key(key),
                Json::Array(items) => items.iter().any(|item| item.as_str() == Some(key)),
                other => other.as_str() == Some(key),
            };
            Ok(ScalarValue::Boolean(Some(found)))
        }),
        _ => return None,
    };
    Some(ScalarUDF::new_from_impl(function).call(vec![left.clone(), right.clone()]))
}

/// Text that is jsonb, with its type.
pub(crate) fn document(text: Expr) -> Expr {
    let function =
        of("pg_jsonb", &DataType::Jsonb, &[1], |args, _| Ok(text_or_null(text_arg(args, 0).map(str::to_owned))));
    ScalarUDF::new_from_impl(function).call(vec![text])
}

fn of(name: &'static str, returns: &DataType, arguments: &[usize], body: RowBody) -> RowFunction {
    let field: FieldRef = Arc::new(returns.to_field("", true));
    RowFunction::any(name, arguments, field, Volatility::Immutable, body)
}

/// JSON in its normal form.
fn jsonb(json: Option<&str>) -> Result<ScalarValue> {
    json.map(outcrop_types::jsonb::normalize).transpose().map(text_or_null)
}

fn read(args: &[ScalarValue]) -> Result<Option<Json>> {
    text_arg(args, 0).map(parse_json).transpose()
}

fn member(args: &[ScalarValue]) -> Result<Option<&str>> {
    match (text_arg(args, 0), args.get(1)) {
        (Some(json), Some(key)) => step(json, key),
        _ => Ok(None),
    }
}

/// The member of a name, or the item of a number, as it is written: numbers keep their digits. Negative numbers count
/// from the end.
fn step<'a>(json: &'a str, key: &ScalarValue) -> Result<Option<&'a str>> {
    let number = match key.try_as_str() {
        Some(None) => return Ok(None),
        Some(Some(name)) if json.trim_start().starts_with('{') => {
            let members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(json).map_err(broken)?;
            return Ok(members.get(name).map(|member| member.get()));
        }
        Some(Some(name)) => name.parse().ok(),
        None => integer_arg(std::slice::from_ref(key), 0),
    };
    let Some(number) = number else {
        return Ok(None);
    };
    match json.trim_start().chars().next() {
        Some('[') => {}
        // A plain value is its own only item.
        Some('{') | None => return Ok(None),
        Some(_) => return Ok(matches!(number, 0 | -1).then_some(json)),
    }
    let items: Vec<&'a RawValue> = serde_json::from_str(json).map_err(broken)?;
    Ok(item(&items, number).map(|item| item.get()))
}

fn broken(error: serde_json::Error) -> Error {
    Error::new(Condition::InvalidTextRepresentation, "invalid input syntax for type json").with_source(error)
}

fn item<'a>(items: &[&'a RawValue], at: i64) -> Option<&'a RawValue> {
    let at = match usize::try_from(at) {
        Ok(at) => at,
        Err(_negative) => items.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?)?,
    };
    items.get(at).copied()
}

fn descendant(args: &[ScalarValue]) -> Result<Option<&str>> {
    let steps: Vec<ScalarValue> = match args.get(1) {
        Some(ScalarValue::List(list)) => {
            let values = list.value(0);
            (0..values.len()).filter_map(|at| ScalarValue::try_from_array(&values, at).ok()).collect()
        }
        _ => text_arg(args, 1)
            .map(|path| path.trim_matches(['{', '}']).split(',').map(|step| text(step.trim())).collect())
            .unwrap_or_default(),
    };
    walk(text_arg(args, 0), &steps)
}

fn walk<'a>(json: Option<&'a str>, steps: &[ScalarValue]) -> Result<Option<&'a str>> {
    steps.iter().try_fold(json, |json, key| match json {
        Some(json) => step(json, key),
        None => Ok(None),
    })
}

fn contains(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Object(left), Json::Object(right)) => {
            right.iter().all(|(name, wanted)| left.get(name).is_some_and(|held| contains(held, wanted)))
        }
        (Json::Array(left), Json::Array(right)) => {
            right.iter().all(|wanted| left.iter().any(|held| contains(held, wanted)))
        }
        (Json::Array(left), wanted) => left.contains(wanted),
        (left, right) => left == right,
    }
}

/// A string without its quotes, anything else as it is written; JSON's null is NULL.
fn plain_text(json: Option<&str>) -> Result<ScalarValue> {
    Ok(text_or_null(match json.map(str::trim) {
        None | Some("null") => None,
        Some(json) if json.starts_with('"') => Some(serde_json::from_str(json).map_err(broken)?),
        Some(json) => Some(outcrop_types::jsonb::normalize(json)?),
    }))
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// `to_jsonb(value)`: jsonb stays as it is, arrays and times have their own forms, what is no number is a string.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToJsonb {
    signature: Signature,
    aliases: Vec<String>,
}

/// Functions that must see the type of their argument.
pub(super) fn typed_functions() -> Vec<Arc<ScalarUDF>> {
    let signature = Signature::any(1, Volatility::Immutable);
    vec![Arc::new(ScalarUDF::from(ToJsonb { signature, aliases: vec!["to_json".to_owned()] }))]
}

impl ScalarUDFImpl for ToJsonb {
    fn name(&self) -> &'static str {
        "to_jsonb"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[ArrowType]) -> datafusion::common::Result<ArrowType> {
        Ok(DataType::Jsonb.to_arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        Ok(Arc::new(DataType::Jsonb.to_field("", true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let data_type = args.arg_fields.first().and_then(|field| crate::types::data_type_of_field(field));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values = arrays.first().ok_or_else(|| to_datafusion(Error::internal("to_jsonb of nothing")))?;
        let json: StringViewArray = (0..values.len())
            .map(|row| Ok(json_of(&ScalarValue::try_from_array(values, row)?, data_type.as_ref())))
            .collect::<datafusion::common::Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(json)))
    }
}

fn json_of(scalar: &ScalarValue, data_type: Option<&DataType>) -> Option<String> {
    if scalar.is_null() {
        return None;
    }
    let plain = || super::cast::format_scalar(scalar, data_type);
    Some(match (scalar, data_type) {
        (_, Some(DataType::Jsonb)) | (ScalarValue::Boolean(_), _) => plain(),
        (ScalarValue::Float64(Some(float)), _) if !float.is_finite() => Json::String(plain()).to_string(),
        (other, _) if other.data_type().is_numeric() => plain(),
        (ScalarValue::List(list), Some(DataType::Array(item))) => {
            let values = list.value(0);
            let items = (0..values.len()).map(|at| {
                let value = ScalarValue::try_from_array(&values, at).ok();
                value.and_then(|value| json_of(&value, Some(item))).unwrap_or_else(|| "null".to_owned())
            });
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        (ScalarValue::TimestampMicrosecond(_, zone), _) => {
            let text = plain().replacen(' ', "T", 1);
            // ISO 8601 writes the minutes of an offset.
            let minutes = if zone.is_some() && !text.ends_with("infinity") { ":00" } else { "" };
            Json::String(format!("{text}{minutes}")).to_string()
        }
        _ => {
            let mut text = String::new();
            outcrop_types::jsonb::write_string(&mut text, &plain());
            text
        }
    })
}
