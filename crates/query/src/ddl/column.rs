//! The definition of a column, in `CREATE TABLE` and in `ALTER TABLE`.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use outcrop_engine::NewColumn;
use outcrop_types::{Condition, DataType, Error, Result, Value};

use crate::error::from_datafusion;
use crate::planning::{BindExpression, BoundExpressions};
use crate::session::{Work, one_row};
use crate::statement::{is_volatile, new_name};
use crate::types::{scalar_to_value, sql_data_type};

/// A column as SQL defines it.
#[derive(Debug)]
pub(super) struct ReadColumn {
    pub(super) column: NewColumn,
    /// Its DEFAULT.
    pub(super) default: Option<ast::Expr>,
    /// Whether it is said to be the primary key, and the name of that constraint, if it has one.
    pub(super) primary_key: Option<Option<ast::Ident>>,
}

/// Reads the definition of a column.
///
/// # Errors
/// Names, types and defaults that mean nothing; `FeatureNotSupported` for what columns do not have here.
pub(super) fn read_column(work: &Work, column: &ast::ColumnDef) -> Result<ReadColumn> {
    let name = new_name(&column.name)?;
    refuse_serial(&column.data_type, &name)?;
    let data_type = sql_data_type(&column.data_type)?;
    let (mut nullable, mut default, mut said_null, mut primary_key) = (true, None, false, None);
    for option in &column.options {
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused")]
        match &option.option {
            ast::ColumnOption::Null => said_null = true,
            ast::ColumnOption::NotNull => nullable = false,
            ast::ColumnOption::Default(expr) if default.is_some() => {
                return Err(Error::new(
                    Condition::SyntaxError,
                    format!("multiple default values specified for column \"{name}\", the second is {expr}"),
                ));
            }
            ast::ColumnOption::Default(expr) => default = Some(expr),
            ast::ColumnOption::PrimaryKey(_) if primary_key.is_none() => primary_key = Some(option.name.clone()),
            ast::ColumnOption::PrimaryKey(_) => {
                let message = "multiple primary keys for a table are not allowed";
                return Err(Error::new(Condition::InvalidTableDefinition, message));
            }
            ast::ColumnOption::Collation(collation) if is_bytewise(collation) => {}
            ast::ColumnOption::Collation(collation) => {
                return Err(unsupported(format!("collation {collation} is not supported"))
                    .with_hint("Text is compared bytewise, which is collation \"C\"."));
            }
            other => return Err(unsupported_option(other)),
        }
    }
    if said_null && !nullable {
        return Err(Error::new(
            Condition::SyntaxError,
            format!("conflicting NULL/NOT NULL declarations for column \"{name}\""),
        ));
    }
    let write_default = default.map(|expr| check_default(work, expr, &data_type)).transpose()?;
    let column = NewColumn { name, data_type, nullable, write_default, initial_default: Value::Null };
    Ok(ReadColumn { column, default: default.cloned(), primary_key })
}

/// The text of a DEFAULT that evaluates to the column's type from nothing.
///
/// # Errors
/// `FeatureNotSupported` for one that names a column; `DatatypeMismatch`, and whatever a constant that does not fit says.
pub(super) fn check_default(work: &Work, expr: &ast::Expr, data_type: &DataType) -> Result<String> {
    let bound = bind_default(work, expr, data_type)?;
    // A constant that does not fit the column never will.
    if matches!(expr, ast::Expr::Value(_)) {
        bound.evaluate(&one_row()?)?;
    }
    Ok(expr.to_string())
}

/// What rows that are there hold in a column that is added with this DEFAULT: it is evaluated once. `None` for a DEFAULT that
/// is another for each row.
///
/// # Errors
/// Those of the evaluation; `FeatureNotSupported` for a number that cannot be kept in the catalog.
pub(super) fn initial_default(work: &Work, expr: &ast::Expr, data_type: &DataType) -> Result<Option<Value>> {
    if is_volatile(expr) {
        return Ok(None);
    }
    let arrays = bind_default(work, expr, data_type)?.evaluate(&one_row()?)?;
    let array = arrays.first().ok_or_else(|| Error::internal("a DEFAULT without value"))?;
    let scalar = ScalarValue::try_from_array(array, 0).map_err(from_datafusion)?;
    let value = scalar_to_value(&scalar, data_type);
    value.map(Some).ok_or_else(|| {
        unsupported(format!("the default {expr} has too many digits for rows that are there"))
            .with_hint("Add the column without DEFAULT, fill it with UPDATE, and then SET DEFAULT.")
    })
}

fn bind_default(work: &Work, expr: &ast::Expr, data_type: &DataType) -> Result<BoundExpressions> {
    let bind = BindExpression { expr: expr.clone(), target: Some(data_type.clone()) };
    work.context()?.bind(&[bind], &[], &[]).map_err(|error| {
        if error.condition() == Condition::UndefinedColumn {
            return unsupported("cannot use column reference in DEFAULT expression");
        }
        error
    })
}

fn refuse_serial(data_type: &ast::DataType, column: &str) -> Result<()> {
    let name = data_type.to_string().to_lowercase();
    if matches!(name.as_str(), "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8") {
        return Err(unsupported(format!("type {name} of column \"{column}\" is not supported"))
            .with_hint("Use uuid DEFAULT gen_random_uuid(), or numbers that the application gives."));
    }
    Ok(())
}

fn unsupported_option(option: &ast::ColumnOption) -> Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is named by its own text")]
    match option {
        ast::ColumnOption::Unique(_) => unsupported("UNIQUE constraints are not supported")
            .with_hint("Make the column the primary key, if it identifies the row."),
        ast::ColumnOption::ForeignKey(_) => {
            unsupported("foreign keys are not supported").with_hint("Leave REFERENCES out; joins need no declaration.")
        }
        ast::ColumnOption::Check(_) => {
            unsupported("CHECK constraints are not supported").with_hint("Check the values before they are written.")
        }
        ast::ColumnOption::Generated { .. } | ast::ColumnOption::Identity(_) => {
            unsupported("generated columns are not supported")
                .with_hint("Use a DEFAULT, or compute the value in the query.")
        }
        other => unsupported(format!("column option {other} is not supported")),
    }
}

fn is_bytewise(collation: &ast::ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
    matches!(name.as_deref(), Some("c" | "posix" | "default" | "ucs_basic"))
}

/// 0A000.
pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Condition::FeatureNotSupported, message)
}
