//! `cargo xtask mutate`: breaks the database on purpose, and says which lane of the simulator finds it.
//!
//! [`MUTATIONS`] lists single lines to replace. A copy of the sources gets all of them, each behind a switch, so that one build is
//! enough; then each is switched on alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::{cache, command, soak, test};

/// Where the mutations are.
const MUTATIONS: &str = "tests/mutations/mutations.toml";
/// Names the one that is switched on.
const SWITCH: &str = "OUTCROP_BROKEN";

/// Which mutations, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these; may be given several times.
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,
    /// How long each lane looks for each.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Deserialize)]
struct Mutations {
    mutation: Vec<Mutation>,
}

#[derive(Deserialize)]
struct Mutation {
    name: String,
    about: String,
    file: PathBuf,
    find: String,
    replace: String,
    /// Lanes that should find it, the quickest first.
    lanes: Vec<String>,
}

/// Builds the copy and tries each; an error names those that no lane found.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = cache::repository();
    let text = std::fs::read_to_string(root.join(MUTATIONS)).with_context(|| format!("read {MUTATIONS}"))?;
    let mutations: Mutations = toml::from_str(&text).with_context(|| format!("parse {MUTATIONS}"))?;
    let copy = test::target_directory()?.join("mutants");
    copy_sources(&root, &copy)?;
    mutations.mutation.iter().try_for_each(|mutation| apply(mutation, &copy))?;
    // Level 1, so that no artefact of a mutant is ever taken for one of the sources.
    let program = soak::build_simulator(&copy, 1)?;
    let mut missed = Vec::new();
    for mutation in &mutations.mutation {
        if !options.only.is_empty() && !options.only.contains(&mutation.name) {
            continue;
        }
        let found = mutation.lanes.iter().find(|lane| finds(&program, lane, &mutation.name, options.seconds));
        let by = found.map_or("NOTHING", String::as_str);
        println!("mutant {}: found by {by} ({})", mutation.name, mutation.about);
        if found.is_none() {
            missed.push(mutation.name.as_str());
        }
    }
    if missed.is_empty() { Ok(()) } else { bail!("no lane found: {}", missed.join(", ")) }
}

/// What Git knows, with the times of the files, so that unchanged crates are not built again.
fn copy_sources(root: &Path, copy: &Path) -> Result<()> {
    if copy.exists() {
        std::fs::remove_dir_all(copy).context("remove the last copy")?;
    }
    std::fs::create_dir_all(copy).context("make a folder for the copy")?;
    let listed =
        command::output(Command::new("git").current_dir(root).args(["ls-files", "-co", "--exclude-standard"]))?;
    for chunk in listed.lines().filter(|file| root.join(file).is_file()).collect::<Vec<_>>().chunks(200) {
        command::run(Command::new("cp").current_dir(root).args(["--preserve=all", "--parents"]).args(chunk).arg(copy))?;
    }
    Ok(())
}

fn apply(mutation: &Mutation, copy: &Path) -> Result<()> {
    let path = copy.join(&mutation.file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    if text.matches(&mutation.find).count() != 1 {
        bail!("mutation {}: its line is not in {} exactly once", mutation.name, mutation.file.display());
    }
    let switch = format!("std::env::var_os(\"{SWITCH}\").is_some_and(|which| which == \"{}\")", mutation.name);
    let replaced = text.replace(&mutation.find, &mutation.replace.replace("{broken}", &switch));
    std::fs::write(&path, replaced).with_context(|| format!("write {}", path.display()))
}

/// Whether a lane fails with the mutation.
fn finds(program: &Path, lane: &str, name: &str, seconds: u64) -> bool {
    let mut command = Command::new(program);
    command.args([lane, "--seconds", &seconds.to_string(), "--failures", "1"]).env(SWITCH, name);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| !status.success())
}
