//! The hub: agents register with it and send it their results; it hands out targets and prints a report each interval.
//!
//! All connections are served by one thread, for each thread would take memory and a hub has a thousand agents.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reachability::Key;
use reachability::report::ToHub;
use reachability::roster::{INTERVAL, Roster};

use crate::answer::spawn;
use crate::settings::Settings;

/// The longest line of an agent, and the most that waits to be sent to it; bytes.
const MAX_LINE: usize = 256 << 10;
/// The most connections: of all agents, and some that are about to end.
const MAX_CONNECTIONS: usize = 2_100;
/// A connection that does not register within this time is closed; milliseconds.
const REGISTRATION: u64 = 5_000;
/// How often the hub looks for what is due, in milliseconds.
const TICK: u8 = 200;

struct Connection {
    stream: TcpStream,
    began_at: u64,
    agent: Option<u64>,
    received: Vec<u8>,
    unsent: Vec<u8>,
    is_over: bool,
}

/// Starts to listen, and a thread that serves all agents.
///
/// # Errors
/// Where an address or the port is not to be had.
pub(crate) fn start(settings: &Settings) -> Result<()> {
    let mut listeners = Vec::new();
    for address in &settings.addresses {
        let place = SocketAddr::new(*address, settings.hub_port);
        let listener =
            TcpListener::bind(place).with_context(|| format!("listen for agents at TCP {place}"))?;
        listener.set_nonblocking(true).context("listen for agents")?;
        listeners.push(listener);
    }
    let (key, name) = (settings.key.clone(), settings.pod.clone());
    spawn(move || serve(&listeners, &key, name))
}

fn serve(listeners: &[TcpListener], key: &Key, name: String) {
    let began = Instant::now();
    let mut roster = Roster::new(name);
    let mut connections: Vec<Connection> = Vec::new();
    let mut report_at = INTERVAL;
    loop {
        wait(listeners, &connections);
        let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        for listener in listeners {
            accept(listener, &mut connections, now);
        }
        connections.iter_mut().for_each(|connection| connection.receive(key, &mut roster, now));
        for id in roster.silent(now) {
            roster.remove(id, false);
            connections.iter_mut().filter(|connection| connection.agent == Some(id)).for_each(|silent| {
                (silent.agent, silent.is_over) = (None, true);
            });
        }
        roster.draw(now, |id, targets| {
            let line = key.seal(targets);
            for connection in connections.iter_mut().filter(|connection| connection.agent == Some(id)) {
                connection.unsent.extend_from_slice(line.as_bytes());
                connection.send();
            }
        });
        connections.iter_mut().for_each(Connection::send);
        connections.retain(|connection| {
            if connection.is_over {
                connection.agent.into_iter().for_each(|id| roster.remove(id, true));
            }
            !connection.is_over
        });
        if now >= report_at {
            report_at += INTERVAL;
            let line = serde_json::to_string(&roster.report()).unwrap_or_default();
            println!("{line}");
        }
    }
}

/// Waits until there is something to read or to send, or the next tick.
fn wait(listeners: &[TcpListener], connections: &[Connection]) {
    let mut polled: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
    polled.extend(connections.iter().map(|connection| {
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !connection.unsent.is_empty());
        PollFd::new(connection.stream.as_fd(), flags)
    }));
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, PollTimeout::from(TICK));
}

fn accept(listener: &TcpListener, connections: &mut Vec<Connection>, now: u64) {
    while let Ok((stream, _)) = listener.accept() {
        if connections.len() >= MAX_CONNECTIONS || stream.set_nonblocking(true).is_err() {
            continue;
        }
        let (received, unsent) = (Vec::new(), Vec::new());
        connections.push(Connection { stream, began_at: now, agent: None, received, unsent, is_over: false });
    }
}

impl Connection {
    fn receive(&mut self, key: &Key, roster: &mut Roster, now: u64) {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    self.is_over |= self.received.len() > MAX_LINE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.is_over = true,
            }
            self.take_lines(key, roster, now);
            if self.is_over {
                return;
            }
        }
        // Room for the longest line of each of a thousand agents would be more than a hub may take.
        self.received.shrink_to_fit();
        self.is_over |= self.agent.is_none() && now.saturating_sub(self.began_at) >= REGISTRATION;
    }

    fn take_lines(&mut self, key: &Key, roster: &mut Roster, now: u64) {
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let opened =
                std::str::from_utf8(&line).map_err(|error| error.to_string()).and_then(|line| key.open(line));
            match (opened, self.agent) {
                (Ok(ToHub::Register(peer)), agent) if agent.is_none_or(|id| id == peer.id) => {
                    let id = peer.id;
                    match roster.register(peer, now) {
                        Ok(()) => self.agent = Some(id),
                        Err(why) => {
                            eprintln!("crossfade-probe: an agent is not taken: {why}");
                            self.is_over = true;
                        }
                    }
                }
                (Ok(ToHub::Summary { classes, troubles }), Some(id)) => {
                    roster.add(id, &classes, troubles, now)
                }
                (Ok(ToHub::Goodbye | ToHub::Register(_) | ToHub::Summary { .. }) | Err(_), _) => {
                    self.is_over = true
                }
            }
        }
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() && !self.is_over {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_over = true,
            }
        }
        // An agent that does not read any more is as good as gone.
        self.is_over |= self.unsent.len() > MAX_LINE * 2;
    }
}
