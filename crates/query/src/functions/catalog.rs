//! Functions over the system catalogs: what `psql` calls when it describes things.

use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;
use outcrop_types::schema::DEFAULT_SCHEMA;
use outcrop_types::{Condition, DataType, Error, TableId, TableName};

use super::simple::{RowBody, RowFunction, integer_arg, text, text_arg, text_or_null};
use crate::catalog::{self, Objects};
use crate::context::SessionExtension;
use crate::types::catalog_field;

/// All of them.
pub(super) fn functions() -> Vec<RowFunction> {
    let mut functions = of_objects();
    functions.extend(of_definitions());
    functions.extend(of_rights_and_sizes());
    functions
}

fn of(name: &'static str, returns: &DataType, arguments: &[usize], body: RowBody) -> RowFunction {
    let field: FieldRef = Arc::new(returns.to_field("", true));
    RowFunction::any(name, arguments, field, Volatility::Stable, body)
}

fn oid_of(name: &'static str, type_name: &str, body: RowBody) -> RowFunction {
    let field = catalog_field(type_name, "").unwrap_or_else(|| DataType::Int8.to_field("", true));
    RowFunction::any(name, &[1], FieldRef::from(field), Volatility::Stable, body)
}

/// Names and numbers of objects.
fn of_objects() -> Vec<RowFunction> {
    vec![
        oid_of("to_regclass_oid", "regclass", |args, session| match text_arg(args, 0) {
            None => Ok(ScalarValue::Int64(None)),
            Some(name) => relation_oid(name, session)
                .map(|oid| ScalarValue::Int64(Some(oid)))
                .ok_or_else(|| Error::new(Condition::UndefinedTable, format!("relation \"{name}\" does not exist"))),
        }),
        oid_of("to_regclass", "regclass", |args, session| {
            Ok(ScalarValue::Int64(text_arg(args, 0).and_then(|name| relation_oid(name, session))))
        }),
        of("pg_regclass_name", &DataType::Text, &[1], |args, session| {
            Ok(text_or_null(integer_arg(args, 0).map(|oid| relation_name(oid, session))))
        }),
        oid_of("to_regtype_oid", "regtype", |args, _| match text_arg(args, 0) {
            None => Ok(ScalarValue::Int64(None)),
            Some(name) => catalog::type_of_name(name)
                .or_else(|| name.parse().ok())
                .map(|oid| ScalarValue::Int64(Some(oid)))
                .ok_or_else(|| Error::new(Condition::UndefinedObject, format!("type \"{name}\" does not exist"))),
        })
        .with_aliases(&["to_regtype"]),
        of("pg_regtype_name", &DataType::Text, &[1], |args, _| {
            Ok(text_or_null(integer_arg(args, 0).map(|oid| catalog::format_type(oid, None))))
        }),
        oid_of("to_regproc_oid", "regproc", |_, _| Ok(ScalarValue::Int64(Some(0)))),
        of("pg_regproc_name", &DataType::Text, &[1], |args, _| {
            Ok(text_or_null(integer_arg(args, 0).map(|oid| if oid == 0 { "-".to_owned() } else { oid.to_string() })))
        }),
        oid_of("to_regnamespace_oid", "regnamespace", |args, session| match text_arg(args, 0) {
            None => Ok(ScalarValue::Int64(None)),
            Some(name) => match objects(session).schema_oid(name) {
                0 => Err(Error::new(Condition::InvalidSchemaName, format!("schema \"{name}\" does not exist"))),
                oid => Ok(ScalarValue::Int64(Some(oid))),
            },
        }),
        of("pg_regnamespace_name", &DataType::Text, &[1], |args, session| {
            Ok(text_or_null(
                integer_arg(args, 0)
                    .map(|oid| catalog::schema_of_oid(&objects(session), oid).unwrap_or_else(|| oid.to_string())),
            ))
        }),
        oid_of("to_regrole_oid", "regrole", |_, _| Ok(ScalarValue::Int64(Some(10)))),
        of("pg_get_userbyid", &DataType::Text, &[1], |_, session| {
            Ok(text(session.map_or("", |session| session.view.user.as_str())))
        }),
        of("format_type", &DataType::Text, &[2], |args, _| {
            Ok(text_or_null(integer_arg(args, 0).map(|oid| catalog::format_type(oid, integer_arg(args, 1)))))
        }),
        of("pg_typeof", &DataType::Text, &[1], |args, _| {
            let name = args.first().map(|scalar| match scalar.data_type() {
                ArrowType::Interval(_) => "interval".to_owned(),
                ArrowType::Null => "unknown".to_owned(),
                arrow => match crate::types::data_type_of_arrow(&arrow) {
                    Some(DataType::Numeric { .. }) => "numeric".to_owned(),
                    Some(known) => known.to_string(),
                    None => arrow.to_string(),
                },
            });
            Ok(text_or_null(name))
        }),
        of("array_upper", &DataType::Int4, &[2], |args, _| {
            let items = args.first().and_then(|list| match list {
                ScalarValue::List(list) if list.is_valid(0) => i32::try_from(list.value(0).len()).ok(),
                _ => None,
            });
            Ok(ScalarValue::Int32(items.filter(|items| *items > 0 && integer_arg(args, 1) == Some(1))))
        }),
        of("array_lower", &DataType::Int4, &[2], |args, _| {
            let filled =
                matches!(args.first(), Some(ScalarValue::List(list)) if list.is_valid(0) && !list.value(0).is_empty());
            Ok(ScalarValue::Int32((filled && integer_arg(args, 1) == Some(1)).then_some(1)))
        }),
        oid_of("pg_partition_ancestors", "regclass", |args, _| Ok(ScalarValue::Int64(integer_arg(args, 0)))),
        of("quote_ident", &DataType::Text, &[1], |args, _| Ok(text_or_null(text_arg(args, 0).map(quoted_word)))),
        of("quote_literal", &DataType::Text, &[1], |args, _| {
            Ok(text_or_null(text_arg(args, 0).map(|text| format!("'{}'", text.replace('\'', "''")))))
        }),
    ]
}

