//! Stand-ins for what an agent of a network offers to be probed.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};

/// A unix socket that accepts connections until this is dropped.
pub(crate) struct Listener {
    path: PathBuf,
    _socket: UnixListener,
}

impl Listener {
    /// Listens at `path` and reads nothing: a connection alone is an answer.
    pub(crate) fn unix(path: &Path) -> Result<Self> {
        let socket = UnixListener::bind(path).with_context(|| format!("listen at {}", path.display()))?;
        Ok(Self { path: path.to_owned(), _socket: socket })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// An HTTP endpoint on loopback with a status of the test's choice.
pub(crate) struct HttpStatus {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    request: Arc<Mutex<String>>,
}

impl HttpStatus {
    /// Answers every request with this status, on a free port of 127.0.0.1.
    pub(crate) fn answering(status: u16) -> Result<Self> {
        Self::answering_at("127.0.0.1:0", status)
    }

    /// Answers every request at `place` with this status.
    pub(crate) fn answering_at(place: &str, status: u16) -> Result<Self> {
        let listener = TcpListener::bind(place).with_context(|| format!("listen at {place}"))?;
        let address = listener.local_addr()?;
        let status = Arc::new(AtomicU16::new(status));
        let request = Arc::new(Mutex::new(String::new()));
        let (shared_status, shared_request) = (Arc::clone(&status), Arc::clone(&request));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = shared_status.load(Ordering::SeqCst);
                // A client that hangs up is served as well as it lets itself be.
                if let Ok(text) = serve(stream, status) {
                    *shared_request.lock().unwrap_or_else(PoisonError::into_inner) = text;
                }
            }
        });
        Ok(Self { address, status, request })
    }

    /// HOST:PORT.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with another status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The head of the last request.
    pub(crate) fn last_request(&self) -> String {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, status: u16) -> Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(text)
}
