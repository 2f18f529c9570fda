//! `node.json`: how this node takes part.
//!
//! The first of /etc/crossfade, /run/crossfade and /usr/lib/crossfade that has the file wins as a whole, so that user data can
//! overrule an image and an administrator both. An invalid file never falls through to the next; an absent one is all defaults.

mod parse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shim::file::read_bounded;
use shim::layout::CONF_DIR;
use shim::trust;
use types::policy::Phase;

use crate::cli::{CniVersion, Mode};
use crate::kubelet::taint::Taint;
use crate::places::{NODE_FILE, PRIVATE_CONF_DIR, Root};

/// Largest node.json, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How a node takes part. [`Node::default`] is what an absent file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where the runtime reads confs.
    pub conf_dir: Mode,
    /// Labels that kubelet registers the Node with.
    pub labels: BTreeMap<String, String>,
    /// Taints that kubelet registers the Node with, beside whatever else it was told.
    pub taints: Vec<Taint>,
    /// Version of our conf.
    pub cni_version: CniVersion,
    /// The container runtime.
    pub runtime: Runtime,
    /// kubelet.
    pub kubelet: Kubelet,
    /// How long kubelet is held back.
    pub gate: Gate,
    /// Whether the node follows `crossfade/desired` on its own Node.
    pub follows_desired: bool,
    /// The phases that it follows to; those and no others.
    pub allowed: Vec<Phase>,
    /// What is reported where.
    pub report: Reporting,
    /// Whether readiness may be proven by a real attachment where the network's profile says that it works.
    pub proves: bool,
}

/// The container runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Which; what its units say unless named.
    pub kind: Option<RuntimeKind>,
    /// Its socket; what kubelet and its configuration say unless named.
    pub endpoint: Option<String>,
    /// Its unit; `containerd.service` or `crio.service` unless named.
    pub unit: Option<String>,
    /// Its configuration file; what its command line says unless named. For runtimes that are no unit of their own, as k3s's.
    pub config: Option<PathBuf>,
    /// Where it looks for plugins; what its configuration says unless named.
    pub bin_dirs: Vec<PathBuf>,
}

/// A kind of container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeKind {
    /// containerd, 1.6 and newer.
    Containerd,
    /// CRI-O, 1.28 and newer.
    Crio,
}

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Containerd, Self::Crio];

    /// As in node.json.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
        }
    }

    /// The unit that it usually is.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Containerd => "containerd.service",
            Self::Crio => "crio.service",
        }
    }
}

/// kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// Its unit.
    pub unit: String,
    /// Whether we add labels and taints to its command line; off where a fragment does it (k3s, Talos, ...).
    pub register: bool,
    /// Its credential; the one that its command line names unless named.
    pub kubeconfig: Option<PathBuf>,
    /// The Node's name; what kubelet would take unless named.
    pub node_name: Option<String>,
}

/// How long kubelet is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// How long one try waits, in seconds, 1 to 60.
    pub try_secs: u64,
    /// After so many seconds since the first try of this boot kubelet starts with a taint instead; none is never.
    pub give_up_secs: Option<u64>,
}

/// What is reported where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporting {
    /// Whether condition, label, annotation and events of the Node are kept.
    pub node: bool,
    /// Metrics for node_exporter's textfile collector, a name that ends in `.prom`; none is not written.
    pub textfile: Option<PathBuf>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            conf_dir: Mode::Shared,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            cni_version: CniVersion::V100,
            runtime: Runtime { kind: None, endpoint: None, unit: None, config: None, bin_dirs: Vec::new() },
            kubelet: Kubelet {
                unit: "kubelet.service".into(),
                register: true,
                kubeconfig: None,
                node_name: None,
            },
            gate: Gate { try_secs: 60, give_up_secs: None },
            follows_desired: false,
            allowed: Vec::new(),
            report: Reporting { node: true, textfile: None },
            proves: true,
        }
    }
}

/// Why a command that needs our plugin makes no sense here: node.json says that the node has none. One that cannot be read says nothing.
#[must_use]
pub fn without_plugin(root: &Root) -> Option<String> {
    let node = Node::load(root).ok().filter(|node| node.conf_dir == Mode::Without)?;
    let file = root.settings_file(NODE_FILE).unwrap_or_default();
    Some(format!(
        "{} says confDir {}: this is a node of a final image, whose pods get the agents' network without a plugin or a policy of ours; \
         say private or shared there if that is not meant",
        file.display(),
        node.conf_dir.as_str()
    ))
}

impl Node {
    /// Reads the node.json that counts below `root`; an absent one is the default.
    ///
    /// # Errors
    /// One line that names the file, and the key, what was expected and the remedy.
    pub fn load(root: &Root) -> Result<Self, String> {
        let Some(path) = root.settings_file(NODE_FILE) else {
            return Ok(Self::default());
        };
        Self::read(&path)
    }

    /// Reads this node.json.
    ///
    /// # Errors
    /// As [`Node::load`].
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |why: String| format!("{}: {why}", path.display());
        let mut file = trust::open(path).map_err(|why| format!("{NODE_FILE}: {why}"))?;
        let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))?;
        Self::parse(&bytes).map_err(named)
    }

    /// The directory in which the runtime is to find our conf: ours, or the one that it was told of (`usual`), which is the
    /// usual one unless known. On a node without a plugin of ours it is where one of an earlier time may still lie.
    #[must_use]
    pub fn conf_dir(&self, usual: Option<PathBuf>) -> PathBuf {
        match self.conf_dir {
            Mode::Private => PRIVATE_CONF_DIR.into(),
            Mode::Shared | Mode::Without => usual.unwrap_or_else(|| CONF_DIR.into()),
        }
    }
}
