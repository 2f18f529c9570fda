//! Programs that are run to their end.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a command to its end and returns its stdout; an error has the whole line and all output.
///
/// # Errors
/// It cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
        String::from_utf8_lossy(&output.stdout).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same for a line of words with blanks between them: nothing quotes another blank.
///
/// # Errors
/// As [`run`].
pub fn run_line(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    run(Command::new(words.next().context("an empty command line")?).args(words))
}
