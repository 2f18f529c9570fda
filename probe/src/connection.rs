//! The agent's connections to its hubs: it registers with each, sends each its results, and takes its targets from the first that has some.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use reachability::report::{Targets, ToHub};
use reachability::{Key, Peer};

use crate::answer::spawn;

/// The longest line of a hub, in bytes: so many targets as an agent can have.
const MAX_LINE: u64 = 256 << 10;
/// How long a hub may take to accept a connection or a line.
const WAIT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Hubs {
    senders: Vec<Sender<String>>,
    /// The last targets from each hub, as long as it is connected.
    targets: Arc<Mutex<Vec<Option<Targets>>>>,
    key: Key,
}

impl Hubs {
    /// Connects to each, now and again whenever a connection ends.
    ///
    /// # Errors
    /// Where no thread is to be had.
    pub(crate) fn start(hubs: &[SocketAddr], key: &Key, own: &Arc<Mutex<Peer>>) -> Result<Self> {
        let targets = Arc::new(Mutex::new(vec![None; hubs.len()]));
        let mut senders = Vec::new();
        for (place, hub) in hubs.iter().enumerate() {
            let (sender, lines) = channel();
            senders.push(sender);
            let (hub, key, own, targets) = (*hub, key.clone(), Arc::clone(own), Arc::clone(&targets));
            let note = move |news| {
                if let Some(entry) = targets.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
                    *entry = news;
                }
            };
            spawn(move || {
                loop {
                    // A hub that is not there now may be there soon.
                    let _ = serve(hub, &key, &own, &lines, &note);
                    note(None);
                    std::thread::sleep(Duration::from_secs(1));
                }
            })?;
        }
        Ok(Self { senders, targets, key: key.clone() })
    }

    /// Sends a line to each hub that is connected.
    pub(crate) fn send(&self, message: &ToHub) {
        let line = self.key.seal(message);
        self.senders.iter().for_each(|sender| drop(sender.send(line.clone())));
    }

    /// The targets of the first hub that handed some out.
    pub(crate) fn targets(&self) -> Option<Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().next().cloned()
    }
}

/// One connection, until it ends.
fn serve(
    hub: SocketAddr,
    key: &Key,
    own: &Mutex<Peer>,
    lines: &Receiver<String>,
    note: &(impl Fn(Option<Targets>) + Clone + Send + 'static),
) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&hub, WAIT)?;
    stream.set_write_timeout(Some(WAIT))?;
    // Results from a time without a connection are no news any more.
    while lines.try_recv().is_ok() {}
    let peer = own.lock().unwrap_or_else(PoisonError::into_inner).clone();
    stream.write_all(key.seal(&ToHub::Register(peer)).as_bytes())?;
    let (reading, key, note) = (stream.try_clone()?, key.clone(), note.clone());
    let (ended, end) = channel::<()>();
    spawn(move || {
        let _ended = ended;
        let _ = read(reading, &key, &note);
    })?;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => stream.write_all(line.as_bytes())?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if end.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
            return Ok(());
        }
    }
}

/// Takes targets until the connection ends.
fn read(stream: TcpStream, key: &Key, note: &impl Fn(Option<Targets>)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.by_ref().take(MAX_LINE).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let targets: Targets = key.open(&line).map_err(std::io::Error::other)?;
        if targets.peers.iter().all(|peer| peer.validate().is_ok()) {
            note(Some(targets));
        }
    }
}