/// Definitions and comments.
fn of_definitions() -> Vec<RowFunction> {
    let null_text: RowBody = |_, _| Ok(text_or_null(None));
    vec![
        of("pg_get_indexdef", &DataType::Text, &[1, 2, 3], |args, session| {
            let objects = objects(session);
            let Some((table, key)) = integer_arg(args, 0).and_then(|oid| objects.table_by_index(oid)) else {
                return Ok(text_or_null(None));
            };
            match integer_arg(args, 1) {
                None | Some(0) => Ok(text(catalog::index_definition(table, key))),
                Some(position) => {
                    let at = usize::try_from(position - 1).ok();
                    let column = at.and_then(|at| key.columns.get(at)).and_then(|id| table.column(*id));
                    Ok(text_or_null(column.map(|column| catalog::quoted(&column.name))))
                }
            }
        }),
        of("pg_get_constraintdef", &DataType::Text, &[1, 2], |args, session| {
            let objects = objects(session);
            let found = integer_arg(args, 0).and_then(|oid| objects.table_by_constraint(oid));
            Ok(text_or_null(found.map(|(table, key)| catalog::constraint_definition(table, key))))
        }),
        of("pg_get_expr", &DataType::Text, &[2, 3], |args, _| Ok(text_or_null(text_arg(args, 0).map(str::to_owned)))),
        of("obj_description", &DataType::Text, &[1, 2], |args, session| {
            let of_class = text_arg(args, 1).is_none_or(|class| class == "pg_class");
            let objects = objects(session);
            let table = integer_arg(args, 0).filter(|_| of_class).and_then(|oid| objects.table_by_oid(oid));
            Ok(text_or_null(table.and_then(|table| table.comments.table.clone())))
        }),
        of("col_description", &DataType::Text, &[2], |args, session| {
            let objects = objects(session);
            let table = integer_arg(args, 0).and_then(|oid| objects.table_by_oid(oid));
            let number = integer_arg(args, 1);
            let text = table.and_then(|table| {
                let column = table.columns.iter().find(|column| Some(catalog::column_number(column)) == number)?;
                table.comments.columns.get(&column.id).cloned()
            });
            Ok(text_or_null(text))
        }),
        of("shobj_description", &DataType::Text, &[2], null_text),
        of("pg_get_viewdef", &DataType::Text, &[1, 2], null_text),
        of("pg_get_ruledef", &DataType::Text, &[1, 2], null_text),
        of("pg_get_triggerdef", &DataType::Text, &[1, 2], null_text),
        of("pg_get_functiondef", &DataType::Text, &[1], null_text),
        of("pg_get_function_result", &DataType::Text, &[1], null_text),
        of("pg_get_function_arguments", &DataType::Text, &[1], null_text),
        of("pg_get_function_identity_arguments", &DataType::Text, &[1], null_text),
        of("pg_get_partkeydef", &DataType::Text, &[1], null_text),
        of("pg_get_statisticsobjdef_columns", &DataType::Text, &[1], null_text),
        of("pg_get_serial_sequence", &DataType::Text, &[2], null_text),
        of("pg_tablespace_location", &DataType::Text, &[1], null_text),
        of("pg_encoding_to_char", &DataType::Text, &[1], |_, _| Ok(text("UTF8"))),
    ]
}

