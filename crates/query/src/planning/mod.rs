//! From a parsed query to a plan and to rows, over one snapshot (architecture Q1).
//!
//! Everything that plans or evaluates SQL expressions goes through a [`StatementContext`]; nothing else in this crate
//! asks DataFusion to plan.

mod bind;
mod columns;
mod execute;
mod resolve;
mod statement;
mod view;

pub(crate) use bind::{BindExpression, BoundExpressions, Relation};
pub(crate) use execute::{ExplainOptions, QueryRows, result_batch};
pub(crate) use statement::{KeptQuery, PlannedQuery, StatementContext, TARGET};
pub(crate) use view::{AccessPath, SessionView};
