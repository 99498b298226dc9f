//! The COPY statement, read from tokens: its options are words that the SQL parser does not know.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};
use outcrop_types::Error;

/// A parsed COPY; its options are not checked yet.
#[derive(Clone, Debug)]
pub(crate) struct CopyStatement {
    pub(crate) subject: CopySubject,
    pub(crate) target: CopyTarget,
    pub(crate) options: Vec<CopyOption>,
    /// `COPY … FROM … WHERE …`
    pub(crate) selection: Option<ast::Expr>,
}

/// What is copied.
#[derive(Clone, Debug)]
pub(crate) enum CopySubject {
    /// A table, with the columns named.
    Table { name: ast::ObjectName, columns: Vec<ast::Ident> },
    /// A query in parentheses.
    Query(Box<ast::Query>),
}

/// From where or to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyTarget {
    Stdin,
    Stdout,
    /// A file or program of the server, read.
    ServerInput,
    /// A file or program of the server, written.
    ServerOutput,
}

/// `name [value]`, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOption {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) value: CopyOptionValue,
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyOptionValue {
    Absent,
    /// A word, number or string.
    Text(String),
    Columns(Vec<String>),
    /// `*`
    AllColumns,
}

impl CopyStatement {
    /// Whether rows come in.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self.target, CopyTarget::Stdin | CopyTarget::ServerInput)
    }

    /// The query, if there is one.
    pub(crate) fn query_mut(&mut self) -> Option<&mut ast::Query> {
        match &mut self.subject {
            CopySubject::Query(query) => Some(query),
            CopySubject::Table { .. } => None,
        }
    }

    /// Visits the expressions of the query, if there is one.
    pub(crate) fn visit_query(&self, visit: &mut impl FnMut(&ast::Expr) -> ControlFlow<Error>) -> ControlFlow<Error> {
        match &self.subject {
            CopySubject::Query(query) => ast::visit_expressions(&**query, visit),
            CopySubject::Table { .. } => ControlFlow::Continue(()),
        }
    }
}

