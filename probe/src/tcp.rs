//! TCP to some of the targets: a connection that is held, with a question each second, and a new connection every few seconds.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use reachability::Peer;
use reachability::class::{Class, Family, Packet, Place, Target};
use reachability::frame::{Frame, LENGTH};
use reachability::sample::{STEADY, stratified};

use crate::answer::spawn;
use crate::ask::{Asker, Endpoint, PERIOD, StreamKey};

/// One beat of a held connection.
const BEAT: Duration = Duration::from_millis(PERIOD);
/// So many beats are between two new connections.
const BEATS_PER_CONNECT: u64 = 5;
/// How long a new connection and its answer may take each.
const WAIT: Duration = Duration::from_secs(1);

/// The targets that are connected to.
#[derive(Debug)]
pub(crate) struct Connections {
    asker: Arc<Asker>,
    port: u16,
    service: Vec<IpAddr>,
    /// The switch of the thread of each target.
    threads: BTreeMap<(Endpoint, SocketAddr), (Class, Arc<AtomicBool>)>,
}

/// Whom a thread asks.
#[derive(Debug, Clone, Copy)]
struct Ends {
    own: u64,
    endpoint: Endpoint,
    to: SocketAddr,
    /// Of the held connection, or of new ones where none is held.
    class: Class,
    is_held: bool,
}

impl Connections {
    pub(crate) const fn new(asker: Arc<Asker>, port: u16, service: Vec<IpAddr>) -> Self {
        Self { asker, port, service, threads: BTreeMap::new() }
    }

    /// Connects to some of these agents, the same ones as long as they are there, and to the Service.
    ///
    /// # Errors
    /// Where no thread is to be had.
    pub(crate) fn aim(&mut self, own: &Peer, targets: &[Peer]) -> Result<()> {
        let rank = |peer: &Peer| peer.id.rotate_left(32) ^ own.id;
        let places = stratified(targets, STEADY, |peer| (peer.kind, Place::between(own, peer)), rank);
        let class = |to, place, address: IpAddr, packet| Class {
            from: own.kind,
            to,
            place,
            family: Family::of_address(address),
            packet,
        };
        let mut wanted: BTreeMap<(Endpoint, SocketAddr), (Class, bool)> = BTreeMap::new();
        for peer in places.into_iter().filter_map(|place| targets.get(place)) {
            for address in &peer.addresses {
                let (target, place) = (Target::Agent(peer.kind), Place::between(own, peer));
                let held = class(target, place, *address, Packet::HeldTcp);
                wanted.insert((Endpoint::Agent(peer.id), SocketAddr::new(*address, self.port)), (held, true));
            }
        }
        for address in &self.service {
            let connect = class(Target::Service, Place::Any, *address, Packet::Connect);
            wanted.insert((Endpoint::Service, SocketAddr::new(*address, self.port)), (connect, false));
        }
        self.threads.retain(|place, (class, is_over)| {
            let stays = wanted.get(place).is_some_and(|(wanted, _)| wanted == class);
            is_over.store(!stays, Ordering::Relaxed);
            stays
        });
        for (place, (class, is_held)) in wanted {
            if self.threads.contains_key(&place) {
                continue;
            }
            let is_over = Arc::new(AtomicBool::new(false));
            self.threads.insert(place, (class, Arc::clone(&is_over)));
            let ends = Ends { own: own.id, endpoint: place.0, to: place.1, class, is_held };
            let asker = Arc::clone(&self.asker);
            spawn(move || ask(&asker, &ends, &is_over))?;
        }
        Ok(())
    }
}

fn ask(asker: &Asker, ends: &Ends, is_over: &AtomicBool) {
    let mut held: Option<TcpStream> = None;
    let mut buffer = Vec::new();
    // Agents do not all connect in the same moment.
    for beat in ends.endpoint.id() % BEATS_PER_CONNECT.. {
        let next = Instant::now() + BEAT;
        if beat % BEATS_PER_CONNECT == 0 {
            let (class, key) = ends.stream(Packet::Connect);
            let sequence = asker.send(key, class, PERIOD * BEATS_PER_CONNECT);
            if connect(asker, ends, sequence).is_ok() {
                asker.answer(key, sequence);
            }
        }
        if ends.is_held {
            beat_once(asker, ends, &mut held, &mut buffer, next);
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// A new connection, a question and its answer.
fn connect(asker: &Asker, ends: &Ends, sequence: u64) -> io::Result<()> {
    let mut stream = open(ends)?;
    stream.write_all(&ends.question(asker, sequence))?;
    let mut answer = [0; LENGTH];
    stream.read_exact(&mut answer)?;
    let is_answer =
        Frame::decode(&asker.key, &answer).is_some_and(|frame| frame.is_answer && frame.sequence == sequence);
    if is_answer { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

fn open(ends: &Ends) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&ends.to, WAIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    Ok(stream)
}

/// One question over the held connection, and the answers that come until the next beat.
fn beat_once(asker: &Asker, ends: &Ends, held: &mut Option<TcpStream>, buffer: &mut Vec<u8>, next: Instant) {
    let (class, key) = ends.stream(Packet::HeldTcp);
    let sequence = asker.send(key, class, PERIOD);
    if held.is_none() {
        buffer.clear();
        *held = open(ends).ok();
    }
    let Some(stream) = held else { return };
    let sent = stream.write_all(&ends.question(asker, sequence));
    let result = sent.and_then(|()| receive(asker, key, stream, buffer, sequence, next));
    if result.is_err() {
        *held = None;
        asker.break_off(key);
    }
}

/// Reads answers until that to `last` comes, or the beat is over.
fn receive(
    asker: &Asker,
    key: StreamKey,
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    last: u64,
    next: Instant,
) -> io::Result<()> {
    loop {
        let left = next.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; LENGTH];
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => buffer.extend_from_slice(&bytes[..count]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        while buffer.len() >= LENGTH {
            let frame = Frame::decode(&asker.key, &buffer[..LENGTH]).filter(|frame| frame.is_answer);
            let frame = frame.ok_or(ErrorKind::InvalidData)?;
            buffer.drain(..LENGTH);
            asker.answer(key, frame.sequence);
            if frame.sequence == last {
                return Ok(());
            }
        }
    }
}

impl Ends {
    fn stream(&self, packet: Packet) -> (Class, StreamKey) {
        let class = Class { packet, ..self.class };
        (class, StreamKey { endpoint: self.endpoint, family: class.family, packet })
    }

    fn question(&self, asker: &Asker, sequence: u64) -> Vec<u8> {
        let target = self.endpoint.id();
        let frame = Frame { is_answer: false, is_heard: false, sequence, asker: self.own, target };
        frame.encode(&asker.key, LENGTH)
    }
}
