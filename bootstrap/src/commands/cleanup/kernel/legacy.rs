//! The older back end of iptables, through its own program.
//!
//! The kernel takes only whole tables of it. So its program reads a table, changes one rule and writes the table back, and does so under a
//! lock that every other caller of the program takes as well (`/run/xtables.lock`). Crossfade never writes a table of its own making.
//! *Source*: man 8 `iptables`, `iptables-save`.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use convergence::commands::cleanup::firewall::{BackEnd, TABLES, Table};
use convergence::commands::cleanup::legacy::parse;

use crate::host::command::{RunLimits, run};
use crate::host::program;

/// The tables that exist in this network namespace, by family. Reading them creates none, unlike a call of the program.
const NAMES: [(u8, &str, [&str; 2]); 2] = [
    (2, "/proc/net/ip_tables_names", ["iptables-legacy", "iptables"]),
    (10, "/proc/net/ip6_tables_names", ["ip6tables-legacy", "ip6tables"]),
];
/// How long the program may take, with the wait for the lock. A table of kube-proxy's may have 50,000 rules.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(60), max_bytes: 256 << 20 };
/// How long the program waits for the lock, in seconds.
const WAIT: &str = "30";

/// The tables that exist. What keeps one from being read is added to `unread`.
#[must_use]
pub(crate) fn gather(unread: &mut Vec<String>) -> Vec<Table> {
    let mut all = Vec::new();
    for (family, names, programs) in NAMES {
        let Ok(names) = std::fs::read_to_string(names) else { continue };
        let names: Vec<_> = names.lines().filter(|name| TABLES.contains(name)).collect();
        if names.is_empty() {
            continue;
        }
        let program_result = find(programs);
        for name in names {
            let read = program_result.clone().and_then(|program| read(family, name, program));
            match read {
                Ok(table) => all.push(table),
                Err(why) => unread.push(format!("table {name} of the legacy iptables: {why}")),
            }
        }
    }
    all
}

/// Runs the program once, which changes one thing.
///
/// # Errors
/// What it says.
pub(crate) fn change(program: &PathBuf, table: &str, arguments: &[String]) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(["-w", WAIT, "-t", table]).args(arguments);
    let answer = run(&mut command, LIMITS)?;
    answer.check_success().map_err(io::Error::other)
}

/// The program of this back end: the one that is called so, or the plain one if it says that it is this one.
fn find(names: [&str; 2]) -> Result<PathBuf, String> {
    let [own, plain] = names;
    if let Ok(path) = program::find(own) {
        return Ok(path);
    }
    let missing = || format!("{own} is in no directory of PATH; install it, then run the command again");
    let path = program::find(plain).map_err(|_| missing())?;
    let answer =
        run(Command::new(&path).arg("--version"), LIMITS).map_err(|why| format!("{plain}: {why}"))?;
    // Before 1.8 there was no other back end, and no word for it.
    if answer.stdout_text().contains("nf_tables") { Err(missing()) } else { Ok(path) }
}

fn read(family: u8, name: &str, program: PathBuf) -> Result<Table, String> {
    let mut command = Command::new(&program);
    command.args(["-w", WAIT, "-t", name, "-S"]);
    let answer = run(&mut command, LIMITS).map_err(|why| why.to_string())?;
    answer.check_success()?;
    let chains = parse(&answer.stdout_text())?;
    Ok(Table { back_end: BackEnd::Legacy(program), family, name: name.to_owned(), chains })
}
