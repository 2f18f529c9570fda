//! The record of the payload that pods have brought onto this node.
//!
//! *Shape* of /var/lib/crossfade/brought.json: `{"version":1,"units":false,"files":{"/etc/crossfade/policy.json":{"source":"<sha256>",
//! "written":["<sha256>"]}}}`. `source` is what the pod had, `written` what was made of it; two while it is being replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use convergence::commands::install::payload::PayloadEntry;
use serde::{Deserialize, Serialize};
use shim::host::file::read_bounded;
use shim::host::trust;
use types::command::problem::Problem;

const VERSION: u32 = 1;
const MAX_BYTES: usize = 1 << 20;

/// The content of brought.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayloadRecord {
    version: u32,
    /// Whether `install` enabled Crossfade's units.
    pub units: bool,
    /// The files that pods brought, by their paths.
    pub files: BTreeMap<PathBuf, PayloadEntry>,
}

impl Default for PayloadRecord {
    fn default() -> Self {
        Self { version: VERSION, units: false, files: BTreeMap::new() }
    }
}

impl PayloadRecord {
    /// Reads it; none where no pod was here.
    ///
    /// # Errors
    /// One line that names the file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Problem> {
        let named = |why: String| {
            let what = format!("{}: {why}", path.display());
            let fix = "remove it, and what pods brought counts as foreign";
            Problem::new(what).with_place(path.display().to_string()).fix(fix)
        };
        let mut file = match trust::open(path) {
            Ok(file) => file,
            Err(why) if why.is_absent() => return Ok(None),
            Err(why) => return Err(Problem::new(why.to_string()).with_place(path.display().to_string())),
        };
        let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|e| named(e.to_string()))?;
        if record.version == VERSION {
            Ok(Some(record))
        } else {
            Err(named(format!("version {}, expected {VERSION}", record.version)))
        }
    }

    /// The bytes of brought.json.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // The record always serialises.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
