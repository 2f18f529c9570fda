//! Objects of the kernel, named so that a change reaches one of them and no other.

use std::path::PathBuf;

/// One object of the kernel, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelObject {
    Link {
        /// Its index; another interface may have the name by then.
        index: u32,
        /// Its name; another interface may have the index by then.
        name: String,
    },
    /// Sets an interface down that cannot be removed, and takes its addresses from it.
    LinkDown {
        index: u32,
        name: String,
        /// The addresses, as rtnetlink names them.
        addresses: Vec<Vec<u8>>,
    },
    Route {
        /// The route, as rtnetlink names it.
        body: Vec<u8>,
    },
    /// Removes a routing rule.
    Rule {
        /// The rule, as rtnetlink names it.
        body: Vec<u8>,
    },
    /// Puts the rule that looks up this node's own addresses back to priority 0.
    LocalRule {
        /// `AF_INET` or `AF_INET6`.
        family: u8,
    },
    /// Removes one rule of nftables.
    NftRule {
        /// The chain of the rule.
        chain: NftChain,
        /// The kernel's number for the rule.
        handle: u64,
    },
    /// Removes all rules of one chain of nftables.
    NftFlush(NftChain),
    /// Removes one chain of nftables, which has no rule and is not referred to.
    NftChain(NftChain),
    /// Removes one table of nftables with all that is in it.
    NftTable {
        /// The family, as the kernel numbers them.
        family: u8,
        name: String,
        /// The kernel's number for the table.
        handle: u64,
    },
    /// Runs the older back end of iptables once, with arguments that change one thing.
    Legacy {
        program: PathBuf,
        table: String,
        /// `-D CHAIN RULE`, `-F CHAIN` or `-X CHAIN`.
        arguments: Vec<String>,
    },
    /// Removes a set of addresses.
    IpSet { name: String },
    /// Takes a mount away from its mount point.
    Mount(PathBuf),
}

/// A chain of nftables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftChain {
    /// The family, as the kernel numbers them.
    pub family: u8,
    pub table: String,
    pub name: String,
}

impl KernelObject {
    /// The word for what is done, as printed.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::LinkDown { .. } => "down",
            Self::LocalRule { .. } => "restore",
            Self::NftFlush(_) => "empty",
            Self::Legacy { arguments, .. } if arguments.first().is_some_and(|verb| verb == "-F") => "empty",
            Self::Mount(_) => "umount",
            Self::Link { .. }
            | Self::Route { .. }
            | Self::Rule { .. }
            | Self::NftRule { .. }
            | Self::NftChain(_)
            | Self::NftTable { .. }
            | Self::Legacy { .. }
            | Self::IpSet { .. } => "remove",
        }
    }
}
