//! How errors are told on a terminal.

use std::io::Write as _;

use outcrop_server::config::ConfigProblem;

/// All problems of a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has problems:{}", .0.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
pub(crate) struct BadConfiguration(pub(crate) Vec<ConfigProblem>);

/// Prints an error with its causes, each once, and with the advice of Outcrop's own errors.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
        said = cause;
    }
    for advice in error.chain().filter_map(|cause| cause.downcast_ref::<outcrop_types::Error>()) {
        for (name, line) in [("detail", advice.detail()), ("hint", advice.hint())] {
            if let Some(line) = line {
                text.push_str(&format!("\n  {name}: {line}"));
            }
        }
    }
    // Without a standard error there is nobody to tell.
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}
