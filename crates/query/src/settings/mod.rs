//! Settings of a session: what `SET`, `SHOW` and `RESET` know.

mod command;
mod registry;
mod values;

pub(crate) use command::{SetScope, SetValue, SettingCommand, parse_setting_command};
pub(crate) use registry::parse_bool;
pub(crate) use values::Settings;

#[cfg(test)]
mod tests;
