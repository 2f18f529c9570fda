//! TLS before the health page, with a certificate that no authority has signed.
//!
//! Each connection has a thread of its own, which hands the bytes of one request to the page, and the page's answer back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How often a terminator looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(5);
/// Longer than any probe waits: the other end does not listen by then.
const LONGEST: Duration = Duration::from_secs(30);

/// Speaks TLS at one address until it is dropped; then nothing listens there.
#[derive(Debug)]
pub(super) struct Terminator {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Terminator {
    /// Listens at `address` for the page that listens at `behind`.
    ///
    /// # Errors
    /// No certificate can be made, or the address cannot be bound.
    pub(super) fn start(address: SocketAddr, behind: SocketAddr) -> Result<Self> {
        let config = Arc::new(config()?);
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        listener.set_nonblocking(true).context("non-blocking socket")?;
        let ends = Arc::new(AtomicBool::new(false));
        let output = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !output.load(Ordering::Relaxed) {
                let Ok((socket, _)) = listener.accept() else {
                    std::thread::sleep(LOOK);
                    continue;
                };
                let config = Arc::clone(&config);
                // What goes wrong with a visitor is what the visitor sees: a connection that ends.
                std::thread::spawn(move || serve(socket, config, behind));
            }
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // The listener is closed when the thread has ended.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn config() -> Result<ServerConfig> {
    let pair = rcgen::generate_simple_self_signed(["agent".to_owned()]).context("make a certificate")?;
    let key = pair.signing_key.serialize_der();
    let key = key.try_into().map_err(|why| anyhow::anyhow!("a key of one's own: {why}"))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("versions of TLS")?
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .context("a certificate of one's own")
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, behind: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LONGEST))?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut visitor = StreamOwned::new(session, socket);
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match visitor.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => request.extend_from_slice(&piece[..length]),
        }
    }
    let mut page = TcpStream::connect(behind)?;
    page.set_read_timeout(Some(LONGEST))?;
    page.write_all(&request)?;
    let mut answer = Vec::new();
    page.read_to_end(&mut answer)?;
    visitor.write_all(&answer)?;
    visitor.conn.send_close_notify();
    visitor.flush()?;
    visitor.sock.shutdown(Shutdown::Write)
}
