//! The configuration: one tree of plain structs, from defaults, a TOML file, the environment and flags, in this order.
//!
//! Every setting `section.name` has an environment variable `OUTCROP_SECTION_NAME`. [`Config::check`] reports all
//! problems at once, and makes of the text what the server is started with.

mod check;
mod memory;
mod size;
mod sources;
mod tree;

pub use check::{CheckedConfig, ConfigProblem};
pub use size::{ByteSize, Period, Share};
pub use sources::{Sources, users_path};
pub use tree::{Config, EngineSection, LogSection, QuerySection, TlsSection};

#[cfg(test)]
mod tests;
