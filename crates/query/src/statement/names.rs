//! Names of tables and columns as SQL writes them.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName};
use outcrop_engine::Catalog;
use outcrop_types::schema::{DEFAULT_SCHEMA, NAME_BYTES_MAX};
use outcrop_types::{Condition, Error, Result, TableName, TableSchema};

use crate::catalog::SYSTEM_SCHEMAS;

/// The name that an identifier means: unquoted ones are in lower case.
pub(crate) fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A name for something new.
pub(crate) fn new_name(ident: &Ident) -> Result<String> {
    let name = name_of(ident);
    if name.is_empty() {
        return Err(Error::new(Condition::SyntaxError, "zero-length delimited identifier at or near \"\"\"\""));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::new(
            Condition::NameTooLong,
            format!("name \"{name}\" is longer than {NAME_BYTES_MAX} bytes"),
        ));
    }
    Ok(name)
}

/// A table's name as written: the schema, if it is named, and the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrittenName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

impl WrittenName {
    /// Reads `table`, `schema.table` or `database.schema.table`.
    pub(crate) fn read(name: &ObjectName, database: &str) -> Result<Self> {
        let parts = name
            .0
            .iter()
            .map(|part| part.as_ident().map(name_of))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::new(Condition::SyntaxError, format!("improper relation name: {name}")))?;
        match parts.as_slice() {
            [table] => Ok(Self { schema: None, table: table.clone() }),
            [schema, table] => Ok(Self { schema: Some(schema_name(schema)), table: table.clone() }),
            [catalog, schema, table] if catalog == database => {
                Ok(Self { schema: Some(schema_name(schema)), table: table.clone() })
            }
            [_, _, _] => Err(Error::new(
                Condition::FeatureNotSupported,
                format!("cross-database references are not implemented: {name}"),
            )),
            _ => Err(Error::new(
                Condition::SyntaxError,
                format!("improper relation name (too many dotted names): {name}"),
            )),
        }
    }

    /// The table that the name means.
    pub(crate) fn find<'a>(&self, catalog: &'a Catalog, search_path: &[String]) -> Option<&'a Arc<TableSchema>> {
        match &self.schema {
            Some(schema) => catalog.table(&TableName::new(schema.as_str(), self.table.as_str())),
            None => search_path
                .iter()
                .find_map(|schema| catalog.table(&TableName::new(schema.as_str(), self.table.as_str()))),
        }
    }

    /// The table, or the error for a name that means none.
    pub(crate) fn resolve<'a>(&self, catalog: &'a Catalog, search_path: &[String]) -> Result<&'a Arc<TableSchema>> {
        self.refuse_system()?;
        self.find(catalog, search_path).ok_or_else(|| self.undefined())
    }

    /// 42501 for what is in a system schema.
    fn refuse_system(&self) -> Result<()> {
        match self.schema.as_deref().filter(|schema| SYSTEM_SCHEMAS.contains(schema)) {
            Some(schema) => Err(Error::new(
                Condition::InsufficientPrivilege,
                format!("permission denied: \"{schema}.{}\" is a system catalog", self.table),
            )),
            None => Ok(()),
        }
    }

    /// 42P01.
    pub(crate) fn undefined(&self) -> Error {
        Error::new(Condition::UndefinedTable, format!("relation \"{self}\" does not exist"))
    }

    /// Where a new table of this name goes: the schema named, or the first of the search path that exists.
    pub(crate) fn create_in(&self, catalog: &Catalog, search_path: &[String]) -> Result<TableName> {
        self.refuse_system()?;
        match &self.schema {
            Some(schema) if catalog.has_schema(schema) => Ok(TableName::new(schema.as_str(), self.table.as_str())),
            Some(schema) => Err(undefined_schema(schema)),
            None => {
                let schema = search_path.iter().find(|schema| catalog.has_schema(schema)).ok_or_else(|| {
                    Error::new(Condition::InvalidSchemaName, "no schema has been selected to create in")
                })?;
                Ok(TableName::new(schema.as_str(), self.table.as_str()))
            }
        }
    }
}

impl std::fmt::Display for WrittenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// 3F000.
pub(crate) fn undefined_schema(schema: &str) -> Error {
    Error::new(Condition::InvalidSchemaName, format!("schema \"{schema}\" does not exist"))
}

/// `public` is another name of the default schema.
pub(crate) fn schema_name(name: &str) -> String {
    if name == "public" { DEFAULT_SCHEMA } else { name }.to_owned()
}

/// The schemas of a `search_path` setting, in order.
pub(crate) fn search_path(setting: &str, user: &str) -> Vec<String> {
    setting
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| match item.strip_prefix('"').and_then(|item| item.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => item.to_lowercase(),
        })
        .map(|item| if item == "$user" { user.to_owned() } else { schema_name(&item) })
        .collect()
}

/// The number of `$n`, if the expression is just that.
pub(crate) fn parameter_number(expr: &Expr) -> Option<usize> {
    use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan};
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(text), .. }) => text.get(1..)?.parse().ok(),
        Expr::Nested(inner) => parameter_number(inner),
        _ => None,
    }
}
