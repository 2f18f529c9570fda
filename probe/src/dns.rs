//! Questions to the cluster's DNS, at its cluster IPs.

use std::collections::VecDeque;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reachability::class::{Class, Family, Packet, Place, Target};
use reachability::dns::{is_answer, query};
use reachability::{Kind, Peer};

use crate::answer::spawn;
use crate::ask::{Asker, Endpoint, PERIOD, StreamKey};

/// Every cluster has it.
const NAME: &str = "kubernetes.default.svc.cluster.local.";
const PORT: u16 = 53;
/// Queries of which an answer is still waited for.
const OPEN: usize = 10;

/// Asks each server once a second, as an agent of the kind that `own` is then.
///
/// # Errors
/// Where no thread or socket is to be had.
pub(crate) fn start(servers: &[IpAddr], asker: &Arc<Asker>, own: &Arc<Mutex<Peer>>) -> Result<()> {
    for server in servers {
        let any = Family::of_address(*server).unspecified_address();
        let socket = UdpSocket::bind((any, 0)).context("a socket for DNS")?;
        let (server, asker, own) = (*server, Arc::clone(asker), Arc::clone(own));
        spawn(move || ask(&socket, server, &asker, &own))?;
    }
    Ok(())
}

fn ask(socket: &UdpSocket, server: IpAddr, asker: &Asker, own: &Mutex<Peer>) {
    let (family, packet) = (Family::of_address(server), Packet::Udp);
    let key = StreamKey { endpoint: Endpoint::Dns, family, packet };
    let class = |from: Kind| Class { from, to: Target::Dns, place: Place::Any, family, packet };
    let mut open: VecDeque<([u8; 2], u64)> = VecDeque::new();
    loop {
        let next = Instant::now() + Duration::from_millis(PERIOD);
        let kind = own.lock().unwrap_or_else(PoisonError::into_inner).kind;
        let sequence = asker.send(key, class(kind), PERIOD);
        let [.., high, low] = sequence.to_be_bytes();
        open.push_back(([high, low], sequence));
        open.drain(..open.len().saturating_sub(OPEN));
        // What cannot be sent is not answered, and counts as lost.
        let _ = socket.send_to(&query([high, low], NAME), (server, PORT));
        receive(socket, server, &mut open, next, |sequence| asker.answer(key, sequence));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Reads answers until none is open, or the time is over.
fn receive(
    socket: &UdpSocket,
    server: IpAddr,
    open: &mut VecDeque<([u8; 2], u64)>,
    next: Instant,
    mut answer: impl FnMut(u64),
) {
    let mut buffer = [0; 512];
    while !open.is_empty() {
        let left = next.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
        let message = &buffer[..length];
        let place = open.iter().position(|(id, _)| from.ip() == server && is_answer(*id, message));
        if let Some((_, sequence)) = place.and_then(|place| open.remove(place)) {
            answer(sequence);
        }
    }
}
