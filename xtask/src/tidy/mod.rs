//! `cargo xtask tidy`: the repository checks its own habits (style.md, "xtask tidy").

mod layers;
mod report;
mod sources;
mod texts;

pub(crate) use report::run;
