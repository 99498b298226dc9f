//! `CREATE TABLE … CLUSTER BY (a, b)`: another way to write `WITH (sort_key = 'a, b')`.
//!
//! The parser knows the clause in other dialects only, and in other places; so it is taken out of the tokens before they are
//! parsed, and what it says goes where the other options are.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Writes every `CLUSTER BY (…)` behind the columns of a `CREATE TABLE` as an option. Anything else stays as it is.
pub(super) fn cluster_by_as_option(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut start = 0;
    while start < tokens.len() {
        let is_end = |token: &TokenWithSpan| token.token == Token::SemiColon;
        let length = tokens.iter().skip(start).position(is_end).unwrap_or(tokens.len() - start);
        let statement: Vec<TokenWithSpan> = tokens.iter().skip(start).take(length).cloned().collect();
        let rewritten = if is_create_table(&statement) { rewrite(&statement) } else { None };
        let end = start + length;
        start = match rewritten {
            Some(rewritten) => {
                let end_now = start + rewritten.len();
                tokens.splice(start..end, rewritten);
                end_now + 1
            }
            None => end + 1,
        };
    }
    tokens
}

/// The statement with its clause as an option; `None` without such a clause.
fn rewrite(statement: &[TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    let (clause, columns, end) = find_clause(statement)?;
    let at = statement.get(clause)?;
    let token = |token: Token| TokenWithSpan::new(token, at.span);
    let option =
        [token(Token::make_word("sort_key", None)), token(Token::Eq), token(Token::SingleQuotedString(columns))];
    let mut rewritten = [statement.get(..clause)?, statement.get(end..)?].concat();
    // Into the list that there is, before or behind; otherwise into one of its own.
    let (place, tokens) = match find_with(&rewritten) {
        Some(list) => (list, [option.as_slice(), &[token(Token::Comma)]].concat()),
        None => {
            let open = [token(Token::make_keyword("WITH")), token(Token::LParen)];
            (clause, [open.as_slice(), &option, &[token(Token::RParen)]].concat())
        }
    };
    rewritten.splice(place..place, tokens);
    Some(rewritten)
}

/// Where `CLUSTER BY (…)` stands outside of parentheses, what is between them, and where it ends.
fn find_clause(statement: &[TokenWithSpan]) -> Option<(usize, String, usize)> {
    let mut depth = 0_usize;
    for (place, token) in statement.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            token if depth == 0 && is_keyword(token, Keyword::CLUSTER) => {
                let by = next_token(statement, place + 1)?;
                let open = next_token(statement, by + 1)?;
                let words = is_keyword(&statement.get(by)?.token, Keyword::BY);
                if !words || statement.get(open)?.token != Token::LParen {
                    return None;
                }
                let inside = statement.iter().skip(open + 1);
                let length = inside.clone().position(|token| token.token == Token::RParen)?;
                let columns = inside.take(length).map(|token| token.token.to_string()).collect();
                return Some((place, columns, open + length + 2));
            }
            _ => {}
        }
    }
    None
}

/// Where the list of a `WITH (…)` begins that stands outside of parentheses.
fn find_with(part: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, token) in part.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            token if depth == 0 && is_keyword(token, Keyword::WITH) => {
                let open = next_token(part, place + 1)?;
                return (part.get(open)?.token == Token::LParen).then_some(open + 1);
            }
            _ => {}
        }
    }
    None
}

fn is_create_table(statement: &[TokenWithSpan]) -> bool {
    let mut words = statement.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    words.next().is_some_and(|token| is_keyword(token, Keyword::CREATE))
        && words.take(4).any(|token| is_keyword(token, Keyword::TABLE))
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword && word.quote_style.is_none())
}

/// The next token from `place` on that is not blank.
fn next_token(tokens: &[TokenWithSpan], place: usize) -> Option<usize> {
    let found = tokens.iter().skip(place).position(|token| !matches!(token.token, Token::Whitespace(_)))?;
    Some(place + found)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn rewritten(sql: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        cluster_by_as_option(tokens).iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn the_clause_becomes_an_option() {
        for (sql, expected) in [
            ("CREATE TABLE t (a int) CLUSTER BY (a);", "CREATE TABLE t (a int) WITH(sort_key='a');"),
            (
                "SELECT 1; CREATE TABLE t (a int)\ncluster by (a, \"B c\") WITH (append_only = true); SELECT 2",
                "SELECT 1; CREATE TABLE t (a int)\n WITH (sort_key='a, \"B c\"',append_only = true); SELECT 2",
            ),
            (
                "CREATE TABLE t (a int) WITH (x = 'y') CLUSTER BY (a)",
                "CREATE TABLE t (a int) WITH (sort_key='a',x = 'y') ",
            ),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for sql in [
            "SELECT cluster FROM t CLUSTER BY (a)",
            "CREATE TABLE t (cluster int, by int)",
            "CREATE TABLE t (a int) CLUSTER a",
            "CREATE TABLE t (a int DEFAULT (cluster by (a)))",
            "CREATE TABLE \"cluster\" (a int); ; ",
        ] {
            assert_eq!(rewritten(sql), sql);
        }
    }
}
