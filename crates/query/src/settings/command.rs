//! `SET`, `SHOW` and `RESET`, read from tokens: their values are words, not expressions.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

/// How long a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetScope {
    /// To the end of the session.
    Session,
    /// To the end of the block.
    Local,
}

/// What a setting becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetValue {
    /// The value at session start.
    Default,
    /// This.
    Text(String),
}

/// A command about settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingCommand {
    /// `SET [SESSION | LOCAL] name { TO | = } value`
    Set {
        /// How long.
        scope: SetScope,
        /// Which.
        name: String,
        /// What.
        value: SetValue,
    },
    /// `SHOW name`
    Show(String),
    /// `SHOW ALL`
    ShowAll,
    /// `RESET name`
    Reset(String),
    /// `RESET ALL`
    ResetAll,
}

/// Reads the command at the parser's place, or leaves the parser where it was: `None`.
pub(crate) fn parse_setting_command(parser: &mut Parser<'_>) -> Result<Option<SettingCommand>, ParserError> {
    if parser.parse_keyword(Keyword::SHOW) {
        return parse_name(parser).map(|name| {
            Some(if name.eq_ignore_ascii_case("all") { SettingCommand::ShowAll } else { SettingCommand::Show(name) })
        });
    }
    if parser.parse_keyword(Keyword::RESET) {
        return parse_name(parser).map(|name| {
            Some(if name.eq_ignore_ascii_case("all") { SettingCommand::ResetAll } else { SettingCommand::Reset(name) })
        });
    }
    if parser.parse_keyword(Keyword::SET) {
        return parse_set(parser);
    }
    Ok(None)
}

fn parse_set(parser: &mut Parser<'_>) -> Result<Option<SettingCommand>, ParserError> {
    if parser.peek_keyword(Keyword::TRANSACTION) || is_word(parser, "constraints") {
        parser.prev_token();
        return Ok(None);
    }
    let scope = match parser.parse_one_of_keywords(&[Keyword::LOCAL, Keyword::SESSION]) {
        Some(Keyword::LOCAL) => SetScope::Local,
        Some(_) if is_word(parser, "characteristics") => {
            parser.prev_token();
            parser.prev_token();
            return Ok(None);
        }
        Some(_) if is_word(parser, "authorization") => {
            parser.next_token();
            let name = "session_authorization".to_owned();
            return parse_value(parser)
                .map(|value| Some(SettingCommand::Set { scope: SetScope::Session, name, value }));
        }
        _ => SetScope::Session,
    };
    if parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
        let value = if parser.parse_keyword(Keyword::LOCAL) {
            SetValue::Default
        } else if parser.parse_keyword(Keyword::INTERVAL) {
            let offset = parse_item(parser)?;
            if parser.parse_keyword(Keyword::HOUR) && parser.parse_keyword(Keyword::TO) {
                parser.expect_keyword_is(Keyword::MINUTE)?;
            }
            SetValue::Text(format!("<{offset}>"))
        } else {
            parse_value(parser)?
        };
        return Ok(Some(SettingCommand::Set { scope, name: "TimeZone".to_owned(), value }));
    }
    if parser.parse_keyword(Keyword::NAMES) {
        let value = parse_value(parser)?;
        return Ok(Some(SettingCommand::Set { scope, name: "client_encoding".to_owned(), value }));
    }
    let name = parse_name(parser)?;
    if name.eq_ignore_ascii_case("role") {
        let value = parse_value(parser)?;
        return Ok(Some(SettingCommand::Set { scope, name: "session_authorization".to_owned(), value }));
    }
    if !parser.parse_keyword(Keyword::TO) && !parser.consume_token(&Token::Eq) {
        return parser.expected_ref("TO or =", parser.peek_token_ref());
    }
    let value = parse_value(parser)?;
    Ok(Some(SettingCommand::Set { scope, name, value }))
}

/// `name`, `prefix.name`, and the words that PostgreSQL reads as one: `TIME ZONE`, `TRANSACTION ISOLATION LEVEL`.
fn parse_name(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    if parser.parse_keywords(&[Keyword::TIME, Keyword::ZONE]) {
        return Ok("TimeZone".to_owned());
    }
    if parser.parse_keywords(&[Keyword::TRANSACTION, Keyword::ISOLATION, Keyword::LEVEL]) {
        return Ok("transaction_isolation".to_owned());
    }
    if parser.parse_keywords(&[Keyword::SESSION, Keyword::AUTHORIZATION]) {
        return Ok("session_authorization".to_owned());
    }
    let mut name = parse_word(parser)?;
    while parser.consume_token(&Token::Period) {
        name.push('.');
        name.push_str(&parse_word(parser)?);
    }
    Ok(name)
}

fn parse_word(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    match parser.next_token().token {
        Token::Word(Word { value, .. }) => Ok(value),
        _ => {
            parser.prev_token();
            parser.expected_ref("the name of a setting", parser.peek_token_ref())
        }
    }
}

fn parse_value(parser: &mut Parser<'_>) -> Result<SetValue, ParserError> {
    if parser.parse_keyword(Keyword::DEFAULT) {
        return Ok(SetValue::Default);
    }
    let mut items = vec![parse_item(parser)?];
    while parser.consume_token(&Token::Comma) {
        items.push(parse_item(parser)?);
    }
    Ok(SetValue::Text(items.join(", ")))
}

fn parse_item(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let negative = parser.consume_token(&Token::Minus);
    let _positive = !negative && parser.consume_token(&Token::Plus);
    match parser.next_token().token {
        Token::Number(digits, _) => Ok(if negative { format!("-{digits}") } else { digits }),
        // A quoted name in a list, such as "$user", keeps its quotes: search_path needs them.
        Token::Word(Word { value, quote_style: Some(quote), .. }) if !negative && value.starts_with('$') => {
            Ok(format!("{quote}{value}{quote}"))
        }
        Token::Word(word) if !negative => {
            let mut value = word.value;
            // Two words are one value here: READ COMMITTED.
            while let Token::Word(next) = parser.peek_token().token {
                parser.next_token();
                value.push(' ');
                value.push_str(&next.value);
            }
            Ok(value)
        }
        Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) if !negative => Ok(value),
        _ => {
            parser.prev_token();
            parser.expected_ref("a value", parser.peek_token_ref())
        }
    }
}

fn is_word(parser: &Parser<'_>, expected: &str) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected))
}
