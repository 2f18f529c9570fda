//! Packets that two scratch attachments of a network exchange with each other, with the node and with others, before pods get the network.
//!
//! [`plan`] says what is exchanged, [`rounds`] does it and repeats what does not pass yet, and [`decide`] says what it means. Every socket
//! belongs to one network namespace ([`place`]), and every wait has an end.

pub mod decide;
pub mod dns;
pub mod echo;
pub mod ping;
pub mod place;
pub mod plan;
pub mod rounds;
pub mod routes;
pub mod size;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use types::packets::Outcome;

/// How long one try of one exchange waits for a packet.
const WAIT: Duration = Duration::from_millis(400);
/// Room for the largest datagram.
const LARGEST: usize = 1 << 16;

/// Waits for a message that is the right one, and says from whom it came; others are passed over.
fn until(socket: &UdpSocket, is_right: impl Fn(&[u8]) -> bool) -> io::Result<SocketAddr> {
    let mut buffer = vec![0; LARGEST];
    let began = Instant::now();
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if is_right(&buffer[..length]) {
            return Ok(from);
        }
        if began.elapsed() > WAIT {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// What an error of a socket says about an exchange. A rejecting firewall or a closed port refuses; everything else is silence.
fn outcome(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::ConnectionRefused { Outcome::Refused } else { Outcome::Silent }
}
