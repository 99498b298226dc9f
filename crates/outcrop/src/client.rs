//! A client of a running server, over the PostgreSQL protocol.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{AsyncMessage, Client, Config};

use crate::cli::ServerArguments;
use crate::terminal::note;
use crate::tls::Tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_USER: &str = "outcrop";
/// A LINE that an error shows is cut around its place.
const LINE_CHARS_MAX: usize = 100;

/// An open connection and the task that moves its messages.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// What the server said beside its answers, where it is not shown at once.
    notices: Arc<Mutex<Vec<DbError>>>,
    _driver: Driver,
}

/// What becomes of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notices {
    /// They are shown as they come.
    Shown,
    /// [`Connection::take_notices`] gives those about rows; others are shown.
    Kept,
}

impl Connection {
    /// The notices about rows (classes 22 and 23) so far. Those of a statement are here when its answer is.
    pub(crate) fn take_notices(&self) -> Vec<DbError> {
        std::mem::take(&mut self.notices.lock())
    }
}

/// Ends its task when dropped.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects; asks for the password if the server wants one and there is a terminal.
///
/// # Errors
/// With the address, whatever went wrong.
pub(crate) async fn connect(server: &ServerArguments, application: &str, notices: Notices) -> Result<Connection> {
    let (server, tls) = Tls::of_address(server)?;
    let config = parse(&server, application)?.ssl_mode(tls.mode()).clone();
    match open(&config, &tls, notices).await {
        Err(error) if wants_password(&error) && config.get_password().is_none() => {
            let user = config.get_user().unwrap_or(DEFAULT_USER);
            let password = rpassword::prompt_password(format!("Password for {user}: ")).context("read the password")?;
            let mut config = config.clone();
            config.password(password);
            open(&config, &tls, notices).await
        }
        answer => answer,
    }
    .with_context(|| format!("connect to {}", server.pg))
}

/// What `--pg` says: a URL, `key=value` pairs, or `host:port`.
fn parse(server: &ServerArguments, application: &str) -> Result<Config> {
    let is_url = server.pg.contains("://") || server.pg.contains('=');
    let mut config: Config = if is_url {
        server.pg.parse().with_context(|| format!("\"{}\" is not a server address", server.pg))?
    } else {
        let Some((host, port)) = server.pg.rsplit_once(':') else {
            bail!("\"{}\" is not an address such as 127.0.0.1:5433", server.pg);
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port =
            port.parse().with_context(|| format!("\"{}\" is not an address such as 127.0.0.1:5433", server.pg))?;
        // A name that does not resolve is told before anything else is tried.
        (host, port).to_socket_addrs().with_context(|| format!("look up {host}"))?;
        let mut config = Config::new();
        config.host(host).port(port);
        config
    };
    if let Some(user) = &server.user {
        config.user(user);
    } else if config.get_user().is_none() {
        config.user(std::env::var("PGUSER").unwrap_or_else(|_unset| DEFAULT_USER.to_owned()));
    }
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none() {
        config.dbname(std::env::var("PGDATABASE").unwrap_or_else(|_unset| "outcrop".to_owned()));
    }
    config.application_name(application).connect_timeout(CONNECT_TIMEOUT);
    Ok(config)
}

async fn open(config: &Config, tls: &Tls, handling: Notices) -> Result<Connection, tokio_postgres::Error> {
    let (client, mut connection) = config.connect(tls.connector()).await?;
    let notices = Arc::<Mutex<Vec<DbError>>>::default();
    let kept = Arc::clone(&notices);
    let driver = tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                let is_of_rows = ["22", "23"].iter().any(|class| notice.code().code().starts_with(class));
                if handling == Notices::Kept && is_of_rows {
                    kept.lock().push(notice);
                } else {
                    note(&format!("{}:  {}", notice.severity(), notice.message()));
                }
            }
        }
    });
    Ok(Connection { client, notices, _driver: Driver(driver) })
}

fn wants_password(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none() && error.to_string().contains("password missing")
        || std::error::Error::source(error).is_some_and(|source| source.to_string().contains("password missing"))
}

/// An error of the server the way psql shows it, with a caret under its place in the statement.
pub(crate) fn describe(error: &tokio_postgres::Error, sql: &str) -> String {
    let Some(server) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return format!("{error}{cause}");
    };
    let mut text = format!("{}:  {}", server.severity(), server.message());
    if let Some(ErrorPosition::Original(position)) = server.position() {
        text.push_str(&caret(sql, *position));
    }
    let more = [("DETAIL", server.detail()), ("HINT", server.hint()), ("CONTEXT", server.where_())];
    for (name, line) in more {
        if let Some(line) = line {
            text.push_str(&format!("\n{name}:  {line}"));
        }
    }
    text
}

/// The line of a position (in characters from 1) and a caret below it.
fn caret(sql: &str, position: u32) -> String {
    let at = usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX);
    let before: String = sql.chars().take(at).collect();
    let number = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count();
    let line: Vec<char> = sql.get(start..).unwrap_or_default().lines().next().unwrap_or_default().chars().collect();
    // Of a long line the part around the place is shown.
    let from = column.saturating_sub(LINE_CHARS_MAX / 2).min(line.len().saturating_sub(LINE_CHARS_MAX));
    let shown: String =
        line.iter().skip(from).take(LINE_CHARS_MAX).map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    let prefix = format!("LINE {number}: {}", if from > 0 { "…" } else { "" });
    let spaces = prefix.chars().count() + column - from;
    format!("\n{prefix}{shown}\n{}^", " ".repeat(spaces))
}

/// The server's part of an error.
pub(crate) fn server_error(error: &tokio_postgres::Error) -> Option<&DbError> {
    error.as_db_error()
}

/// A name as SQL wants it when it is not plain lower case.
pub(crate) fn quote_name(name: &str) -> String {
    let mut chars = name.chars();
    let is_plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !crate::sql::is_keyword(name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::{caret, quote_name};

    #[test]
    fn a_caret_stands_under_the_place() {
        assert_eq!(caret("SELECT 1,\n  2 +* 3", 15), "\nLINE 2:   2 +* 3\n            ^");
        let long = format!("SELECT {}x", "a, ".repeat(100));
        let text = caret(&long, 308);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let under = lines[1].chars().count() - 1;
        assert_eq!(lines[0].chars().nth(under), Some('x'), "{text}");
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quote_name("plain_1"), "plain_1");
        assert_eq!(quote_name("Mixed"), "\"Mixed\"");
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_name("select"), "\"select\"");
    }
}
