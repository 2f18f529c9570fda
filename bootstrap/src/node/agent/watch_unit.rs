//! The units that run `boot` and `watch` on a node: whether systemd can run them, and what starts and ends them.

use nix::sys::statvfs::{FsFlags, statvfs};
use types::problem::Problem;

use crate::systemd::systemctl::{self, is_here};
use convergence::change::{Act, Change};

/// Units that run the programs that a pod brings to the node.
const UNITS: [&str; 2] = ["crossfade-boot.service", "crossfade-watch.service"];

/// The directory below which programs and units are installed.
const PACKAGED: &str = "/usr";

/// Whether units can be brought to this node.
///
/// # Errors
/// Why they cannot.
pub fn check() -> Result<(), String> {
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    let read_only = statvfs(PACKAGED).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    if read_only { Err(format!("{PACKAGED} of this node is read-only")) } else { Ok(()) }
}

/// Whether systemd can run `watch` as a unit.
///
/// # Errors
/// Why it cannot.
pub fn watch_unit() -> Result<(), Problem> {
    let [_, watch] = UNITS;
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    let state = systemctl::query(&["show", "--property=LoadState", watch])?;
    match state.trim().strip_prefix("LoadState=") {
        Some("loaded") => Ok(()),
        Some("masked") => {
            let fix = format!("unmask it: systemctl unmask {watch}");
            Err(Problem::new(format!("{watch} is masked")).at(watch).fix(fix))
        }
        _ => Err(Problem::new(format!("systemd does not know {watch}")).at(watch)),
    }
}

/// Makes `watch` run as a unit from now on, and restarts it if its files have changed (`news`).
#[must_use]
pub fn start(news: bool) -> Vec<Change> {
    let [boot, watch] = UNITS;
    let verb = if news { "restart" } else { "start" };
    let mut changes = Vec::new();
    if news {
        changes.push(change(vec!["daemon-reload"], "its units are others than before"));
    }
    changes.push(change(vec!["enable", "--quiet", boot, watch], "at every boot from now on"));
    changes.push(change(vec![verb, watch], "now"));
    changes
}

/// Starts `watch` as the unit that is installed.
#[must_use]
pub fn start_watch() -> Change {
    let [_, watch] = UNITS;
    change(vec!["start", watch], "pods wait for files that it keeps")
}

/// What ends the units; before their files are removed.
#[must_use]
pub fn stop() -> Vec<Change> {
    let [boot, watch] = UNITS;
    vec![change(vec!["disable", "--quiet", "--now", watch, boot], "they are taken away")]
}

/// Makes systemd forget the removed units.
#[must_use]
pub fn forget() -> Vec<Change> {
    vec![change(vec!["daemon-reload"], "the units are gone")]
}

fn change(arguments: Vec<&'static str>, why: &str) -> Change {
    let target = format!("systemctl {}", arguments.join(" "));
    Change::new(Act::Systemctl(arguments), target, why)
}
