//! `node.json`: how a node takes part.
//!
//! Where it lies, and which of several counts, is `crossfade-bootstrap`'s to know.

mod parse;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::policy::Phase;
use crate::taint::Taint;

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

/// Where the runtime reads confs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In its usual directory, our conf first.
    Shared,
    /// In a directory of ours.
    Private,
    /// Nowhere: a node of a final image, whose pods we do not attach. Only node.json can say so.
    Without,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Private, Self::Shared, Self::Without];

    /// As `confDir` in node.json.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Without => "none",
        }
    }
}

/// Version of our conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CniVersion {
    /// Without STATUS and GC.
    V100,
    /// With STATUS polling and the runtime's GC.
    V110,
}

impl CniVersion {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V100, Self::V110];

    /// As in a conf.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }
}
