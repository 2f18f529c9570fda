//! Probes whether a network is ready. Probes are local and have a time limit.
//!
//! An ADD runs only `unix` and `file` probes, with [`ADD_TIMEOUT`]. STATUS and `watch` run `http` probes as well. A probe that hangs fails.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use types::policy::{Probe, split_target};

use crate::node::layout::PROBED;

/// The time limit of one probe on ADD.
pub const ADD_TIMEOUT: Duration = Duration::from_millis(200);

/// The probes that a verb runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The probes that need no network stack: `unix` and `file`.
    Local,
    /// All probes.
    All,
}

/// A probe that does not hold. The text names what was probed, and the answer.
#[derive(Debug)]
pub struct FailedProbe {
    message: String,
    /// Whether the probe is a file that `watch` keeps. Then the status of `watch` says why the network is not ready.
    pub of_watch: bool,
}

impl FailedProbe {
    const fn new(message: String) -> Self {
        Self { message, of_watch: false }
    }
}

impl fmt::Display for FailedProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Runs the probes in order, up to the first one that does not hold.
///
/// # Errors
/// The [`FailedProbe`]. All probes together end at `deadline`, and each one after [`ADD_TIMEOUT`].
pub fn all_hold(probes: &[Probe], depth: Depth, deadline: Instant) -> Result<(), FailedProbe> {
    all_hold_within(probes, depth, ADD_TIMEOUT, deadline)
}

/// [`all_hold`] for a caller with another time limit per probe.
///
/// # Errors
/// As [`all_hold`], with the limit `each` instead of [`ADD_TIMEOUT`].
pub fn all_hold_within(
    probes: &[Probe],
    depth: Depth,
    each: Duration,
    deadline: Instant,
) -> Result<(), FailedProbe> {
    for probe in probes {
        let timeout = deadline.saturating_duration_since(Instant::now()).min(each);
        match probe {
            Probe::Unix(path) => {
                unix(path, timeout).map_err(|e| {
                    FailedProbe::new(format!("connect to unix socket {}: {e}", path.display()))
                })?;
            }
            Probe::File(path) => match path.metadata() {
                Ok(meta) if meta.is_file() => {}
                Ok(_) => return Err(FailedProbe::new(format!("{} is not a regular file", path.display()))),
                Err(e) => {
                    let of_watch = path.parent() == Some(Path::new(PROBED));
                    return Err(FailedProbe { message: format!("file {}: {e}", path.display()), of_watch });
                }
            },
            Probe::Http { target, headers } if depth == Depth::All => {
                http(target, headers, timeout)
                    .map_err(|e| FailedProbe::new(format!("GET http://{target}: {e}")))?;
            }
            Probe::Http { .. } => {}
        }
    }
    Ok(())
}

/// Probes each of `addresses` in turn, until one holds. `ask` gets the address and the deadline of its connect, so that an address that drops
/// packets leaves time for the next one.
///
/// # Errors
/// No address holds. The answer of an address that accepted the connection takes precedence over a refused connection.
pub fn ask_any(
    addresses: &[SocketAddr],
    end: Instant,
    mut ask: impl FnMut(SocketAddr, Instant) -> io::Result<()>,
) -> io::Result<()> {
    let mut failed: io::Result<()> = Err(io::ErrorKind::AddrNotAvailable.into());
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let addresses_left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let answer = ask(*address, now + end.saturating_duration_since(now) / addresses_left);
        match &answer {
            Ok(()) => return answer,
            Err(error) if index == 0 || !is_refused(error) => failed = answer,
            Err(_) => {}
        }
    }
    failed
}

/// Whether a connect failed because no process listens at the address, or there is no such address.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | AddrNotAvailable | NetworkUnreachable)
}

/// Connects to a Unix socket with a time limit, even if the listener's backlog is full (man 7 `unix`: the send timeout applies).
///
/// The kernel ends a wait that has a time limit when the process is stopped and goes on (man 7 `signal`). That says nothing of the listener, so
/// the connect is repeated.
fn unix(path: &Path, timeout: Duration) -> io::Result<()> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX).max(1);
    // A timeout of zero would mean forever.
    let limit = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    use std::os::fd::AsRawFd;
    let (address, end) = (UnixAddr::new(path)?, Instant::now() + timeout);
    loop {
        match connect(socket.as_raw_fd(), &address) {
            Err(Errno::EINTR) if Instant::now() < end => {}
            connected => return Ok(connected?),
        }
    }
}

fn http(target: &str, headers: &[(String, String)], timeout: Duration) -> io::Result<()> {
    let (addresses, path) = split_target(target).map_err(io::Error::other)?;
    let end = Instant::now() + timeout;
    let until = |end: Instant| match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        remaining => Ok(remaining),
    };
    ask_any(&addresses, end, |address, connected_by| {
        let mut stream = TcpStream::connect_timeout(&address, until(connected_by)?)?;
        stream.set_write_timeout(Some(until(end)?))?;
        stream.write_all(request(address, path, headers).as_bytes())?;
        is_2xx(|chunk| {
            stream.set_read_timeout(Some(until(end)?))?;
            stream.read(chunk)
        })
    })
}

