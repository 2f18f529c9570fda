//! The questions of the agent: its streams, the datagrams it sends, and what it hears of others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use reachability::class::{Class, Family, Packet, Place, Target};
use reachability::frame::{Frame, LENGTH};
use reachability::report::{ClassCounts, Counts, End, Totals, Trouble};
use reachability::stream::Stream;
use reachability::{Key, Kind, Peer};

use crate::answer::spawn;
use crate::clock::Clock;

/// From one small datagram to the next; milliseconds.
pub(crate) const PERIOD: u64 = 1_000;
/// From one large datagram to the next; milliseconds.
const LARGE_PERIOD: u64 = 10_000;
/// From one datagram that a policy denies to the next; milliseconds.
const DENIED_PERIOD: u64 = 5_000;
/// Another agent is heard if a question of it came within this time; milliseconds.
const HEARD: u64 = 3_000;

nix::setsockopt_impl!(
    Discover4,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<'_, libc::c_int>
);
nix::setsockopt_impl!(
    Discover6,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<'_, libc::c_int>
);
#[derive(Debug, Clone, Copy)]
struct Discover4;
#[derive(Debug, Clone, Copy)]
struct Discover6;

/// What answers, or should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    Agent(u64),
    Service,
    Dns,
}

impl Endpoint {
    /// The agent's number, and 0, which no agent has, behind a cluster IP.
    pub(crate) const fn id(self) -> u64 {
        match self {
            Self::Agent(id) => id,
            Self::Service | Self::Dns => 0,
        }
    }
}

/// A stream, by what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey {
    pub(crate) endpoint: Endpoint,
    pub(crate) family: Family,
    pub(crate) packet: Packet,
}

/// A stream with its class and the time of its next probe.
#[derive(Debug)]
struct Probing {
    stream: Stream,
    class: Class,
    due_at: u64,
}

/// What is heard of another agent.
#[derive(Debug, Clone, Copy)]
struct Hearing {
    at: u64,
    /// It said that it hears this agent.
    hears_us: bool,
}

#[derive(Debug, Default)]
struct State {
    own: Option<Peer>,
    targets: BTreeMap<u64, Peer>,
    streams: BTreeMap<StreamKey, Probing>,
    heard: BTreeMap<u64, Hearing>,
    /// Results of streams that have ended.
    ended: Totals,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Asker {
    clock: Clock,
    pub(crate) key: Key,
    port: u16,
    denied_port: Option<u16>,
    service: Vec<IpAddr>,
    /// Each packet has sockets of its own, by which its answers are known.
    sockets: Vec<(Packet, Family, UdpSocket)>,
    state: Mutex<State>,
}

/// A datagram to be sent.
struct Datagram {
    key: StreamKey,
    to: SocketAddr,
    frame: Frame,
    length: usize,
}

impl Asker {
    /// # Errors
    /// Where no socket is to be had.
    pub(crate) fn start(
        key: Key,
        port: u16,
        denied_port: Option<u16>,
        service: Vec<IpAddr>,
        families: &BTreeSet<Family>,
    ) -> Result<Arc<Self>> {
        let mut sockets = Vec::new();
        let denied = denied_port.map(|_| Packet::DeniedUdp);
        for packet in [Packet::Udp, Packet::LargeUdp].into_iter().chain(denied) {
            for family in families {
                let socket = UdpSocket::bind((family.unspecified_address(), 0))
                    .with_context(|| format!("a socket for {family}"))?;
                if packet == Packet::LargeUdp {
                    forbid_fragments(&socket, *family).context("forbid fragments")?;
                }
                sockets.push((packet, *family, socket));
            }
        }
        let clock = Clock::new();
        let asker =
            Arc::new(Self { clock, key, port, denied_port, service, sockets, state: Mutex::default() });
        for (packet, family, socket) in &asker.sockets {
            let (asker, socket, packet, family) = (Arc::clone(&asker), socket.try_clone()?, *packet, *family);
            spawn(move || asker.receive(&socket, family, packet))?;
        }
        Ok(asker)
    }

