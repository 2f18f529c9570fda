//! The TCP connection that is held open to one target, and the heartbeats on it.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::clock::{monotonic_ns, ms};
use super::flight::{Course, Flight, Outbox};
use super::reactor::{Interest, Reactor, Token};
use super::speech::Carrier;
use super::wire::{LENGTH, Packet};
use super::{ANSWER_WITHIN_MS, PORT};

/// The connection to one target and its heartbeats.
#[derive(Debug)]
pub(super) struct HeldConnection {
    course: Course,
    source: Option<IpAddr>,
    token: Token,
    nonce: u64,
    answerer: u64,
    state: State,
    flight: Flight,
    /// Heartbeats that wait for the connection to be opened.
    waiting: BTreeSet<u64>,
    broken: u64,
}

#[derive(Debug)]
enum State {
    Closed,
    Opening { socket: Socket, since_ns: u64 },
    Open { stream: TcpStream, partial: Vec<u8> },
}

/// What is fixed about a target.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    /// Pod and address.
    pub(super) course: Course,
    /// The address to send from, if not the kernel's choice.
    pub(super) source: Option<IpAddr>,
    /// The target's secret.
    pub(super) nonce: u64,
    /// Identity of the pod that must answer.
    pub(super) answerer: u64,
}

impl HeldConnection {
    /// Not opened yet; the first heartbeat does that.
    pub(super) fn new(aim: Aim, token: Token) -> Self {
        Self {
            flight: Flight::new(aim.course.clone(), Carrier::Tcp),
            course: aim.course,
            source: aim.source,
            token,
            nonce: aim.nonce,
            answerer: aim.answerer,
            state: State::Closed,
            waiting: BTreeSet::new(),
            broken: 0,
        }
    }

