//! The API server's addresses, resolved by the host.
//!
//! Crossfade's programs are static, and a static program cannot look names up as its host does: which sources count (`nsswitch.conf`)
//! is decided by modules of the host's C library. `getent`, which comes with that library, asks them all.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use crate::host::command::{RunLimits, StderrTo, run_with};
use crate::host::program;

/// The longest wait for an answer, and its largest size.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(15), max_bytes: 1 << 20 };

/// Addresses of `host`; the port is the caller's. Without `getent` on the host, what this program's own C library finds.
///
/// # Errors
/// There are none, or no answer comes in time.
pub(crate) fn addresses(host: &str) -> io::Result<Vec<SocketAddr>> {
    let output = program::command("getent").and_then(|mut getent| {
        let getent = getent.args(["ahosts", host]);
        Ok(run_with(getent, LIMITS, Vec::new(), StderrTo::Nowhere)?)
    });
    let addresses = match output {
        Ok(answer) => parse(&answer.stdout_text()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (host, 0).to_socket_addrs()?.collect(),
        Err(error) => return Err(error),
    };
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no address of {host} is known here")));
    }
    Ok(addresses)
}

/// *Source*: man 1 `getent`, `ahosts`: an address, a type of socket, sometimes a name; every address once per type.
fn parse(answer: &str) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for line in answer.lines() {
        let address = line.split_ascii_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
        if let Some(address) = address.map(|address| SocketAddr::new(address, 0))
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_once_in_the_host_s_order() {
        let answer =
            "2001:db8::1 STREAM api.example\n2001:db8::1 DGRAM \n192.0.2.1    STREAM\n192.0.2.1    RAW\n";
        let expected: Vec<SocketAddr> =
            ["[2001:db8::1]:0", "192.0.2.1:0"].map(|text| text.parse().expect("an address")).into();
        assert_eq!(parse(answer), expected);
        assert_eq!(parse("nonsense\n"), []);
    }

    #[test]
    fn the_host_s_own_names_are_found() {
        assert!(addresses("localhost").expect("localhost").iter().all(|address| address.ip().is_loopback()));
        assert!(addresses("no-such-host.invalid").is_err());
    }
}