    /// Milliseconds for which the agent has run.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question of another agent came.
    pub(crate) fn hear(&self, question: &Frame) {
        let hearing = Hearing { at: self.now(), hears_us: question.is_heard };
        let mut state = self.state();
        if state.targets.contains_key(&question.asker) {
            state.heard.insert(question.asker, hearing);
        }
    }

    /// Probes these agents from now on, as `own`.
    pub(crate) fn aim(&self, own: &Peer, targets: &[Peer]) {
        let mut state = self.state();
        let is_another_kind = state.own.as_ref().is_some_and(|before| before.kind != own.kind);
        state.own = Some(own.clone());
        let targets: BTreeMap<u64, Peer> = targets.iter().map(|peer| (peer.id, peer.clone())).collect();
        let is_same = |endpoint: Endpoint| {
            let id = endpoint.id();
            state.targets.get(&id).map(|peer| peer.kind) == targets.get(&id).map(|peer| peer.kind)
        };
        let gone: Vec<StreamKey> =
            state.streams.keys().filter(|key| is_another_kind || !is_same(key.endpoint)).copied().collect();
        gone.iter().for_each(|key| state.end(key));
        state.heard.retain(|id, _| targets.contains_key(id));
        state.targets = targets;
    }

    /// Notes that a probe of this stream is sent, and returns its number.
    pub(crate) fn send(&self, key: StreamKey, class: Class, period: u64) -> u64 {
        let now = self.now();
        let mut state = self.state();
        let probing = state.streams.entry(key).or_insert_with(|| Probing {
            stream: Stream::new(period),
            class,
            due_at: 0,
        });
        probing.stream.send(now)
    }

    /// Notes an answer.
    pub(crate) fn answer(&self, key: StreamKey, sequence: u64) {
        let now = self.now();
        if let Some(probing) = self.state().streams.get_mut(&key) {
            probing.stream.answer(sequence, now);
        }
    }

    /// Notes that the connection of a stream ended unasked.
    pub(crate) fn break_off(&self, key: StreamKey) {
        if let Some(probing) = self.state().streams.get_mut(&key) {
            probing.stream.break_off();
        }
    }

    fn receive(&self, socket: &UdpSocket, family: Family, packet: Packet) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
            let Some(frame) = Frame::decode(&self.key, &buffer[..length]).filter(|frame| frame.is_answer)
            else {
                continue;
            };
            let endpoint = match frame.target {
                0 => Endpoint::Service,
                id => Endpoint::Agent(id),
            };
            self.answer(StreamKey { endpoint, family, packet }, frame.sequence);
        }
    }

    /// Sends the datagrams that are due.
    pub(crate) fn advance(&self) {
        let now = self.now();
        let due = self.state().due(now, self.port, self.denied_port, &self.service);
        for datagram in due {
            let StreamKey { packet, family, .. } = datagram.key;
            let mut sockets = self.sockets.iter();
            if let Some((.., socket)) = sockets.find(|socket| (socket.0, socket.1) == (packet, family)) {
                // What cannot be sent is not answered, and counts as lost.
                let _ = socket.send_to(&datagram.frame.encode(&self.key, datagram.length), datagram.to);
            }
        }
    }

    /// The results since the last call.
    pub(crate) fn take(&self) -> (Vec<ClassCounts>, Vec<Trouble>) {
        let now = self.now();
        let mut state = self.state();
        let mut totals = std::mem::take(&mut state.ended);
        let State { own, targets, streams, heard, .. } = &mut *state;
        for (key, probing) in streams {
            probing.stream.advance(now);
            let counts = probing.stream.take();
            if counts == Counts::default() {
                continue;
            }
            let mut troubles = Vec::new();
            if let Some(own) = own.as_ref().filter(|_| !counts.is_clean(key.packet)) {
                let id = key.endpoint.id();
                let hearing = heard.get(&id).filter(|hearing| now.saturating_sub(hearing.at) <= HEARD);
                troubles.push(Trouble {
                    from: End::from(own),
                    to: targets.get(&id).map(End::from),
                    class: probing.class,
                    counts,
                    hears_target: hearing.is_some(),
                    heard_by_target: hearing.map(|hearing| hearing.hears_us),
                });
            }
            totals.add(&[ClassCounts { class: probing.class, counts }], troubles);
        }
        let rows = totals.rows();
        let (troubles, _) = totals.worst_troubles();
        (rows, troubles)
    }
}

