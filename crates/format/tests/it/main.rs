//! Golden files of every format, and the errors that users see.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod golden;
