//! The health socket and the health page, and every way in which they can answer.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use socket2::SockRef;

use super::tls::Terminator;
use super::{Answer, HttpHealth, UnixHealth};

const UNAVAILABLE: &str = "503 Service Unavailable";
/// More than any test leaves waiting in a queue.
const QUEUE: i32 = 64;

/// A socket that answers by letting connects succeed, or not.
#[derive(Debug)]
pub(super) struct Socket {
    health: UnixHealth,
    listener: Option<UnixListener>,
    /// Connections that are held open: accepted ones, or those that fill the queue.
    open: Vec<OwnedFd>,
}

impl Socket {
    /// Answers as the spec says.
    ///
    /// # Errors
    /// The path cannot be bound.
    pub(super) fn new(health: UnixHealth) -> Result<Self> {
        let answer = health.answer;
        let mut socket = Self { health, listener: None, open: Vec::new() };
        socket.answer(answer)?;
        Ok(socket)
    }

    /// Answers so from now on.
    ///
    /// # Errors
    /// The path cannot be bound.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<()> {
        self.health.answer = answer;
        self.open.clear();
        self.listener = None;
        let path = &self.health.path;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        remove_if_there(path)?;
        let queue = if answer == Answer::Hang { 0 } else { QUEUE };
        let listener = listen_at(path, queue)?;
        match answer {
            // The listener goes, the file stays: a connect is refused.
            Answer::Refuse => {}
            Answer::Hang => {
                self.open = fill(path)?;
                self.listener = Some(listener);
            }
            Answer::Ready | Answer::Reset | Answer::Unavailable => self.listener = Some(listener),
        }
        Ok(())
    }

    /// What to wait on; none while nothing is ever accepted.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let accepts = self.health.answer != Answer::Hang;
        self.listener.as_ref().filter(|_| accepts).map(AsFd::as_fd)
    }

    /// Accepts those who wait.
    pub(super) fn serve(&mut self) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if self.health.answer != Answer::Reset {
                self.open.push(stream.into());
                // The oldest go: those who asked them have long had their answer.
                let spare = self.open.len().saturating_sub(64);
                self.open.drain(..spare);
            }
        }
    }

    /// Unlinks it.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn unlink(&self) -> Result<()> {
        remove_if_there(&self.health.path)
    }
}

/// A page that answers requests, or not.
#[derive(Debug)]
pub(super) struct Page {
    health: HttpHealth,
    listener: Option<TcpListener>,
    /// What speaks TLS before the listener, which is on the loopback interface then.
    terminator: Option<Terminator>,
    visitors: Vec<Visitor>,
    /// Heads of all requests.
    pub(super) requests: Vec<String>,
}

#[derive(Debug)]
struct Visitor {
    stream: TcpStream,
    head: Vec<u8>,
}

impl Page {
    /// Answers as the spec says.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(super) fn new(health: HttpHealth) -> Result<Self> {
        let answer = health.answer;
        let (listener, terminator) = (None, None);
        let mut page = Self { health, listener, terminator, visitors: Vec::new(), requests: Vec::new() };
        page.answer(answer)?;
        Ok(page)
    }

    /// Answers so from now on.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<()> {
        self.health.answer = answer;
        self.visitors.clear();
        if answer == Answer::Refuse {
            (self.listener, self.terminator) = (None, None);
        } else if self.listener.is_none() {
            let address = self.health.address;
            let own = if self.health.tls { SocketAddr::from(([127, 0, 0, 1], 0)) } else { address };
            let listener = TcpListener::bind(own).with_context(|| format!("listen on {own}"))?;
            listener.set_nonblocking(true).context("non-blocking socket")?;
            if self.health.tls {
                let behind = listener.local_addr().context("the page's address")?;
                self.terminator = Some(Terminator::start(address, behind)?);
            }
            self.listener = Some(listener);
        }
        Ok(())
    }

    /// What to wait on.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let visitors = self.visitors.iter().map(|visitor| visitor.stream.as_fd());
        self.listener.as_ref().map(AsFd::as_fd).into_iter().chain(visitors)
    }

    /// Accepts those who wait, and answers every whole request.
    ///
    /// # Errors
    /// A socket option is refused.
    pub(super) fn serve(&mut self) -> Result<()> {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            stream.set_nonblocking(true).context("non-blocking socket")?;
            if self.health.answer == Answer::Reset {
                // With a linger time of zero, close(2) sends a reset; see socket(7), SO_LINGER.
                let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                linger.context("SO_LINGER")?;
                continue;
            }
            let head = Vec::new();
            self.visitors.push(Visitor { stream, head });
        }
        let word = match self.health.answer {
            Answer::Ready => Some("200 OK"),
            Answer::Unavailable => Some(UNAVAILABLE),
            Answer::Hang | Answer::Refuse | Answer::Reset => None,
        };
        let (requests, header) = (&mut self.requests, self.health.header.as_deref());
        self.visitors.retain_mut(|visitor| visitor.serve(word, header, requests));
        Ok(())
    }
}

impl Visitor {
    /// Reads on, and answers a whole request with `word` if there is one to say, or with 503 if the request lacks `header`; whether it stays.
    fn serve(&mut self, word: Option<&str>, header: Option<&str>, requests: &mut Vec<String>) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.head.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if !self.head.ends_with(b"\r\n\r\n") {
            return true;
        }
        let head = std::mem::take(&mut self.head);
        let head = String::from_utf8_lossy(&head).trim_end().to_owned();
        let lacks = header.is_some_and(|header| !head.lines().any(|line| line.eq_ignore_ascii_case(header)));
        requests.push(head);
        let Some(word) = word else {
            return true;
        };
        let word = if lacks { UNAVAILABLE } else { word };
        let reply = format!("HTTP/1.1 {word}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _client_may_be_gone = self.stream.write_all(reply.as_bytes());
        false
    }
}

/// A listening stream socket with a queue of a given length, which std does not let one choose.
fn listen_at(path: &Path, queue: i32) -> Result<UnixListener> {
    let fd = stream_socket()?;
    let address = UnixAddr::new(path).with_context(|| format!("path {}", path.display()))?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
    bind(raw, &address).with_context(|| format!("bind {}", path.display()))?;
    let backlog = Backlog::new(queue).context("length of a queue")?;
    listen(&fd, backlog).with_context(|| format!("listen on {}", path.display()))?;
    Ok(UnixListener::from(fd))
}

/// Connects until the queue is full, so that the next one waits (unix(7)).
fn fill(path: &Path) -> Result<Vec<OwnedFd>> {
    let address = UnixAddr::new(path).with_context(|| format!("path {}", path.display()))?;
    let mut waiting = Vec::new();
    for _ in 0..QUEUE {
        let fd = stream_socket()?;
        match connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &address) {
            Ok(()) => waiting.push(OwnedFd::from(UnixStream::from(fd))),
            Err(Errno::EAGAIN) => return Ok(waiting),
            Err(error) => {
                return Err(error).with_context(|| format!("connect to {}", path.display()));
            }
        }
    }
    bail!("the queue of {} takes {QUEUE} connects, expected one or two", path.display())
}

fn stream_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None).context("stream socket")
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("unlink {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