/// Neither the agent nor what it has learnt of the path makes a packet smaller.
fn forbid_fragments(socket: &UdpSocket, family: Family) -> nix::Result<()> {
    match family {
        Family::IPv4 => setsockopt(socket, Discover4, &libc::IP_PMTUDISC_PROBE),
        Family::IPv6 => setsockopt(socket, Discover6, &libc::IPV6_PMTUDISC_PROBE),
    }
}

impl State {
    /// A target is gone, or has become another kind.
    fn end(&mut self, key: &StreamKey) {
        let Some(probing) = self.streams.remove(key) else { return };
        let (class, counts) = (probing.class, probing.stream.end());
        self.ended.add(&[ClassCounts { class, counts }], Vec::new());
    }

    /// Notes what is due as sent.
    fn due(&mut self, now: u64, port: u16, denied_port: Option<u16>, service: &[IpAddr]) -> Vec<Datagram> {
        let Some(own) = self.own.clone() else { return Vec::new() };
        let mut due = Vec::new();
        let State { targets, streams, heard, .. } = self;
        let mut plan =
            |key: StreamKey, class: Class, to: SocketAddr, length: usize, period: u64, is_heard: bool| {
                // Streams begin at different times, so that packets are spread over the period.
                let start = now + key.endpoint.id() % period;
                let probing = streams.entry(key).or_insert_with(|| Probing {
                    stream: Stream::new(period),
                    class,
                    due_at: start,
                });
                if now >= probing.due_at {
                    probing.due_at = now.max(probing.due_at + period);
                    let sequence = probing.stream.send(now);
                    let target = key.endpoint.id();
                    let frame = Frame { is_answer: false, is_heard, sequence, asker: own.id, target };
                    due.push(Datagram { key, to, frame, length });
                }
            };
        for peer in targets.values() {
            let is_heard = heard.get(&peer.id).is_some_and(|hearing| now.saturating_sub(hearing.at) <= HEARD);
            for address in &peer.addresses {
                let (family, to) = (Family::of_address(*address), SocketAddr::new(*address, port));
                let class = |packet| Class {
                    from: own.kind,
                    to: Target::Agent(peer.kind),
                    place: Place::between(&own, peer),
                    family,
                    packet,
                };
                let key = |packet| StreamKey { endpoint: Endpoint::Agent(peer.id), family, packet };
                plan(key(Packet::Udp), class(Packet::Udp), to, LENGTH, PERIOD, is_heard);
                let length = own.mtu.min(peer.mtu).saturating_sub(family.datagram_headers());
                let length = usize::try_from(length).unwrap_or(LENGTH);
                plan(key(Packet::LargeUdp), class(Packet::LargeUdp), to, length, LARGE_PERIOD, is_heard);
                // No NetworkPolicy selects a pod on the host network.
                if let Some(port) = denied_port.filter(|_| own.kind != Kind::Host && peer.kind != Kind::Host)
                {
                    let (packet, to) = (Packet::DeniedUdp, SocketAddr::new(*address, port));
                    plan(key(packet), class(packet), to, LENGTH, DENIED_PERIOD, false);
                }
            }
        }
        for address in service {
            let (family, packet) = (Family::of_address(*address), Packet::Udp);
            let class = Class { from: own.kind, to: Target::Service, place: Place::Any, family, packet };
            let key = StreamKey { endpoint: Endpoint::Service, family, packet };
            plan(key, class, SocketAddr::new(*address, port), LENGTH, PERIOD, false);
        }
        due
    }
}
