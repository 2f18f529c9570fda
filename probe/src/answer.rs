//! The agent answers questions, at its own primary addresses only, so that the answer comes from the address that was asked. An HTTP client, such as the API
//! server for `pods/proxy`, learns the agent's kind, which is no secret, without the key.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reachability::frame::{Frame, LENGTH};
use reachability::{Key, Peer};

use crate::ask::Asker;
use crate::settings::Settings;

/// Enough for a thread that reads and writes one frame.
pub(crate) const STACK: usize = 64 << 10;
/// The most connections that are answered at a time.
const MAX_CONNECTIONS: usize = 128;
/// A connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The first bytes of an HTTP request; no frame begins with them.
const GET: &[u8] = b"GET ";
/// The most bytes of a request's headers.
const MAX_HEADERS: usize = 4 << 10;
/// How long a request may take to arrive.
const REQUEST: Duration = Duration::from_secs(5);

/// Starts to answer over UDP and TCP, and over UDP at the port that a policy closes.
///
/// # Errors
/// Where an address or the port is not to be had.
pub(crate) fn start(settings: &Settings, asker: &Arc<Asker>, own: &Arc<Mutex<Peer>>) -> Result<()> {
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
        let (key, open, own) = (settings.key.clone(), Arc::clone(&open), Arc::clone(own));
        spawn(move || accept(&listener, &key, &open, &own))?;
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

fn accept(listener: &TcpListener, key: &Key, open: &Arc<AtomicUsize>, own: &Arc<Mutex<Peer>>) {
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (key, counted, own) = (key.clone(), Arc::clone(open), Arc::clone(own));
        let answered = spawn(move || {
            let _ = answer_connection(stream, &key, &own);
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if answered.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer_connection(mut stream: TcpStream, key: &Key, own: &Mutex<Peer>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; LENGTH];
    let mut start = GET.len();
    stream.read_exact(&mut buffer[..start])?;
    if buffer.starts_with(GET) {
        return answer_http(&mut stream, own);
    }
    loop {
        stream.read_exact(&mut buffer[start..])?;
        start = 0;
        let question = Frame::decode(key, &buffer).filter(|frame| !frame.is_answer);
        let Some(question) = question else { return Ok(()) };
        stream.write_all(&question.answer().encode(key, LENGTH))?;
    }
}

/// Answers the request of which [`GET`] has been read.
fn answer_http(stream: &mut TcpStream, own: &Mutex<Peer>) -> std::io::Result<()> {
    let end = Instant::now() + REQUEST;
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        let count = stream.read(&mut buffer)?;
        if count == 0 || request.len() + count > MAX_HEADERS {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..count]);
    }
    let kind = own.lock().unwrap_or_else(PoisonError::into_inner).kind;
    let body = format!("{{\"kind\":\"{kind}\"}}\n");
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n{body}").as_bytes())
}

#[cfg(test)]
mod tests {
    use reachability::{Kind, Phase};

    use super::*;

    fn key() -> Key {
        Key::parse(&"1".repeat(32)).expect("a key")
    }

    /// What the agent in a pod with the old network alone answers to these bytes, until it closes the connection.
    fn answers(parts: &[&[u8]]) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        let (stream, _) = listener.accept().expect("accepted");
        let server = thread::spawn(move || {
            let own = Mutex::new(Peer {
                name: "pod".to_owned(),
                node: "n1".to_owned(),
                zone: String::new(),
                kind: Kind::Pod(Phase::Old),
                id: 1,
                addresses: vec![[127, 0, 0, 1].into()],
                mtu: 1500,
            });
            answer_connection(stream, &key(), &own)
        });
        for part in parts {
            client.write_all(part).expect("written");
        }
        let mut bytes = Vec::new();
        // The agent closes a connection on which it has not read everything, and this ends in an error.
        let _ = client.read_to_end(&mut bytes);
        drop(server.join().expect("the server ends"));
        bytes
    }

    #[test]
    fn an_http_client_gets_the_kind_of_the_agent() {
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"kind\":\"old\"}\n";
        let requests: [&[&[u8]]; 3] = [
            &[b"GET / HTTP/1.1\r\nHost: agent\r\nUser-Agent: kubectl\r\n\r\n"],
            &[b"GET / HTTP/1.1\r\nHost: agent\r\n\r", b"\n"],
            &[b"GET / HTTP/1.0\r\n\r\n"],
        ];
        for request in requests {
            assert_eq!(String::from_utf8_lossy(&answers(request)), expected, "{request:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(MAX_HEADERS));
        assert_eq!(answers(&[long.as_bytes()]), b"", "headers without an end");
    }

    #[test]
    fn each_question_of_a_connection_is_answered_until_one_is_not_understood() {
        let questions =
            [1, 2].map(|sequence| Frame { is_answer: false, is_heard: false, sequence, asker: 2, target: 1 });
        let [first, second] = questions.map(|question| question.encode(&key(), LENGTH));
        let stranger = [b"POST", &[0; LENGTH - 4][..], &first].concat();
        let bytes = answers(&[&first, &second, &stranger]);
        let frames: Vec<_> = bytes.chunks(LENGTH).map(|chunk| Frame::decode(&key(), chunk)).collect();
        assert_eq!(frames, questions.map(|question| Some(question.answer())));
    }
}
