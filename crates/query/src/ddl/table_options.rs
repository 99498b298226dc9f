//! `WITH (…)` of a table: what it may say, and how the catalog shows it.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use outcrop_engine::NewColumn;
use outcrop_types::{ColumnId, Condition, Error, Result, Retention, TableOptions, TableSchema};

use crate::statement::name_of;

/// Reads the options of a new table with these columns, which are counted from 1.
pub(super) fn read_options(options: &ast::CreateTableOptions, columns: &[NewColumn]) -> Result<TableOptions> {
    let given = match options {
        ast::CreateTableOptions::None => return Ok(TableOptions::default()),
        ast::CreateTableOptions::With(given)
        | ast::CreateTableOptions::Options(given)
        | ast::CreateTableOptions::Plain(given)
        | ast::CreateTableOptions::TableProperties(given) => given,
    };
    let mut read = Read::default();
    for option in given {
        let (name, value) = match option {
            ast::SqlOption::KeyValue { key, value } => (name_of(key), Given::of(value)?),
            ast::SqlOption::Ident(name) => (name_of(name), Given::Text("true".to_owned())),
            other => {
                let message = format!("table option {other} is not supported");
                return Err(Error::new(Condition::FeatureNotSupported, message).with_hint(HINT));
            }
        };
        if read.seen.contains(&name) {
            let message = format!("parameter \"{name}\" specified more than once");
            return Err(Error::new(Condition::InvalidParameterValue, message));
        }
        read.set(&name, &value, columns)?;
        read.seen.push(name);
    }
    read.finish()
}

/// The options of a table, as `pg_class.reloptions` holds them: `name=value`.
pub(crate) fn shown_options(table: &TableSchema) -> Vec<String> {
    let TableOptions { append_only, sort_key, retention } = &table.options;
    let name = |id: ColumnId| table.column(id).map_or_else(String::new, |column| crate::catalog::quoted(&column.name));
    let mut shown = Vec::new();
    if *append_only {
        shown.push("append_only=true".to_owned());
    }
    if !sort_key.is_empty() {
        let names: Vec<String> = sort_key.iter().map(|id| name(*id)).collect();
        shown.push(format!("sort_key={}", names.join(", ")));
    }
    if let Some(Retention { column, period_us }) = retention {
        shown.push(format!("retention={}", show_period(*period_us)));
        shown.push(format!("time_column={}", name(*column)));
    }
    shown
}

/// A value as written.
enum Given {
    /// Between quotes, or a number, or a word without quotes, folded.
    Text(String),
    /// A name between double quotes.
    Name(String),
}

impl Given {
    fn of(value: &ast::Expr) -> Result<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is no value of an option")]
        Ok(match value {
            ast::Expr::Identifier(ident) if ident.quote_style.is_some() => Self::Name(ident.value.clone()),
            ast::Expr::Identifier(ident) => Self::Text(name_of(ident)),
            ast::Expr::Value(ast::ValueWithSpan { value, .. }) => match value.clone().into_string() {
                Some(text) => Self::Text(text),
                None => Self::Text(value.to_string()),
            },
            other => {
                let message = format!("syntax error in table options: \"{other}\" is not a value");
                return Err(Error::new(Condition::SyntaxError, message));
            }
        })
    }

    /// The names in it, as in a list of columns.
    fn names(&self) -> Result<Vec<String>> {
        let text = match self {
            Self::Name(name) => return Ok(vec![name.clone()]),
            Self::Text(text) => text,
        };
        let malformed = || {
            Error::new(Condition::InvalidParameterValue, format!("invalid list of columns: \"{text}\""))
                .with_hint("Write the names with commas between them.")
        };
        let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| {
            let names = parser.parse_comma_separated(Parser::parse_identifier)?;
            Ok((names, parser.peek_token_ref().token.clone()))
        });
        let (names, next) = parsed.map_err(|_error| malformed())?;
        if next != datafusion::sql::sqlparser::tokenizer::Token::EOF {
            return Err(malformed());
        }
        Ok(names.iter().map(name_of).collect())
    }

    fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Text(text) => text,
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Read {
    options: TableOptions,
    seen: Vec<String>,
    time_column: Option<ColumnId>,
    period_us: Option<i64>,
}

