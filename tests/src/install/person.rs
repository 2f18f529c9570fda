//! An operator on a node, who runs `crossfade-bootstrap` and reads its output.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::host::node::Node;

/// `crossfade-bootstrap` as it ships, in a node, with these arguments.
///
/// # Errors
/// It is not built.
pub fn bootstrap(node: &Node, arguments: &[&str]) -> Result<Command> {
    let mut command = node.command(crate::build::dist::bootstrap()?);
    command.args(arguments);
    Ok(command)
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
