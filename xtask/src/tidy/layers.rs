//! Crates use lower layers only, and heavy dependencies stay in their one crate (architecture.md §2).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::Report;
use crate::command;

#[derive(Deserialize)]
struct Rules {
    layers: BTreeMap<String, u32>,
    siblings: BTreeMap<String, Vec<String>>,
    development: Development,
    only: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Development {
    crates: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null`, `dev` or `build`.
    kind: Option<String>,
}

pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let path = Path::new("xtask/layers.toml");
    let text = std::fs::read_to_string(root.join(path)).context("read xtask/layers.toml")?;
    let rules: Rules = toml::from_str(&text).context("parse xtask/layers.toml")?;
    let json = command::output(Command::new("cargo").current_dir(root).args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
    ]))?;
    let metadata: Metadata = serde_json::from_str(&json).context("parse cargo metadata")?;
    for package in &metadata.packages {
        check_package(package, &rules, path, report);
    }
    Ok(())
}

fn check_package(package: &Package, rules: &Rules, path: &Path, report: &mut Report) {
    let is_development = rules.development.crates.contains(&package.name);
    let layer = rules.layers.get(&package.name);
    if layer.is_none() && !is_development {
        report.add(path, 0, format!("crate {} has no layer; give it one", package.name));
    }
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
        if let Some(allowed) = rules.only.get(&dependency.name)
            && !allowed.contains(&package.name)
        {
            let owners = allowed.join(", ");
            report.add(path, 0, format!("{} must not use {}; only {owners} may", package.name, dependency.name));
        }
        if is_development {
            continue;
        }
        if rules.development.crates.contains(&dependency.name) {
            report.add(path, 0, format!("{} uses {} outside tests", package.name, dependency.name));
        }
        let (Some(own), Some(other)) = (layer, rules.layers.get(&dependency.name)) else { continue };
        let listed = rules.siblings.get(&package.name).is_some_and(|list| list.contains(&dependency.name));
        if other > own || (other == own && !listed) {
            report.add(
                path,
                0,
                format!(
                    "{} (L{own}) uses {} (L{other}); a crate uses lower layers only",
                    package.name, dependency.name
                ),
            );
        }
    }
}
