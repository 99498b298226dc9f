//! Keys of rows: their canonical bytes (version 1), and the 128 bits that stand for them in the key index (architecture W6).
//!
//! Bytewise order is the order of keys, and equal keys have equal bytes whatever width or scale their column has:
//!
//! | column | bytes |
//! |---|---|
//! | boolean | 0 or 1 |
//! | smallint, integer, bigint | 8: as a 64-bit integer, big-endian, sign flipped |
//! | real, double precision | 8: as a double, big-endian; sign flipped, all bits flipped when negative; one NaN, which is greatest; -0.0 is 0.0 |
//! | numeric | sign (0, 1, 2 for below, equal, above zero); then, unless zero, all bits of it flipped below zero: 128 + the power of ten `e` such that the number is 0.d₁d₂… · 10^e with d₁ ≠ 0; two digits a byte, plus 1, without trailing zeros; 0 |
//! | text, varchar | UTF-8; unless it is the last column, 00 is written 00 FF and 00 01 follows |
//! | bytea | likewise |
//! | date | 4: days since 1970, big-endian, sign flipped |
//! | time, timestamp, timestamptz | 8: µs, as a bigint |
//! | uuid | 16 |
//!
//! A key is its columns' bytes one after the other. Its [`KeyHash`] is made so:
//!
//! | key | 128 bits |
//! |---|---|
//! | columns of fixed width, at most 8 bytes together | the number that the bytes are, through a bijection of 64 bits: the upper half gives the key back |
//! | columns of fixed width, at most 16 bytes together | the number, through a bijection of 128 bits |
//! | others, at most 15 bytes | the bytes, zeros, and in the 16th byte their number, through the same bijection |
//! | longer ones | SipHash-2-4 of 128 bits, keyed by the index's secret |

mod codec;
mod columns;
mod hash;

pub use codec::{KEY_ENCODING_VERSION, KeyCodec, KeyError, KeyWidth};
pub use hash::KeyHash;

#[cfg(test)]
mod tests;
