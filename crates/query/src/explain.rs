//! `EXPLAIN`: the plan as lines of text.

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Condition, DataType, Error, Result};

use crate::dml;
use crate::lookup::KeyLookup;
use crate::planning::ExplainOptions;
use crate::result::{Execution, ResultColumn, ResultType};
use crate::session::{Work, text_rows};
use crate::statement::hint_query;

/// The one column of an `EXPLAIN`.
pub(crate) fn columns() -> Vec<ResultColumn> {
    vec![ResultColumn::new("QUERY PLAN", ResultType::Data(DataType::Text))]
}

/// Checks the statement; answers the types of its parameters.
pub(crate) fn check(work: &Work, sql: &ast::Statement, types: &[Option<DataType>]) -> Result<Vec<DataType>> {
    let (inner, options) = read(sql)?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is refused")]
    match inner {
        ast::Statement::Query(query) => {
            let mut types = types.to_vec();
            hint_query(work.context()?, query, &mut types)?;
            Ok(work.context()?.plan_query(query, &types)?.parameters)
        }
        _ if options.analyze => Err(Error::new(
            Condition::FeatureNotSupported,
            "EXPLAIN ANALYZE of a statement that writes is not supported",
        )
        .with_hint("Use EXPLAIN without ANALYZE, or explain the query that it reads.")),
        ast::Statement::Insert(insert) => Ok(dml::describe_insert(work, insert, None, types)?.parameters),
        ast::Statement::Update(update) => Ok(dml::describe_update(work, update, types)?.parameters),
        ast::Statement::Delete(delete) => Ok(dml::describe_delete(work, delete, types)?.parameters),
        _ => Err(Error::new(Condition::FeatureNotSupported, "EXPLAIN works with SELECT, INSERT, UPDATE and DELETE")),
    }
}

/// Explains.
pub(crate) async fn run(work: &Work, sql: &ast::Statement) -> Result<Execution> {
    let (inner, options) = read(sql)?;
    let (head, planned) = match inner {
        ast::Statement::Query(query) => {
            let planned = work.context()?.plan_query(query, &work.types())?;
            let line = match KeyLookup::of_query(work, query, &planned) {
                Some(lookup) => lookup.explain(work, options.analyze).await?,
                None => None,
            };
            if line.is_some() { (line, None) } else { (None, Some(planned)) }
        }
        other => dml::explained(work, other)?,
    };
    let mut lines = Vec::new();
    let indent = if head.is_some() { "  " } else { "" };
    lines.extend(head);
    if let Some(planned) = planned {
        let plan = work.context()?.explain(&planned, &work.values(), options).await?;
        lines.extend(plan.into_iter().map(|line| format!("{indent}{line}")));
    }
    let rows: Vec<Vec<String>> = lines.into_iter().map(|line| vec![line]).collect();
    text_rows("EXPLAIN", &columns(), &rows)
}

fn read(sql: &ast::Statement) -> Result<(&ast::Statement, ExplainOptions)> {
    let ast::Statement::Explain { analyze, verbose, statement, format, options, .. } = sql else {
        return Err(Error::internal("EXPLAIN expected"));
    };
    let mut explain = ExplainOptions { analyze: *analyze, verbose: *verbose };
    let text = |format: &str| {
        if format.eq_ignore_ascii_case("text") {
            return Ok(());
        }
        Err(Error::new(Condition::FeatureNotSupported, format!("EXPLAIN format \"{format}\" is not supported"))
            .with_hint("Use FORMAT TEXT."))
    };
    if let Some(ast::AnalyzeFormatKind::Keyword(format) | ast::AnalyzeFormatKind::Assignment(format)) = format {
        text(&format.to_string())?;
    }
    for option in options.iter().flatten() {
        let name = option.name.value.to_lowercase();
        let value = option.arg.as_ref().map(|value| value.to_string().trim_matches('\'').to_lowercase());
        let on = value.as_deref().is_none_or(|value| crate::settings::parse_bool(value).unwrap_or(false));
        match name.as_str() {
            "analyze" => explain.analyze = on,
            "verbose" => explain.verbose = on,
            "format" => text(value.as_deref().unwrap_or_default())?,
            // What these would add or leave out is not in our plans.
            "costs" | "buffers" | "timing" | "summary" | "settings" | "wal" => {}
            _ => {
                return Err(Error::new(Condition::SyntaxError, format!("unrecognized EXPLAIN option \"{name}\"")));
            }
        }
    }
    Ok((statement, explain))
}
