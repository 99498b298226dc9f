//! Where downloads, virtual environments and compiled dependencies live: outside the clone, so that the next one re-uses them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// Root of this repository. Asked of Cargo at run time: clones share a target directory, so another clone may have compiled
/// this program.
pub(crate) fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// `$OUTCROP_CACHE`, or `$XDG_CACHE_HOME/outcrop`, or `$HOME/.cache/outcrop`; created if missing.
pub(crate) fn directory() -> Result<PathBuf> {
    let path = std::env::var_os("OUTCROP_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("outcrop")))
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/outcrop")))
        .unwrap_or_else(|| repository().join("target/cache"));
    std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    Ok(path)
}

/// A Python that has the packages of `tests/clients/requirements.txt`, in a virtual environment of the cache folder.
pub(crate) fn python() -> Result<PathBuf> {
    let requirements = repository().join("tests/clients/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let home = directory()?.join("python");
    let python = home.join("bin/python");
    let marker = home.join("installed.txt");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("installing the Python clients into {}", home.display());
    if command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).is_err() {
        install_packages(&["python3-venv"])?;
        command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    }
    command::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements),
    )?;
    std::fs::write(&marker, wanted).with_context(|| format!("write {}", marker.display()))?;
    Ok(python)
}

/// Installs a Debian package for each program that is missing.
pub(crate) fn need_programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| !command::exists(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install_packages(&missing) }
}

fn install_packages(packages: &[&str]) -> Result<()> {
    println!("installing {} with apt-get", packages.join(", "));
    let as_root = |arguments: &[&str]| {
        let root = command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        command::run(command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    as_root(&["-qq", "update"])?;
    let mut arguments = vec!["-qq", "install", "-y", "--no-install-recommends"];
    arguments.extend_from_slice(packages);
    as_root(&arguments).with_context(|| format!("install {}", packages.join(", ")))
}
