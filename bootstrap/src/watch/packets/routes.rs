//! The other nodes of a network, as far as the node's own routes know them, with reads of two files.
//!
//! A network that gives each node a range of addresses has a route to each other node's range, by a next hop that the other node's kernel answers
//! for: Flannel's `10.244.3.0/24 via 10.244.3.0 dev flannel.1`, Antrea's `10.10.3.0/24 via 10.10.3.1 dev antrea-gw0`. So an echo request to
//! the next hop goes through the network to that node and back, needs no program there, and no node has to publish an address.

use convergence::watch::packets::routes::{Route, parse_v4, parse_v6};

/// The kernel's routes. *Source*: proc(5); the kernel's `net/ipv4/fib_trie.c` and `net/ipv6/route.c`.
const FILES: [&str; 2] = ["/proc/net/route", "/proc/net/ipv6_route"];

/// The node's routes with a next hop, but the default ones.
#[must_use]
pub(crate) fn gather() -> Vec<Route> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let [v4, v6] = FILES.map(read);
    v4.lines().filter_map(parse_v4).chain(v6.lines().filter_map(parse_v6)).collect()
}
