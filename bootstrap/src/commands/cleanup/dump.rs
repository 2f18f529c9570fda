//! The state of the network from before a clean-up, as `ip`, `iptables-save` and similar tools print it: the journal's undo refers to it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use convergence::commands::cleanup::firewall::BackEnd;
use convergence::commands::cleanup::kernel::KernelFacts;
use shim::host::file;

use crate::host::command::{RunLimits, run};
use crate::host::program;

/// How long one tool may take, and the largest answer.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(60), max_bytes: 256 << 20 };
/// What is asked of each tool that the node has.
const TOOLS: [(&str, &[&str]); 7] = [
    ("nft", &["-a", "list", "ruleset"]),
    ("iptables-nft-save", &[]),
    ("ip6tables-nft-save", &[]),
    ("ip", &["-d", "address"]),
    ("ip", &["route", "show", "table", "all"]),
    ("ip", &["-6", "route", "show", "table", "all"]),
    ("ip", &["rule"]),
];
/// The same for the older back end, whose tool would make the tables that it does not find.
const LEGACY: [(&str, &[&str]); 2] = [("iptables-legacy-save", &[]), ("ip6tables-legacy-save", &[])];

/// Writes the dump into a directory, and says where it is. A tool that the node has not is left out.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(
    directory: &Path,
    kernel: &KernelFacts,
    wall_secs: u64,
) -> std::io::Result<std::path::PathBuf> {
    let is_legacy = kernel.firewall.iter().any(|table| matches!(table.back_end, BackEnd::Legacy(_)));
    let mut text = String::new();
    for (tool, arguments) in TOOLS.into_iter().chain(LEGACY.into_iter().filter(|_| is_legacy)) {
        let Ok(path) = program::find(tool) else { continue };
        text.push_str(&format!("# {tool} {}\n", arguments.join(" ")));
        match run(Command::new(path).args(arguments), LIMITS) {
            Ok(answer) => text.push_str(&answer.stdout_text()),
            Err(why) => text.push_str(&format!("# {why}\n")),
        }
    }
    file::create_private_dir(directory)?;
    let path = directory.join(format!("before-{wall_secs}.txt"));
    file::write_durable(&path, text.as_bytes(), file::PRIVATE)?;
    Ok(path)
}
