//! `outcrop user`

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use outcrop_env::{Env, FileName};
use outcrop_server::auth::Users;
use outcrop_server::config::users_path;

use crate::cli::{ConfigArguments, UserArguments, UserCommand};
use crate::serve::load_config;
use crate::terminal::note;

/// Only the owner may read verifiers.
const FILE_MODE: u32 = 0o600;
const RELOAD: &str = "A running server learns of it by SIGHUP (kill -HUP).";
const NAME_BYTES_MAX: usize = 128;
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Changes or lists the users file.
pub(crate) fn run(arguments: &UserArguments) -> Result<ExitCode> {
    match &arguments.command {
        UserCommand::Add { name, api_key, config } => add(name, api_key.as_deref(), config),
        UserCommand::List { config } => list(config),
        UserCommand::Remove { name, config } => remove(name, config),
    }
}

fn add(name: &str, api_key: Option<&str>, config: &ConfigArguments) -> Result<ExitCode> {
    for name in [Some(name), api_key].into_iter().flatten() {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            bail!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        }
    }
    let (path, mut users) = read(config)?;
    let env = disk_of(&path)?;
    match api_key {
        Some(key_name) => {
            if users.api_keys().iter().any(|key| key.name == key_name) {
                bail!("there is an API key \"{key_name}\" already");
            }
            let key = users.add_api_key(key_name, name, env.rng.as_ref());
            write(&env, &path, &users)?;
            say(&format!("{key}\n"))?;
            note("This is the only time that the key is shown.");
            note(RELOAD);
        }
        None => {
            users.set_password(name, &password(name)?, env.rng.as_ref());
            write(&env, &path, &users)?;
            note(&format!("User \"{name}\" is in {}.", path.display()));
            note(RELOAD);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(config: &ConfigArguments) -> Result<ExitCode> {
    let (_, users) = read(config)?;
    let mut lines = String::new();
    for user in users.users() {
        lines.push_str(&format!("user     {}\n", user.name));
    }
    for key in users.api_keys() {
        lines.push_str(&format!("api key  {} of {}\n", key.name, key.user));
    }
    if lines.is_empty() {
        note("There are no users: on loopback everyone may connect.");
    }
    say(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn remove(name: &str, config: &ConfigArguments) -> Result<ExitCode> {
    let (path, mut users) = read(config)?;
    let keys = users.api_keys().len();
    let was_there = users.remove(name) || users.api_keys().len() < keys;
    if !was_there {
        bail!("there is no user \"{name}\" in {}", path.display());
    }
    write(&disk_of(&path)?, &path, &users)?;
    note(RELOAD);
    if users.users().is_empty() && users.api_keys().is_empty() {
        note("No users are left: a server that starts now lets everyone on loopback connect.");
    }
    Ok(ExitCode::SUCCESS)
}

fn read(config: &ConfigArguments) -> Result<(PathBuf, Users)> {
    let path = users_path(&load_config(config, Vec::new())?);
    let users = match fs::read_to_string(&path) {
        Ok(text) => Users::parse(&text).with_context(|| format!("read {}", path.display()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Users::default(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    Ok((path, users))
}

/// Writes the file whole or not at all: a reader sees the old one or the new one.
fn write(env: &Env, path: &Path, users: &Users) -> Result<()> {
    let temporary = path.with_extension("toml.tmp");
    let written = || -> std::io::Result<()> {
        // What a crash left behind may have other permissions.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
        file.write_all(users.to_text().as_bytes())?;
        drop(file);
        env.disk.publish(&name_of(&temporary)?, &name_of(path)?)
    };
    written().with_context(|| format!("write {}", path.display()))
}

/// The name of a file in its directory.
fn name_of(path: &Path) -> std::io::Result<FileName> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(FileName::new(name)?)
}

/// The directory of the users file, as a disk.
fn disk_of(path: &Path) -> Result<Env> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    Env::real(directory).with_context(|| format!("open {}", directory.display()))
}

/// From the terminal twice, without echo, or one line of standard input.
fn password(name: &str) -> Result<String> {
    let password = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password(format!("Password for {name}: ")).context("read the password")?;
        let second = rpassword::prompt_password("Again: ").context("read the password")?;
        if first != second {
            bail!("the passwords differ");
        }
        first
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("read the password from standard input")?;
        line.trim_end_matches(['\n', '\r']).to_owned()
    };
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX || password.contains('\0') {
        bail!("a password has 1 to {PASSWORD_BYTES_MAX} bytes");
    }
    Ok(password)
}

fn say(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("write to standard output")
}
