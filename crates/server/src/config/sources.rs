//! From file, environment and flags to one tree.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use outcrop_engine::USERS_FILE;
use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, ConfigProblem};

/// Where settings come from. Later ones win: defaults, file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables, as `std::env::vars_os` gives them. Only those that begin with `OUTCROP_` matter.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings by their dotted names, with the flag that gave them.
    pub flags: Vec<(&'static str, String)>,
}

const PREFIX: &str = "OUTCROP_";

/// The users file of a configuration.
pub fn users_path(config: &Config) -> PathBuf {
    if config.users_file.as_os_str().is_empty() { config.data.join(USERS_FILE) } else { config.users_file.clone() }
}

impl Sources {
    /// Reads all sources.
    ///
    /// # Errors
    /// Every unknown name and every value that does not fit its setting, with where it stands.
    pub fn load(&self) -> Result<Config, Vec<ConfigProblem>> {
        let known = leaves(&defaults());
        let mut problems = Vec::new();
        let mut merged = Table::new();
        if let Some(path) = &self.file {
            match read_file(path) {
                Ok(table) => {
                    let place = path.display().to_string();
                    for (name, value) in leaves(&table) {
                        take(&mut merged, &mut problems, &place, &name, value);
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        for (variable, text) in &self.environment {
            let (Some(variable), Some(text)) = (variable.to_str(), text.to_str()) else { continue };
            match of_variable(&known, variable) {
                Variable::Setting(name, default) => {
                    take(&mut merged, &mut problems, variable, name, typed(text, default));
                }
                Variable::Misspelt => problems.push(ConfigProblem::new(variable, "there is no such setting")),
                Variable::Foreign => {}
            }
        }
        for (name, text) in &self.flags {
            let default = known.iter().find(|(known, _)| known == name).map(|(_, default)| default);
            let value = default.map_or_else(|| Value::String(text.clone()), |default| typed(text, default));
            take(&mut merged, &mut problems, &format!("--{}", name.replace(['.', '_'], "-")), name, value);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Config::deserialize(merged).map_err(|error| vec![ConfigProblem::new("configuration", error.message())])
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigProblem> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigProblem::new(&place, format!("cannot be read: {error}")))?;
    text.parse().map_err(|error: toml::de::Error| ConfigProblem::new(&place, error.to_string().trim_end()))
}

/// Takes one setting if it is a valid one by itself.
fn take(merged: &mut Table, problems: &mut Vec<ConfigProblem>, place: &str, name: &str, value: Value) {
    let mut alone = Table::new();
    insert(&mut alone, name, value.clone());
    match Config::deserialize(alone) {
        Ok(_) => insert(merged, name, value),
        Err(error) => problems.push(ConfigProblem::new(&format!("{place}: {name}"), error.message())),
    }
}

fn insert(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// All settings with their defaults.
fn defaults() -> Table {
    Table::try_from(Config::default()).unwrap_or_default()
}

/// Dotted names and values, sections opened.
fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(rest, value)| (format!("{name}.{rest}"), value)));
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => found.push((name.clone(), value.clone())),
        }
    }
    found
}

enum Variable<'a> {
    Setting(&'a str, &'a Value),
    /// It begins like a setting of ours.
    Misspelt,
    Foreign,
}

/// `OUTCROP_ENGINE_FLUSH_ROWS_MAX` is `engine.flush_rows_max`.
fn of_variable<'a>(known: &'a [(String, Value)], variable: &str) -> Variable<'a> {
    let Some(rest) = variable.strip_prefix(PREFIX) else { return Variable::Foreign };
    let variable_of = |name: &str| name.replace('.', "_").to_ascii_uppercase();
    if let Some((name, default)) = known.iter().find(|(name, _)| variable_of(name) == rest) {
        return Variable::Setting(name, default);
    }
    // Other programs may have variables with our prefix; not with the name of a section behind it.
    let mut sections = known.iter().filter_map(|(name, _)| name.split_once('.')).map(|(section, _)| section);
    let is_ours = sections.any(|section| rest.starts_with(&format!("{}_", section.to_ascii_uppercase())));
    if is_ours { Variable::Misspelt } else { Variable::Foreign }
}

/// Text as a value of the type that the setting has.
fn typed(text: &str, default: &Value) -> Value {
    match default {
        Value::Integer(_) => text.trim().parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
        Value::Boolean(_) => text.trim().parse().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_) => Value::String(text.to_owned()),
    }
}
