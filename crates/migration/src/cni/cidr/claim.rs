//! The users of a range of addresses.

use snapshot::model::Text;

use crate::check::finding::Subject;
use snapshot::Range;

/// For what a range is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// The old CNI takes blocks from it for nodes.
    OldPool {
        /// The old CNI gives no address of it to a new pod.
        is_closed: bool,
    },
    /// A node has it for pods of the old network.
    OldBlock,
    /// Pods or tunnels of the old network have these addresses.
    OldAddress,
    /// The new CNI takes node CIDRs from it.
    NewPool,
    /// A node has it for pods of the new network.
    NewNode,
    Service,
    /// A node's own address, or the machines' network.
    Node,
    /// Something outside the cluster.
    External,
    /// It must not be used.
    Reserved,
}

/// A range and its use.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The addresses.
    pub range: Range,
    pub usage: Usage,
    /// The node whose pods have the addresses.
    pub node: Option<Text>,
    /// All nodes with a pod that has one of the addresses, besides `node`.
    pub borrowers: Vec<Text>,
    /// The object that says so.
    pub source: Subject,
}

impl Usage {
    /// The range belongs to the new network.
    #[must_use]
    pub const fn is_new(self) -> bool {
        matches!(self, Self::NewPool | Self::NewNode)
    }

    /// Pods may have the addresses, of whichever network.
    #[must_use]
    pub const fn is_pods(self) -> bool {
        self.is_new() || matches!(self, Self::OldPool { .. } | Self::OldBlock | Self::OldAddress)
    }
}

impl Claim {
    /// A claim without nodes.
    #[must_use]
    pub const fn new(range: Range, used: Usage, source: Subject) -> Self {
        Self { range, usage: used, node: None, borrowers: Vec::new(), source }
    }

    /// The same, of a node.
    #[must_use]
    pub fn with_node(mut self, node: &str) -> Self {
        self.node = Some(node.into());
        self
    }
}
