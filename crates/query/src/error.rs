//! Errors of DataFusion and Arrow as ours. Our own errors travel through both unharmed.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;
use outcrop_types::{Condition, Error};

/// Wraps our error for DataFusion.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Wraps our error for Arrow.
pub(crate) fn to_arrow(error: Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// What the user sees of a DataFusion error.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => from_boxed(inner),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => {
            errors.into_iter().next().map_or_else(|| Error::internal("an error without content"), from_datafusion)
        }
        DataFusionError::Shared(inner) => from_shared(&inner),
        DataFusionError::SQL(inner, _) => from_parser(&inner),
        DataFusionError::SchemaError(inner, _) => from_schema(&inner),
        DataFusionError::Plan(message) => from_plan(&message),
        DataFusionError::NotImplemented(message) => Error::new(Condition::FeatureNotSupported, lower_first(&message)),
        DataFusionError::ResourcesExhausted(message) => out_of_memory(&message),
        DataFusionError::Execution(message) => from_execution(&message),
        DataFusionError::ExecutionJoin(join) if join.is_cancelled() => cancelled(),
        DataFusionError::ExecutionJoin(join) => Error::internal(format!("a query task failed: {join}")),
        DataFusionError::IoError(io) => {
            Error::new(Condition::IoError, "reading or writing a spill file failed").with_detail(format!("{io}."))
        }
        DataFusionError::Configuration(message) => Error::new(Condition::InvalidParameterValue, lower_first(&message)),
        other => unclassified(&other.strip_backtrace()),
    }
}

/// What the user sees of an Arrow error.
pub(crate) fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_boxed(inner),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(_) => Error::new(Condition::NumericValueOutOfRange, "value out of range"),
        ArrowError::CastError(message) => from_cast(&message),
        ArrowError::ParseError(message) => Error::new(Condition::InvalidDatetimeFormat, lower_first(&message)),
        ArrowError::ComputeError(message) => from_execution(&message),
        ArrowError::MemoryError(message) => out_of_memory(&message),
        ArrowError::InvalidArgumentError(message) => from_execution(&message),
        other => Error::internal(lower_first(&other.to_string())),
    }
}

/// 57014.
pub(crate) fn cancelled() -> Error {
    Error::new(Condition::QueryCanceled, "canceling statement due to user request")
}

/// 22012.
pub(crate) fn division_by_zero() -> Error {
    Error::new(Condition::DivisionByZero, "division by zero")
}

/// The same error again, for a second receiver.
pub(crate) fn duplicate(error: &Error) -> Error {
    let mut copy = Error::new(error.condition(), error.message());
    if let Some(detail) = error.detail() {
        copy = copy.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    if let Some(position) = error.position() {
        copy = copy.with_position(position);
    }
    if let Some(constraint) = error.constraint() {
        copy = copy.with_constraint(constraint.clone());
    }
    copy
}

fn from_boxed(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(other) => other,
    };
    let error = match error.downcast::<DataFusionError>() {
        Ok(inner) => return from_datafusion(*inner),
        Err(other) => other,
    };
    match error.downcast::<ArrowError>() {
        Ok(inner) => from_arrow(*inner),
        Err(other) => unclassified(&other.to_string()),
    }
}

/// Errors without a kind; some are the user's.
fn unclassified(message: &str) -> Error {
    if message.contains("regex parse error") {
        let what = message.lines().last().unwrap_or(message).trim_start_matches("error: ");
        return Error::new(Condition::InvalidRegularExpression, format!("invalid regular expression: {what}"));
    }
    Error::internal(lower_first(message))
}

/// A shared error cannot be taken apart; it is read instead.
fn from_shared(error: &DataFusionError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return duplicate(ours);
        }
        if let Some(arrow) = error.downcast_ref::<ArrowError>() {
            match arrow {
                ArrowError::DivideByZero => return division_by_zero(),
                ArrowError::ArithmeticOverflow(_) => {
                    return Error::new(Condition::NumericValueOutOfRange, "value out of range");
                }
                ArrowError::CastError(message) => return from_cast(message),
                ArrowError::ExternalError(inner) => {
                    if let Some(ours) = inner.downcast_ref::<Error>() {
                        return duplicate(ours);
                    }
                }
                _ => {}
            }
        }
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
            && let Some(ours) = inner.downcast_ref::<Error>()
        {
            return duplicate(ours);
        }
        cause = error.source();
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(message) => out_of_memory(message),
        DataFusionError::Execution(message) => from_execution(message),
        DataFusionError::Plan(message) => from_plan(message),
        other => Error::internal(lower_first(&other.strip_backtrace())),
    }
}