/// Visibility, rights and sizes.
fn of_rights_and_sizes() -> Vec<RowFunction> {
    let always: RowBody = |_, _| Ok(ScalarValue::Boolean(Some(true)));
    let zero: RowBody = |_, _| Ok(ScalarValue::Int64(Some(0)));
    let mut functions = vec![
        of("pg_table_is_visible", &DataType::Bool, &[1], |args, session| {
            Ok(ScalarValue::Boolean(integer_arg(args, 0).map(|oid| is_visible(oid, session))))
        }),
        of("pg_relation_is_publishable", &DataType::Bool, &[1], |_, _| Ok(ScalarValue::Boolean(Some(false)))),
        of("pg_is_other_temp_schema", &DataType::Bool, &[1], |_, _| Ok(ScalarValue::Boolean(Some(false)))),
        of("pg_size_pretty", &DataType::Text, &[1], |args, _| Ok(text_or_null(integer_arg(args, 0).map(size_pretty)))),
        of("pg_relation_size", &DataType::Int8, &[1, 2], zero),
        of("pg_total_relation_size", &DataType::Int8, &[1], zero),
        of("pg_table_size", &DataType::Int8, &[1], zero),
        of("pg_indexes_size", &DataType::Int8, &[1], zero),
        of("pg_database_size", &DataType::Int8, &[1], zero),
    ];
    for name in [
        "pg_type_is_visible",
        "pg_function_is_visible",
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_collation_is_visible",
        "pg_statistics_obj_is_visible",
    ] {
        functions.push(of(name, &DataType::Bool, &[1], always));
    }
    for name in [
        "has_schema_privilege",
        "has_table_privilege",
        "has_database_privilege",
        "has_column_privilege",
        "has_function_privilege",
        "has_any_column_privilege",
        "pg_has_role",
    ] {
        functions.push(of(name, &DataType::Bool, &[2, 3, 4], always));
    }
    functions
}

fn objects(session: Option<&SessionExtension>) -> Objects {
    Objects::new(session.and_then(|session| session.snapshot.as_ref()))
}

/// A relation by name, with or without schema, or by its number in digits.
fn relation_oid(name: &str, session: Option<&SessionExtension>) -> Option<i64> {
    if let Ok(oid) = name.parse() {
        return Some(oid);
    }
    let parts: Vec<String> = name.split('.').map(unquoted).collect();
    let (schema, relation) = match parts.as_slice() {
        [relation] => (None, relation),
        [schema, relation] => (Some(if schema == "public" { DEFAULT_SCHEMA } else { schema.as_str() }), relation),
        _ => return None,
    };
    if schema.is_none_or(|schema| schema == "pg_catalog")
        && let Some((_, oid)) = SYSTEM_RELATIONS.iter().find(|(system, _)| system == relation)
    {
        return Some(*oid);
    }
    let session = session?;
    let objects = objects(Some(session));
    let path: Vec<&str> = match schema {
        Some(schema) => vec![schema],
        None if session.view.search_path.is_empty() => vec![DEFAULT_SCHEMA],
        None => session.view.search_path.iter().map(String::as_str).collect(),
    };
    path.iter().find_map(|schema| {
        let wanted = TableName::new(*schema, relation.as_str());
        let table = objects.tables().find(|table| table.name == wanted).map(catalog::table_oid);
        table.or_else(|| {
            let index = objects.tables().find(|table| {
                table.name.schema == *schema && table.primary_key().is_some_and(|key| key.name == *relation)
            });
            index.map(catalog::index_oid)
        })
    })
}

