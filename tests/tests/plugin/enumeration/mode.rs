//! The modes of a policy, and the calls of delegates that follow from each.

use std::fmt;

/// What the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Old,
    New,
    Both,
    /// A pod that runs on the old network, which the new one joins and leaves.
    Live,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Old, Self::New, Self::Both, Self::Live];
    /// Those of an ADD.
    pub(crate) const OF_ADD: [Self; 3] = [Self::Old, Self::New, Self::Both];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Both => "both",
            Self::Live => "live",
        }
    }

    /// The value of the policy's `attach`.
    pub(crate) const fn attach(self) -> &'static str {
        match self {
            Self::Live => Self::Old.as_str(),
            Self::Old | Self::New | Self::Both => self.as_str(),
        }
    }

    /// The plugins in the order of ADD, or of JOIN.
    pub(crate) const fn plugins(self) -> &'static [&'static str] {
        match self {
            Self::Old => &["stub-old"],
            Self::New | Self::Live => &["stub-new", "stub-tail"],
            Self::Both => &["stub-old", "stub-new", "stub-tail"],
        }
    }

    /// Networks and their ifnames, in the order of ADD.
    pub(crate) const fn parts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Old => &[("oldnet", "eth0")],
            Self::New => &[("newnet", "eth0")],
            Self::Both | Self::Live => &[("oldnet", "eth0"), ("newnet", "net1")],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
