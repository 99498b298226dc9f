//! Tables of `pg_catalog`: those that `psql`, drivers and BI tools ask.

use datafusion::arrow::array::RecordBatch;
use outcrop_types::{Result, TableSchema};

use super::empty_tables::empty_table;
use super::oid::{
    DATABASE, INFORMATION_SCHEMA, OUTCROP, OWNER, Objects, PG_CATALOG, PG_CLASS, column_number, constraint_oid,
    default_oid, index_oid, table_oid,
};
use super::pg_types::{TYPES, type_modifier, type_oid};
use super::rows::{Cell, Kind, Rows};
use crate::ddl::shown_options;
use crate::planning::SessionView;

/// The rows of a table; `None` if there is none of this name.
pub(super) fn table(name: &str, objects: &Objects, view: &SessionView) -> Result<Option<RecordBatch>> {
    Ok(Some(match name {
        "pg_am" => pg_am()?,
        "pg_attrdef" => pg_attrdef(objects)?,
        "pg_attribute" => pg_attribute(objects)?,
        "pg_class" => pg_class(objects)?,
        "pg_collation" => pg_collation()?,
        "pg_constraint" => pg_constraint(objects)?,
        "pg_database" => pg_database(view)?,
        "pg_description" => pg_description(objects)?,
        "pg_index" => pg_index(objects)?,
        "pg_namespace" => pg_namespace(objects)?,
        "pg_roles" | "pg_authid" => pg_roles(view)?,
        "pg_user" | "pg_shadow" => pg_user(view)?,
        "pg_settings" => pg_settings(view)?,
        "pg_stat_activity" => pg_stat_activity(view)?,
        "pg_tables" => pg_tables(objects, view)?,
        "pg_indexes" => pg_indexes(objects)?,
        "pg_type" => pg_type()?,
        other => return empty_table(other),
    }))
}

use Kind::{Bool, Char, Float4, Int2, Int2List, Int4, Name, Oid, OidList, Text, TextList, Timestamp};

fn pg_am() -> Result<RecordBatch> {
    let mut rows = Rows::new(&[("oid", Oid), ("amname", Name), ("amhandler", Oid), ("amtype", Char)]);
    rows.push([2.into(), "heap".into(), 3.into(), "t".into()])?;
    rows.push([403.into(), "btree".into(), 330.into(), "i".into()])?;
    rows.finish()
}

fn pg_namespace(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[("oid", Oid), ("nspname", Name), ("nspowner", Oid), ("nspacl", TextList)]);
    rows.push([PG_CATALOG.into(), "pg_catalog".into(), OWNER.into()])?;
    rows.push([INFORMATION_SCHEMA.into(), "information_schema".into(), OWNER.into()])?;
    rows.push([OUTCROP.into(), "outcrop".into(), OWNER.into()])?;
    for (oid, name) in objects.schemas() {
        rows.push([oid.into(), name.into(), OWNER.into()])?;
    }
    rows.finish()
}

fn pg_class(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("relname", Name),
        ("relnamespace", Oid),
        ("reltype", Oid),
        ("reloftype", Oid),
        ("relowner", Oid),
        ("relam", Oid),
        ("relfilenode", Oid),
        ("reltablespace", Oid),
        ("relpages", Int4),
        ("reltuples", Float4),
        ("relallvisible", Int4),
        ("reltoastrelid", Oid),
        ("relhasindex", Bool),
        ("relisshared", Bool),
        ("relpersistence", Char),
        ("relkind", Char),
        ("relnatts", Int2),
        ("relchecks", Int2),
        ("relhasrules", Bool),
        ("relhastriggers", Bool),
        ("relhassubclass", Bool),
        ("relrowsecurity", Bool),
        ("relforcerowsecurity", Bool),
        ("relispopulated", Bool),
        ("relreplident", Char),
        ("relispartition", Bool),
        ("relrewrite", Oid),
        ("relfrozenxid", Oid),
        ("relminmxid", Oid),
        ("relacl", TextList),
        ("reloptions", TextList),
        ("relpartbound", Text),
    ]);
    for table in objects.tables() {
        let schema = objects.schema_oid(&table.name.schema);
        let key = table.primary_key();
        let columns = i64::try_from(table.columns.len()).unwrap_or(i64::MAX);
        let mut row = class_row(table_oid(table), &table.name.table, schema, "r", columns, key.is_some());
        let options = shown_options(table);
        row.extend([Cell::Null, if options.is_empty() { Cell::Null } else { Cell::Texts(options) }]);
        rows.push(row)?;
        if let Some(key) = key {
            let columns = i64::try_from(key.columns.len()).unwrap_or(i64::MAX);
            rows.push(class_row(index_oid(table), &key.name, schema, "i", columns, false))?;
        }
    }
    rows.finish()
}

