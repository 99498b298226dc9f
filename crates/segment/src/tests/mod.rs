//! Segments written and read back, whole and damaged.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::manual_try_fold,
    clippy::needless_range_loop,
    reason = "test data is made from arbitrary numbers"
)]

mod damage;
mod data;
mod foreign;
mod groups;
mod round_trip;
