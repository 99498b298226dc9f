//! The values that a session gave to its settings.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use outcrop_types::{Condition, Error, Result};

use super::registry::{DEFINITIONS, Definition, find, parse_bool, parse_duration_ms};

/// Most settings of their own (`myapp.tenant`) that a session may make, and bytes of their names and values.
const CUSTOM_SETTINGS_MAX: usize = 1_000;
const CUSTOM_BYTES_MAX: usize = 1 << 20;

/// Settings of one session. A value is looked for in the block (`SET LOCAL`), the session, the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    defaults: BTreeMap<String, String>,
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
    /// What `session` was when the block began; ROLLBACK returns to it.
    at_begin: Option<BTreeMap<String, String>>,
    /// What the client was told.
    told: BTreeMap<&'static str, String>,
    /// Counts changes, but for those of the position.
    version: u64,
    /// The version that the client was told.
    told_version: Option<u64>,
    /// What functions see, until something changes.
    view: OnceLock<Arc<HashMap<String, String>>>,
}

/// The setting that changes with each commit. All others change rarely, so that it is looked after apart from them.
const POSITION: &str = "outcrop.commit_seq";

impl Settings {
    /// Settings whose internal values are these.
    pub(crate) fn new(internal: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let defaults = internal.into_iter().map(|(name, value)| (key(name), value)).collect();
        Self { defaults, ..Self::default() }
    }

