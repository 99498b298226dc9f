//! The fixed-size stand-in of a key.

use std::fmt;

#[cfg(test)]
use outcrop_types::Slot;

/// 128 well-mixed bits that stand for one key of a table (see [`super::KeyEncoder`]). Every bit depends on every byte of the
/// key, so any part of it serves as a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash {
    high: u64,
    low: u64,
}

impl KeyHash {
    /// The hash of a key that fits into 128 bits whole: a bijection, so different keys have different hashes.
    pub(super) fn of_whole(key: u128) -> Self {
        Self::of_bits(mix(key))
    }

    /// The hash of a longer key: 128 bits that are mixed already.
    pub(super) fn of_bits(bits: u128) -> Self {
        let bytes = bits.to_be_bytes();
        let (high, low) = bytes.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self { high: word(high), low: word(low) }
    }

    /// The 64 bits that place the key within a hash table. The stripe comes from the other 64.
    pub(super) fn place(self) -> u64 {
        self.low
    }

    /// Which of `2^bits` stripes the key belongs to.
    pub(super) fn stripe(self, bits: u32) -> usize {
        // The slot's bits are left to shards (F6): all keys of a shard share the upper ones.
        usize::try_from(self.high << 12 >> (64 - bits)).unwrap_or_default()
    }

    /// The key's slot (F6). Shards will ask for it as soon as a table has several.
    #[cfg(test)]
    pub(super) fn slot(self) -> Slot {
        Slot::of_hash(u128::from(self.high) << 64)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

/// A bijection of 128 bits in which each output bit depends on each input bit: multiplications by odd numbers carry
/// upwards, the shifts between them bring the upper half down.
pub(super) fn mix(key: u128) -> u128 {
    let mut bits = key;
    bits ^= bits >> 64;
    bits = bits.wrapping_mul(MULTIPLIERS.0);
    bits ^= bits >> 67;
    bits = bits.wrapping_mul(MULTIPLIERS.1);
    bits ^ bits >> 64
}

/// The inverse of [`mix`]: what makes it a bijection, and what the runs on disk use to give keys back.
#[cfg(test)]
pub(super) fn unmix(bits: u128) -> u128 {
    let mut key = bits;
    key ^= key >> 64;
    key = key.wrapping_mul(inverse(MULTIPLIERS.1));
    key ^= key >> 67;
    key = key.wrapping_mul(inverse(MULTIPLIERS.0));
    key ^ key >> 64
}

/// The inverse of an odd number modulo 2^128, by Newton's iteration: each round doubles the right low bits.
#[cfg(test)]
fn inverse(odd: u128) -> u128 {
    (0..7).fold(odd, |inverse, _| inverse.wrapping_mul(2_u128.wrapping_sub(odd.wrapping_mul(inverse))))
}

/// Odd, with bits set throughout: the multiplier of the 128-bit congruential generator PCG64, and 2^128 divided by the
/// golden ratio.
const MULTIPLIERS: (u128, u128) =
    (0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645, 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
