//! A datagram and its answer, and a connection and its answer, between two ends that are both this process.
//!
//! The receiving end answers only what the sending end has just made up, and is closed after it: no other sender gets an answer.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use convergence::watch::packets::size::{
    LargestPacket, PacketOutcome, find_largest as largest_packet, ip_header, least_mtu,
};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use types::packets::Outcome;

use super::place::Place;
use super::{WAIT, outcome, receive_until, size};

/// Bytes of a UDP header.
const UDP_HEADER: u32 = 8;

#[derive(Debug, Clone)]
pub(crate) struct ExchangeEnds {
    /// Where the request is sent.
    pub from: Place,
    /// The sender's address; `None` for the kernel's choice.
    pub source: Option<IpAddr>,
    /// Where the request is received.
    pub to: Place,
    pub target: IpAddr,
}

/// The unspecified address of the family of `like`, with any port.
pub(super) fn unspecified_address(like: IpAddr) -> SocketAddr {
    let address: IpAddr =
        if like.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(address, 0)
}

/// Eight bytes that no other exchange sends.
pub(super) fn nonce() -> [u8; 8] {
    RandomState::new().hash_one(0u8).to_ne_bytes()
}

/// So many bytes, of which the first eight are a [`nonce`].
pub(super) fn payload(length: usize) -> Vec<u8> {
    let mut payload = vec![0; length];
    let nonce = nonce();
    payload[..nonce.len()].copy_from_slice(&nonce);
    payload
}

/// Sends a datagram there, and one back. The sender's address comes with the outcome.
#[must_use]
pub(crate) fn udp(ends: &ExchangeEnds) -> (Outcome, Option<IpAddr>) {
    let pair = match SocketPair::open(ends) {
        Ok(pair) => pair,
        Err(error) => return (outcome(&error), None),
    };
    let source = pair.client.local_addr().ok().map(|address| address.ip());
    let result = match pair.pass(&nonce()) {
        Ok(()) => Outcome::Passed,
        Err(LostMessage::Request(error)) => {
            let refused = pair.client.take_error().ok().flatten();
            outcome(&refused.unwrap_or(error))
        }
        Err(LostMessage::Answer(_)) => Outcome::NoAnswer,
    };
    (result, source)
}

/// The largest datagram that passes there and back, and the size that the interfaces and routes of both ends allow. `None` if the kernel does not
/// say the latter.
#[must_use]
pub(crate) fn measure_largest(ends: &ExchangeEnds) -> Option<(u32, LargestPacket)> {
    let pair = SocketPair::open(ends).ok()?;
    pair.pass(&nonce()).ok()?;
    // The first pass has connected both.
    let mtu_of = |socket: &UdpSocket, to: IpAddr| size::mtu(socket, to).ok();
    let mtu = mtu_of(&pair.client, ends.target)?.min(mtu_of(&pair.server, ends.target)?);
    size::forbid_fragments(&pair.client, ends.target).ok()?;
    size::forbid_fragments(&pair.server, ends.target).ok()?;
    let headers = ip_header(ends.target) + UDP_HEADER;
    let send = |size: u32| match pair.pass(&payload(size.saturating_sub(headers) as usize)) {
        Ok(()) => PacketOutcome::Passed,
        Err(LostMessage::Request(error)) => size::packet_outcome(&error, &pair.client, ends.target),
        Err(LostMessage::Answer(error)) => size::packet_outcome(&error, &pair.server, ends.target),
    };
    Some((mtu, largest_packet(mtu, least_mtu(ends.target).min(mtu), send)))
}

/// What did not arrive, and what the socket that sent or waited for it says.
enum LostMessage {
    Request(io::Error),
    Answer(io::Error),
}

/// A socket at each end. The sender's is connected, and the receiver's once something has come.
struct SocketPair {
    client: UdpSocket,
    server: UdpSocket,
}

