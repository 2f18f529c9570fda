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

/// Runs a command to its end; its exit status, and all that it said on stdout and then on stderr.
///
/// # Errors
/// It cannot be started.
pub fn status_and_text(command: &mut Command) -> Result<(Option<i32>, String)> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout) + &text(&output.stderr)))
}

/// Runs a command that must end with this exit status, and returns all that it said.
///
/// # Errors
/// It ends otherwise; the message has what it said.
pub fn run_expecting(command: &mut Command, status: i32) -> Result<String> {
    let (ended, printed) = status_and_text(command)?;
    ensure!(ended == Some(status), "{command:?}: {ended:?}, expected {status}\n{printed}");
    Ok(printed)
}
