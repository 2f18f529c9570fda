//! One pass after the other, for a pod: each is a process of its own, as the unit is that `watch` starts on a node.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, Output, Sweep};

/// This program, whatever our root is by now. *Source*: man 5 `proc`.
const OWN: &str = "/proc/self/exe";

/// Sweeps every so many seconds, without an end. A pass that fails says why, and the next one tries again.
///
/// # Errors
/// A pass cannot be started.
pub fn run(global: &Global, wanted: &Sweep, every_secs: u64) -> Result<Exit, Failure> {
    let arguments = arguments(global, wanted);
    loop {
        let mut pass = Command::new(OWN);
        let ended = pass.args(&arguments).stdin(Stdio::null()).status();
        ended.map_err(|e| Failure::new(Exit::Failed, format!("start a pass: {e}")))?;
        std::thread::sleep(Duration::from_secs(every_secs));
    }
}

/// The command line of one pass. It begins where we are: the node is entered already.
fn arguments(global: &Global, wanted: &Sweep) -> Vec<OsString> {
    let mut all = vec![OsString::from("sweep")];
    let mut option = |name: &str, value: &Path| all.extend([name.into(), value.as_os_str().to_owned()]);
    option("--conf-dir", &global.conf_dir);
    let named =
        [("--state-dir", &global.state_dir), ("--run-dir", &global.run_dir), ("--policy", &global.policy)];
    for (name, value) in named {
        if let Some(value) = value {
            option(name, value);
        }
    }
    if let Some(listed) = &wanted.listed {
        option("--listed", listed);
    }
    wanted.bin_dirs.iter().for_each(|dir| option("--bin-dir", dir));
    if let Some(endpoint) = &wanted.runtime.runtime_endpoint {
        all.extend(["--runtime-endpoint".into(), endpoint.into()]);
    }
    if global.dry_run {
        all.push("--dry-run".into());
    }
    if global.output == Output::Json {
        all.extend(["--output".into(), "json".into()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_pass_is_told_everything_but_to_go_on_and_where_the_node_is() {
        let line = [
            "crossfade-bootstrap",
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
        let Command::Sweep(wanted) = &cli.command else { panic!("{:?}", cli.command) };
        let mut expected: Vec<OsString> = line[1..].iter().map(OsString::from).collect();
        for left_out in ["--host", "/host", "--every", "9"] {
            expected.retain(|word| word != left_out);
        }
        assert_eq!(arguments(&cli.global(), wanted), expected);
    }
}