    /// The value at the start of the session, which RESET returns to.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) -> Result<()> {
        self.changed();
        let (name, value) = check(name, value)?;
        self.defaults.insert(name, value);
        Ok(())
    }

    /// The newest commit that the session made or saw.
    pub(crate) fn set_position(&mut self, position: String) {
        self.defaults.insert(POSITION.to_owned(), position);
    }

    /// A number that changes with every setting but the position.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// `SET name = value`.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = check(name, value)?;
        check_room(&self.session, &name, &value)?;
        self.changed();
        self.local.remove(&name);
        self.session.insert(name, value);
        Ok(())
    }

    /// `SET LOCAL name = value`, in a block.
    pub(crate) fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = check(name, value)?;
        check_room(&self.local, &name, &value)?;
        self.changed();
        self.local.insert(name, value);
        Ok(())
    }

    /// `RESET name`.
    pub(crate) fn reset(&mut self, name: &str) -> Result<()> {
        let lower = key(name);
        if find(name).is_none() && !lower.contains('.') {
            return Err(unknown(name));
        }
        self.changed();
        self.local.remove(&lower);
        self.session.remove(&lower);
        Ok(())
    }

    /// `RESET ALL`.
    pub(crate) fn reset_all(&mut self) {
        self.changed();
        self.local.clear();
        self.session.clear();
    }

    /// A block begins.
    pub(crate) fn begin(&mut self) {
        self.at_begin = Some(self.session.clone());
    }

    /// A block ends well.
    pub(crate) fn commit(&mut self) {
        self.changed();
        self.at_begin = None;
        self.local.clear();
    }

    /// A block ends badly: what it set is undone.
    pub(crate) fn rollback(&mut self) {
        self.changed();
        if let Some(session) = self.at_begin.take() {
            self.session = session;
        }
        self.local.clear();
    }

    /// Reported settings that are not what the client was told.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, String)> {
        let mut changes = Vec::new();
        let all = self.told_version.replace(self.version) != Some(self.version);
        let is_wanted = |definition: &&Definition| definition.reported && (all || definition.name == POSITION);
        for definition in DEFINITIONS.iter().filter(is_wanted) {
            let value = self.value(definition);
            if self.told.get(definition.name).map(String::as_str) != Some(value) {
                changes.push((definition.name.to_owned(), value.to_owned()));
            }
        }
        for (definition, (name, value)) in changes.iter().filter_map(|change| Some((find(&change.0)?, change))) {
            debug_assert_eq!(definition.name, name);
            self.told.insert(definition.name, value.clone());
        }
        changes
    }

    /// The name as SHOW prints it, and the value.
    pub(crate) fn show(&self, name: &str) -> Result<(String, String)> {
        match find(name) {
            Some(definition) => Ok((definition.name.to_owned(), self.value(definition).to_owned())),
            None => match self.lookup(&key(name)) {
                Some(value) => Ok((name.to_owned(), value.to_owned())),
                None => Err(unknown(name)),
            },
        }
    }

    /// Name, value and description of every setting, for `SHOW ALL`.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        DEFINITIONS.iter().map(|definition| (definition.name, self.value(definition), definition.description))
    }

    /// What functions see: values by lower-case name. That of the position may be old.
    pub(crate) fn view(&self) -> Arc<HashMap<String, String>> {
        Arc::clone(self.view.get_or_init(|| {
            let known = self.all().map(|(name, value, _)| (key(name), value.to_owned()));
            let custom = self.session.iter().chain(&self.local).filter(|(name, _)| find(name).is_none());
            Arc::new(known.chain(custom.map(|(name, value)| (name.clone(), value.clone()))).collect())
        }))
    }

    /// A boolean setting.
    pub(crate) fn is_on(&self, name: &'static str) -> bool {
        find(name).and_then(|definition| parse_bool(self.value(definition))).unwrap_or(false)
    }

    /// A duration; `None` for 0.
    pub(crate) fn duration(&self, name: &'static str) -> Option<std::time::Duration> {
        let ms = parse_duration_ms(self.value(find(name)?))?;
        u64::try_from(ms).ok().filter(|ms| *ms > 0).map(std::time::Duration::from_millis)
    }

    /// A known setting's value.
    pub(crate) fn text(&self, name: &'static str) -> &str {
        find(name).map_or("", |definition| self.value(definition))
    }

    fn changed(&mut self) {
        self.view.take();
        self.version += 1;
    }

    fn value(&self, definition: &'static Definition) -> &str {
        let found = self.lookup(&key(definition.name));
        // Outside of a block, and in one that does not say, the transaction is as the session's default.
        let of_session = || match definition.name.strip_prefix("transaction_") {
            Some(_) => self.lookup(&format!("default_{}", definition.name)),
            None => None,
        };
        found.or_else(of_session).unwrap_or(definition.default)
    }

    fn lookup(&self, lower: &str) -> Option<&str> {
        let found = self.local.get(lower).or_else(|| self.session.get(lower)).or_else(|| self.defaults.get(lower));
        found.map(String::as_str)
    }
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The lower-case name and the value as SHOW prints it. Names with a prefix that is not ours belong to applications.
fn check(name: &str, value: &str) -> Result<(String, String)> {
    match find(name) {
        Some(definition) => Ok((key(name), definition.check(value)?)),
        None => match name.split_once('.') {
            Some((prefix, _)) if !prefix.eq_ignore_ascii_case("outcrop") => Ok((key(name), value.to_owned())),
            _ => Err(unknown(name)),
        },
    }
}

/// Whether one more setting of an application finds room among those that were made with it.
fn check_room(settings: &BTreeMap<String, String>, name: &str, value: &str) -> Result<()> {
    if find(name).is_some() {
        return Ok(());
    }
    let others = settings.iter().filter(|(other, _)| *other != name && find(other).is_none());
    let (count, bytes) =
        others.fold((0, 0), |(count, bytes), (name, value)| (count + 1, bytes + name.len() + value.len()));
    if count < CUSTOM_SETTINGS_MAX && bytes + name.len() + value.len() <= CUSTOM_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(Condition::ProgramLimitExceeded, "too many settings in this session")
        .with_detail(format!("There may be {CUSTOM_SETTINGS_MAX} of {CUSTOM_BYTES_MAX} bytes."))
        .with_hint("Free some with RESET."))
}

fn unknown(name: &str) -> Error {
    Error::new(Condition::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""))
}
