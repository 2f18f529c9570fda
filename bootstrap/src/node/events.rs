//! What wakes the loop of `watch`: file system events, signals, and the desired phase.
//!
//! Every event only starts another full pass, so the loop ignores what an event says. Reading a file is no event, because `watch` itself
//! reads these files. Where no inotify instance is left, [`Events::polls`] is true and the loop observes at intervals instead.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, INotifyWatcher, RecursiveMode, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Between two tries to get an inotify instance.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What wakes the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Something changed in a directory that `watch` observes.
    Changed,
    /// SIGHUP: observe again.
    Hangup,
    /// SIGTERM or SIGINT: end.
    Stop,
    /// The Node's annotation `crossfade/desired` has this value now; none is no annotation.
    Desired(Option<String>),
    /// A unit did not start: its name, and why.
    NotStarted(String, String),
}

/// The watched directories.
#[derive(Debug)]
pub struct Events {
    wake: Sender<Wake>,
    state: Arc<State>,
    watcher: Option<INotifyWatcher>,
    /// Each observed path, with the device and inode of the directory that it is.
    armed: BTreeMap<PathBuf, (u64, u64)>,
    tried: Option<Instant>,
}

#[derive(Debug)]
struct State {
    began: Instant,
    /// The loop was woken and has not observed yet.
    pending: AtomicBool,
    /// When the last event came, in milliseconds since `began`.
    last_ms: AtomicU64,
}

impl Events {
    /// Starts the thread that reads events. No directory is observed yet.
    #[must_use]
    pub fn new(wake: Sender<Wake>) -> Self {
        let state =
            State { began: Instant::now(), pending: AtomicBool::new(false), last_ms: AtomicU64::new(0) };
        Self { wake, state: Arc::new(state), watcher: None, armed: BTreeMap::new(), tried: None }
    }

    /// Whether inotify is not available, so that the loop observes at intervals.
    #[must_use]
    pub const fn polls(&self) -> bool {
        self.watcher.is_none()
    }

    /// From now on the next event wakes the loop; what came until now it is about to see.
    pub fn look(&self) {
        self.state.pending.store(false, Ordering::SeqCst);
    }

    /// How long ago the last event was.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        let now = self.state.began.elapsed();
        now.saturating_sub(Duration::from_millis(self.state.last_ms.load(Ordering::SeqCst)))
    }

    /// Observes exactly these directories, and the nearest existing one above where a directory is absent. Returns whether the set is new:
    /// then a directory may have changed between the earlier observation and this call.
    pub fn arm<'a>(&mut self, wanted: impl Iterator<Item = &'a PathBuf>) -> bool {
        if self.watcher.is_none() && self.tried.is_none_or(|at| at.elapsed() >= TRY_AGAIN) {
            self.tried = Some(Instant::now());
            self.watcher = self.start();
            self.armed.clear();
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = wanted.filter_map(|path| nearest(path)).collect();
        if wanted == self.armed {
            return false;
        }
        let gone = self.armed.iter().filter(|(path, id)| wanted.get(*path) != Some(id));
        for (path, _) in gone {
            // The kernel has already removed the watch of a removed directory.
            let _ = watcher.unwatch(path);
        }
        let mut armed = BTreeMap::new();
        for (path, id) in wanted {
            let watched = self.armed.get(&path) == Some(&id)
                || watcher.watch(&path, RecursiveMode::NonRecursive).is_ok();
            // One that vanished just now is looked for again in the next round.
            if watched {
                armed.insert(path, id);
            }
        }
        // Not one: there is no room for watches, which is as good as no instance.
        if armed.is_empty() {
            self.watcher = None;
        }
        self.armed = armed;
        true
    }

    fn start(&self) -> Option<INotifyWatcher> {
        let (state, wake) = (Arc::clone(&self.state), self.wake.clone());
        let heard = move |event: notify::Result<notify::Event>| {
            if event.as_ref().is_ok_and(|event| is_a_look(event.kind)) {
                return;
            }
            let now = u64::try_from(state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            state.last_ms.store(now, Ordering::SeqCst);
            if !state.pending.swap(true, Ordering::SeqCst) {
                // A loop that is gone means that the process ends soon.
                let _ = wake.send(Wake::Changed);
            }
        };
        INotifyWatcher::new(heard, notify::Config::default()).ok()
    }
}

/// Somebody opened or read something. An overflow of the queue is no such event.
fn is_a_look(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

/// The directory at `path`, or the nearest one above, and which one it is.
fn nearest(path: &Path) -> Option<(PathBuf, (u64, u64))> {
    path.ancestors().find_map(|dir| {
        let meta = dir.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some((dir.to_path_buf(), (meta.dev(), meta.ino())))
    })
}

/// Turns signals into wakes, in a thread that otherwise sleeps.
///
/// # Errors
/// When there is no file descriptor left.
pub fn signals(wake: Sender<Wake>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("install signal handlers")?;
    let listen = move || {
        for signal in signals.forever() {
            let sent = wake.send(if signal == SIGHUP { Wake::Hangup } else { Wake::Stop });
            if sent.is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).context("start a thread")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind, RenameMode};

    #[test]
    fn a_look_is_no_event_and_everything_else_is() {
        for (kind, look) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), true),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), true),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), false),
            (EventKind::Create(CreateKind::File), false),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), false),
            (EventKind::Other, false),
        ] {
            assert_eq!(is_a_look(kind), look, "{kind:?}");
        }
    }

    #[test]
    fn an_absent_directory_is_waited_for_above() {
        let dir = tempfile::tempdir().expect("scratch");
        let (send, wakes) = std::sync::mpsc::channel();
        let mut events = Events::new(send);
        let wanted = [dir.path().join("a/b")];
        assert!(events.arm(wanted.iter()) && !events.polls());
        assert_eq!(events.armed.keys().collect::<Vec<_>>(), [dir.path()]);
        assert!(!events.arm(wanted.iter()));
        for step in ["a", "a/b"] {
            std::fs::create_dir(dir.path().join(step)).expect("mkdir");
            assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(Wake::Changed), "{step}");
            assert!(events.arm(wanted.iter()));
            events.look();
        }
        assert_eq!(events.armed.keys().collect::<Vec<_>>(), [&wanted[0]]);
        // Replaced by another one of the same name.
        std::fs::rename(&wanted[0], dir.path().join("a/c")).expect("rename");
        std::fs::create_dir(&wanted[0]).expect("mkdir");
        assert!(events.arm(wanted.iter()));
        while wakes.try_recv().is_ok() {}
        events.look();
        std::fs::write(wanted[0].join("f"), "x").expect("write");
        assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(Wake::Changed), "in the new one");
    }
}
