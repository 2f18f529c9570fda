//! The units that run `boot` and `watch` on a node: whether systemd can run them, and what starts and ends them.

use crate::change::{Act, Change};

/// Units that run the programs that a pod brings to the node.
pub const UNITS: [&str; 2] = ["crossfade-boot.service", "crossfade-watch.service"];

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
