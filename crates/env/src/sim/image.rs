//! The content of a simulated disk: what the process sees, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng};

use super::content::Content;
use super::fates::{ChangeFate, Fates};
use crate::disk::FileName;

/// A disk at rest: what a process finds after a start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DiskImage {
    /// The files and their bytes.
    pub files: BTreeMap<FileName, Vec<u8>>,
    /// The directories, without the root.
    pub dirs: BTreeSet<String>,
}

/// Number of a file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(u64);

/// A disk in use. Clones share the bytes that do not change.
#[derive(Clone, Debug, Default)]
pub(super) struct DiskState {
    inodes: BTreeMap<InodeId, Inode>,
    names: BTreeMap<FileName, InodeId>,
    durable_names: BTreeMap<FileName, InodeId>,
    /// Name changes that no directory sync has covered, in order.
    pending_names: Vec<NameChange>,
    dirs: BTreeSet<String>,
    next_inode: u64,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a read sees.
    content: Content,
    durable: Content,
    /// Changes that no file sync has covered, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    SetLen(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Set { name: FileName, inode: InodeId },
    Unset { name: FileName },
    Rename { from: FileName, to: FileName, inode: InodeId },
}

impl DiskState {
    pub(super) fn from_image(image: &DiskImage) -> Self {
        let files = image.files.iter().map(|(name, bytes)| (name.clone(), Content::from(bytes.clone())));
        Self::at_rest(files, image.dirs.clone())
    }

    /// The files of a disk at rest, that all are durable.
    fn at_rest(names: impl Iterator<Item = (FileName, Content)>, dirs: BTreeSet<String>) -> Self {
        let mut state = Self { dirs, ..Self::default() };
        for (name, content) in names {
            let inode = state.new_inode(Inode { content: content.clone(), durable: content, pending: Vec::new() });
            state.names.insert(name, inode);
        }
        state.durable_names = state.names.clone();
        state
    }

    /// The disk as bytes.
    pub(super) fn image(&self) -> DiskImage {
        let content = |inode: &InodeId| self.inodes.get(inode).map(|inode| inode.content.to_vec()).unwrap_or_default();
        let files = self.names.iter().map(|(name, inode)| (name.clone(), content(inode)));
        DiskImage { files: files.collect(), dirs: self.dirs.clone() }
    }

