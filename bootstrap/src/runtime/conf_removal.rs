//! The wait until CRI-O has read the conf directory without Crossfade's conf.
//!
//! CRI-O says of no conf that it uses it, and asks the plugins of all confs for their versions before it takes any of them over
//! ([`super::conf_reading`]). With Crossfade's conf gone CRI-O would not ask Crossfade's plugin. So for as long as it takes, a second conf of
//! Crossfade's lies in the directory: the last one, which CRI-O does not use while there is another. When its plugin has been asked since,
//! the directory was read, and Crossfade's own conf was not in it. The first answer may be that of a reading which began before the removal
//! and still found Crossfade's conf; readings come one after the other (ocicni, `monitorConfDir`), so the answer after that one is of a later
//! reading.

use std::path::Path;
use std::time::{Duration, Instant};

use convergence::change::Write;
use convergence::node::conf::LEAVING_FILE;
use serde_json::json;
use shim::node::layout::{Layout, PLUGIN};

use super::conf_reading;
use crate::change;

const MODE: u32 = 0o644;

/// Waits until the CRI-O at `endpoint` has read `conf_dir` anew.
///
/// # Errors
/// In words: it has not, after `within`; or the conf cannot be written or removed.
pub(crate) fn wait_for_reread(conf_dir: &Path, endpoint: &str, within: Duration) -> Result<(), String> {
    let path = conf_dir.join(LEAVING_FILE);
    let failed = |what: &str, e: &std::io::Error| format!("{what} {}: {e}", path.display());
    // Where the plugin leaves its mark.
    shim::host::file::create_private_dir(&Layout::default().run_dir).map_err(|e| failed("prepare", &e))?;
    let write = Write { path: path.clone(), bytes: conf(), mode: MODE, nudge: true };
    let end = Instant::now() + within;
    let read = (0..2).try_for_each(|_| {
        change::write(&write).map_err(|e| failed("write", &e))?;
        conf_reading::wait(endpoint, &path, end.saturating_duration_since(Instant::now()))
    });
    change::remove(&path, true).map_err(|e| failed("remove", &e))?;
    read
}

/// It names no policy: should CRI-O use it after all, an ADD fails before a delegate is called.
fn conf() -> Vec<u8> {
    let conf = json!({
        "cniVersion": "1.0.0",
        "name": "crossfade-leaving",
        "plugins": [{ "type": PLUGIN, "policy": "/nonexistent/crossfade/policy.json" }],
    });
    format!("{conf:#}\n").into_bytes()
}