/// The table of this name, as [`relation_oid`] reads it.
///
/// # Errors
/// `UndefinedTable`.
pub(super) fn table_named(name: &str, session: Option<&SessionExtension>) -> outcrop_types::Result<TableId> {
    let oid = relation_oid(name, session);
    let objects = objects(session);
    let table = objects.tables().find(|table| Some(catalog::table_oid(table)) == oid).map(|table| table.id);
    table.ok_or_else(|| Error::new(Condition::UndefinedTable, format!("relation \"{name}\" does not exist")))
}

/// Numbers that clients write as `'pg_class'::regclass`.
const SYSTEM_RELATIONS: &[(&str, i64)] = &[
    ("pg_attrdef", 2604),
    ("pg_attribute", 1249),
    ("pg_class", 1259),
    ("pg_constraint", 2606),
    ("pg_database", 1262),
    ("pg_description", 2609),
    ("pg_index", 2610),
    ("pg_namespace", 2615),
    ("pg_proc", 1255),
    ("pg_trigger", 2620),
    ("pg_type", 1247),
];

fn unquoted(part: &str) -> String {
    match part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => part.to_lowercase(),
    }
}

fn relation_name(oid: i64, session: Option<&SessionExtension>) -> String {
    let objects = objects(session);
    let name = objects
        .table_by_oid(oid)
        .map(|table| (table.name.schema.clone(), table.name.table.clone()))
        .or_else(|| objects.table_by_index(oid).map(|(table, key)| (table.name.schema.clone(), key.name.clone())));
    match name {
        Some((schema, name)) if in_search_path(&schema, session) => catalog::quoted(&name),
        Some((schema, name)) => format!("{}.{}", catalog::quoted(&schema), catalog::quoted(&name)),
        None => SYSTEM_RELATIONS
            .iter()
            .find(|(_, known)| *known == oid)
            .map_or_else(|| if oid == 0 { "-".to_owned() } else { oid.to_string() }, |(name, _)| (*name).to_owned()),
    }
}

fn is_visible(oid: i64, session: Option<&SessionExtension>) -> bool {
    let objects = objects(session);
    let schema = objects
        .table_by_oid(oid)
        .or_else(|| objects.table_by_index(oid).map(|(table, _)| table))
        .map(|table| table.name.schema.clone());
    schema.is_none_or(|schema| in_search_path(&schema, session))
}

fn in_search_path(schema: &str, session: Option<&SessionExtension>) -> bool {
    let path = session.map_or(&[][..], |session| session.view.search_path.as_slice());
    if path.is_empty() {
        return schema == DEFAULT_SCHEMA;
    }
    path.iter().any(|entry| entry == schema || (entry == "public" && schema == DEFAULT_SCHEMA))
}

fn size_pretty(bytes: i64) -> String {
    let mut size = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if size.abs() < 10_240 || unit == "TB" {
            return format!("{size} {unit}");
        }
        size = (size + 512) / 1_024;
    }
    format!("{size} TB")
}

/// Words that are no names unless they are quoted, in PostgreSQL 15. Columns and types may have some of them, functions others.
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
    cast char character check coalesce collate collation column concurrently constraint create cross current_catalog \
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc \
    distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping \
    having ilike in initially inner inout int integer intersect interval into is isnull join lateral leading least left like \
    limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only or \
    order out outer overlaps overlay placing position precision primary real references returning right row select \
    session_user setof similar smallint some substring symmetric table tablesample then time timestamp to trailing treat \
    trim true union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat \
    xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

fn quoted_word(name: &str) -> String {
    if !name.is_empty() && RESERVED.split_ascii_whitespace().any(|word| word == name) {
        return format!("\"{name}\"");
    }
    catalog::quoted(name)
}
