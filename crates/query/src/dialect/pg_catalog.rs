//! What `psql`, drivers and BI tools say to the system catalogs, in words that the planner knows.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, FunctionArguments, FunctionArgumentList, Ident, ObjectName, Value,
};
use outcrop_types::{Condition, Error, Result};

use super::rewrite::{call, simple_name};

/// Collations that mean bytewise order, the only one there is.
const BYTEWISE: &[&str] = &["default", "C", "POSIX", "ucs_basic"];

/// Functions that SQL writes without parentheses.
const BARE_FUNCTIONS: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// Rewrites one expression whose parts are rewritten already.
///
/// # Errors
/// `UndefinedObject` for a collation that does not exist.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Collate { expr: inner, collation } => {
            let name = collation.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str());
            if !BYTEWISE.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(Error::new(
                    Condition::UndefinedObject,
                    format!("collation \"{name}\" for encoding \"UTF8\" does not exist"),
                )
                .with_hint("Text is ordered bytewise in Outcrop, which is collation \"C\"."));
            }
            *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
        }
        Expr::Function(function) => {
            if let Some(name) = simple_name(&function.name).filter(|_| function.name.0.len() == 2) {
                function.name = ObjectName::from(vec![Ident::new(name)]);
            }
            let is_bare = function.name.0.len() == 1
                && simple_name(&function.name).is_some_and(|name| BARE_FUNCTIONS.contains(&name.as_str()));
            if is_bare && function.args == FunctionArguments::None {
                function.args = FunctionArguments::List(FunctionArgumentList {
                    duplicate_treatment: None,
                    args: Vec::new(),
                    clauses: Vec::new(),
                });
            }
        }
        Expr::Identifier(ident) if ident.quote_style.is_none() => {
            let name = ident.value.to_lowercase();
            if matches!(name.as_str(), "current_catalog" | "current_role" | "current_schema" | "session_user") {
                *expr = call(&name, Vec::new());
            }
        }
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type, .. } => {
            if let Some(rewritten) = object_cast(inner, data_type) {
                *expr = rewritten;
            }
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            let null = || Expr::value(Value::Null);
            let timestamp = std::mem::replace(timestamp.as_mut(), null());
            let time_zone = std::mem::replace(time_zone.as_mut(), null());
            *expr = call("timezone", vec![time_zone, timestamp]);
        }
        _ => {}
    }
    Ok(())
}

/// `'t'::regclass` finds the object of a name; `oid::regclass` tells the name of an object.
fn object_cast(inner: &mut Expr, data_type: &SqlType) -> Option<Expr> {
    let name = match data_type {
        SqlType::Custom(name, _) => simple_name(name)?,
        SqlType::Regclass => "regclass".to_owned(),
        _ => return None,
    };
    let is_text = matches!(inner, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
    let function = match (name.as_str(), is_text) {
        ("regclass", true) => "to_regclass_oid",
        ("regclass", false) => "pg_regclass_name",
        ("regtype", true) => "to_regtype_oid",
        ("regtype", false) => "pg_regtype_name",
        ("regproc" | "regprocedure", true) => "to_regproc_oid",
        ("regproc" | "regprocedure", false) => "pg_regproc_name",
        ("regnamespace", true) => "to_regnamespace_oid",
        ("regnamespace", false) => "pg_regnamespace_name",
        ("regrole", true) => "to_regrole_oid",
        ("regrole", false) => "pg_get_userbyid",
        _ => return None,
    };
    Some(call(function, vec![std::mem::replace(inner, Expr::value(Value::Null))]))
}
