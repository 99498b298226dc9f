//! From text to statements, with positions in errors.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError};
use outcrop_types::{Condition, Error, Result};

use crate::copy::parse_copy;
use crate::literal::{LiteralInsert, Scanned, scan};
use crate::settings::parse_setting_command;
use crate::statement::{Body, Statement};

use super::cluster_by::cluster_by_as_option;
use super::shape::{NESTING_MAX, depth_bound, flatten, too_complex};

/// Longest text of a Query or Parse message, in bytes.
const STATEMENT_BYTES_MAX: usize = 16 << 20;
/// Most `$n` of a statement: the protocol counts them with 16 bits.
const PARAMETERS_MAX: u16 = u16::MAX;
/// Stack for each operator of a chain: the parser builds chains in a loop, but they are taken apart by recursion.
const STACK_PER_LEVEL: usize = 1 << 10;
/// Stack for everything else.
const STACK_MIN: usize = 4 << 20;
/// What may stand around a literal INSERT.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
const SPACE_OR_END: [char; 5] = [' ', '\t', '\n', '\r', ';'];

/// Splits and parses. Empty statements are left out.
pub(crate) fn parse_statements(sql: &str) -> Result<Vec<Statement>> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(Error::new(
            Condition::ProgramLimitExceeded,
            format!("statement text of {} bytes is longer than {STATEMENT_BYTES_MAX}", sql.len()),
        ));
    }
    if let Some(place) = sql.find('\0') {
        return Err(Error::new(
            Condition::CharacterNotInRepertoire,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        )
        .with_position(characters(sql.get(..place).unwrap_or_default())));
    }
    let source: Arc<str> = sql.into();
    match parse_literal(&source) {
        Some(statement) => Ok(vec![statement]),
        None => parse_all(&source),
    }
}

/// The statement of a message that is one alone, with a syntax tree of all of it.
pub(crate) fn parse_whole(source: &Arc<str>) -> Result<Statement> {
    match <[Statement; 1]>::try_from(parse_all(source)?) {
        Ok([statement]) => Ok(statement),
        Err(_others) => Err(Error::internal("a message of one statement has another number of them")),
    }
}

/// An INSERT of literals alone.
fn parse_literal(source: &Arc<str>) -> Option<Statement> {
    let Scanned { head, rows, tail } = scan(source)?;
    let frame = parse_all(&format!("{head} (NULL) {tail}").into()).ok()?;
    let [frame] = <[Statement; 1]>::try_from(frame).ok()?;
    let parameters = frame.parameter_count().max(rows.parameters());
    let Body::Sql(sql @ ast::Statement::Insert(_)) = frame.into_body()? else { return None };
    let text = source.trim_start_matches(SPACE).trim_end_matches(SPACE_OR_END);
    Some(Statement::new(text, source, Body::Literal(LiteralInsert::new(sql, rows)), parameters))
}

fn parse_all(source: &Arc<str>) -> Result<Vec<Statement>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, source)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(source, &error))?;
    let tokens = cluster_by_as_option(tokens);
    let bound = depth_bound(&tokens)?;
    if bound <= NESTING_MAX {
        return parse_tokens(source, tokens);
    }
    stacker::grow(STACK_MIN + bound * STACK_PER_LEVEL, || parse_tokens(source, tokens))
}

fn parse_tokens(source: &Arc<str>, tokens: Vec<TokenWithSpan>) -> Result<Vec<Statement>> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
    let lines = Lines::new(source);
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let start = parser.peek_token_ref().clone();
        if start.token == Token::EOF {
            return Ok(statements);
        }
        statements.push(parse_one(&mut parser, &lines, source, &start)?);
    }
}

/// An expression that the catalog holds as text, such as a DEFAULT.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let parsed = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(NESTING_MAX)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| Error::internal(format!("stored expression does not parse: {text}")).with_source(error))
}

