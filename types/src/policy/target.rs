//! The target of an http probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The host of a probe that may be answered in either family of the loopback interface.
const LOCALHOST: &str = "localhost";

/// Takes `HOST:PORT/PATH` apart. HOST is an address, or `localhost`, which stands for 127.0.0.1 and ::1 without asking a resolver:
/// an agent listens on the one of the two that its node's family is.
///
/// # Errors
/// What was expected.
pub fn split_target(target: &str) -> Result<(Vec<SocketAddr>, &str), String> {
    let (authority, path) = target.find('/').map_or((target, "/"), |slash| target.split_at(slash));
    let wrong = || format!("{target:?}: expected HOST:PORT/PATH with an address or localhost as HOST");
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    let hosts = if host == LOCALHOST {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
    } else {
        vec![host.trim_matches(['[', ']']).parse().map_err(|_| wrong())?]
    };
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(wrong());
    }
    Ok((hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect(), path))
}