impl Read {
    fn set(&mut self, name: &str, value: &Given, columns: &[NewColumn]) -> Result<()> {
        match name {
            "append_only" => {
                self.options.append_only = crate::settings::parse_bool(value.text()).ok_or_else(|| {
                    Error::new(
                        Condition::InvalidParameterValue,
                        format!("invalid value for boolean option \"append_only\": {}", value.text()),
                    )
                })?;
            }
            "sort_key" => {
                let names = value.names()?;
                self.options.sort_key =
                    names.iter().map(|name| column_id(name, "sort_key", columns)).collect::<Result<_>>()?;
            }
            "time_column" => {
                let names = value.names()?;
                let [name] = names.as_slice() else {
                    return Err(Error::new(Condition::InvalidParameterValue, "the time_column is one column"));
                };
                self.time_column = Some(column_id(name, "time_column", columns)?);
            }
            "retention" => self.period_us = Some(read_period(value.text())?),
            // What it tunes in PostgreSQL does not exist here; schemas that carry it still load.
            "fillfactor" => {}
            _ => {
                let message = format!("unrecognized parameter \"{name}\"");
                return Err(Error::new(Condition::InvalidParameterValue, message).with_hint(HINT));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<TableOptions> {
        let retention = match (self.time_column, self.period_us) {
            (Some(column), Some(period_us)) => Some(Retention { column, period_us }),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::new(Condition::InvalidParameterValue, "retention needs a time_column").with_hint(
                    "Name the column that says how old a row is: WITH (retention = '30 days', time_column = …).",
                ));
            }
            (Some(_), None) => {
                return Err(Error::new(Condition::InvalidParameterValue, "time_column needs a retention")
                    .with_hint("Say how long rows stay: WITH (retention = '30 days', time_column = …)."));
            }
        };
        Ok(TableOptions { retention, ..self.options })
    }
}

fn column_id(name: &str, option: &str, columns: &[NewColumn]) -> Result<ColumnId> {
    let found = (1..).zip(columns).find(|(_, column)| column.name == name);
    found.map(|(number, _)| ColumnId::new(number)).ok_or_else(|| {
        Error::new(Condition::UndefinedColumn, format!("column \"{name}\" named in {option} does not exist"))
    })
}

/// A period of fixed length: numbers with units, such as `30 days` or `1 day 12 hours`.
fn read_period(text: &str) -> Result<i64> {
    let invalid =
        || Error::new(Condition::InvalidParameterValue, format!("invalid value for \"retention\": \"{text}\""));
    let hint = "Write numbers with units, such as '30 days' or '1 day 12 hours'. Months and years differ in length.";
    let mut words = text.split_whitespace();
    let mut total: i64 = 0;
    while let Some(number) = words.next() {
        let split = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let (digits, attached) = number.split_at(split);
        let unit = if attached.is_empty() { words.next().unwrap_or_default() } else { attached };
        let unit_us = unit_us(unit).ok_or_else(|| invalid().with_hint(hint))?;
        let count: i64 = digits.parse().map_err(|_not_a_number| invalid().with_hint(hint))?;
        total = count.checked_mul(unit_us).and_then(|us| total.checked_add(us)).ok_or_else(invalid)?;
    }
    if total == 0 { Err(invalid().with_hint(hint)) } else { Ok(total) }
}

fn unit_us(unit: &str) -> Option<i64> {
    let unit = unit.to_ascii_lowercase();
    UNITS.iter().find(|(names, _)| names.contains(&unit.as_str())).map(|(_, us)| *us)
}

/// A period in the largest units that fit.
fn show_period(mut us: i64) -> String {
    let mut parts = Vec::new();
    for (name, unit_us) in SHOWN_UNITS {
        let count = us / unit_us;
        us %= unit_us;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

const UNITS: &[(&[&str], i64)] = &[
    (&["s", "sec", "secs", "second", "seconds"], SECOND_US),
    (&["min", "mins", "minute", "minutes"], 60 * SECOND_US),
    (&["h", "hour", "hours"], 3_600 * SECOND_US),
    (&["d", "day", "days"], DAY_US),
    (&["w", "week", "weeks"], 7 * DAY_US),
];

const SHOWN_UNITS: [(&str, i64); 4] =
    [("day", DAY_US), ("hour", 3_600 * SECOND_US), ("minute", 60 * SECOND_US), ("second", SECOND_US)];

const HINT: &str = "Tables have the options append_only, sort_key, retention and time_column.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_shown() {
        for (text, us, shown) in [
            ("30 days", 30 * DAY_US, "30 days"),
            ("1 day 12 hours", DAY_US + 12 * 3_600 * SECOND_US, "1 day 12 hours"),
            ("2w", 14 * DAY_US, "14 days"),
            ("90 SECONDS", 90 * SECOND_US, "1 minute 30 seconds"),
        ] {
            assert_eq!((read_period(text).unwrap(), show_period(us)), (us, shown.to_owned()), "{text}");
        }
        for text in ["", "days", "30", "1 month", "-1 day", "0 days", "99999999999999 days", "1.5 days", "x days"] {
            assert_eq!(read_period(text).unwrap_err().condition(), Condition::InvalidParameterValue, "{text}");
        }
    }
}