fn parse_one(
    parser: &mut Parser<'_>,
    lines: &Lines<'_>,
    source: &Arc<str>,
    start: &TokenWithSpan,
) -> Result<Statement> {
    let parsed = parse_body(parser);
    let end = parser.peek_token_ref().clone();
    let mut body = parsed.map_err(|error| parser_error(lines, &error, &end))?;
    if !matches!(end.token, Token::SemiColon | Token::EOF) {
        return Err(near(lines, &end));
    }
    let from = lines.offset(start.span.start);
    let to = if end.token == Token::EOF { lines.sql.len() } else { lines.offset(end.span.start) };
    let text = lines.sql.get(from..to).unwrap_or_default().trim_end();
    match &mut body {
        Body::Sql(statement) => flatten(statement)?,
        Body::Copy(copy) => copy.query_mut().map_or(Ok(()), flatten)?,
        Body::Setting(_) | Body::Literal(_) => {}
    }
    let parameters = highest_parameter(&body)?;
    Ok(Statement::new(text, source, body, parameters))
}

fn parse_body(parser: &mut Parser<'_>) -> Result<Body, ParserError> {
    if let Some(command) = parse_setting_command(parser)? {
        return Ok(Body::Setting(command));
    }
    if parser.parse_keyword(Keyword::COPY) {
        return parse_copy(parser).map(Body::Copy);
    }
    if parser.parse_keyword(Keyword::ABORT) {
        let _word = parser.parse_one_of_keywords(&[Keyword::WORK, Keyword::TRANSACTION]);
        return Ok(Body::Sql(ast::Statement::Rollback { chain: false, savepoint: None }));
    }
    if parser.peek_keyword(Keyword::TABLE) {
        return parser.parse_query().map(|query| Body::Sql(ast::Statement::Query(query)));
    }
    parser.parse_statement().map(Body::Sql)
}

/// The highest `$n`, which is how many parameters the statement has.
fn highest_parameter(body: &Body) -> Result<u16> {
    let mut highest = 0;
    let mut visit = |expr: &ast::Expr| match placeholder(expr) {
        Some(text) => match text.get(1..).and_then(|digits| digits.parse::<u32>().ok()) {
            Some(number) if (1..=u32::from(PARAMETERS_MAX)).contains(&number) => {
                highest = highest.max(u16::try_from(number).unwrap_or(PARAMETERS_MAX));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(Error::new(Condition::UndefinedParameter, format!("there is no parameter {text}"))),
        },
        None => ControlFlow::Continue(()),
    };
    let flow = match body {
        Body::Sql(statement) => ast::visit_expressions(statement, &mut visit),
        Body::Copy(copy) => copy.visit_query(&mut visit),
        Body::Setting(_) | Body::Literal(_) => ControlFlow::Continue(()),
    };
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(highest),
    }
}

/// The `$n` that an expression is.
fn placeholder(expr: &ast::Expr) -> Option<&str> {
    match expr {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(text), .. }) => Some(text),
        _ => None,
    }
}

/// PostgreSQL's message, with what the parser expected as detail.
fn parser_error(lines: &Lines<'_>, error: &ParserError, at: &TokenWithSpan) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return too_complex();
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (text, location) = split_location(message);
    let (expected, found) = match text.rsplit_once(", found: ") {
        Some((expected, found)) => (expected, Some(found.trim())),
        None => (text, None),
    };
    let error = match found {
        Some("EOF") => Error::new(Condition::SyntaxError, "syntax error at end of input"),
        Some(found) => Error::new(Condition::SyntaxError, format!("syntax error at or near \"{found}\"")),
        None => near(lines, at),
    };
    let error = error.with_detail(sentence(expected));
    let position = location.map(|location| {
        let offset = lines.offset(location);
        let stands_there = |found: &&str| lines.sql.get(offset..).is_some_and(|rest| rest.starts_with(*found));
        match found.filter(|found| !stands_there(found)) {
            // The parser went on behind the word before it gave up.
            Some(found) => match lines.sql.get(..offset).and_then(|before| before.rfind(found)) {
                Some(place) => characters(lines.sql.get(..place).unwrap_or_default()),
                None => lines.position(location),
            },
            None => lines.position(location),
        }
    });
    match (position, found) {
        (Some(position), Some(found)) if found != "EOF" => error.with_position(position),
        (None, Some(found)) if found != "EOF" => {
            // Some messages name no place: the parser stands at the token, or just behind it.
            let read = lines.sql.get(..lines.offset(at.span.end)).filter(|read| !read.is_empty()).unwrap_or(lines.sql);
            let place = read.rfind(found).and_then(|place| read.get(..place));
            error.with_position(characters(place.unwrap_or(lines.sql)))
        }
        (_, Some(_)) => error.with_position(characters(lines.sql)),
        _ => error,
    }
}

