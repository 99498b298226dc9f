//! Outcrop.
fn main() {}
