//! `outcrop sql`: statements from the command line, a script, or a person.

mod complete;
mod keywords;
mod meta;
mod run;
mod session;
mod split;
mod table;

pub(crate) use keywords::is_keyword;
pub(crate) use run::run;

#[cfg(test)]
mod tests;
