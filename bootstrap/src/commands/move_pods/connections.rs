//! The connections of a pod over some of its addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use netlink_packet_core::Parseable;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use nix::libc::NETLINK_SOCK_DIAG;
use shim::attachment::route::Budget;
use shim::attachment::route::rtnl::{Rtnl, emit};
use shim::host::netns::Netns;

/// The type of requests and replies. *Source*: linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The largest number of connections of one kind that are read: enough to know that there are some.
const MOST: usize = 1024;
/// The number of times that an interrupted dump is repeated.
const TRIES: u32 = 10;
/// The largest number of connections whose process is looked for.
const MOST_NAMED: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Connection {
    protocol: &'static str,
    local: SocketAddr,
    peer: SocketAddr,
    /// The inode of its socket; 0 if no process has it any more.
    inode: u32,
}

/// The connections in the netns of which one end is one of these addresses, each in words: `tcp 10.1.0.5:8080 with 10.1.0.9:40112 (nginx, process 4711)`.
/// TCP connections count from the first packet until both ends have closed, UDP sockets if they are connected.
///
/// # Errors
/// An error of the kernel.
pub(super) fn read(netns: &Path, addresses: &[IpAddr]) -> io::Result<Vec<String>> {
    let netns = Netns::open(netns)?;
    let mut rtnl = netns
        .open_inside(|| Rtnl::open_node(NETLINK_SOCK_DIAG as isize, Budget::new_brief(), MOST, TRIES))?
        .leaving_out_excess();
    let mut connections = Vec::new();
    for (number, protocol) in [(IPPROTO_TCP, "tcp"), (IPPROTO_UDP, "udp")] {
        for family in [AF_INET, AF_INET6] {
            let body = emit(&request(family, number));
            let parse = |payload: &[u8]| {
                let header = InetResponseHeader::parse(payload)?;
                Ok(connection(protocol, &header)
                    .filter(|connection| addresses.contains(&connection.local.ip())))
            };
            connections.extend(rtnl.dump(SOCK_DIAG_BY_FAMILY, &body, SOCK_DIAG_BY_FAMILY, parse)?);
        }
    }
    Ok(connections
        .iter()
        .enumerate()
        .map(|(nth, connection)| describe(connection, nth < MOST_NAMED))
        .collect())
}

fn request(family: u8, protocol: u8) -> InetRequest {
    InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all() - StateFlags::LISTEN - StateFlags::CLOSE - StateFlags::TIME_WAIT,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    }
}

/// The connection of a socket; none if it has no peer.
fn connection(protocol: &'static str, header: &InetResponseHeader) -> Option<Connection> {
    let id = &header.socket_id;
    // A socket of both families has IPv4 addresses in the form of IPv6.
    let (local, peer) = (id.source_address.to_canonical(), id.destination_address.to_canonical());
    (!peer.is_unspecified()).then(|| Connection {
        protocol,
        local: SocketAddr::new(local, id.source_port),
        peer: SocketAddr::new(peer, id.destination_port),
        inode: header.inode,
    })
}

fn describe(connection: &Connection, with_process: bool) -> String {
    let Connection { protocol, local, peer, inode } = connection;
    let process = if with_process { process_of(*inode) } else { None };
    let process = process.map(|process| format!(" ({process})")).unwrap_or_default();
    format!("{protocol} {local} with {peer}{process}")
}

/// The name and number of a process that has this socket.
fn process_of(inode: u32) -> Option<String> {
    let target = PathBuf::from(format!("socket:[{inode}]"));
    let numbers: BTreeSet<u32> = std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let has = |process: &u32| {
        let files = std::fs::read_dir(format!("/proc/{process}/fd"));
        files.is_ok_and(|files| {
            files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link == target))
        })
    };
    let process = numbers.iter().find(|process| has(process))?;
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    // A program may call itself anything.
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    Some(format!("{name}, process {process}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn open_connections_over_an_address_are_found_and_listeners_are_not() {
        let here = Path::new("/proc/thread-self/ns/net");
        let address: IpAddr = "127.0.77.1".parse().expect("an address");
        // A machine that is busy, and whose sockets these are, may have no time for a read.
        let attempt = |_| match read(here, &[address]) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(None),
            connections => Some(Some(connections.expect("read"))),
        };
        let read = || (0..20).find_map(attempt).expect("time for a read");
        let listener = TcpListener::bind((address, 0)).expect("a listener");
        let Some(connections) = read() else { return };
        assert_eq!(connections, [""; 0]);
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let accepted = listener.accept().expect("accepted");
        let datagrams = UdpSocket::bind((address, 0)).expect("bound");
        assert_eq!(
            read().expect("as before").len(),
            1,
            "the end that has the address; an unconnected socket has no peer"
        );
        datagrams.connect(("127.0.77.2", 9)).expect("connected");
        let connections = read().expect("as before");
        assert!(
            connections
                .iter()
                .any(|line| line.starts_with("udp 127.0.77.1:") && line.contains("127.0.77.2:9")),
            "{connections:?}"
        );
        assert!(
            connections.iter().all(|line| line.contains(&format!("process {}", std::process::id()))),
            "{connections:?}"
        );
        drop((client, accepted, datagrams));
    }
}