/// The whole HTTP request of a probe.
#[must_use]
pub fn request(address: SocketAddr, path: &str, headers: &[(String, String)]) -> String {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (key, value) in headers {
        request.push_str(&format!("{key}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request
}

/// Checks that the answer, which `read` returns piece by piece, has a status of 2xx.
///
/// # Errors
/// Another status, an answer that is no HTTP, or an error of `read`, which has to end in time. An interrupted `read` is repeated.
pub fn is_2xx(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
    // The status line suffices: `HTTP/1.1 200 OK` (RFC 9112, section 4).
    let mut head = Vec::new();
    let mut chunk = [0; 64];
    while head.len() < 12 {
        match read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let line = String::from_utf8_lossy(&head);
    match line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)) {
        Some(status) if status.starts_with('2') => Ok(()),
        Some(status) => Err(io::Error::other(format!("status {status}, expected 2xx"))),
        None => Err(io::Error::other("the answer is no HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn a_unix_probe_holds_while_a_process_listens() {
        let path = std::env::temp_dir().join(format!("crossfade-probe-{}", std::process::id()));
        let probes = [Probe::Unix(path.clone())];
        assert!(all_hold(&probes, Depth::Local, soon()).is_err());
        let listener = UnixListener::bind(&path).expect("bind");
        all_hold(&probes, Depth::Local, soon()).expect("holds");
        drop(listener);
        assert!(all_hold(&probes, Depth::Local, soon()).is_err(), "a socket file without listener");
        std::fs::remove_file(path).expect("clean");
    }

    #[test]
    fn an_http_probe_wants_2xx_and_is_not_asked_on_add() {
        for (answer, good) in
            [("HTTP/1.1 204 No Content\r\n\r\n", true), ("HTTP/1.1 503 x\r\n\r\n", false), ("", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            let target = format!("{}/healthz", listener.local_addr().expect("address"));
            let probes = [Probe::Http { target, headers: vec![("brief".into(), "true".into())] }];
            all_hold(&probes, Depth::Local, soon()).expect("not asked");
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("accept");
                let mut request = [0; 512];
                let read = stream.read(&mut request).expect("request");
                stream.write_all(answer.as_bytes()).expect("answer");
                String::from_utf8_lossy(&request[..read]).into_owned()
            });
            assert_eq!(all_hold(&probes, Depth::All, soon()).is_ok(), good, "{answer:?}");
            let request = server.join().expect("server");
            assert!(request.starts_with("GET /healthz HTTP/1.1\r\n") && request.contains("brief: true\r\n"));
        }
    }

    #[test]
    fn an_interrupted_read_is_no_answer() {
        let mut pieces = [Err(io::ErrorKind::Interrupted), Ok("HTTP/1.1 "), Ok("204 No")].into_iter();
        let read = |chunk: &mut [u8]| {
            let piece: &str = pieces.next().unwrap_or(Err(io::ErrorKind::TimedOut))?;
            chunk[..piece.len()].copy_from_slice(piece.as_bytes());
            Ok(piece.len())
        };
        is_2xx(read).expect("the status came after the interruption");
    }

    #[test]
    fn targets() {
        let split = |target| {
            let (addresses, path) = split_target(target).expect(target);
            (addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), path.to_owned())
        };
        for (target, addresses, path) in [
            ("127.0.0.1:9879/healthz", "127.0.0.1:9879", "/healthz"),
            ("[::1]:80", "[::1]:80", "/"),
            ("localhost:1/x", "127.0.0.1:1 [::1]:1", "/x"),
        ] {
            assert_eq!(split(target), (addresses.to_owned(), path.to_owned()));
        }
        for bad in ["", "x", "example.org:80/", "127.0.0.1/x", "127.0.0.1:99999/", "127.0.0.1:80/a b"] {
            assert!(split_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_address_that_holds_suffices_and_an_answer_says_more_than_a_refusal() {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, Other, TimedOut};
        let (addresses, _) = split_target("localhost:1").expect("valid");
        for (four, six, expected) in [
            (None, Some(Other), None),
            (Some(ConnectionRefused), None, None),
            (Some(TimedOut), None, None),
            (Some(ConnectionRefused), Some(AddrNotAvailable), Some(ConnectionRefused)),
            (Some(ConnectionRefused), Some(Other), Some(Other)),
            (Some(Other), Some(ConnectionRefused), Some(Other)),
        ] {
            let answer = ask_any(&addresses, soon(), |address, end| {
                assert!(end <= soon());
                let answer = if address.is_ipv4() { four } else { six };
                answer.map_or(Ok(()), |kind| Err(kind.into()))
            });
            assert_eq!(answer.err().map(|error| error.kind()), expected, "{four:?} {six:?}");
        }
    }
}
