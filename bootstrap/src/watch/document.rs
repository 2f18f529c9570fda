//! status.json: what `watch` sees, for people and programs. The schema is `bootstrap/status.schema.json`.
//!
//! It holds nothing that changes while nothing happens, so that equal bytes are not written again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shim::boot;
use shim::file::read_bounded;
use shim::process::Process;

use crate::cli::print::escaped_document;

/// Version of the file.
pub const VERSION: u32 = 1;
const MAX_BYTES: usize = 1 << 20;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// The boot it is about.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// The `watch` that wrote it.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, u64>"))]
    pub watch: Process,
    /// Whether pods get the network that the policy names.
    pub ready: bool,
    /// Why, in one word: one of [`crate::publish::report::Reason`].
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
    /// The policy's phase; null while it cannot be used.
    pub phase: Option<String>,
    /// SHA-256 of the policy's bytes, in hex.
    #[serde(rename = "policySHA256")]
    pub policy_sha256: Option<String>,
    /// Our conf.
    pub conf: Conf,
    /// The policy's networks, the old one first.
    pub networks: Vec<Network>,
    /// What a person may want to know, one line each.
    pub findings: Vec<String>,
}

/// Our conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Conf {
    /// private or shared.
    pub mode: String,
    /// The runtime's directory.
    pub dir: PathBuf,
    /// in place, waiting, not installed, contended, no directory or off.
    pub state: String,
    /// How often it was put back in this boot.
    pub repairs: u64,
    /// Whether it was there once in this boot.
    pub was_there: bool,
    /// Which directory the runtime watches; for the next `watch`.
    pub directory: Option<String>,
    /// The life of the runtime that has lost its directory; for the next `watch`.
    pub lost_by: Option<String>,
}

/// One network of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// old or new.
    pub network: String,
    /// Its own name; null while it has no conf.
    pub name: Option<String>,
    /// Its profile.
    pub profile: String,
    /// Whether `attach` names it, so that pods wait for it.
    pub attached: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Why not.
    pub why: Option<String>,
    /// Its proof by attachment: none, running, passed, failed or unavailable.
    pub proof: String,
    /// Whether pods of it asked for host ports in this boot and no plugin of its conf maps them.
    #[serde(default)]
    pub unmapped_host_ports: bool,
}

/// What lies at the place of a status.json.
#[derive(Debug)]
pub enum Seen {
    /// Nothing.
    Absent,
    /// It is of now: the `watch` that wrote it runs.
    Fresh(Document),
    /// It is not of now; why.
    Stale(Document, String),
    /// It cannot be read.
    Unreadable(String),
}

/// Reads a status.json and says whether it is of now.
#[must_use]
pub fn read(path: &Path) -> Seen {
    let file = std::fs::File::open(path);
    let bytes = match file.and_then(|mut file| read_bounded(&mut file, MAX_BYTES)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Seen::Absent,
        Err(e) => return Seen::Unreadable(format!("{}: {e}", path.display())),
    };
    let document: Document = match serde_json::from_slice(&bytes) {
        Ok(document) => document,
        Err(e) => return Seen::Unreadable(format!("{}: {e}", path.display())),
    };
    let here = boot::boot_id().unwrap_or_default();
    if document.boot_id != here {
        Seen::Stale(document, "it is of another boot".into())
    } else if document.watch.is_alive() {
        Seen::Fresh(document)
    } else {
        let why = format!("watch (pid {}), which wrote it, has ended", document.watch.pid);
        Seen::Stale(document, why)
    }
}

/// What the last `watch` of this boot wrote.
#[must_use]
pub fn of_this_boot(path: &Path) -> Option<Document> {
    match read(path) {
        Seen::Fresh(document) => Some(document),
        Seen::Stale(document, _) if boot::boot_id().is_ok_and(|here| here == document.boot_id) => {
            Some(document)
        }
        _ => None,
    }
}

impl Document {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // Ours always serialises; for people to read it is indented.
        let mut text = escaped_document(&serde_json::to_string_pretty(self).unwrap_or_default());
        text.push('\n');
        text.into_bytes()
    }
}
