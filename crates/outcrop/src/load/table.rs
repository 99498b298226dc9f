//! The table on the server: its name, what it has, and the statements that make and fill it.

use anyhow::{Context as _, Result, bail};
use outcrop_types::DataType;
use tokio_postgres::{Client, Row};

use crate::client::{describe, quote_name};

/// A table's name, as `--table` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// Parses `table` or `schema.table`; as in SQL, quotes keep capital letters and dots.
    ///
    /// # Errors
    /// If it is none of these.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parts = vec![String::new()];
        let mut is_quoted = false;
        for c in text.chars() {
            match (c, parts.last_mut()) {
                ('"', _) => is_quoted = !is_quoted,
                ('.', _) if !is_quoted => parts.push(String::new()),
                (c, Some(part)) if is_quoted => part.push(c),
                (c, Some(part)) => part.extend(c.to_lowercase()),
                (_, None) => {}
            }
        }
        let is_complete = !is_quoted && parts.iter().all(|part| !part.is_empty());
        match <[String; 2]>::try_from(parts) {
            Ok([schema, table]) if is_complete => Ok(Self { schema: Some(schema), table }),
            Err(parts) if is_complete && parts.len() == 1 => Ok(Self { schema: None, table: parts.concat() }),
            Ok(_) | Err(_) => bail!("\"{text}\" is not the name of a table, such as flights or commons.flights"),
        }
    }

    /// As SQL wants it.
    pub(super) fn sql(&self) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{}.", quote_name(schema)));
        format!("{}{}", schema.unwrap_or_default(), quote_name(&self.table))
    }
}

/// A table that exists.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<TableColumn>,
    /// Names of the key's columns in its order.
    pub(super) key: Vec<String>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// `None` for a type that this program does not know.
    pub(super) data_type: Option<DataType>,
    pub(super) is_nullable: bool,
    pub(super) has_default: bool,
}

impl Table {
    /// Looks the table up.
    pub(super) async fn find(client: &Client, name: &TableName) -> Result<Option<Self>> {
        let place = client.query_opt(PLACE, &[&name.sql()]).await.context("look the table up")?;
        let Some(place) = place else { return Ok(None) };
        let (schema, table): (String, String) = (place.try_get(0)?, place.try_get(1)?);
        let columns = client.query(COLUMNS, &[&schema, &table]).await.context("look the table's columns up")?;
        let key = client.query(KEY, &[&schema, &table]).await.context("look the table's key up")?;
        Ok(Some(Self {
            columns: columns.iter().map(TableColumn::of).collect::<Result<_>>()?,
            key: key.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        }))
    }

    /// Creates it.
    pub(super) async fn create(&self, client: &Client, name: &TableName) -> Result<()> {
        let mut parts: Vec<String> = Vec::new();
        for column in &self.columns {
            let data_type = column.data_type.as_ref().map(ToString::to_string).unwrap_or_default();
            let not_null = if column.is_nullable { "" } else { " NOT NULL" };
            parts.push(format!("{} {data_type}{not_null}", quote_name(&column.name)));
        }
        if !self.key.is_empty() {
            let key: Vec<String> = self.key.iter().map(|column| quote_name(column)).collect();
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        let sql = format!("CREATE TABLE {} ({})", name.sql(), parts.join(", "));
        let created = client.batch_execute(&sql).await;
        created.map_err(|error| anyhow::anyhow!("{}", describe(&error, &sql))).context("create the table")
    }
}

impl TableColumn {
    fn of(row: &Row) -> Result<Self> {
        let length: Option<i32> = row.try_get("character_maximum_length")?;
        let precision: Option<i32> = row.try_get("numeric_precision")?;
        let scale: Option<i32> = row.try_get("numeric_scale")?;
        let default: Option<String> = row.try_get("column_default")?;
        let nullable: String = row.try_get("is_nullable")?;
        Ok(Self {
            name: row.try_get("column_name")?,
            data_type: data_type(row.try_get("udt_name")?, length, precision, scale),
            is_nullable: nullable != "NO",
            has_default: default.is_some(),
        })
    }
}

/// By the name that the server has for it inside.
fn data_type(name: &str, length: Option<i32>, precision: Option<i32>, scale: Option<i32>) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Bool,
        "int2" => DataType::Int2,
        "int4" => DataType::Int4,
        "int8" => DataType::Int8,
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "numeric" => match (precision.map(u8::try_from), scale.map(i8::try_from)) {
            (Some(Ok(precision)), Some(Ok(scale))) => DataType::Numeric { precision, scale },
            _ => return None,
        },
        "text" => DataType::Text,
        "varchar" => DataType::Varchar { length: u32::try_from(length?).ok()? },
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "time" => DataType::Time,
        "timestamp" => DataType::Timestamp,
        "timestamptz" => DataType::TimestampTz,
        "uuid" => DataType::Uuid,
        "jsonb" => DataType::Jsonb,
        array => DataType::Array(Box::new(data_type(array.strip_prefix('_')?, length, precision, scale)?)),
    })
}

/// Where the server finds a table of this name.
const PLACE: &str = "SELECT n.nspname::text, c.relname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass($1::text)";
const COLUMNS: &str = "SELECT column_name::text, udt_name::text, is_nullable::text, column_default::text,
           character_maximum_length::int, numeric_precision::int, numeric_scale::int
    FROM information_schema.columns WHERE table_schema = $1::text AND table_name = $2::text ORDER BY ordinal_position";
const KEY: &str = "SELECT column_name::text FROM information_schema.key_column_usage
    WHERE table_schema = $1::text AND table_name = $2::text ORDER BY ordinal_position";