fn from_parser(error: &ParserError) -> Error {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Error::new(Condition::StatementTooComplex, "the statement is nested too deeply");
        }
    };
    Error::new(Condition::SyntaxError, lower_first(message))
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            if let Some(relation) = &field.relation
                && !valid_fields
                    .iter()
                    .any(|valid| valid.relation.as_ref().is_some_and(|known| known.table() == relation.table()))
            {
                return Error::new(
                    Condition::UndefinedTable,
                    format!("missing FROM-clause entry for table \"{}\"", relation.table()),
                );
            }
            let name = match &field.relation {
                Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name),
                None => format!("column \"{}\" does not exist", field.name),
            };
            Error::new(Condition::UndefinedColumn, name)
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(Condition::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(Condition::DuplicateColumn, format!("column \"{name}\" specified more than once"))
        }
    }
}

/// DataFusion's planning errors carry their kind only in their words.
fn from_plan(message: &str) -> Error {
    let first = message.lines().next().unwrap_or(message);
    if let Some(rest) = first.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        return Error::new(Condition::UndefinedFunction, format!("function {name} does not exist"));
    }
    if first.contains("must appear in the GROUP BY")
        && let Some(column) = first.split("column \"").nth(1).and_then(|rest| rest.split('"').next())
    {
        return Error::new(
            Condition::GroupingError,
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"),
        );
    }
    if first.contains("non-boolean predicate") {
        return Error::new(Condition::DatatypeMismatch, "argument of WHERE must be type boolean");
    }
    if first.contains("function calls cannot be nested") {
        return Error::new(Condition::GroupingError, "aggregate function calls cannot be nested");
    }
    if first.contains("not allowed in the WHERE") {
        return Error::new(Condition::GroupingError, "aggregate functions are not allowed in WHERE")
            .with_hint("Use HAVING to judge groups.");
    }
    if first.starts_with("LIMIT must be >= 0") {
        return Error::new(Condition::InvalidRowCountInLimitClause, "LIMIT must not be negative");
    }
    if first.starts_with("OFFSET must be >= 0") || first.starts_with("OFFSET must be >=0") {
        return Error::new(Condition::InvalidRowCountInOffsetClause, "OFFSET must not be negative");
    }
    let condition = if first.contains("must appear in the GROUP BY") || first.contains("must be in GROUP BY") {
        Condition::GroupingError
    } else if first.contains("No function matches")
        || first.contains("does not support zero arguments")
        || first.contains("function requires")
        || first.contains("expects")
        || first.contains("Failed to coerce arguments")
        || first.contains("Cannot coerce arithmetic")
        || first.contains("Cannot infer common argument type")
        || first.contains("common type")
    {
        Condition::UndefinedFunction
    } else if first.contains("same number of columns") || first.contains("must have the same number") {
        Condition::SyntaxError
    } else if first.contains("unique expression names") {
        Condition::DuplicateColumn
    } else if first.contains("type") {
        Condition::DatatypeMismatch
    } else {
        Condition::SyntaxError
    };
    Error::new(condition, lower_first(first))
}

fn from_execution(message: &str) -> Error {
    if message.contains("regex parse error") {
        return unclassified(message);
    }
    let condition = if message.contains("Overflow") || message.contains("overflow") || message.contains("too large") {
        Condition::NumericValueOutOfRange
    } else if message.contains("regular expression") || message.contains("Regular expression") {
        Condition::InvalidRegularExpression
    } else if message.contains("ScalarSubquery") || message.contains("more than one row") {
        return Error::new(
            Condition::CardinalityViolation,
            "more than one row returned by a subquery used as an expression",
        );
    } else if message.contains("divide by zero") || message.contains("Divide by zero") {
        return division_by_zero();
    } else {
        Condition::DataException
    };
    Error::new(condition, lower_first(message.lines().next().unwrap_or(message)))
}

/// Arrow names Arrow's types; users know PostgreSQL's.
fn from_cast(message: &str) -> Error {
    if let Some((text, arrow)) = message
        .strip_prefix("Cannot cast string '")
        .and_then(|rest| rest.split_once("' to value of "))
        .map(|(text, rest)| (text, rest.trim_end_matches(" type")))
    {
        let name = match arrow {
            "Boolean" => "boolean",
            "Int16" => "smallint",
            "Int32" => "integer",
            "Int64" => "bigint",
            "Float32" => "real",
            "Float64" => "double precision",
            other if other.starts_with("Decimal") => "numeric",
            other => other,
        };
        return Error::new(
            Condition::InvalidTextRepresentation,
            format!("invalid input syntax for type {name}: \"{text}\""),
        );
    }
    if message.contains("Can't cast value") || message.contains("too large") || message.contains("overflow") {
        return Error::new(Condition::NumericValueOutOfRange, "value out of range").with_detail(format!("{message}."));
    }
    Error::new(Condition::CannotCoerce, lower_first(message))
}

fn out_of_memory(message: &str) -> Error {
    Error::new(Condition::OutOfMemory, "out of memory for this query")
        .with_detail(format!("{}.", message.lines().next().unwrap_or(message).trim_end_matches('.')))
        .with_hint("Raise the memory limit of queries, or let the query keep fewer rows at once.")
}

fn lower_first(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