fn class_row(oid: i64, name: &str, schema: i64, kind: &str, columns: i64, has_index: bool) -> Vec<Cell> {
    let access_method = if kind == "i" { 403 } else { 2 };
    vec![
        oid.into(),
        name.into(),
        schema.into(),
        0.into(),
        0.into(),
        OWNER.into(),
        access_method.into(),
        oid.into(),
        0.into(),
        0.into(),
        Cell::Float(-1.0),
        0.into(),
        0.into(),
        has_index.into(),
        false.into(),
        "p".into(),
        kind.into(),
        columns.into(),
        0.into(),
        false.into(),
        false.into(),
        false.into(),
        false.into(),
        false.into(),
        true.into(),
        "d".into(),
        false.into(),
        0.into(),
        0.into(),
        0.into(),
    ]
}

fn pg_attribute(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("attrelid", Oid),
        ("attname", Name),
        ("atttypid", Oid),
        ("attstattarget", Int4),
        ("attlen", Int2),
        ("attnum", Int2),
        ("attndims", Int4),
        ("attcacheoff", Int4),
        ("atttypmod", Int4),
        ("attbyval", Bool),
        ("attstorage", Char),
        ("attalign", Char),
        ("attnotnull", Bool),
        ("atthasdef", Bool),
        ("atthasmissing", Bool),
        ("attidentity", Char),
        ("attgenerated", Char),
        ("attisdropped", Bool),
        ("attislocal", Bool),
        ("attinhcount", Int4),
        ("attcollation", Oid),
        ("attcompression", Char),
        ("attacl", TextList),
        ("attoptions", TextList),
        ("attfdwoptions", TextList),
    ]);
    for table in objects.tables() {
        for column in &table.columns {
            rows.push(attribute_row(table_oid(table), column_number(column), column))?;
        }
        for (position, id) in (1..).zip(table.primary_key().into_iter().flat_map(|key| &key.columns)) {
            if let Some(column) = table.column(*id) {
                rows.push(attribute_row(index_oid(table), position, column))?;
            }
        }
    }
    rows.finish()
}

fn attribute_row(relation: i64, position: i64, column: &outcrop_types::Column) -> Vec<Cell> {
    let oid = type_oid(&column.data_type);
    let length = TYPES.iter().find(|known| known.oid == oid).map_or(-1, |known| known.length);
    let dimensions = i64::from(matches!(column.data_type, outcrop_types::DataType::Array(_)));
    vec![
        relation.into(),
        column.name.as_str().into(),
        oid.into(),
        (-1).into(),
        length.into(),
        position.into(),
        dimensions.into(),
        (-1).into(),
        type_modifier(&column.data_type).into(),
        (length > 0).into(),
        if length > 0 { "p" } else { "x" }.into(),
        "i".into(),
        (!column.nullable).into(),
        column.write_default.is_some().into(),
        false.into(),
        "".into(),
        "".into(),
        false.into(),
        true.into(),
        0.into(),
        0.into(),
        "".into(),
    ]
}

fn pg_attrdef(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[("oid", Oid), ("adrelid", Oid), ("adnum", Int2), ("adbin", Text)]);
    for table in objects.tables() {
        for (position, column) in table.columns.iter().map(|column| (column_number(column), column)) {
            if let Some(default) = &column.write_default {
                rows.push([
                    default_oid(table, position).into(),
                    table_oid(table).into(),
                    position.into(),
                    default.as_str().into(),
                ])?;
            }
        }
    }
    rows.finish()
}

fn key_positions(table: &TableSchema) -> Vec<i64> {
    let columns = table.primary_key().into_iter().flat_map(|key| &key.columns);
    columns.filter_map(|id| table.column(*id)).map(column_number).collect()
}

fn pg_index(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("indexrelid", Oid),
        ("indrelid", Oid),
        ("indnatts", Int2),
        ("indnkeyatts", Int2),
        ("indisunique", Bool),
        ("indnullsnotdistinct", Bool),
        ("indisprimary", Bool),
        ("indisexclusion", Bool),
        ("indimmediate", Bool),
        ("indisclustered", Bool),
        ("indisvalid", Bool),
        ("indcheckxmin", Bool),
        ("indisready", Bool),
        ("indislive", Bool),
        ("indisreplident", Bool),
        ("indkey", Int2List),
        ("indcollation", OidList),
        ("indclass", OidList),
        ("indoption", Int2List),
        ("indexprs", Text),
        ("indpred", Text),
    ]);
    for table in objects.tables().filter(|table| table.primary_key().is_some()) {
        let positions = key_positions(table);
        let count = i64::try_from(positions.len()).unwrap_or(i64::MAX);
        let zeros = vec![0; positions.len()];
        rows.push([
            index_oid(table).into(),
            table_oid(table).into(),
            count.into(),
            count.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            true.into(),
            false.into(),
            Cell::Ints(positions),
            Cell::Ints(zeros.clone()),
            Cell::Ints(zeros.clone()),
            Cell::Ints(zeros),
        ])?;
    }
    rows.finish()
}