/// Reads what follows `COPY`.
pub(crate) fn parse_copy(parser: &mut Parser<'_>) -> Result<CopyStatement, ParserError> {
    let mut options = Vec::new();
    if parser.parse_keyword(Keyword::BINARY) {
        options.push(format_option("binary"));
    }
    let subject = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        CopySubject::Query(query)
    } else {
        let name = parser.parse_object_name(false)?;
        let columns = parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
        CopySubject::Table { name, columns }
    };
    let target = parse_target(parser, &subject)?;
    if parser.parse_keyword(Keyword::USING) {
        match parser.next_token().token {
            Token::Word(word) if word.value.eq_ignore_ascii_case("delimiters") => {}
            _ => {
                parser.prev_token();
                return parser.expected_ref("DELIMITERS", parser.peek_token_ref());
            }
        }
        let value = CopyOptionValue::Text(parser.parse_literal_string()?);
        options.push(CopyOption { name: "delimiter".to_owned(), value });
    }
    let with = parser.parse_keyword(Keyword::WITH);
    if parser.consume_token(&Token::LParen) {
        loop {
            options.push(parse_option(parser)?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        parser.expect_token(&Token::RParen)?;
    } else {
        let before = options.len();
        while let Some(option) = parse_legacy_option(parser)? {
            options.push(option);
        }
        if with && options.len() == before {
            return parser.expected_ref("an option of COPY", parser.peek_token_ref());
        }
    }
    let selection = if parser.parse_keyword(Keyword::WHERE) { Some(parser.parse_expr()?) } else { None };
    Ok(CopyStatement { subject, target, options, selection })
}

fn parse_target(parser: &mut Parser<'_>, subject: &CopySubject) -> Result<CopyTarget, ParserError> {
    let input = match parser.parse_one_of_keywords(&[Keyword::FROM, Keyword::TO]) {
        Some(Keyword::FROM) if matches!(subject, CopySubject::Table { .. }) => true,
        Some(Keyword::TO) => false,
        Some(_) => {
            parser.prev_token();
            return parser.expected_ref("TO", parser.peek_token_ref());
        }
        None => return parser.expected_ref("FROM or TO", parser.peek_token_ref()),
    };
    // PostgreSQL takes STDIN for STDOUT and the other way round.
    if parser.parse_one_of_keywords(&[Keyword::STDIN, Keyword::STDOUT]).is_some() {
        return Ok(if input { CopyTarget::Stdin } else { CopyTarget::Stdout });
    }
    let _program = parser.parse_keyword(Keyword::PROGRAM);
    parser.parse_literal_string()?;
    Ok(if input { CopyTarget::ServerInput } else { CopyTarget::ServerOutput })
}

/// `name [value]` in parentheses.
fn parse_option(parser: &mut Parser<'_>) -> Result<CopyOption, ParserError> {
    let name = match parser.next_token().token {
        Token::Word(Word { value, .. }) => value.to_ascii_lowercase(),
        _ => {
            parser.prev_token();
            return parser.expected_ref("an option of COPY", parser.peek_token_ref());
        }
    };
    let value = match parser.peek_token().token {
        Token::Comma | Token::RParen => CopyOptionValue::Absent,
        Token::LParen => CopyOptionValue::Columns(parse_columns(parser)?),
        _ => parse_option_value(parser)?,
    };
    Ok(CopyOption { name, value })
}

fn parse_option_value(parser: &mut Parser<'_>) -> Result<CopyOptionValue, ParserError> {
    match parser.next_token().token {
        Token::Mul => Ok(CopyOptionValue::AllColumns),
        Token::Word(Word { value, .. })
        | Token::Number(value, _)
        | Token::SingleQuotedString(value)
        | Token::EscapedStringLiteral(value) => Ok(CopyOptionValue::Text(value)),
        _ => {
            parser.prev_token();
            parser.expected_ref("a value", parser.peek_token_ref())
        }
    }
}

fn parse_columns(parser: &mut Parser<'_>) -> Result<Vec<String>, ParserError> {
    let columns = parser.parse_parenthesized_column_list(IsOptional::Mandatory, false)?;
    Ok(columns.iter().map(crate::statement::name_of).collect())
}

/// The syntax before PostgreSQL 9.0: `WITH DELIMITER ',' NULL '' CSV HEADER QUOTE '"' FORCE NOT NULL a`.
fn parse_legacy_option(parser: &mut Parser<'_>) -> Result<Option<CopyOption>, ParserError> {
    let Token::Word(word) = &parser.peek_token_ref().token else {
        return Ok(None);
    };
    let name = word.value.to_ascii_lowercase();
    match name.as_str() {
        "binary" | "csv" => {
            parser.next_token();
            Ok(Some(format_option(&name)))
        }
        "header" | "freeze" => {
            parser.next_token();
            Ok(Some(CopyOption { name, value: CopyOptionValue::Absent }))
        }
        "delimiter" | "null" | "quote" | "escape" | "encoding" => {
            parser.next_token();
            let _as = parser.parse_keyword(Keyword::AS);
            let value = parse_option_value(parser)?;
            Ok(Some(CopyOption { name, value }))
        }
        "force" => {
            parser.next_token();
            parse_legacy_force(parser).map(Some)
        }
        _ => Ok(None),
    }
}

fn parse_legacy_force(parser: &mut Parser<'_>) -> Result<CopyOption, ParserError> {
    let name = if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
        "force_not_null"
    } else if parser.parse_keyword(Keyword::NULL) {
        "force_null"
    } else {
        match parser.next_token().token {
            Token::Word(Word { value, .. }) if value.eq_ignore_ascii_case("quote") => "force_quote",
            _ => {
                parser.prev_token();
                return parser.expected_ref("QUOTE, NULL or NOT NULL", parser.peek_token_ref());
            }
        }
    };
    let value = if parser.consume_token(&Token::Mul) {
        CopyOptionValue::AllColumns
    } else {
        let mut columns = vec![crate::statement::name_of(&parser.parse_identifier()?)];
        while parser.consume_token(&Token::Comma) {
            columns.push(crate::statement::name_of(&parser.parse_identifier()?));
        }
        CopyOptionValue::Columns(columns)
    };
    Ok(CopyOption { name: name.to_owned(), value })
}

fn format_option(format: &str) -> CopyOption {
    CopyOption { name: "format".to_owned(), value: CopyOptionValue::Text(format.to_owned()) }
}