    /// When the time of the oldest heartbeat under way is up.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.flight.due_ns()
    }

    /// Whether no heartbeat is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.flight.is_empty()
    }

    /// Sends a heartbeat, opening the connection first where it is not open. One that cannot be written yet waits for the
    /// connection, as a client's request would.
    pub(super) fn beat(&mut self, reactor: &Reactor, out: &mut Outbox) {
        if matches!(self.state, State::Closed) {
            self.open(reactor, out);
        }
        let (seq, _) = self.flight.launch(out);
        self.waiting.insert(seq);
        self.flush(out);
    }

    /// The descriptor is ready: a connect has ended, or there is something to read.
    pub(super) fn ready(&mut self, reactor: &Reactor, out: &mut Outbox) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Opening { socket, since_ns } => {
                self.opened(socket, since_ns, reactor, out);
            }
            State::Open { stream, partial } => self.read(stream, partial, out),
        }
    }

    /// Loses what was not answered in time when the sockets had last been read to the end, at `read_ns`, and gives the
    /// connection up with it.
    pub(super) fn expire(&mut self, read_ns: u64, out: &mut Outbox) {
        if let State::Opening { since_ns, .. } = self.state
            && since_ns + ms(ANSWER_WITHIN_MS) <= read_ns
        {
            self.state = State::Closed;
            self.broke(&format!("not opened within {ANSWER_WITHIN_MS} ms"), out);
        }
        let overdue = self.flight.overdue(read_ns);
        for seq in overdue.difference(&self.waiting) {
            self.flight.lose(*seq, "no answer in time", out);
        }
        for seq in overdue.intersection(&self.waiting) {
            self.flight.lose(*seq, "no connection to send it on", out);
        }
        let unanswered = overdue.iter().find(|seq| !self.waiting.contains(seq)).copied();
        self.waiting.retain(|seq| !overdue.contains(seq));
        if let Some(seq) = unanswered
            && let State::Open { .. } = self.state
        {
            self.give_up();
            self.broke(&format!("given up: heartbeat {seq} was not answered in time"), out);
        }
    }

    /// Slots passed in which no heartbeat was sent.
    pub(super) fn late(&mut self, slots: u64, out: &mut Outbox) {
        self.flight.late(slots, out);
    }

    /// Closes the connection in an orderly manner; what is under way is excused.
    pub(super) fn leave(&mut self, out: &mut Outbox) {
        self.state = State::Closed;
        self.waiting.clear();
        self.flight.excuse(out);
    }

    fn open(&mut self, reactor: &Reactor, out: &mut Outbox) {
        match self.connect(reactor) {
            Ok(socket) => {
                let since_ns = monotonic_ns();
                self.state = State::Opening { socket, since_ns };
            }
            Err(error) => self.broke(&format!("{error:#}"), out),
        }
    }

    fn connect(&self, reactor: &Reactor) -> Result<Socket> {
        let to = SocketAddr::new(self.course.address, PORT);
        let socket =
            Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)).context("TCP socket")?;
        socket.set_nonblocking(true).context("non-blocking socket")?;
        socket.set_tcp_nodelay(true).context("TCP_NODELAY")?;
        if let Some(source) = self.source {
            let from = SocketAddr::new(source, 0);
            socket.bind(&from.into()).with_context(|| format!("connect from {source}"))?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(error).with_context(|| format!("connect to {to}"));
            }
            Ok(()) | Err(_) => {}
        }
        reactor.add(&socket, self.token, Interest::Write)?;
        Ok(socket)
    }

    /// A connect has ended, one way or the other.
    fn opened(&mut self, socket: Socket, since_ns: u64, reactor: &Reactor, out: &mut Outbox) {
        match socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => {
                self.broke(&format!("connect: {error}"), out);
                return;
            }
        }
        if socket.peer_addr().is_err() {
            // Woken before the connect has ended.
            self.state = State::Opening { socket, since_ns };
            return;
        }
        if let Err(error) = reactor.modify(&socket, self.token, Interest::Read) {
            self.broke(&format!("{error:#}"), out);
            return;
        }
        let partial = Vec::with_capacity(LENGTH);
        self.state = State::Open { stream: socket.into(), partial };
        self.flush(out);
    }

    /// Writes the heartbeats that wait, if the connection is open.
    fn flush(&mut self, out: &mut Outbox) {
        let State::Open { stream, .. } = &mut self.state else {
            return;
        };
        let sent_ns = monotonic_ns();
        let mut bytes = Vec::new();
        for seq in &self.waiting {
            self.flight.depart(*seq, sent_ns);
            bytes.extend(Packet::probe(self.nonce, *seq, sent_ns).encode());
        }
        // At most 20 heartbeats of 40 bytes are ever unanswered: the socket's buffer has room for them all.
        match stream.write_all(&bytes) {
            Ok(()) => self.waiting.clear(),
            Err(error) => {
                self.give_up();
                self.broke(&format!("write: {error}"), out);
            }
        }
    }

    fn read(&mut self, mut stream: TcpStream, mut partial: Vec<u8>, out: &mut Outbox) {
        let mut buffer = [0; 64 * LENGTH];
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break Some("closed by the other side".to_owned()),
                Ok(length) => partial.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        let whole = partial.len() / LENGTH * LENGTH;
        for bytes in partial.drain(..whole).as_slice().chunks(LENGTH) {
            self.take(Packet::decode(bytes), out);
        }
        match end {
            Some(cause) => self.broke(&cause, out),
            None => self.state = State::Open { stream, partial },
        }
    }

    fn take(&mut self, packet: Option<Packet>, out: &mut Outbox) {
        let Some(packet) = packet.filter(|packet| packet.is_answer && packet.nonce == self.nonce) else {
            return;
        };
        if packet.answerer == self.answerer {
            self.flight.answer(packet.seq, out);
        } else {
            let note = "another pod answered in its place".to_owned();
            self.flight.note(packet.seq, note);
        }
    }

    /// Closes with a reset, so that the kernel does not go on sending what is not waited for.
    fn give_up(&mut self) {
        if let State::Open { stream, .. } = &self.state {
            let _closed_anyway = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.state = State::Closed;
    }

    /// The connection is gone: a loss of its own, and with it the heartbeats that were on it. Those that still wait for a
    /// connection go on waiting.
    fn broke(&mut self, cause: &str, out: &mut Outbox) {
        self.broken += 1;
        out.broken(&self.course, self.broken, cause);
        let waiting = &self.waiting;
        let was_sent = |seq: u64| !waiting.contains(&seq);
        self.flight.lose_where(was_sent, "its connection broke", out);
    }
}
