//! Every path on the node, and nowhere else.

use std::path::{Path, PathBuf};

/// Identity of this boot; a new one at every start of the kernel.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Where settings are looked for; the first that has the file wins as a whole.
pub const SETTINGS_DIRS: [&str; 3] = ["/etc/crossfade", "/run/crossfade", "/usr/lib/crossfade"];
/// File name of the policy in [`SETTINGS_DIRS`].
pub const POLICY_FILE: &str = "policy.json";
/// Where a runtime's CNI library keeps the results of its ADDs, one file `NAME-ID-IFNAME` each.
/// *Source*: `libcni/api.go`, `CacheDir`; containerd and CRI-O both leave it at the default.
pub const RUNTIME_CACHE: &str = "/var/lib/cni/results";
/// Where a runtime looks for network configurations unless it was told otherwise.
pub const CONF_DIR: &str = "/etc/cni/net.d";
/// Where runtimes look for plugins: upstream's place, and Debian's.
pub const BIN_DIRS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];
/// File name of our own conf in the runtime's conf directory: after `00-multus*`, before `05-*`.
pub const CONF_FILE: &str = "01-crossfade.conflist";
/// Name and type of our plugin.
pub const PLUGIN: &str = "crossfade";
/// Where the package keeps the plugin; it is installed from here into the runtime's bin directories.
pub const PACKAGED_PLUGIN: &str = "/usr/libexec/crossfade/crossfade";
/// One file per network that `watch` keeps while all of the network's probes hold; a policy names it as a `file` probe where nothing
/// else that an ADD asks tells it.
pub const PROBED: &str = "/run/crossfade/probe";

const STATE_DIR: &str = "/var/lib/crossfade";
const RUN_DIR: &str = "/run/crossfade";

/// The directories of one installation; a conf may name others than the defaults, so that two can stand side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Survives a reboot: records, inventory, ledger, name.
    pub state_dir: PathBuf,
    /// Gone at a reboot: locks, readiness markers.
    pub run_dir: PathBuf,
    /// The policy's file, when the conf names one.
    pub policy: Option<PathBuf>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { state_dir: STATE_DIR.into(), run_dir: RUN_DIR.into(), policy: None }
    }
}

impl Layout {
    /// The file that holds the policy: the named one, else the first of [`SETTINGS_DIRS`] that has it.
    ///
    /// When none has it, the first place is returned, so that an error can name it.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        if let Some(named) = &self.policy {
            return named.clone();
        }
        let places = SETTINGS_DIRS.map(|dir| Path::new(dir).join(POLICY_FILE));
        // A dangling link is there, too: it must fail, not fall through to the next place.
        places.iter().find(|place| place.symlink_metadata().is_ok()).unwrap_or(&places[0]).clone()
    }

    /// One record per attachment, in sixteen shards.
    #[must_use]
    pub fn attachments(&self) -> PathBuf {
        self.state_dir.join("attachments")
    }

    /// Records that could not be read, kept for people.
    #[must_use]
    pub fn damaged(&self) -> PathBuf {
        self.state_dir.join("damaged")
    }

    /// The sandboxes that were there before us.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.state_dir.join("inventory.json")
    }

    /// What forced DELs left behind.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.state_dir.join("ledger.jsonl")
    }

    /// Our network name, written once.
    #[must_use]
    pub fn name(&self) -> PathBuf {
        self.state_dir.join("name")
    }

    /// Locks, one per attachment, and those of the shared files.
    #[must_use]
    pub fn locks(&self) -> PathBuf {
        self.run_dir.join("locks")
    }

    /// When DELs first failed, of attachments whose records cannot say it; one empty file each.
    #[must_use]
    pub fn failing(&self) -> PathBuf {
        self.run_dir.join("failing")
    }

    /// One marker per network whose pods asked for host ports in vain in this boot.
    #[must_use]
    pub fn hostports(&self) -> PathBuf {
        self.run_dir.join("hostports")
    }

    /// The attachment that a pass of closes tried last.
    #[must_use]
    pub fn turn(&self) -> PathBuf {
        self.run_dir.join("turn")
    }

    /// Who asked our plugin for its versions last.
    #[must_use]
    pub fn version_query(&self) -> PathBuf {
        self.run_dir.join("asked")
    }

    /// One marker per network that was ready in this boot.
    #[must_use]
    pub fn ready(&self) -> PathBuf {
        self.run_dir.join("ready")
    }
}
