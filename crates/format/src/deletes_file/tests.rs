use bytes::Bytes;
use outcrop_types::{Epoch, LogId, UnitId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{DeletesFile, NamedDeletesFile};

proptest! {
    #[test]
    fn a_file_comes_back_and_any_changed_byte_is_noticed(
        (epoch, units, at) in (any::<u32>(), vec((any::<u64>(), vec(any::<u8>(), 0..80)), 0..5), any::<prop::sample::Index>())
    ) {
        let units = units.into_iter().map(|(unit, blob)| (UnitId::new(unit), Bytes::from(blob))).collect();
        let file = DeletesFile { log_id: LogId::from_bytes([7; 16]), epoch: Epoch::new(epoch), units };
        let mut bytes = Vec::new();
        file.encode(&mut bytes);
        prop_assert_eq!(DeletesFile::decode(&bytes), Ok(file));
        let named = NamedDeletesFile::of(3, &bytes);
        prop_assert_eq!((named.number, named.bytes), (3, bytes.len() as u64));
        let at = at.index(bytes.len());
        bytes[at] ^= 1;
        prop_assert!(DeletesFile::decode(&bytes).is_err());
        prop_assert!(DeletesFile::decode(&bytes[..at]).is_err());
    }
}
