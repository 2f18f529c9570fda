//! Questions and answers over TCP and UDP: the responder says which source address it saw.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use crate::space::Space;

/// Where everybody answers.
pub(crate) const PORT: u16 = 7007;

/// Tells what answers from what does not, on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two datagrams of one question.
const AGAIN: Duration = Duration::from_millis(400);

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::Tcp, Self::Udp];
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The asker's address, as the asker's kernel chose it.
    pub(crate) local: IpAddr,
    /// The asker's address, as the responder saw it.
    pub(crate) seen: IpAddr,
}

/// Asks `to` once over TCP, or until it answers over UDP. A reply from any other address than `to` is none.
///
/// # Errors
/// No responder answers.
pub(crate) fn ask(from: &Space, source: Option<IpAddr>, to: IpAddr, protocol: Protocol) -> Result<Answer> {
    ask_at(from, source, SocketAddr::from((to, PORT)), protocol)
}

/// The same at another port.
///
/// # Errors
/// No responder answers.
pub(crate) fn ask_at(
    from: &Space,
    source: Option<IpAddr>,
    to: SocketAddr,
    protocol: Protocol,
) -> Result<Answer> {
    from.inside(|| match protocol {
        Protocol::Tcp => ask_tcp(source, to),
        Protocol::Udp => ask_udp(source, to),
    })
    .with_context(|| format!("{protocol:?} from {} ({source:?}) to {to}", from.path().display()))
}

/// An open connection from `source`, or from where the kernel likes.
///
/// # Errors
/// The connection is refused, or not made in time.
pub(crate) fn connect(source: Option<IpAddr>, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).context("TCP socket")?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into()).with_context(|| format!("bind to {source}"))?;
    }
    socket.connect_timeout(&to.into(), PATIENCE).context("connect")?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).context("read timeout")?;
    stream.set_nodelay(true).context("no delay")?;
    Ok(stream)
}

fn ask_tcp(source: Option<IpAddr>, to: SocketAddr) -> Result<Answer> {
    let mut stream = connect(source, to)?;
    let local = stream.local_addr()?.ip();
    let mut text = String::new();
    stream.read_to_string(&mut text).context("the answer")?;
    Ok(Answer { local, seen: text.parse().with_context(|| format!("the answer is {text:?}"))? })
}

fn ask_udp(source: Option<IpAddr>, to: SocketAddr) -> Result<Answer> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket =
        UdpSocket::bind((source.unwrap_or(any), 0)).with_context(|| format!("bind to {source:?}"))?;
    socket.connect(to).context("connect")?;
    socket.set_read_timeout(Some(AGAIN)).context("read timeout")?;
    let local = socket.local_addr()?.ip();
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 64];
    while Instant::now() < deadline {
        socket.send(b"?").context("send")?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let seen = text.parse().with_context(|| format!("the answer is {text:?}"))?;
                return Ok(Answer { local, seen });
            }
            // A wait with a time limit is interrupted when the process is stopped and goes on: man 7 `signal`.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error).context("the answer"),
        }
    }
    bail!("no answer within {} s", PATIENCE.as_secs())
}

/// Answers in one namespace until it is dropped.
#[derive(Debug)]
pub(crate) struct Responder {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Responder {
    /// Listens on each of `addresses` by itself, so that a datagram is answered from where it arrived.
    ///
    /// # Errors
    /// An address that is not there, or not usable yet.
    pub(crate) fn start(space: &Space, addresses: &[IpAddr]) -> Result<Self> {
        let (listeners, sockets) = space.inside(|| {
            let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
            for address in addresses {
                let listen = || format!("listen on {address}");
                listeners.push(TcpListener::bind((*address, PORT)).with_context(listen)?);
                sockets.push(UdpSocket::bind((*address, PORT)).with_context(listen)?);
            }
            Ok((listeners, sockets))
        })?;
        let (stop, stopped) = UnixStream::pair().context("a pair of sockets")?;
        let thread = std::thread::spawn(move || answer(&listeners, &sockets, &stopped));
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends it; its sockets are closed then.
    ///
    /// # Errors
    /// What it could not do meanwhile.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => bail!("a responder panicked"),
            Some(Ok(outcome)) => outcome,
            None => Ok(()),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // The asker has its own error.
        drop(self.end());
    }
}

fn answer(listeners: &[TcpListener], sockets: &[UdpSocket], stopped: &UnixStream) -> Result<()> {
    let mut fds: Vec<PollFd<'_>> = Vec::new();
    fds.push(PollFd::new(stopped.as_fd(), PollFlags::POLLIN));
    fds.extend(listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
    fds.extend(sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
    loop {
        ensure!(poll(&mut fds, PollTimeout::NONE).context("poll")? > 0, "poll without end came to one");
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or_default()).collect();
        if ready[0] {
            return Ok(());
        }
        for (listener, _) in listeners.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            // An asker that gave up is not our concern.
            if let Ok((mut stream, from)) = listener.accept() {
                let _unheard = stream.write_all(from.ip().to_canonical().to_string().as_bytes());
            }
        }
        for (socket, _) in sockets.iter().zip(&ready[1 + listeners.len()..]).filter(|(_, ready)| **ready) {
            let mut question = [0; 16];
            if let Ok((_, from)) = socket.recv_from(&mut question) {
                let _unheard = socket.send_to(from.ip().to_canonical().to_string().as_bytes(), from);
            }
        }
    }
}