fn pg_constraint(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("conname", Name),
        ("connamespace", Oid),
        ("contype", Char),
        ("condeferrable", Bool),
        ("condeferred", Bool),
        ("convalidated", Bool),
        ("conrelid", Oid),
        ("contypid", Oid),
        ("conindid", Oid),
        ("conparentid", Oid),
        ("confrelid", Oid),
        ("confupdtype", Char),
        ("confdeltype", Char),
        ("confmatchtype", Char),
        ("conislocal", Bool),
        ("coninhcount", Int4),
        ("connoinherit", Bool),
        ("conkey", Int2List),
        ("confkey", Int2List),
        ("conbin", Text),
    ]);
    for table in objects.tables() {
        let Some(key) = table.primary_key() else {
            continue;
        };
        rows.push([
            constraint_oid(table).into(),
            key.name.as_str().into(),
            objects.schema_oid(&table.name.schema).into(),
            "p".into(),
            false.into(),
            false.into(),
            true.into(),
            table_oid(table).into(),
            0.into(),
            index_oid(table).into(),
            0.into(),
            0.into(),
            " ".into(),
            " ".into(),
            " ".into(),
            true.into(),
            0.into(),
            true.into(),
            Cell::Ints(key_positions(table)),
        ])?;
    }
    rows.finish()
}

fn pg_description(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[("objoid", Oid), ("classoid", Oid), ("objsubid", Int4), ("description", Text)]);
    for table in objects.tables() {
        let mut push =
            |number: i64, text: &str| rows.push([table_oid(table).into(), PG_CLASS.into(), number.into(), text.into()]);
        if let Some(text) = &table.comments.table {
            push(0, text)?;
        }
        for column in &table.columns {
            if let Some(text) = table.comments.columns.get(&column.id) {
                push(column_number(column), text)?;
            }
        }
    }
    rows.finish()
}

fn pg_type() -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("typname", Name),
        ("typnamespace", Oid),
        ("typowner", Oid),
        ("typlen", Int2),
        ("typbyval", Bool),
        ("typtype", Char),
        ("typcategory", Char),
        ("typispreferred", Bool),
        ("typisdefined", Bool),
        ("typdelim", Char),
        ("typrelid", Oid),
        ("typsubscript", Oid),
        ("typelem", Oid),
        ("typarray", Oid),
        ("typinput", Oid),
        ("typoutput", Oid),
        ("typreceive", Oid),
        ("typsend", Oid),
        ("typnotnull", Bool),
        ("typbasetype", Oid),
        ("typtypmod", Int4),
        ("typndims", Int4),
        ("typcollation", Oid),
        ("typdefault", Text),
        ("typacl", TextList),
    ]);
    for known in TYPES {
        rows.push(type_row(known.oid, known.name, known.length, known.category, 0, known.array))?;
        if known.array != 0 {
            rows.push(type_row(known.array, &format!("_{}", known.name), -1, "A", known.oid, 0))?;
        }
    }
    rows.finish()
}

fn type_row(oid: i64, name: &str, length: i64, category: &str, item: i64, array: i64) -> Vec<Cell> {
    vec![
        oid.into(),
        name.into(),
        PG_CATALOG.into(),
        OWNER.into(),
        length.into(),
        (length > 0 && length <= 8).into(),
        "b".into(),
        category.into(),
        false.into(),
        true.into(),
        ",".into(),
        0.into(),
        0.into(),
        item.into(),
        array.into(),
        0.into(),
        0.into(),
        0.into(),
        0.into(),
        false.into(),
        0.into(),
        (-1).into(),
        0.into(),
        0.into(),
    ]
}

fn pg_collation() -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("collname", Name),
        ("collnamespace", Oid),
        ("collowner", Oid),
        ("collprovider", Char),
        ("collisdeterministic", Bool),
        ("collencoding", Int4),
        ("collcollate", Text),
        ("collctype", Text),
        ("colliculocale", Text),
    ]);
    for (oid, name) in [(100, "default"), (950, "C"), (951, "POSIX")] {
        rows.push([
            oid.into(),
            name.into(),
            PG_CATALOG.into(),
            OWNER.into(),
            "c".into(),
            true.into(),
            (-1).into(),
            "C".into(),
            "C".into(),
        ])?;
    }
    rows.finish()
}

