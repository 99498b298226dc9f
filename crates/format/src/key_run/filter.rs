//! The filter of a key run: a split-block Bloom filter, the one of Parquet and Impala, over [`KeyHash`]es.
//!
//! A block is eight words of 32 bits; a key sets one bit in each word of one block. The block is `high · blocks / 2^64`, so
//! that keys in the order of their hashes visit the blocks in order; the bits come from the lower half. With
//! [`BITS_PER_KEY`] a key that is not there passes in about one of 200 cases.

use crate::key::KeyHash;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 32;
/// Bits for each key.
pub const BITS_PER_KEY: u64 = 12;

const WORDS: usize = 8;

/// Odd numbers that pick a bit of each word; those of the Parquet specification.
const SALT: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Says of a key that it is not there, or that it may be.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFilter {
    blocks: Vec<[u32; WORDS]>,
}

impl KeyFilter {
    /// Blocks of a filter for so many keys.
    pub fn blocks_for(keys: u64) -> u32 {
        let bits = keys.saturating_mul(BITS_PER_KEY);
        u32::try_from(bits.div_ceil(8 * BLOCK_BYTES as u64).max(1)).unwrap_or(u32::MAX)
    }

    /// An empty filter.
    pub fn new(blocks: u32) -> Self {
        Self { blocks: vec![[0; WORDS]; usize::try_from(blocks.max(1)).unwrap_or(1)] }
    }

    /// A filter from its stored blocks.
    pub fn from_blocks(blocks: impl Iterator<Item = [u8; BLOCK_BYTES]>) -> Self {
        let words = |block: [u8; BLOCK_BYTES]| {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            words
        };
        Self { blocks: blocks.map(words).collect() }
    }

    /// Adds a key.
    pub fn insert(&mut self, key: KeyHash) {
        let bits = bits_of(key);
        let block = self.block(key);
        if let Some(block) = self.blocks.get_mut(block) {
            block.iter_mut().zip(bits).for_each(|(word, bit)| *word |= bit);
        }
    }

    /// Whether the key may be there.
    pub fn may_have(&self, key: KeyHash) -> bool {
        let missing = |block: &[u32; WORDS]| {
            block.iter().zip(bits_of(key)).fold(0, |missing, (word, bit)| missing | (bit & !word))
        };
        self.blocks.get(self.block(key)).is_some_and(|block| missing(block) == 0)
    }

    /// The blocks as they are stored.
    pub fn blocks(&self) -> impl Iterator<Item = [u8; BLOCK_BYTES]> + '_ {
        self.blocks.iter().map(|block| {
            let mut bytes = [0; BLOCK_BYTES];
            for (slot, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(block) {
                *slot = word.to_le_bytes();
            }
            bytes
        })
    }

    /// Memory held.
    pub fn bytes(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_BYTES as u64
    }

    fn block(&self, key: KeyHash) -> usize {
        let product = u128::from(key.high()) * self.blocks.len() as u128;
        usize::try_from(product >> 64).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Debug for KeyFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFilter({} blocks)", self.blocks.len())
    }
}

fn bits_of(key: KeyHash) -> [u32; WORDS] {
    // The lower 32 bits of the lower half, all of which are well mixed.
    let hash = (key.low() & u64::from(u32::MAX)) as u32;
    SALT.map(|salt| 1 << (hash.wrapping_mul(salt) >> 27))
}
