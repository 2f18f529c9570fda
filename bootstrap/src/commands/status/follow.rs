//! The wait for a report of `watch`.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use types::status::Document;

use super::reported::read_reported;
use crate::cli::{Global, Output, print};
use crate::host::events::Events;
use crate::host::root::Root;
use crate::node::agent::status_file;
use crate::node::policy;
use convergence::node::agent::status_file::StatusFile;
use convergence::node::paths::STATUS;
use types::command::exit::Exit;
use types::profile::Profiles;

/// How long a wait relies on events.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Follows `watch`'s file until it says that the node is ready under the policy of now, or `within` is over. A report of an earlier policy, such
/// as the one before a flip, says nothing of this one.
pub(super) fn wait(file: &Path, (policy, profiles): (&Path, &Profiles), within: Duration) -> bool {
    let is_of_now = |document: &Document| {
        let of_now = policy::load(policy, profiles).ok().map(|policy| policy.sha256);
        of_now.is_some() && document.policy_sha256 == of_now
    };
    wait_until(
        file,
        Some(within),
        || matches!(status_file::read(file), StatusFile::Fresh(document) if document.ready && is_of_now(&document)),
    )
}

/// Looks at each change of a file until `holds`, or `within` is over; without one it never is.
pub(super) fn wait_until(file: &Path, within: Option<Duration>, mut holds: impl FnMut() -> bool) -> bool {
    let end = within.map(|within| Instant::now() + within);
    let (wake, wakes) = channel();
    let mut events = Events::new(wake);
    let dir = file.parent().map(Path::to_path_buf);
    loop {
        events.reset_pending();
        events.arm(dir.iter());
        if holds() {
            return true;
        }
        let remaining = end.map_or(LOOK_AGAIN, |end| end.saturating_duration_since(Instant::now()));
        if remaining.is_zero() {
            return false;
        }
        // That its watch ended is no event.
        let _ = wakes.recv_timeout(remaining.min(LOOK_AGAIN));
    }
}

/// Prints what `watch` sees, now and whenever it is something else, without an end.
#[must_use]
pub(crate) fn follow(global: &Global) -> Exit {
    let file = Root::new(&global.root).join(STATUS);
    let mut last = String::new();
    wait_until(&file, None, || {
        let line = match status_file::read(&file) {
            StatusFile::Absent => "no watch has run in this boot".to_owned(),
            StatusFile::Unreadable(why) => why,
            StatusFile::Fresh(document) => format!("{}: {}", document.reason, document.message),
            StatusFile::Stale(document, why) => format!("{why}; it was {}", document.reason),
        };
        if line != last {
            match global.output {
                Output::Human => print::line(&line),
                Output::Json => drop(print::report(Output::Json, &read_reported(global))),
            }
            last = line;
        }
        false
    });
    Exit::Done
}
