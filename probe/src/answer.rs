//! The agent answers questions, at its own primary addresses only, so that the answer comes from the address that was asked.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reachability::Key;
use reachability::frame::{Frame, LENGTH};

use crate::ask::Asker;
use crate::settings::Settings;

/// Enough for a thread that reads and writes one frame.
pub(crate) const STACK: usize = 64 << 10;
/// The most connections that are answered at a time.
const MAX_CONNECTIONS: usize = 128;
/// A connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Starts to answer over UDP and TCP, and over UDP at the port that a policy closes.
///
/// # Errors
/// Where an address or the port is not to be had.
pub(crate) fn start(settings: &Settings, asker: &Arc<Asker>) -> Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    for address in &settings.addresses {
        let place = SocketAddr::new(*address, settings.port);
        let socket = bind(place)?;
        let listener = TcpListener::bind(place).with_context(|| format!("answer at TCP {place}"))?;
        let (key, noted) = (settings.key.clone(), Arc::clone(asker));
        spawn(move || answer_datagrams(&socket, &key, |question| noted.hear(question)))?;
        if let Some(port) = settings.denied_port {
            let (socket, key) = (bind(SocketAddr::new(*address, port))?, settings.key.clone());
            // A question that comes here does not tell that those to the open port do.
            spawn(move || answer_datagrams(&socket, &key, |_| {}))?;
        }
        let (key, open) = (settings.key.clone(), Arc::clone(&open));
        spawn(move || accept(&listener, &key, &open))?;
    }
    Ok(())
}

fn bind(place: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(place).with_context(|| format!("answer at UDP {place}"))
}

/// Starts a thread with a small stack.
pub(crate) fn spawn(act: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(act).map(drop).context("start a thread")
}

fn answer_datagrams(socket: &UdpSocket, key: &Key, hear: impl Fn(&Frame)) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(question) = Frame::decode(key, &buffer[..length]).filter(|frame| !frame.is_answer) else {
            continue;
        };
        if length == LENGTH {
            hear(&question);
        }
        // What cannot be sent is lost, and counts as that where it was asked.
        let _ = socket.send_to(&question.answer().encode(key, length), from);
    }
}

fn accept(listener: &TcpListener, key: &Key, open: &Arc<AtomicUsize>) {
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (key, counted) = (key.clone(), Arc::clone(open));
        let answered = spawn(move || {
            let _ = answer_connection(stream, &key);
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if answered.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer_connection(mut stream: TcpStream, key: &Key) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; LENGTH];
    loop {
        stream.read_exact(&mut buffer)?;
        let question = Frame::decode(key, &buffer).filter(|frame| !frame.is_answer);
        let Some(question) = question else { return Ok(()) };
        stream.write_all(&question.answer().encode(key, LENGTH))?;
    }
}
