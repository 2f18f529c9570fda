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
use std::time::Duration;

use types::packets::Outcome;

/// How long one try of one exchange waits for a packet.
const WAIT: Duration = Duration::from_millis(400);

/// What an error of a socket says about an exchange. A rejecting firewall or a closed port refuses; everything else is silence.
fn outcome(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::ConnectionRefused { Outcome::Refused } else { Outcome::Silent }
}
