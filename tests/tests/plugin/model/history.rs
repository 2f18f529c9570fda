//! The language of histories: what happens to a node, and how that is written down for a replay.
//!
//! A history is JSON: `{"setup":{..},"operations":[..]}`, one operation per line where it is printed. What makes no sense in
//! the state it meets (a policy's flip to what is there, a netns that is gone already) is simply done again; so a history
//! stays playable whatever the shrinking takes out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use crate::setup::{Attach, Breakage, Disk, Part, Policy, Setup, Side, Thing};

/// An attachment as the runtime names it: containers `c0` to `c3`, ifnames `eth0` and `eth1`. The pods of `c3` match the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) container: u8,
    pub(crate) ifname: u8,
}

/// How many containers there are.
pub(crate) const CONTAINERS: u8 = 4;

impl Key {
    pub(crate) fn id(self) -> String {
        format!("c{}", self.container)
    }

    pub(crate) fn ifname(self) -> String {
        format!("eth{}", self.ifname)
    }

    pub(crate) const fn is_special(self) -> bool {
        self.container == CONTAINERS - 1
    }

    /// Whether its pod has a port of the node, where networks are real.
    pub(crate) const fn has_port(self) -> bool {
        !self.container.is_multiple_of(2)
    }

    /// Every key there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..CONTAINERS).flat_map(|container| (0..2).map(move |ifname| Self { container, ifname }))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id(), self.ifname())
    }
}

/// A verb of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Status,
    Gc,
}

impl Verb {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
        }
    }
}

/// How a delegate fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// A CNI error with this code.
    Error(u32),
    /// A CNI error in the words that a runtime takes for success.
    NotFound,
    /// A CNI error that says that the netns is missing, as a plugin reports that needs one; whether or not it is.
    NetnsMissing,
    /// Exit status 1 without a word.
    Silent,
    /// Ended by SIGKILL.
    Signal,
    /// Exit status 0 with something that is no JSON.
    Garbage,
    /// Exit status 0 with nothing.
    Nothing,
    /// No end, with a child that does not end either; deadlines are short then.
    Hang,
}

/// A delegate that fails at one verb, for the length of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) verb: Verb,
    pub(crate) how: FailureKind,
}

/// What the runtime says is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum List {
    /// Everything that it has.
    Complete,
    /// Everything but one.
    Without(Key),
    /// Nothing at all.
    Empty,
    /// There is no list.
    Missing,
}

/// One verb, called as a runtime or the node's program would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    /// `annotation` is the pod's wish for `both`, or for `new`, which no policy here allows.
    Add {
        key: Key,
        annotation: Option<Attach>,
        faults: Vec<Fault>,
    },
    /// With an empty CNI_NETNS, or with the container's path, whatever is there.
    Del {
        key: Key,
        without_netns: bool,
        faults: Vec<Fault>,
    },
    /// Another network joins the pod while it runs; `annotation` as at ADD.
    Join {
        key: Key,
        annotation: Option<Attach>,
        faults: Vec<Fault>,
    },
    /// The second network leaves the pod while it runs.
    Leave {
        key: Key,
        annotation: Option<Attach>,
        faults: Vec<Fault>,
    },
    Check {
        key: Key,
        faults: Vec<Fault>,
    },
    Status {
        faults: Vec<Fault>,
    },
    Gc {
        list: List,
        faults: Vec<Fault>,
    },
    Sweep {
        list: List,
        faults: Vec<Fault>,
    },
}

impl Call {
    pub(crate) fn faults(&self) -> &[Fault] {
        match self {
            Self::Add { faults, .. }
            | Self::Del { faults, .. }
            | Self::Join { faults, .. }
            | Self::Leave { faults, .. }
            | Self::Check { faults, .. }
            | Self::Status { faults }
            | Self::Gc { faults, .. }
            | Self::Sweep { faults, .. } => faults,
        }
    }

    pub(crate) const fn faults_mut(&mut self) -> &mut Vec<Fault> {
        match self {
            Self::Add { faults, .. }
            | Self::Del { faults, .. }
            | Self::Join { faults, .. }
            | Self::Leave { faults, .. }
            | Self::Check { faults, .. }
            | Self::Status { faults }
            | Self::Gc { faults, .. }
            | Self::Sweep { faults, .. } => faults,
        }
    }

    pub(crate) const fn key(&self) -> Option<Key> {
        match self {
            Self::Add { key, .. }
            | Self::Del { key, .. }
            | Self::Join { key, .. }
            | Self::Leave { key, .. }
            | Self::Check { key, .. } => Some(*key),
            Self::Status { .. } | Self::Gc { .. } | Self::Sweep { .. } => None,
        }
    }

    /// The operation's name in counts.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "ADD",
            Self::Del { .. } => "DEL",
            Self::Join { .. } => "JOIN",
            Self::Leave { .. } => "LEAVE",
            Self::Check { .. } => "CHECK",
            Self::Status { .. } => "STATUS",
            Self::Gc { .. } => "GC",
            Self::Sweep { .. } => "sweep",
        }
    }
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Call(Call),
    /// SIGKILL of the caller at its N-th call (from 1) of this system call, if it gets there.
    Killed {
        call: Call,
        syscall: String,
        nth: u16,
    },
    /// SIGKILL of the shim while this plugin is in the midst of the verb; then the orphan ends its work, or hangs.
    Orphaned {
        call: Call,
        part: Part,
        hangs: bool,
    },
    /// These at once.
    Together(Vec<Call>),
    Flip(Policy),
    Break(Breakage),
    Mend,
    Agent {
        side: Side,
        thing: Thing,
        there: bool,
    },
    Disk(Disk),
    /// The record loses what is behind this many thousandths of its bytes.
    Tear {
        key: Key,
        permille: u16,
    },
    /// The netns of a container goes, or another one takes its path.
    Netns {
        container: u8,
        another: bool,
    },
    Reboot,
}

impl Operation {
    /// The operation's name in counts.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Call(call) => call.name(),
            Self::Killed { .. } => "killed",
            Self::Orphaned { hangs: false, .. } => "orphaned",
            Self::Orphaned { hangs: true, .. } => "orphaned, hanging",
            Self::Together(_) => "together",
            Self::Flip(_) => "flip",
            Self::Break(_) => "break policy",
            Self::Mend => "mend policy",
            Self::Agent { there: true, .. } => "agent comes",
            Self::Agent { there: false, .. } => "agent goes",
            Self::Disk(Disk::Sound) => "disk mended",
            Self::Disk(Disk::Full) => "disk full",
            Self::Disk(Disk::ReadOnly) => "disk read-only",
            Self::Tear { .. } => "record torn",
            Self::Netns { another: false, .. } => "netns gone",
            Self::Netns { another: true, .. } => "netns replaced",
            Self::Reboot => "reboot",
        }
    }
}

/// A set-up and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) setup: Setup,
    pub(crate) operations: Vec<Operation>,
}

impl fmt::Display for History {
    /// JSON that can be kept as a regression, one operation per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{{\"setup\": {},", one_line(&self.setup))?;
        writeln!(f, " \"operations\": [")?;
        for (index, operation) in self.operations.iter().enumerate() {
            let comma = if index + 1 == self.operations.len() { "" } else { "," };
            writeln!(f, "  {}{comma}", one_line(operation))?;
        }
        write!(f, "]}}")
    }
}

fn one_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("\"{error}\""))
}
