//! `->`, `->>`, `#>`, `#>>`, `@>` and functions of jsonb, over its normal text.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use outcrop_types::{DataType, Result};
use serde_json::Value as Json;

use super::cast::parse_json;
use super::simple::{RowBody, RowFunction, integer_arg, text, text_arg, text_or_null};

/// Functions by name.
pub(super) fn functions() -> Vec<RowFunction> {
    vec![
        of("jsonb_typeof", &DataType::Text, &[1], |args, _| {
            Ok(text_or_null(document(args)?.map(|json| kind(&json).to_owned())))
        })
        .with_aliases(&["json_typeof"]),
        of("jsonb_array_length", &DataType::Int4, &[1], |args, _| {
            let length = document(args)?.and_then(|json| json.as_array().map(Vec::len));
            Ok(ScalarValue::Int32(length.and_then(|length| i32::try_from(length).ok())))
        })
        .with_aliases(&["json_array_length"]),
        of("to_jsonb", &DataType::Jsonb, &[1], |args, _| Ok(text_or_null(args.first().and_then(scalar_json))))
            .with_aliases(&["to_json"]),
        of("jsonb_extract_path_text", &DataType::Text, &[2, 3, 4, 5], |args, _| {
            let mut json = document(args)?;
            for at in 1..args.len() {
                json = json.and_then(|json| step(&json, args.get(at)?));
            }
            Ok(text_or_null(json.and_then(|json| plain_text(&json))))
        }),
    ]
}

/// The call of an operator whose left side is jsonb.
pub(crate) fn json_operator(op: &BinaryOperator, left: &Expr, right: &Expr) -> Option<Expr> {
    let function: RowFunction = match op {
        BinaryOperator::Arrow => of("jsonb_get", &DataType::Jsonb, &[2], |args, _| jsonb(member(args)?)),
        BinaryOperator::LongArrow => of("jsonb_get_text", &DataType::Text, &[2], |args, _| {
            Ok(text_or_null(member(args)?.and_then(|json| plain_text(&json))))
        }),
        BinaryOperator::HashArrow => of("jsonb_path", &DataType::Jsonb, &[2], |args, _| jsonb(descendant(args)?)),
        BinaryOperator::HashLongArrow => of("jsonb_path_text", &DataType::Text, &[2], |args, _| {
            Ok(text_or_null(descendant(args)?.and_then(|json| plain_text(&json))))
        }),
        BinaryOperator::AtArrow => of("jsonb_contains", &DataType::Bool, &[2], |args, _| {
            let (Some(left), Some(right)) = (document(args)?, text_arg(args, 1)) else {
                return Ok(ScalarValue::Boolean(None));
            };
            Ok(ScalarValue::Boolean(Some(contains(&left, &parse_json(right)?))))
        }),
        BinaryOperator::Question => of("jsonb_exists", &DataType::Bool, &[2], |args, _| {
            let (Some(json), Some(key)) = (document(args)?, text_arg(args, 1)) else {
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

fn of(name: &'static str, returns: &DataType, arguments: &[usize], body: RowBody) -> RowFunction {
    let field: FieldRef = Arc::new(returns.to_field("", true));
    RowFunction::any(name, arguments, field, Volatility::Immutable, body)
}

/// JSON in its normal form.
fn jsonb(json: Option<Json>) -> Result<ScalarValue> {
    json.map(|json| outcrop_types::jsonb::normalize(&json.to_string())).transpose().map(text_or_null)
}

fn document(args: &[ScalarValue]) -> Result<Option<Json>> {
    text_arg(args, 0).map(parse_json).transpose()
}

fn member(args: &[ScalarValue]) -> Result<Option<Json>> {
    let json = document(args)?;
    Ok(json.and_then(|json| step(&json, args.get(1)?)))
}

/// The member of a name, or the item of a number; negative numbers count from the end.
fn step(json: &Json, key: &ScalarValue) -> Option<Json> {
    if let Some(Some(name)) = key.try_as_str() {
        return match json {
            Json::Object(members) => members.get(name).cloned(),
            Json::Array(items) => item(items, name.parse().ok()?),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        };
    }
    item(json.as_array()?, integer_arg(std::slice::from_ref(key), 0)?)
}

fn item(items: &[Json], at: i64) -> Option<Json> {
    let at = match usize::try_from(at) {
        Ok(at) => at,
        Err(_negative) => items.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?)?,
    };
    items.get(at).cloned()
}

fn descendant(args: &[ScalarValue]) -> Result<Option<Json>> {
    let mut json = document(args)?;
    let steps: Vec<ScalarValue> = match args.get(1) {
        Some(ScalarValue::List(list)) => {
            let values = list.value(0);
            (0..values.len()).filter_map(|at| ScalarValue::try_from_array(&values, at).ok()).collect()
        }
        _ => text_arg(args, 1)
            .map(|path| path.trim_matches(['{', '}']).split(',').map(|step| text(step.trim())).collect())
            .unwrap_or_default(),
    };
    for key in &steps {
        json = json.and_then(|json| step(&json, key));
    }
    Ok(json)
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

fn plain_text(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => {
            let text = other.to_string();
            Some(outcrop_types::jsonb::normalize(&text).unwrap_or(text))
        }
    }
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

fn scalar_json(scalar: &ScalarValue) -> Option<String> {
    if scalar.is_null() {
        return None;
    }
    let number = scalar.data_type().is_numeric() || matches!(scalar, ScalarValue::Boolean(_));
    let data_type = crate::types::data_type_of_arrow(&scalar.data_type());
    let plain = super::cast::format_scalar(scalar, data_type.as_ref());
    Some(if number { plain } else { Json::String(plain).to_string() })
}
