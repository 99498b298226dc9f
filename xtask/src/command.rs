//! Running other programs, with their output shown or caught.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end with our own standard streams; an error names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command.status().with_context(|| format!("start {text}"))?;
    if status.success() { Ok(()) } else { bail!("{text} failed ({status})") }
}

/// Runs to the end, shows every line of its standard output as it comes and hands each to `see`.
pub(crate) fn run_seen(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    let text = describe(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {text}"))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.with_context(|| format!("read the output of {text}"))?;
            println!("{line}");
            see(&line);
        }
    }
    let status = child.wait().with_context(|| format!("wait for {text}"))?;
    if status.success() { Ok(()) } else { bail!("{text} failed ({status})") }
}

/// Runs to the end and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = describe(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("start {text}"))?;
    if !output.status.success() {
        bail!("{text} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {text}"))
}

/// Whether a program of this name is on the path.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
