//! Subqueries that DataFusion cannot turn into joins, answered row by row.
//!
//! Most correlated subqueries become joins ([`rule`] runs after those rules of DataFusion). What is left, such as a
//! comparison by `<` inside of an aggregate, an `ARRAY(SELECT …)` or a LATERAL with a LIMIT, becomes a call of
//! [`function`]: it puts the values of the outer row into the subquery, runs it, and remembers the answer, so that each
//! combination of outer values is asked once. So does an `IN` where NULL is not false ([`three_valued`]).

mod function;
mod guard;
mod lateral;
mod outer;
mod rule;
mod three_valued;

pub(crate) use rule::optimizer_rules;
