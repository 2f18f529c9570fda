//! All paths on the node. No other module names one.

use std::path::{Path, PathBuf};

/// The kernel's identity of this boot.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The directories of settings, by precedence. The first directory that has a file provides the whole file.
pub const SETTINGS_DIRS: [&str; 3] = ["/etc/crossfade", "/run/crossfade", "/usr/lib/crossfade"];
/// File name of the policy in [`SETTINGS_DIRS`].
pub const POLICY_FILE: &str = "policy.json";
/// The directory in which a runtime's CNI library keeps the results of its ADDs, one file `NAME-ID-IFNAME` each.
/// *Source*: `libcni/api.go`, `CacheDir`; containerd and CRI-O both leave it at the default.
pub const RUNTIME_CACHE: &str = "/var/lib/cni/results";
/// The conf directory that a runtime reads by default.
pub const CONF_DIR: &str = "/etc/cni/net.d";
/// The directories in which runtimes find plugins by default: upstream's, and Debian's.
pub const BIN_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// The file name of Crossfade's conf in the runtime's conf directory: it sorts behind `00-multus*` and before `05-*`.
pub const CONF_FILE: &str = "01-crossfade.conflist";
/// The plugin's file name, and its `type` in a conf.
pub const PLUGIN: &str = "crossfade";
/// The plugin's file in the package. `install` copies it into the runtime's bin directories.
pub const PACKAGED_PLUGIN: &str = "/usr/libexec/crossfade/crossfade";
/// The directory in which `watch` keeps one file per network while all probes of the network hold. A policy names the file as a `file` probe if no
/// other probe of an ADD shows that the network is ready.
pub const PROBED: &str = "/run/crossfade/probe";

const STATE_DIR: &str = "/var/lib/crossfade";
const RUN_DIR: &str = "/run/crossfade";

/// The directories of one installation. A conf may name other directories than the defaults, so that two installations can exist side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The directory that survives a reboot: records, inventory, ledger, name.
    pub state_dir: PathBuf,
    /// The directory that is gone after a reboot: locks, readiness markers.
    pub run_dir: PathBuf,
    /// The policy's file, if the conf names one.
    pub policy: Option<PathBuf>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { state_dir: STATE_DIR.into(), run_dir: RUN_DIR.into(), policy: None }
    }
}

impl Layout {
    /// The policy's file: the named one, else the first in [`SETTINGS_DIRS`] that exists.
    ///
    /// If none exists, this is the first path, so that an error can name it.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        if let Some(named) = &self.policy {
            return named.clone();
        }
        let places = SETTINGS_DIRS.map(|dir| Path::new(dir).join(POLICY_FILE));
        // A dangling link counts as existing: it must be an error, and not a reason to read the next file.
        places.iter().find(|place| place.symlink_metadata().is_ok()).unwrap_or(&places[0]).clone()
    }

    /// The records, one per attachment, in sixteen shards.
    #[must_use]
    pub fn attachments(&self) -> PathBuf {
        self.state_dir.join("attachments")
    }

    /// Copies of records that could not be read, for a person.
    #[must_use]
    pub fn damaged_dir(&self) -> PathBuf {
        self.state_dir.join("damaged")
    }

    /// The inventory: the sandboxes from before Crossfade.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.state_dir.join("inventory.json")
    }

    /// The ledger: what forced DELs left behind.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.state_dir.join("ledger.jsonl")
    }

    /// The network name of Crossfade's conf, written once.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        self.state_dir.join("name")
    }

    /// The locks of attachments, and of shared files.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.run_dir.join("locks")
    }

    /// The times of first failed DELs, for attachments whose records cannot hold them; one empty file each.
    #[must_use]
    pub fn failing(&self) -> PathBuf {
        self.run_dir.join("failing")
    }

    /// Markers of networks that could not map a pod's host ports in this boot.
    #[must_use]
    pub fn hostports(&self) -> PathBuf {
        self.run_dir.join("hostports")
    }

    /// The file that names the attachment which GC or the sweep tried to close last.
    #[must_use]
    pub fn turn(&self) -> PathBuf {
        self.run_dir.join("turn")
    }

    /// The file that names the process which last called the plugin with VERSION.
    #[must_use]
    pub fn version_query(&self) -> PathBuf {
        self.run_dir.join("asked")
    }

    /// Markers of networks that were ready in this boot.
    #[must_use]
    pub fn ready_dir(&self) -> PathBuf {
        self.run_dir.join("ready")
    }
}
