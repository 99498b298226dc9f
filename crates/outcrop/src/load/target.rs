//! The table that rows go into: as it is, or as it will be created.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow, bail};
use outcrop_ingest::binary::oid;
use outcrop_types::DataType;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::client::{describe, quote_name};
use crate::sql::table_name;

/// A column of the table that the file has values for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name in the table.
    pub(super) name: String,
    /// Its type; of an existing table without the parameters of numeric and varchar.
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
    /// Whether its values can be checked here. What cannot is left to the server.
    pub(super) is_checked: bool,
}

/// The table and what the file's columns are there, in the file's order.
#[derive(Clone, Debug)]
pub(super) struct Target {
    schema: Option<String>,
    table: String,
    pub(super) columns: Vec<Column>,
    pub(super) is_new: bool,
    key: Vec<String>,
}

impl Target {
    /// Looks for the table and matches the file's columns with its own, by name.
    pub(super) async fn find(client: &Client, name: &str, file_columns: &[String]) -> Result<Option<Self>> {
        let (schema, table) = table_name(name);
        let target = Self { schema, table, columns: Vec::new(), is_new: false, key: Vec::new() };
        let sql = format!("SELECT * FROM {} LIMIT 0", target.name());
        let statement = match client.prepare(&sql).await {
            Ok(statement) => statement,
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
            Err(error) => return Err(anyhow!(describe(&error, &sql))).with_context(|| format!("look at table {name}")),
        };
        let not_null = not_null_columns(client, &target).await?;
        let table_columns: Vec<Column> = statement
            .columns()
            .iter()
            .map(|column| {
                let known = oid::data_type(column.type_().oid());
                let is_checked = known.as_ref().is_some_and(|known| !has_parameters(known));
                Column {
                    name: column.name().to_owned(),
                    data_type: known.unwrap_or(DataType::Text),
                    nullable: !not_null.iter().any(|name| name == column.name()),
                    is_checked,
                }
            })
            .collect();
        let columns = file_columns.iter().map(|name| matching(&table_columns, name).cloned()).collect::<Result<_>>()?;
        Ok(Some(Self { columns, ..target }))
    }

    /// A table to be created.
    pub(super) fn new(name: &str, file_columns: &[String], types: &[DataType], key: &[String]) -> Result<Self> {
        let (schema, table) = table_name(name);
        for wanted in key {
            if !file_columns.contains(wanted) {
                bail!("the file has no column \"{wanted}\" for the key");
            }
        }
        let columns = file_columns.iter().zip(types).map(|(name, data_type)| Column {
            name: name.clone(),
            data_type: data_type.clone(),
            nullable: !key.contains(name),
            is_checked: true,
        });
        Ok(Self { schema, table, columns: columns.collect(), is_new: true, key: key.to_vec() })
    }

    /// The name as SQL wants it.
    pub(super) fn name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote_name(schema), quote_name(&self.table)),
            None => quote_name(&self.table),
        }
    }

    /// The statement that makes the table.
    pub(super) fn create_statement(&self) -> String {
        let mut sql = format!("CREATE TABLE {} (", self.name());
        for (position, column) in self.columns.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            let not_null = if column.nullable { "" } else { " NOT NULL" };
            // Writing to a string cannot fail.
            write!(sql, "{comma}\n  {} {}{not_null}", quote_name(&column.name), column.data_type).unwrap_or_default();
        }
        if !self.key.is_empty() {
            let key: Vec<String> = self.key.iter().map(|name| quote_name(name)).collect();
            write!(sql, ",\n  PRIMARY KEY ({})", key.join(", ")).unwrap_or_default();
        }
        sql.push_str("\n)");
        sql
    }

    /// The statement that loads a batch.
    pub(super) fn copy_statement(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quote_name(&column.name)).collect();
        format!("COPY {} ({}) FROM STDIN", self.name(), columns.join(", "))
    }
}

/// Types whose parameters the description of a result does not tell exactly enough to judge values by them.
fn has_parameters(data_type: &DataType) -> bool {
    match data_type {
        DataType::Numeric { .. } | DataType::Varchar { .. } => true,
        DataType::Array(item) => has_parameters(item),
        DataType::Bool
        | DataType::Int2
        | DataType::Int4
        | DataType::Int8
        | DataType::Float4
        | DataType::Float8
        | DataType::Text
        | DataType::Bytea
        | DataType::Date
        | DataType::Time
        | DataType::Timestamp
        | DataType::TimestampTz
        | DataType::Uuid
        | DataType::Jsonb => false,
    }
}

/// The table's column for one of the file: of the same name, or the only one that differs in case.
fn matching<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column> {
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return Ok(column);
    }
    let mut alike = columns.iter().filter(|column| column.name.to_lowercase() == name.to_lowercase());
    match (alike.next(), alike.next()) {
        (Some(column), None) => Ok(column),
        _ => {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            bail!("the table has no column \"{name}\" as the file has; its columns are {}", known.join(", "))
        }
    }
}

async fn not_null_columns(client: &Client, target: &Target) -> Result<Vec<String>> {
    let sql = "SELECT column_name::text FROM information_schema.columns \
               WHERE table_schema = $1 AND table_name = $2 AND is_nullable = 'NO'";
    let schema = match target.schema.as_deref() {
        None | Some("public") => "commons",
        Some(schema) => schema,
    };
    let rows = client.query(sql, &[&schema, &target.table.as_str()]).await;
    let rows = rows.map_err(|error| anyhow!(describe(&error, sql))).context("look at the columns of the table")?;
    rows.iter().map(|row| row.try_get(0).context("look at the columns of the table")).collect()
}
