//! Names of output columns, as PostgreSQL gives them.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, Expr, Ident, ObjectName, Select, SelectItem, SetExpr, Value,
};

/// Separates a name from the number that makes it unique; no SQL text can hold it in a name.
const UNIQUE_MARK: char = '\u{1}';

/// The name without the number that made it unique.
pub(crate) fn shown_name(name: &str) -> &str {
    name.split_once(UNIQUE_MARK).map_or(name, |(shown, _)| shown)
}

/// Names every output column of a SELECT as PostgreSQL does. DataFusion wants different names where PostgreSQL does not
/// care, so the second column of a name gets a hidden number.
pub(super) fn name_outputs(select: &mut Select) {
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    for item in &mut select.projection {
        let named = match item {
            SelectItem::UnnamedExpr(expr) => match plain_column(expr) {
                Some(name) => Named::Column(name, folded_text(expr)),
                None => Named::Computed(output_name(expr)),
            },
            SelectItem::ExprWithAlias { alias, .. } => Named::Computed(folded(alias)),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                continue;
            }
        };
        let (name, text) = match &named {
            Named::Column(name, text) => (name.clone(), text.clone()),
            Named::Computed(name) => (name.clone(), String::new()),
        };
        let earlier = seen.entry(name.clone()).or_default();
        let number = earlier.len();
        let is_column = matches!(named, Named::Column(..));
        // Columns of different tables are told apart by their tables.
        let clash = if is_column {
            earlier.iter().any(|other| other.is_empty() || *other == text)
        } else {
            !earlier.is_empty()
        };
        earlier.push(text);
        if is_column && !clash {
            continue;
        }
        let alias = if clash { format!("{name}{UNIQUE_MARK}{number}") } else { name };
        set_alias(item, alias);
    }
}

enum Named {
    Column(String, String),
    Computed(String),
}

fn set_alias(item: &mut SelectItem, name: String) {
    let alias = Ident::with_quote('"', name);
    match item {
        SelectItem::UnnamedExpr(expr) => {
            let expr = std::mem::replace(expr, Expr::value(Value::Null));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
        SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {}
    }
}

fn folded_text(expr: &Expr) -> String {
    match expr {
        Expr::CompoundIdentifier(parts) => parts.iter().map(folded).collect::<Vec<_>>().join("."),
        Expr::Identifier(ident) => folded(ident),
        other => other.to_string(),
    }
}

fn plain_column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        _ => None,
    }
}

/// `FigureColname` of PostgreSQL.
pub(crate) fn output_name(expr: &Expr) -> String {
    figure_name(expr).map_or_else(|| "?column?".to_owned(), Figure::into_name)
}

/// A name for a computed column. What a cast or a CASE is made of names it only if that has a name of its own.
enum Figure {
    Own(String),
    Fallback(String),
}

impl Figure {
    fn into_name(self) -> String {
        match self {
            Self::Own(name) | Self::Fallback(name) => name,
        }
    }
}

fn figure_name(expr: &Expr) -> Option<Figure> {
    let own = |name: &str| Some(Figure::Own(name.to_owned()));
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => plain_column(expr).map(Figure::Own),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure_name(inner),
        Expr::AtTimeZone { .. } => own("timezone"),
        Expr::Function(function) => last_name(&function.name).map(Figure::Own),
        Expr::Cast { expr, data_type, .. } => match figure_name(expr) {
            Some(Figure::Own(name)) => Some(Figure::Own(name)),
            Some(Figure::Fallback(_)) | None => Some(Figure::Fallback(type_name(data_type))),
        },
        Expr::TypedString(typed) => Some(Figure::Fallback(type_name(&typed.data_type))),
        Expr::Interval(_) => Some(Figure::Fallback("interval".to_owned())),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure_name) {
            Some(Figure::Own(name)) => Some(Figure::Own(name)),
            Some(Figure::Fallback(_)) | None => Some(Figure::Fallback("case".to_owned())),
        },
        Expr::Exists { .. } => own("exists"),
        Expr::Array(_) => own("array"),
        Expr::Extract { .. } => own("extract"),
        Expr::Ceil { .. } => own("ceil"),
        Expr::Floor { .. } => own("floor"),
        Expr::Position { .. } => own("position"),
        Expr::Substring { shorthand: true, .. } => own("substr"),
        Expr::Substring { .. } => own("substring"),
        Expr::Trim { .. } => own("btrim"),
        Expr::Overlay { .. } => own("overlay"),
        Expr::CompoundFieldAccess { root, .. } => figure_name(root),
        Expr::Tuple(_) => own("row"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => figure_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(Figure::Own(folded(alias))),
                SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                    None
                }
            },
            _ => None,
        },
        Expr::Value(value) => match value.value {
            Value::Boolean(_) => Some(Figure::Fallback("bool".to_owned())),
            _ => None,
        },
        _ => None,
    }
}

/// The internal name of a type, which is what PostgreSQL calls a cast's column.
fn type_name(data_type: &SqlType) -> String {
    match data_type {
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => "int4".to_owned(),
        SqlType::SmallInt(_) | SqlType::Int2(_) => "int2".to_owned(),
        SqlType::BigInt(_) | SqlType::Int8(_) => "int8".to_owned(),
        SqlType::Real | SqlType::Float4 => "float4".to_owned(),
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float(_) => "float8".to_owned(),
        SqlType::Numeric(_) | SqlType::Decimal(_) | SqlType::Dec(_) => "numeric".to_owned(),
        SqlType::Bool | SqlType::Boolean => "bool".to_owned(),
        SqlType::Varchar(_) | SqlType::CharacterVarying(_) | SqlType::CharVarying(_) => "varchar".to_owned(),
        SqlType::Timestamp(_, zone) => match zone.to_string().as_str() {
            "" | " WITHOUT TIME ZONE" | "WITHOUT TIME ZONE" => "timestamp".to_owned(),
            _ => "timestamptz".to_owned(),
        },
        SqlType::Time(..) => "time".to_owned(),
        SqlType::Custom(name, _) => last_name(name).unwrap_or_else(|| name.to_string().to_lowercase()),
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => type_name(item),
        other => other.to_string().to_lowercase(),
    }
}

fn last_name(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
