//! `outcrop restore`

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use outcrop_engine::backup::{open_backup, open_for_restore, range_of, restore};
use outcrop_engine::{BackupRange, Restored, Until};
use outcrop_ingest::TextSettings;
use outcrop_ingest::text::calendar::write_timestamptz;
use outcrop_ingest::text::datetime::parse_timestamptz;
use outcrop_types::{CommitSeq, LogId};

use crate::cli::RestoreArguments;
use crate::terminal::{grouped, megabytes};

/// Makes a data directory, and tells what is in it.
pub(crate) fn run(arguments: &RestoreArguments) -> Result<ExitCode> {
    let from = &arguments.from;
    let backup = open_backup(from).context("open the backup")?;
    let range = range_of(&backup).with_context(|| format!("open the backup in {}", from.display()))?;
    let until = arguments.until.as_deref().map(|text| parse_until(text, range.log_id)).transpose()?;
    let until = until.unwrap_or(Until::End);
    check_range(&range, until)?;
    let to = &arguments.to;
    let target = open_for_restore(from, to).context("make the data directory")?;
    let restored = restore(&backup, &target, until).with_context(|| format!("restore {}", from.display()))?;
    let Restored { commit_seq, files, bytes, ended_cursors, log_id, from_log, .. } = restored;
    let mut text = format!(
        "restored {} files ({}) into {}, as it was at commit {commit_seq}\n\
         the database goes on as log {log_id}; positions of log {from_log} mean nothing to it\n",
        grouped(files),
        megabytes(bytes),
        to.display(),
    );
    if !ended_cursors.is_empty() {
        let cursors = ended_cursors.join(", ");
        text.push_str(&format!("feed cursors that were ended, and begin again with a snapshot: {cursors}\n"));
    }
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The moments to which a backup can be restored, in words.
pub(crate) fn moments(range: &BackupRange) -> String {
    let BackupRange { first, last, first_us, last_us, .. } = *range;
    format!("it can be restored to commits {first} to {last}, times {} to {}", time(first_us), time(last_us))
}

/// A time in UTC.
pub(crate) fn time(us: i64) -> String {
    let mut out = Vec::new();
    write_timestamptz(&mut out, us, 0, b' ');
    String::from_utf8_lossy(&out).into_owned()
}

/// A number of a commit, a position as a server gives it (`outcrop.commit_seq`), or a time.
fn parse_until(text: &str, log_id: LogId) -> Result<Until> {
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(seq) = text.parse()
    {
        return Ok(Until::Commit(CommitSeq::new(seq)));
    }
    if let Some((log, seq)) = text.split_once('-')
        && let (Ok(log), Ok(seq)) = (log.parse::<LogId>(), u64::from_str_radix(seq, 16))
    {
        if log != log_id {
            bail!("position {text} belongs to another database: the backup is of log {log_id}");
        }
        return Ok(Until::Commit(CommitSeq::new(seq)));
    }
    let time = parse_timestamptz(text, &TextSettings::default());
    Ok(Until::Time(time.with_context(|| format!("--until \"{text}\" is neither a commit nor a time"))?))
}

fn check_range(range: &BackupRange, until: Until) -> Result<()> {
    match until {
        Until::Commit(seq) if seq < range.first || seq > range.last => {
            bail!("the backup does not hold commit {seq}: {}", moments(range))
        }
        Until::Time(us) if us < range.first_us || us > range.last_us => {
            bail!("the backup does not hold {}: {}", time(us), moments(range))
        }
        Until::End | Until::Commit(_) | Until::Time(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use outcrop_types::{CommitSeq, LogId};

    use super::{Until, parse_until};

    #[test]
    fn a_moment_is_a_commit_a_position_or_a_time() {
        let log = LogId::from_bytes([7; 16]);
        assert_eq!(parse_until("17", log).unwrap(), Until::Commit(CommitSeq::new(17)));
        assert_eq!(parse_until(&format!("{log}-1f"), log).unwrap(), Until::Commit(CommitSeq::new(31)));
        assert_eq!(parse_until("1970-01-01 01:00:00.5+01", log).unwrap(), Until::Time(500_000));
        assert_eq!(parse_until("1970-01-01 00:00", log).unwrap(), Until::Time(0));
        let refused = |text: &str| format!("{:#}", parse_until(text, log).unwrap_err());
        assert!(refused("yesterday evening").contains("neither a commit nor a time"));
        assert!(refused(&format!("{}-1f", LogId::from_bytes([8; 16]))).contains("belongs to another database"));
    }
}
