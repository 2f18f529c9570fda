//! Networks whose pods asked for host ports in vain: no plugin of the network declares the capability `portMappings`.
//!
//! The runtime asks for host ports with a capability argument, and a plugin that does not declare the capability never gets the argument. No call
//! fails then, but the ports are not mapped. Cilium's own conf declares none: its agent maps host ports only in some modes, which no conf shows.
//!
//! *Shape*: `RUN/hostports/<network's own name>`, holding `{"bootID":".."}`. The shim writes it at the first such ADD of a
//! boot, and `watch` reads it. There is one file per network, whatever the number of pods, and it holds nothing about a pod.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::json::raw::RawObject;

use crate::host::boot;
use crate::host::file;
use crate::host::trust;
use crate::node::layout::Layout;

/// The capability argument, and the capability. *Source*: CNI conventions, "Dynamic plugin specific fields".
pub const CAPABILITY: &str = "portMappings";

/// The largest marker, in bytes: a boot id.
const MAX_BYTES: usize = 1 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    #[serde(rename = "bootID")]
    boot_id: String,
}

/// Whether `runtime_config` asks for any host port.
#[must_use]
pub fn are_wanted(runtime_config: &RawObject) -> bool {
    // An empty list asks for no port.
    let is_list = |text: &str| text.starts_with('[') && text[1..].trim() != "]";
    runtime_config.get(CAPABILITY).is_some_and(|raw| is_list(raw.get()))
}

/// Marks the network of this name: one of its pods asked for host ports in vain. An existing marker is not written again.
///
/// # Errors
/// Any I/O error. Then only the journal has the fact.
pub fn note(layout: &Layout, name: &str) -> io::Result<()> {
    if is_noted(layout, name) {
        return Ok(());
    }
    let marker = Marker { boot_id: boot::boot_id()?.to_owned() };
    file::create_private_dir(&layout.run_dir)?;
    file::create_private_dir(&layout.hostports())?;
    let json = types::json::raw::to_raw(&marker);
    file::write_durable(&path(layout, name), json.get().as_bytes(), file::PRIVATE).map(|_| ())
}

/// Whether a pod of the network of this name asked for host ports in vain in this boot.
#[must_use]
pub fn is_noted(layout: &Layout, name: &str) -> bool {
    let read = || {
        let bytes = file::read_bounded(&mut trust::open(&path(layout, name)).ok()?, MAX_BYTES).ok()?;
        let marker: Marker = serde_json::from_slice(&bytes).ok()?;
        Some(marker.boot_id == boot::boot_id().ok()?)
    };
    read().unwrap_or(false)
}

fn path(layout: &Layout, name: &str) -> PathBuf {
    layout.hostports().join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_with_something_in_it_asks_for_host_ports() {
        for (runtime_config, expected) in [
            (r#"{"portMappings":[{"hostPort":80,"containerPort":80,"protocol":"tcp"}]}"#, true),
            (r#"{"portMappings":[]}"#, false),
            (r#"{"portMappings":[ ]}"#, false),
            (r#"{"portMappings":null}"#, false),
            (r#"{"portMappings":{}}"#, false),
            (r#"{"bandwidth":{"ingressRate":1}}"#, false),
            ("{}", false),
        ] {
            let parsed = RawObject::parse(runtime_config.as_bytes()).expect("json");
            assert_eq!(are_wanted(&parsed), expected, "{runtime_config}");
        }
    }

    #[test]
    fn a_note_is_of_its_boot_and_written_once() {
        let dir = std::env::temp_dir().join(format!("crossfade-hostports-{}", std::process::id()));
        let layout = Layout { run_dir: dir.join("run"), ..Layout::default() };
        assert!(!is_noted(&layout, "cilium"));
        note(&layout, "cilium").expect("note");
        assert!(is_noted(&layout, "cilium") && !is_noted(&layout, "flannel"));
        let before =
            std::fs::metadata(path(&layout, "cilium")).and_then(|meta| meta.modified()).expect("time");
        note(&layout, "cilium").expect("again");
        let after =
            std::fs::metadata(path(&layout, "cilium")).and_then(|meta| meta.modified()).expect("time");
        assert_eq!(before, after);
        std::fs::write(path(&layout, "cilium"), r#"{"bootID":"another"}"#).expect("write");
        assert!(!is_noted(&layout, "cilium"), "of an earlier boot");
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
