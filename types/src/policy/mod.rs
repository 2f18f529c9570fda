//! The policy file: who gives a pod its network.
//!
//! Parse, validate, choose: [`Policy::parse`] turns bytes into a policy that is valid as a whole (a key that names an absent network, an
//! unknown key, a combination that cannot work are errors), [`Policy::choose`] is the pure decision for one pod. The file's
//! JSON Schema is `types/policy.schema.json`; a test holds the two together.

mod choose;
mod parse;
mod phase;
mod second;
mod target;

use std::fmt;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

pub use choose::{Choice, Reason};
pub use phase::Phase;
pub use second::{Second, Secondary};
pub use target::split_target;

/// Largest policy we read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// One of the two networks of a migration, as the policy names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The network to leave.
    Old,
    /// The network to go to.
    New,
}

impl Side {
    /// Both, the old one first.
    pub const BOTH: [Self; 2] = [Self::Old, Self::New];

    /// As in the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// The side written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.as_str() == text)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which networks a pod gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// One network alone.
    One(Side),
    /// Both, Multus-style.
    Both,
}

impl Attach {
    /// As in the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One(side) => side.as_str(),
            Self::Both => "both",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "both" { Some(Self::Both) } else { Side::parse(text).map(Self::One) }
    }
}

/// How to tell whether a network is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connect to this socket succeeds.
    Unix(PathBuf),
    /// A regular file exists there.
    File(PathBuf),
    /// A GET answers 2xx; asked by STATUS and `watch` only.
    Http {
        /// `HOST:PORT/PATH` as written; see [`split_target`].
        target: String,
        /// Extra request headers, in order.
        headers: Vec<(String, String)>,
    },
}

/// A network as the policy describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Which CNI it is; a name only to the shim.
    pub profile: String,
    /// Its conf: alternatives, the first that exists counts.
    pub conf: Vec<PathBuf>,
    /// Its pod address ranges, for the route step of both-mode.
    pub cidrs: Vec<IpNetwork>,
    /// All must hold before an ADD.
    pub ready: Vec<Probe>,
    /// What it bears as the second network of a pod, where the policy says so.
    pub secondary: Option<Secondary>,
}

/// What becomes of an ADD in both-mode whose secondary fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondaryFailure {
    /// The ADD fails and is undone.
    Fail,
    /// The pod starts with the primary alone.
    Tolerate,
}

/// How both networks share one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Both {
    /// Gets `CNI_IFNAME`, and its result is the reply.
    pub primary: Side,
    /// The other one's interface; the next free netN when it is taken.
    pub secondary_ifname: String,
    /// Owner of the default route; attached last.
    pub default_route: Side,
    /// What a failing secondary means.
    pub secondary_failure: SecondaryFailure,
}

/// A rule: the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Glob on the namespace; absent matches all.
    pub namespace: Option<String>,
    /// Glob on the pod's name; absent matches all.
    pub pod: Option<String>,
    /// What a match gets.
    pub attach: Attach,
}

/// A pod annotation that may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAnnotation {
    /// The annotation's key.
    pub key: String,
    /// Values that are heeded.
    pub allow: Vec<Attach>,
}

/// A network that may be gone: its attachments are cleaned locally when its DEL keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// Which one.
    pub network: Side,
    /// Seconds since the first failed DEL before we clean by ourselves.
    pub force_after_secs: u64,
}

/// How GC treats records that the runtime does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gc {
    /// Seconds since the record was begun before it is closed.
    pub grace_secs: u64,
    /// Whether the delegates get GC at all.
    pub forward: bool,
}

/// How long a verb may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Seconds for ADD, rollback included.
    pub add_secs: u64,
    /// Seconds for DEL.
    pub del_secs: u64,
    /// Seconds for CHECK.
    pub check_secs: u64,
    /// Milliseconds for STATUS.
    pub status_millis: u64,
    /// Seconds for GC.
    pub gc_secs: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { add_secs: 90, del_secs: 50, check_secs: 20, status_millis: 800, gc_secs: 25 }
    }
}

/// A valid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The network to leave, if this node has it.
    pub old: Option<Network>,
    /// The network to go to, if this node has it.
    pub new: Option<Network>,
    /// What a pod gets unless a rule or its annotation says otherwise.
    pub attach: Attach,
    /// How both networks share a pod.
    pub both: Both,
    /// The first match wins over `attach`.
    pub rules: Vec<Rule>,
    /// Wins over a rule.
    pub pod_annotation: Option<PodAnnotation>,
    /// The network that an installation writes into the inventory it takes.
    pub unrecorded: Option<Side>,
    /// Networks that may be gone.
    pub retired: Vec<Retired>,
    /// GC.
    pub gc: Gc,
    /// Deadlines.
    pub deadlines: Deadlines,
}

impl Policy {
    /// The network on `side`, if the policy has it.
    #[must_use]
    pub const fn network(&self, side: Side) -> Option<&Network> {
        match side {
            Side::Old => self.old.as_ref(),
            Side::New => self.new.as_ref(),
        }
    }

    /// The networks there are, the old one first.
    pub fn networks(&self) -> impl Iterator<Item = (Side, &Network)> {
        Side::BOTH.into_iter().filter_map(|side| self.network(side).map(|network| (side, network)))
    }

    /// The networks that a pod without rule or annotation needs to start: under `tolerate` the primary alone.
    #[must_use]
    pub fn attached(&self) -> Vec<Side> {
        match (self.attach, self.both.secondary_failure) {
            (Attach::One(side), _) => vec![side],
            (Attach::Both, SecondaryFailure::Fail) => Side::BOTH.into(),
            (Attach::Both, SecondaryFailure::Tolerate) => vec![self.both.primary],
        }
    }

    /// The retirement of `side`, if it is retired.
    #[must_use]
    pub fn retired(&self, side: Side) -> Option<Retired> {
        self.retired.iter().copied().find(|retired| retired.network == side)
    }
}
