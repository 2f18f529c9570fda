//! Health probes: every answer, as a client sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::host::scratch::Scratch;
use lab::standin::agent::{Agent, Answer, HttpHealth, Spec, UnixHealth};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// Tells what answers at once from what never does.
const HANGS: Duration = Duration::from_millis(500);

/// A socket's answers: a connect succeeds, is refused, waits, or is closed at once.
pub(crate) fn socket_answers_in_every_way() -> Result<()> {
    let scratch = Scratch::new("socket")?;
    let path = scratch.join("cilium.sock");
    let spec = Spec {
        name: "new".to_owned(),
        unix: Some(UnixHealth { path: path.clone(), answer: Answer::Refuse }),
        ..Spec::default()
    };
    let mut agent = Agent::start(spec, None)?;
    for _ in 0..2 {
        let refused = UnixStream::connect(&path).err().map(|error| error.kind());
        ensure!(refused == Some(ErrorKind::ConnectionRefused), "{refused:?}");

        agent.answer_unix(Answer::Ready)?;
        for _ in 0..3 {
            ensure!(ends_at_once(&path)? == Some(false), "ready, but hangs up");
        }
        agent.answer_unix(Answer::Unavailable)?;
        ensure!(ends_at_once(&path)? == Some(false), "accepts, but hangs up");
        agent.answer_unix(Answer::Reset)?;
        ensure!(ends_at_once(&path)? == Some(true), "does not hang up");
        agent.answer_unix(Answer::Hang)?;
        ensure!(ends_at_once(&path)?.is_none(), "a connect does not wait");
        agent.answer_unix(Answer::Refuse)?;
    }
    Ok(())
}

/// Whether a connection is closed at once; `None` if the connect would wait.
fn ends_at_once(path: &Path) -> Result<Option<bool>> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => {}
        Err(Errno::EAGAIN) => return Ok(None),
        Err(errno) => bail!("connect: {errno}"),
    }
    let mut stream = UnixStream::from(fd);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HANGS))?;
    match stream.read(&mut [0; 1]) {
        Ok(0) => Ok(Some(true)),
        Ok(_) => bail!("it said something"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(false)),
        Err(error) => Err(error).context("read"),
    }
}

/// A page's answers: 200, 503, refused, reset, or nothing at all.
pub(crate) fn page_answers_in_every_way() -> Result<()> {
    let address: SocketAddr = "127.0.0.1:19879".parse()?;
    let spec = Spec {
        name: "new".to_owned(),
        http: Some(HttpHealth::plain(address, Answer::Ready)),
        ..Spec::default()
    };
    let mut agent = Agent::start(spec, None)?;
    for _ in 0..2 {
        ensure!(get(address)? == "HTTP/1.1 200 OK", "{}", get(address)?);
        agent.answer_http(Answer::Unavailable)?;
        ensure!(get(address)?.starts_with("HTTP/1.1 503 "), "{}", get(address)?);
        agent.answer_http(Answer::Reset)?;
        ensure!(kind_of(get(address)) == Some(ErrorKind::ConnectionReset), "{:?}", get(address));
        agent.answer_http(Answer::Refuse)?;
        ensure!(kind_of(get(address)) == Some(ErrorKind::ConnectionRefused), "{:?}", get(address));
        agent.answer_http(Answer::Hang)?;
        ensure!(kind_of(get(address)) == Some(ErrorKind::WouldBlock), "{:?}", get(address));
        agent.answer_http(Answer::Ready)?;
    }
    let requests = agent.requests()?;
    // In each round those that were answered twice at most, and those that hung.
    ensure!(requests.len() >= 6, "{requests:?}");
    ensure!(requests.iter().all(|head| head.starts_with("GET /healthz ")), "{requests:?}");
    ensure!(requests.iter().all(|head| head.contains("brief: true")), "{requests:?}");
    Ok(())
}

/// The first line of the answer to a request that comes in two pieces.
fn get(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(HANGS))?;
    stream.set_nodelay(true)?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")?;
    stream.write_all(b"brief: true\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn kind_of(outcome: Result<String>) -> Option<ErrorKind> {
    let error = outcome.err()?;
    error.downcast_ref().map(std::io::Error::kind)
}
