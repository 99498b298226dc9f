//! Backups: a copy of the database at one commit, taken while it is used, and a database made from one again.
//!
//! A backup is the older of the two manifests that recovery could start from, the log from where that one needs it up to one commit,
//! and every file that the two name. So it holds every commit from the manifest's on, and a restore may end at any of them. While it
//! is taken, a hold ([`crate::manifest`]) keeps those files; commits, flushes, compactions and drops go on.
//!
//! | file | what |
//! |---|---|
//! | `BACKUP` | identity, range of commits and times, and each other file with its length and CRC32C |
//! | `BACKUP.incomplete` | in its place until everything else is durable |
//! | `manifest/`, `log/`, `segments/`, `staged/` | as in a data directory; the log ends with the last group |
//! | `users.toml` | the server's users, if there are any |
//!
//! Both ends are crash safe by the same device: the file that makes the directory what it is has another name until the end, and gets
//! its own by one renaming. A directory without `BACKUP` is no backup, one without `FORMAT` no database.
//!
//! A restored database goes on under a new `LogId` (architecture F1): positions of the original mean nothing to it, and its feed cursors are
//! ended, because their consumers may have seen commits that it does not have. Its segments keep the names that they have.

mod copy;
mod names;
mod place;
mod record;
mod restore;
mod take;

pub use place::{open_backup, open_for_restore, open_target};
pub(crate) use record::BackupRecord;
pub use record::{BackupRange, range_of};
pub use restore::{Restored, Until, restore};
pub use take::BackupReport;
