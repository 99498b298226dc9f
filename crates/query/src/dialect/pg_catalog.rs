//! What `psql`, drivers and BI tools say to the system catalogs, in words that the planner knows.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType as SqlType, Expr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Value,
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

/// Parts of the queries of `psql` 15 that reach from a subquery into a table function, which DataFusion cannot plan. All
/// ask for what Outcrop does not have, so the answer is NULL.
const IDIOMS: &[(&str, Idiom)] = &[
    ("array(SELECT 'toast.' || x FROM pg_catalog.unnest(tc.reloptions) x)", Idiom::NoTexts),
    ("array(SELECT rolname FROM pg_catalog.pg_roles WHERE oid = ANY(pol.polroles) ORDER BY 1)", Idiom::NoTexts),
    (
        "(SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND \
         t.oid = a.atttypid AND a.attcollation <> t.typcollation)",
        Idiom::NoText,
    ),
    (
        "CASE WHEN pr.prattrs IS NOT NULL THEN (SELECT string_agg(attname, ', ') FROM pg_catalog.generate_series(0, \
         pg_catalog.array_upper(pr.prattrs::pg_catalog.int2[], 1)) s, pg_catalog.pg_attribute WHERE attrelid = \
         pr.prrelid AND attnum = prattrs[s]) ELSE NULL END",
        Idiom::NoText,
    ),
];

/// What stands in an idiom's place.
#[derive(Clone, Copy, Debug)]
enum Idiom {
    /// NULL of type text.
    NoText,
    /// NULL of type `text[]`.
    NoTexts,
}

/// Replaces one of the [`IDIOMS`]; `psql` writes them the same way every time.
pub(super) fn answer_idiom(expr: &mut Expr) {
    let candidate = match expr {
        Expr::Subquery(_) | Expr::Case { .. } => true,
        Expr::Function(function) => matches!(function.args, FunctionArguments::Subquery(_)),
        _ => false,
    };
    if !candidate {
        return;
    }
    let text = expr.to_string();
    let data_type = match IDIOMS.iter().find(|(idiom, _)| idiom.eq_ignore_ascii_case(&text)) {
        Some((_, Idiom::NoText)) => SqlType::Text,
        Some((_, Idiom::NoTexts)) => SqlType::Array(ArrayElemTypeDef::SquareBracket(Box::new(SqlType::Text), None)),
        None => return,
    };
    let null = Box::new(Expr::value(Value::Null));
    *expr = Expr::Cast { kind: CastKind::Cast, expr: null, data_type, array: false, format: None };
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