fn pg_database(view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("datname", Name),
        ("datdba", Oid),
        ("encoding", Int4),
        ("datlocprovider", Char),
        ("datistemplate", Bool),
        ("datallowconn", Bool),
        ("datconnlimit", Int4),
        ("dattablespace", Oid),
        ("datcollate", Text),
        ("datctype", Text),
        ("daticulocale", Text),
        ("datcollversion", Text),
        ("datacl", TextList),
    ]);
    rows.push([
        DATABASE.into(),
        view.database.as_str().into(),
        OWNER.into(),
        6.into(),
        "c".into(),
        false.into(),
        true.into(),
        (-1).into(),
        1663.into(),
        "C".into(),
        "C".into(),
    ])?;
    rows.finish()
}

fn pg_roles(view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("oid", Oid),
        ("rolname", Name),
        ("rolsuper", Bool),
        ("rolinherit", Bool),
        ("rolcreaterole", Bool),
        ("rolcreatedb", Bool),
        ("rolcanlogin", Bool),
        ("rolreplication", Bool),
        ("rolconnlimit", Int4),
        ("rolpassword", Text),
        ("rolvaliduntil", Timestamp),
        ("rolbypassrls", Bool),
        ("rolconfig", TextList),
    ]);
    rows.push([
        OWNER.into(),
        view.user.as_str().into(),
        true.into(),
        true.into(),
        true.into(),
        true.into(),
        true.into(),
        false.into(),
        (-1).into(),
        Cell::Null,
        Cell::Null,
        true.into(),
    ])?;
    rows.finish()
}

fn pg_user(view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("usename", Name),
        ("usesysid", Oid),
        ("usecreatedb", Bool),
        ("usesuper", Bool),
        ("userepl", Bool),
    ]);
    rows.push([view.user.as_str().into(), OWNER.into(), true.into(), true.into(), false.into()])?;
    rows.finish()
}

fn pg_settings(view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("name", Text),
        ("setting", Text),
        ("unit", Text),
        ("category", Text),
        ("short_desc", Text),
        ("context", Text),
        ("vartype", Text),
        ("source", Text),
    ]);
    let mut names: Vec<_> = view.settings.keys().collect();
    names.sort();
    for name in names {
        let value = view.setting(name).unwrap_or_default();
        rows.push([
            name.as_str().into(),
            value.as_str().into(),
            Cell::Null,
            "Session".into(),
            "".into(),
            "user".into(),
            "string".into(),
            "session".into(),
        ])?;
    }
    rows.finish()
}

fn pg_stat_activity(view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("datid", Oid),
        ("datname", Name),
        ("pid", Int4),
        ("usesysid", Oid),
        ("usename", Name),
        ("application_name", Text),
        ("client_addr", Text),
        ("backend_start", Timestamp),
        ("query_start", Timestamp),
        ("wait_event_type", Text),
        ("wait_event", Text),
        ("state", Text),
        ("query", Text),
        ("backend_type", Text),
    ]);
    rows.push([
        DATABASE.into(),
        view.database.as_str().into(),
        i64::from(view.process_id).into(),
        OWNER.into(),
        view.user.as_str().into(),
        view.application_name.as_str().into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        "active".into(),
        view.sql.to_string().into(),
        "client backend".into(),
    ])?;
    rows.finish()
}

fn pg_tables(objects: &Objects, view: &SessionView) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("schemaname", Name),
        ("tablename", Name),
        ("tableowner", Name),
        ("tablespace", Name),
        ("hasindexes", Bool),
        ("hasrules", Bool),
        ("hastriggers", Bool),
        ("rowsecurity", Bool),
    ]);
    for table in objects.tables() {
        rows.push([
            table.name.schema.as_str().into(),
            table.name.table.as_str().into(),
            view.user.as_str().into(),
            Cell::Null,
            table.primary_key().is_some().into(),
            false.into(),
            false.into(),
            false.into(),
        ])?;
    }
    rows.finish()
}

fn pg_indexes(objects: &Objects) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[
        ("schemaname", Name),
        ("tablename", Name),
        ("indexname", Name),
        ("tablespace", Name),
        ("indexdef", Text),
    ]);
    for table in objects.tables() {
        let Some(key) = table.primary_key() else {
            continue;
        };
        rows.push([
            table.name.schema.as_str().into(),
            table.name.table.as_str().into(),
            key.name.as_str().into(),
            Cell::Null,
            super::index_definition(table, key).into(),
        ])?;
    }
    rows.finish()
}