fn tokenizer_error(sql: &str, error: &TokenizerError) -> Error {
    let lines = Lines::new(sql);
    Error::new(Condition::SyntaxError, sentence_start(&error.message)).with_position(lines.position(error.location))
}

fn near(lines: &Lines<'_>, at: &TokenWithSpan) -> Error {
    if at.token == Token::EOF {
        return Error::new(Condition::SyntaxError, "syntax error at end of input").with_position(characters(lines.sql));
    }
    Error::new(Condition::SyntaxError, format!("syntax error at or near \"{}\"", at.token))
        .with_position(lines.position(at.span.start))
}

/// Takes ` at Line: 1, Column: 8` off a message.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((text, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    (text, location)
}

fn sentence(text: &str) -> String {
    let mut sentence = text.replacen("Expected: ", "Expected ", 1);
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

fn sentence_start(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Turns the parser's lines and columns into offsets. Places mostly come in order: each is looked for from the one before.
struct Lines<'a> {
    sql: &'a str,
    /// Byte offset at which each line starts.
    starts: Vec<usize>,
    last: Cell<Place>,
    /// Characters walked over so far.
    #[cfg(test)]
    steps: Cell<usize>,
}

/// A place found: line and column from 0, and its byte offset.
#[derive(Clone, Copy, Default)]
struct Place {
    line: usize,
    column: usize,
    offset: usize,
}

impl<'a> Lines<'a> {
    fn new(sql: &'a str) -> Self {
        let starts = std::iter::once(0).chain(sql.match_indices('\n').map(|(place, _)| place + 1)).collect();
        Self {
            sql,
            starts,
            last: Cell::default(),
            #[cfg(test)]
            steps: Cell::default(),
        }
    }

    /// Byte offset of a place; lines and columns count from 1, columns count characters.
    fn offset(&self, location: Location) -> usize {
        let line = usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.last.get();
        let from = if (last.line, true) == (line, last.column <= column) {
            last
        } else {
            Place { line, column: 0, offset: self.starts.get(line).copied().unwrap_or(self.sql.len()) }
        };
        let rest = self.sql.get(from.offset..).unwrap_or_default();
        let ahead = column - from.column;
        let offset = from.offset + rest.char_indices().nth(ahead).map_or(rest.len(), |(place, _)| place);
        #[cfg(test)]
        self.steps.set(self.steps.get() + ahead.min(rest.len()));
        self.last.set(Place { line, column, offset });
        offset
    }

    /// Characters from the beginning, from 1.
    fn position(&self, location: Location) -> u32 {
        characters(self.sql.get(..self.offset(location)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{Lines, Location};

    #[test]
    fn places_that_come_in_order_cost_one_walk() {
        let sql = "ä;".repeat(10_000);
        let lines = Lines::new(&sql);
        for column in (1..=20_000).step_by(2) {
            assert_eq!(lines.offset(Location { line: 1, column }), usize::try_from(column - 1).unwrap() / 2 * 3);
        }
        assert!(lines.steps.get() <= 20_000, "{} steps", lines.steps.get());
        // A place before the last is found too.
        assert_eq!(lines.offset(Location { line: 1, column: 3 }), 3);
        assert_eq!(lines.offset(Location { line: 1, column: 90_000 }), sql.len());
        assert_eq!(Lines::new("a\nbä c").offset(Location { line: 2, column: 4 }), 6);
    }
}
