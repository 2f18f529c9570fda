//! The objects of a node's kernel that a CNI may have made: interfaces, routes, rules, firewall, sets.
//!
//! All of it is read over netlink but the older back end of iptables, which only its own program can read. So nothing is needed on the node that
//! the CNI brought in its image, and an object is removed by the handle that the kernel has for it.

pub(crate) mod ipset;
pub(crate) mod legacy;
pub(crate) mod link;
pub(crate) mod nft;
pub(crate) mod route;
pub(crate) mod rule;

use convergence::commands::cleanup::kernel::KernelFacts;

fn read<T: Default>(what: &str, result: std::io::Result<T>, unread: &mut Vec<String>) -> T {
    result.unwrap_or_else(|why| {
        unread.push(format!("{what}: {why}"));
        T::default()
    })
}

/// Reads everything; nothing is changed.
#[must_use]
pub(crate) fn gather() -> KernelFacts {
    let mut facts = KernelFacts::default();
    let unread = &mut facts.unread;
    facts.links = read("interfaces", link::gather(), unread);
    facts.routes = read("routes", route::gather(), unread);
    facts.rules = read("routing rules", rule::gather(), unread);
    facts.nft_tables = read("tables of nftables", nft::tables(), unread);
    facts.firewall = read("chains of nftables", nft::gather(), unread);
    facts.firewall.extend(legacy::gather(unread));
    facts.sets = read("ipsets", ipset::gather(), unread);
    facts
}
