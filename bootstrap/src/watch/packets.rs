//! Packets that two scratch attachments of a network exchange with each other, with the node and with others, before pods get the network.
//!
//! [`plan`] says what is exchanged, [`rounds`] does it and repeats what does not pass yet, and [`decide`] says what it means. Every socket
//! belongs to one network namespace ([`place`]), and every wait has an end.

pub(crate) mod dns;
pub(crate) mod echo;
pub(crate) mod ping;
pub(crate) mod place;
pub(crate) mod rounds;
pub(crate) mod routes;
pub(crate) mod size;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use types::packets::Outcome;

/// How long one try of one exchange waits for a packet.
const WAIT: Duration = Duration::from_millis(400);
/// Room for the largest datagram.
const LARGEST: usize = 1 << 16;

/// Waits for a message that is the right one, and says from whom it came; others are passed over.
fn receive_until(socket: &UdpSocket, is_right: impl Fn(&[u8]) -> bool) -> io::Result<SocketAddr> {
    first_right(|buffer| socket.recv_from(buffer), is_right)
}

/// Repeats `receive` until it returns the right message. The kernel ends a wait that has a time limit when the process is stopped and goes on
/// (man 7 `signal`); that says nothing of the network, so the wait goes on as well.
fn first_right(
    mut receive: impl FnMut(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    is_right: impl Fn(&[u8]) -> bool,
) -> io::Result<SocketAddr> {
    let mut buffer = vec![0; LARGEST];
    let started = Instant::now();
    loop {
        match receive(&mut buffer) {
            Ok((length, from)) if is_right(&buffer[..length]) => return Ok(from),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if started.elapsed() > WAIT {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// What an error of a socket says about an exchange. A rejecting firewall or a closed port refuses; everything else is silence.
fn outcome(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::ConnectionRefused { Outcome::Refused } else { Outcome::Silent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_interruption_nor_a_strange_message_ends_the_wait() {
        let (stranger, right): (SocketAddr, SocketAddr) =
            (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
        let mut events =
            [Err(io::ErrorKind::Interrupted), Ok((b'?', stranger)), Ok((b'!', right))].into_iter();
        let receive = |buffer: &mut [u8]| {
            let (byte, from) = events.next().unwrap_or(Err(io::ErrorKind::UnexpectedEof))?;
            buffer[0] = byte;
            Ok((1, from))
        };
        assert_eq!(first_right(receive, |message| message == b"!").expect("a message"), right);
        let silent = first_right(|_| Err(io::ErrorKind::WouldBlock.into()), |_| true);
        assert_eq!(silent.expect_err("nothing came").kind(), io::ErrorKind::WouldBlock);
    }
}