    /// Equal for disks on which a process finds the same.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, inode) in &self.names {
            name.hash(&mut hasher);
            self.inodes.get(inode).map(|inode| inode.content.hash()).hash(&mut hasher);
        }
        self.dirs.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn create(&mut self, name: &FileName) -> io::Result<InodeId> {
        if self.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !name.dir().is_empty() && !self.dirs.contains(name.dir()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = self.new_inode(Inode::default());
        self.change_name(NameChange::Set { name: name.clone(), inode });
        Ok(inode)
    }

    pub(super) fn find(&self, name: &FileName) -> io::Result<InodeId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn remove(&mut self, name: &FileName) -> io::Result<()> {
        self.find(name)?;
        self.change_name(NameChange::Unset { name: name.clone() });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &FileName, to: &FileName) -> io::Result<()> {
        let inode = self.find(from)?;
        if !to.dir().is_empty() && !self.dirs.contains(to.dir()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(NameChange::Rename { from: from.clone(), to: to.clone(), inode });
        Ok(())
    }

    pub(super) fn create_dir(&mut self, dir: &str) {
        for (end, _) in dir.match_indices('/').chain([(dir.len(), "")]) {
            if let Some(prefix) = dir.get(..end)
                && !prefix.is_empty()
            {
                self.dirs.insert(prefix.to_owned());
            }
        }
    }

    pub(super) fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    /// The files directly in `dir` with their lengths.
    pub(super) fn list(&self, dir: &str) -> Vec<(FileName, usize)> {
        let in_dir = self.names.iter().filter(|(name, _)| name.dir() == dir);
        in_dir.map(|(name, inode)| (name.clone(), self.len(*inode))).collect()
    }

    pub(super) fn len(&self, inode: InodeId) -> usize {
        self.inodes.get(&inode).map_or(0, |inode| inode.content.len())
    }

    pub(super) fn read(&self, inode: InodeId, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        let content = self.inodes.get(&inode).map_or(&[] as &[u8], |inode| inode.content.bytes());
        let end = offset.checked_add(bytes.len());
        let Some(found) = end.and_then(|end| content.get(offset..end)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        bytes.copy_from_slice(found);
        Ok(())
    }

    pub(super) fn write(&mut self, inode: InodeId, offset: usize, bytes: &[u8]) {
        self.change(inode, Change::Write { offset, bytes: bytes.into() });
    }

    pub(super) fn set_len(&mut self, inode: InodeId, len: usize) {
        self.change(inode, Change::SetLen(len));
    }

    pub(super) fn sync(&mut self, inode: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            for change in inode.pending.drain(..) {
                change.apply(&mut inode.durable, ChangeFate::Kept);
            }
        }
    }

    /// A failed sync: each waiting change reaches the disk or not, and no later sync will write it (the pages count as
    /// clean). Reads still see it.
    pub(super) fn sync_badly(&mut self, inode: InodeId, mut keep: impl FnMut() -> bool) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            for change in inode.pending.drain(..) {
                if keep() {
                    change.apply(&mut inode.durable, ChangeFate::Kept);
                }
            }
        }
    }

    pub(super) fn sync_dir(&mut self, dir: &str) {
        self.sync_dir_badly(dir, || true);
    }

    pub(super) fn sync_dir_badly(&mut self, dir: &str, mut keep: impl FnMut() -> bool) {
        let (durable, waiting) = std::mem::take(&mut self.pending_names).into_iter().partition(|c| c.touches(dir));
        self.pending_names = waiting;
        let durable: Vec<NameChange> = durable;
        for change in &durable {
            if keep() {
                change.apply(&mut self.durable_names);
            }
        }
    }

    /// Bytes of all named files.
    pub(super) fn used(&self) -> usize {
        self.names.values().map(|inode| self.len(*inode)).sum()
    }

    /// Numbers of waiting changes: to bytes, to names.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.reachable().map(|(_, inode)| inode.pending.len()).sum(), self.pending_names.len())
    }

    /// For each waiting change to bytes, the 512-byte pieces that a disk can write or not write by themselves, and that make a
    /// difference; `None` if they are too many for a mask.
    pub(super) fn waiting_pieces(&self) -> Vec<Option<u64>> {
        self.reachable().flat_map(|(_, inode)| inode.pending_pieces()).collect()
    }

    /// The files that have a name, or would have one after some crash, in a fixed order.
    fn reachable(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        let named = self.names.values().chain(self.durable_names.values()).copied();
        let pending = self.pending_names.iter().filter_map(NameChange::inode);
        let named: BTreeSet<InodeId> = named.chain(pending).collect();
        named.into_iter().filter_map(|id| self.inodes.get(&id).map(|inode| (id, inode)))
    }

    /// The disk after a power cut in which the waiting changes met these fates (E1).
    pub(super) fn after_crash(&self, fates: &Fates) -> Self {
        let mut names = self.durable_names.clone();
        for (change, done) in self.pending_names.iter().zip(&fates.names) {
            if *done {
                change.apply(&mut names);
            }
        }
        let mut survivors = BTreeMap::new();
        let mut change_fates = fates.changes.iter().copied();
        for (id, inode) in self.reachable() {
            let mut bytes = inode.durable.clone();
            for change in &inode.pending {
                change.apply(&mut bytes, change_fates.next().unwrap_or(ChangeFate::Lost));
            }
            survivors.insert(id, bytes);
        }
        let content = |inode| survivors.get(&inode).cloned().unwrap_or_default();
        Self::at_rest(names.into_iter().map(|(name, inode)| (name, content(inode))), self.dirs.clone())
    }

    /// Changes bytes behind everyone's back, as they are seen and as they are durable.
    pub(super) fn edit(&mut self, name: &FileName, edit: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
        let id = self.find(name)?;
        if let Some(inode) = self.inodes.get_mut(&id) {
            edit(inode.content.edit());
            edit(inode.durable.edit());
        }
        Ok(())
    }

    fn new_inode(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(self.next_inode);
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn change(&mut self, inode: InodeId, change: Change) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            change.apply(&mut inode.content, ChangeFate::Kept);
            inode.pending.push(change);
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl Inode {
    fn pending_pieces(&self) -> impl Iterator<Item = Option<u64>> {
        let alone = self.pending.len() == 1;
        self.pending.iter().map(move |change| match change {
            Change::SetLen(_) => Some(1),
            Change::Write { offset, bytes } => {
                let mut mask = Some(0_u64);
                for (number, (at, piece)) in pieces(*offset, bytes, PIECE_BYTES).enumerate() {
                    // Under another change even bytes that are there already may make a difference.
                    if alone && self.durable.bytes().get(at..at + piece.len()) == Some(piece) {
                        continue;
                    }
                    let bit = u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number));
                    mask = mask.and_then(|mask| bit.map(|bit| mask | bit));
                }
                mask
            }
        })
    }
}

