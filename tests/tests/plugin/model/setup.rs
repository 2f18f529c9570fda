//! The set-up of a node: its two networks, its policy, and what can be there, missing or broken on it.

use serde::{Deserialize, Serialize};

/// One of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Old,
    New,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Old, Self::New];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// Its name in the policy.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    /// Its own name, in its conf.
    pub(crate) const fn network(self) -> &'static str {
        match self {
            Self::Old => "oldnet",
            Self::New => "newnet",
        }
    }
}

/// A plugin of the two networks; `Map` is chained behind `New` where the set-up says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Old,
    New,
    Map,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Old, Self::New, Self::Map];

    /// The name of its binary.
    pub(crate) const fn plugin(self) -> &'static str {
        match self {
            Self::Old => "stub-old",
            Self::New => "stub-new",
            Self::Map => "stub-map",
        }
    }
}

/// The policy as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// `attach`: one network, or both with this primary.
    pub(crate) attach: Attach,
    /// `both.primary`.
    pub(crate) primary: Side,
    /// `both.defaultRoute`.
    pub(crate) default_route: Side,
    /// `both.secondaryFailure` is `tolerate`.
    pub(crate) tolerate: bool,
    /// What a rule gives the pods of the last container.
    pub(crate) rule: Option<Attach>,
    /// The annotation may say `both`.
    pub(crate) annotation: bool,
    /// `old` is retired, at once.
    pub(crate) retired: bool,
    /// `gc.graceSeconds` is 0, not 600.
    pub(crate) no_grace: bool,
    /// `gc.forward`.
    pub(crate) forward: bool,
}

impl Policy {
    /// What a node has when its migration is over, without any grace.
    pub(crate) const fn everything_new() -> Self {
        Self {
            attach: Attach::One(Side::New),
            primary: Side::New,
            default_route: Side::New,
            tolerate: false,
            rule: None,
            annotation: false,
            retired: false,
            no_grace: true,
            forward: true,
        }
    }
}

/// Who attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attach {
    One(Side),
    Both,
}

impl Attach {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One(side) => side.name(),
            Self::Both => "both",
        }
    }
}

/// How a policy is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Breakage {
    Missing,
    Torn,
    WritableByOthers,
    UnknownKey,
}

/// What an agent puts on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Thing {
    Conf,
    Binary,
    Socket,
}

/// The file system of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Disk {
    Sound,
    Full,
    ReadOnly,
}

/// What a node starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// `cniVersion` of the conf of `old` and of `new`.
    pub(crate) versions: [String; 2],
    /// `new` is a chain of two plugins.
    pub(crate) chain: bool,
    /// Which network has a readiness probe.
    pub(crate) probes: [bool; 2],
    pub(crate) policy: Policy,
}

impl Setup {
    /// The plugins of a network, in the order of ADD.
    pub(crate) const fn chain_of(&self, side: Side) -> &'static [Part] {
        match (side, self.chain) {
            (Side::Old, _) => &[Part::Old],
            (Side::New, false) => &[Part::New],
            (Side::New, true) => &[Part::New, Part::Map],
        }
    }

    /// Whether a network's conf is at this version or a later one.
    pub(crate) fn speaks(&self, side: Side, version: &str) -> bool {
        // All have one digit between dots.
        self.versions[side.index()].as_str() >= version
    }
}
