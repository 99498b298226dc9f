//! A literal INSERT as a statement.

use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::sql::sqlparser::ast;
use outcrop_types::{Error, Result};

use super::cells::LiteralRows;
use crate::statement::{Body, Statement, parse_whole};

/// A literal INSERT: its rows as places in the text, the rest as a syntax tree.
pub(crate) struct LiteralInsert {
    /// The statement with one value in the place of all rows.
    frame: ast::Statement,
    rows: Arc<LiteralRows>,
    /// The syntax tree of all of it, made when the general way must be gone.
    whole: OnceLock<Statement>,
}

impl LiteralInsert {
    pub(crate) fn new(frame: ast::Statement, rows: LiteralRows) -> Self {
        Self { frame, rows: Arc::new(rows), whole: OnceLock::new() }
    }

    /// The statement with one value in the place of all rows.
    pub(crate) fn frame(&self) -> &ast::Statement {
        &self.frame
    }

    /// The INSERT that the frame is.
    ///
    /// # Errors
    /// `InternalError` if the frame is another statement.
    pub(crate) fn insert(&self) -> Result<&ast::Insert> {
        match &self.frame {
            ast::Statement::Insert(insert) => Ok(insert),
            _ => Err(Error::internal("the frame of an INSERT is not one")),
        }
    }

    pub(crate) fn rows(&self) -> &Arc<LiteralRows> {
        &self.rows
    }

    /// The syntax tree of the whole statement, from the message that it came in.
    ///
    /// # Errors
    /// `InternalError` if the parser does not take what the scanner took.
    pub(crate) fn whole(&self, message: &Arc<str>) -> Result<&ast::Statement> {
        let statement = match self.whole.get() {
            Some(statement) => statement,
            None => {
                let parsed = parse_whole(message)?;
                self.whole.get_or_init(|| parsed)
            }
        };
        match statement.body() {
            Body::Sql(sql) => Ok(sql),
            Body::Copy(_) | Body::Setting(_) | Body::Literal(_) => {
                Err(Error::internal("the whole of an INSERT is another statement"))
            }
        }
    }
}

impl fmt::Debug for LiteralInsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiteralInsert").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