impl Change {
    fn apply(&self, target: &mut Content, fate: ChangeFate) {
        match (self, fate) {
            (_, ChangeFate::Lost | ChangeFate::Pieces(0)) => {}
            (Self::SetLen(len), ChangeFate::Kept | ChangeFate::Torn { .. } | ChangeFate::Pieces(_)) => {
                target.edit().resize(*len, 0);
            }
            (Self::Write { offset, bytes }, ChangeFate::Kept) => put(target.edit(), *offset, bytes),
            (Self::Write { offset, bytes }, ChangeFate::Torn { sector, seed }) => {
                let mut rng = SmallRng::seed_from_u64(seed);
                let kept = pieces(*offset, bytes, sector).filter(|_| rng.random_bool(0.5));
                kept.for_each(|(offset, piece)| put(target.edit(), offset, piece));
            }
            (Self::Write { offset, bytes }, ChangeFate::Pieces(mask)) => {
                let numbered = (0_u32..).zip(pieces(*offset, bytes, PIECE_BYTES));
                let kept = numbered.filter(|(number, _)| mask.checked_shr(*number).unwrap_or(0) & 1 == 1);
                kept.for_each(|(_, (offset, piece))| put(target.edit(), offset, piece));
            }
        }
    }
}

/// A write as a disk with sectors of `sector` bytes does it: each piece with its offset.
fn pieces(mut offset: usize, mut rest: &[u8], sector: usize) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at((sector - offset % sector).min(rest.len()));
        let at = offset;
        offset += piece.len();
        rest = after;
        Some((at, piece))
    })
}

/// The smallest sector that disks write whole.
const PIECE_BYTES: usize = 512;

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<FileName, InodeId>) {
        match self {
            Self::Set { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Unset { name } => {
                names.remove(name);
            }
            Self::Rename { from, to, inode } => {
                // Only if it is still this file: an earlier change of the same name may have been lost.
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn inode(&self) -> Option<InodeId> {
        match self {
            Self::Set { inode, .. } | Self::Rename { inode, .. } => Some(*inode),
            Self::Unset { .. } => None,
        }
    }

    fn touches(&self, dir: &str) -> bool {
        match self {
            Self::Set { name, .. } | Self::Unset { name } => name.dir() == dir,
            Self::Rename { to, .. } => to.dir() == dir,
        }
    }
}

fn put(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    if let Some(range) = target.get_mut(offset..end) {
        range.copy_from_slice(bytes);
    }
}
