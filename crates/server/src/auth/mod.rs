//! Who may connect: SCRAM-SHA-256 verifiers and API keys, kept in one text file. No password is ever stored.

mod scram;
mod users;

pub use scram::Verifier;
pub(crate) use scram::{ScramFailure, ScramServer};
pub use users::{ApiKey, Authentication, User, Users};

#[cfg(test)]
mod tests;
