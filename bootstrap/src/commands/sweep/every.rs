//! Repeated passes, for a pod: each is a process of its own, as the unit is that `watch` starts on a node.

use std::process::{Command, Stdio};
use std::time::Duration;

use convergence::failure::Failure;
use types::command::exit::Exit;

use crate::cli::{Global, Sweep};
use crate::node::agent::own_command;

/// Sweeps every so many seconds, without an end. A pass that fails says why, and the next one tries again.
///
/// # Errors
/// A pass cannot be started.
pub(crate) fn run(global: &Global, args: &Sweep, every_secs: u64) -> Result<Exit, Failure> {
    let arguments = own_command::pass(global, args).into_arguments();
    loop {
        // The pass prints for itself, ends at its own deadline and gets the same stop signal as this process, so it does not run by
        // `node::command`.
        let mut pass = Command::new(own_command::PROGRAM);
        let ended = pass.args(&arguments).stdin(Stdio::null()).status();
        ended.map_err(|e| Failure::new(Exit::Failed, format!("start a pass: {e}")))?;
        std::thread::sleep(Duration::from_secs(every_secs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, UnitCommand};
    use clap::Parser;
    use std::ffi::OsString;

    #[test]
    fn a_pass_is_told_everything_but_to_go_on_and_where_the_node_is() {
        let line = [
            "crossfade-bootstrap",
            "unit",
            "sweep",
            "--host",
            "/host",
            "--every",
            "9",
            "--conf-dir",
            "/c",
            "--state-dir",
            "/s",
            "--run-dir",
            "/r",
            "--policy",
            "/p",
            "--listed",
            "/l",
            "--bin-dir",
            "/b",
            "--runtime-endpoint",
            "/e",
            "--dry-run",
            "--output",
            "json",
        ];
        let cli = Cli::try_parse_from(line).expect("valid");
        let Command::Unit(UnitCommand::Sweep(sweep)) = &cli.command else { panic!("{:?}", cli.command) };
        let mut expected: Vec<OsString> = line[1..].iter().map(OsString::from).collect();
        for left_out in ["--host", "/host", "--every", "9"] {
            expected.retain(|word| word != left_out);
        }
        assert_eq!(own_command::pass(&cli.global(), sweep).into_arguments(), expected);
    }
}
