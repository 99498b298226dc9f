//! The fixed-size stand-in of a key.

use std::fmt;

use outcrop_types::Slot;

/// 128 well-mixed bits that stand for one key of an index (see [`super`]). Every bit depends on every byte of the key, so
/// any part of it serves as a hash. Ordered as entries of a key run are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash {
    high: u64,
    low: u64,
}

impl KeyHash {
    /// A key of at most 64 bits.
    pub(super) fn of_half(key: u128) -> Self {
        // The keys of this form have at most 64 bits, so nothing is cut off.
        Self::of_high(mix_half((key & u128::from(u64::MAX)) as u64))
    }

    /// A key of at most 128 bits: a bijection, so different keys have different hashes.
    pub(super) fn of_whole(key: u128) -> Self {
        Self::of_bits(mix(key))
    }

    /// 128 bits that are mixed already.
    pub(super) fn of_bits(bits: u128) -> Self {
        let bytes = bits.to_be_bytes();
        let (high, low) = bytes.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self::new(word(high), word(low))
    }

    /// The hash with these halves.
    pub const fn new(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// The hash of which only the upper half is stored: the lower one is made from it.
    pub const fn of_high(high: u64) -> Self {
        Self { high, low: mix_half(high) }
    }

    /// The upper half: the order of key runs, and what slots and stripes come from.
    pub const fn high(self) -> u64 {
        self.high
    }

    /// The lower half: what places the key within a hash table or a block of a filter.
    pub const fn low(self) -> u64 {
        self.low
    }

    /// Which of `2^bits` stripes the key belongs to.
    pub fn stripe(self, bits: u32) -> usize {
        // The slot's bits are left to shards (F6): all keys of a shard share the upper ones.
        usize::try_from(self.high << 12 >> (64 - bits)).unwrap_or_default()
    }

    /// The key's slot (F6).
    pub const fn slot(self) -> Slot {
        Slot::of_hash((self.high as u128) << 64)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

/// A bijection of 64 bits in which each output bit depends on each input bit: the finaliser of splitmix64.
pub(super) const fn mix_half(key: u64) -> u64 {
    let mut bits = key;
    bits = (bits ^ (bits >> 30)).wrapping_mul(HALF_MULTIPLIERS.0);
    bits = (bits ^ (bits >> 27)).wrapping_mul(HALF_MULTIPLIERS.1);
    bits ^ (bits >> 31)
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

/// Odd, with bits set throughout: the multipliers of splitmix64.
pub(super) const HALF_MULTIPLIERS: (u64, u64) = (0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB);

/// Odd, with bits set throughout: the multiplier of the 128-bit congruential generator PCG64, and 2^128 divided by the
/// golden ratio.
pub(super) const MULTIPLIERS: (u128, u128) =
    (0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645, 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