impl SocketPair {
    fn open(ends: &ExchangeEnds) -> io::Result<Self> {
        let server = ends.to.run_inside(|| UdpSocket::bind((ends.target, 0)))?;
        let target = server.local_addr()?;
        let client = ends.from.run_inside(|| {
            let bind_address = ends
                .source
                .map_or_else(|| unspecified_address(ends.target), |source| SocketAddr::new(source, 0));
            let client = UdpSocket::bind(bind_address)?;
            client.connect(target)?;
            Ok(client)
        })?;
        client.set_read_timeout(Some(WAIT))?;
        server.set_read_timeout(Some(WAIT))?;
        Ok(Self { client, server })
    }

    fn pass(&self, payload: &[u8]) -> Result<(), LostMessage> {
        self.client.send(payload).map_err(LostMessage::Request)?;
        let came = receive(&self.server, payload).map_err(|error| {
            // A router's word about the size comes to the sender.
            LostMessage::Request(self.client.take_error().ok().flatten().unwrap_or(error))
        })?;
        let answered = self.server.connect(came).and_then(|()| self.server.send(payload));
        answered.map_err(LostMessage::Answer)?;
        receive(&self.client, payload)
            .map(drop)
            .map_err(|error| LostMessage::Answer(self.server.take_error().ok().flatten().unwrap_or(error)))
    }
}

/// Waits for exactly this datagram; its sender.
fn receive(socket: &UdpSocket, expected: &[u8]) -> io::Result<SocketAddr> {
    receive_until(socket, |message| message == expected)
}

/// Makes a connection, and sends some bytes there and back.
#[must_use]
pub(crate) fn tcp(ends: &ExchangeEnds) -> Outcome {
    match connection(ends) {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::NoAnswer,
        Err(error) => outcome(&error),
    }
}

/// Whether the bytes came back over a connection that was made.
fn connection(ends: &ExchangeEnds) -> io::Result<bool> {
    let listener = ends.to.run_inside(|| TcpListener::bind((ends.target, 0)))?;
    // accept(2) observes this limit.
    let micros = i64::try_from(WAIT.as_micros()).unwrap_or(i64::MAX);
    setsockopt(&listener, sockopt::ReceiveTimeout, &TimeVal::new(0, micros))?;
    let target = listener.local_addr()?;
    let mut client = ends.from.run_inside(|| TcpStream::connect_timeout(&target, WAIT))?;
    Ok(exchange_once(&mut client, &listener).is_ok())
}

fn exchange_once(client: &mut TcpStream, listener: &TcpListener) -> io::Result<()> {
    let (mut server, _) = listener.accept()?;
    for stream in [&*client, &server] {
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
    }
    let (sent, mut came) = (nonce(), [0; 8]);
    client.write_all(&sent)?;
    server.read_exact(&mut came)?;
    server.write_all(&came)?;
    client.read_exact(&mut came)?;
    if came == sent { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Connects to another host's port. A host that refuses has answered as well, and that is told apart.
#[must_use]
pub(crate) fn connect(from: &Place, target: SocketAddr) -> Outcome {
    match from.run_inside(|| TcpStream::connect_timeout(&target, WAIT)) {
        Ok(_) => Outcome::Passed,
        Err(error) => outcome(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_loopback(target: &str) -> ExchangeEnds {
        let target = target.parse().expect(target);
        ExchangeEnds { from: Place::Node, source: None, to: Place::Node, target }
    }

    #[test]
    fn what_is_sent_comes_back() {
        let ends = on_loopback("127.0.0.1");
        assert_eq!(udp(&ends), (Outcome::Passed, Some(ends.target)));
        assert_eq!(tcp(&ends), Outcome::Passed);
        let (mtu, largest) = measure_largest(&ends).expect("sizes");
        // The loopback interface has 65536, more than a datagram can fill.
        assert!(mtu >= 1500 && largest.passes.is_some_and(|passes| passes >= 1500), "{mtu} {largest:?}");
    }

    #[test]
    fn who_is_not_there_is_silent_and_who_refuses_says_so() {
        // 192.0.2.0/24 is for documentation: no host has it.
        assert_eq!(udp(&on_loopback("192.0.2.77")), (Outcome::Silent, None));
        assert_eq!(tcp(&on_loopback("192.0.2.77")), Outcome::Silent);
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("its number")
        };
        assert_eq!(connect(&Place::Node, closed), Outcome::Refused);
    }
}
