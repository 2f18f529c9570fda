//! The events that wake the loop of `watch`: of the file system, signals, and the desired phase.
//!
//! Every event only starts another full pass, so the loop ignores what an event says. Events among the records are apart: every pod makes several,
//! and they only make the loop count the attachments. Reading a file is no event, because `watch` itself
//! reads these files. Where no inotify instance is left, [`Events::polls`] is true and the loop observes at intervals instead.

use anyhow::Context as _;
use notify::Watcher as _;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, INotifyWatcher, RecursiveMode};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use convergence::node::policy::desired_phase::DesiredPhase;

/// Between two tries to get an inotify instance.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// What wakes the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WakeReason {
    /// Something changed in a directory that `watch` observes.
    Changed,
    /// A record or the inventory changed.
    Records,
    /// SIGHUP: observe again.
    Hangup,
    /// SIGTERM or SIGINT: end.
    Stop,
    /// The Node's annotation `crossfade/desired` asks for this now; none is no annotation.
    Desired(Option<DesiredPhase>),
    /// A unit did not start: its name, and why.
    NotStarted(String, String),
}

/// The watched directories.
#[derive(Debug)]
pub(crate) struct Events {
    wake: Sender<WakeReason>,
    state: Arc<State>,
    watcher: Option<INotifyWatcher>,
    /// The directories whose events are worth a pass.
    passes: Places,
    /// The directories whose events are worth a count of the attachments.
    records: Places,
    /// Those that inotify observes, for passes or for counts.
    armed: Places,
    last_try: Option<Instant>,
}

/// Directories, with the device and inode of each.
type Places = BTreeMap<PathBuf, (u64, u64)>;

#[derive(Debug)]
struct State {
    started: Instant,
    /// The loop was woken and has not observed yet.
    pending: AtomicBool,
    /// When the last event came, in milliseconds since `started`.
    last_ms: AtomicU64,
    /// The loop was woken for the records and has not counted yet.
    uncounted: AtomicBool,
    /// What an event's directory is worth.
    worth: Mutex<ObservedDirectories>,
}

/// The directories of [`Events::passes`] and of [`Events::records`].
#[derive(Debug, Default)]
struct ObservedDirectories {
    passes: BTreeSet<PathBuf>,
    records: BTreeSet<PathBuf>,
}

impl ObservedDirectories {
    /// Whether an event with these paths is worth a pass, and whether it is worth a count. One without paths tells of lost events, and is worth
    /// both. One that is nowhere known, because a directory has two paths, is worth a pass.
    fn judge_paths(&self, paths: &[PathBuf]) -> (bool, bool) {
        let is_in = |dirs: &BTreeSet<PathBuf>| {
            let hits = |path: &PathBuf| {
                dirs.contains(path) || path.parent().is_some_and(|parent| dirs.contains(parent))
            };
            paths.is_empty() || paths.iter().any(hits)
        };
        let count = is_in(&self.records);
        (!count || is_in(&self.passes), count)
    }
}

impl Events {
    /// Starts the thread that reads events. No directory is observed yet.
    #[must_use]
    pub(crate) fn new(wake: Sender<WakeReason>) -> Self {
        let state = State {
            started: Instant::now(),
            pending: AtomicBool::new(false),
            last_ms: AtomicU64::new(0),
            uncounted: AtomicBool::new(false),
            worth: Mutex::default(),
        };
        Self {
            wake,
            state: Arc::new(state),
            watcher: None,
            passes: Places::new(),
            records: Places::new(),
            armed: Places::new(),
            last_try: None,
        }
    }

    /// Whether inotify is not available, so that the loop observes at intervals.
    #[must_use]
    pub(crate) const fn polls(&self) -> bool {
        self.watcher.is_none()
    }

    /// From now on the next event wakes the loop; what came until now it is about to see.
    pub(crate) fn reset_pending(&self) {
        self.state.pending.store(false, Ordering::SeqCst);
    }

    /// How long ago the last event was.
    #[must_use]
    pub(crate) fn quiet_for(&self) -> Duration {
        let now = self.state.started.elapsed();
        now.saturating_sub(Duration::from_millis(self.state.last_ms.load(Ordering::SeqCst)))
    }

    /// From now on the next event among the records wakes the loop; what came until now it is about to count.
    pub(crate) fn reset_uncounted(&self) {
        self.state.uncounted.store(false, Ordering::SeqCst);
    }

    /// Whether a change of a record wakes the loop. Where it does not, the records have to be counted at intervals.
    #[must_use]
    pub(crate) fn watches_records(&self) -> bool {
        !self.records.is_empty() && is_armed(&self.records, &self.armed)
    }

    /// Observes exactly these directories for passes, and the nearest existing one above where a directory is absent. Returns whether the set is
    /// new: then a directory may have changed between the earlier observation and this call.
    pub(crate) fn arm<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) -> bool {
        if self.watcher.is_none() && self.last_try.is_none_or(|started| started.elapsed() >= TRY_AGAIN) {
            self.last_try = Some(Instant::now());
            self.watcher = self.start();
            (self.passes, self.records, self.armed) = (Places::new(), Places::new(), Places::new());
        }
        let places: Places = paths.filter_map(|path| nearest_directory(path)).collect();
        if self.watcher.is_none() || (places == self.passes && is_armed(&places, &self.armed)) {
            return false;
        }
        self.passes = places;
        self.rearm();
        true
    }

    /// Observes exactly these directories for counts of the attachments, as [`Events::arm`] does for passes.
    pub(crate) fn arm_records<'a>(&mut self, paths: impl Iterator<Item = &'a PathBuf>) -> bool {
        let places: Places = paths.filter_map(|path| nearest_directory(path)).collect();
        if self.watcher.is_none() || (places == self.records && is_armed(&places, &self.armed)) {
            return false;
        }
        self.records = places;
        self.rearm();
        true
    }

    fn rearm(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        // Before the first of them is observed: its events must not count for less than they are worth.
        *self.state.worth.lock().unwrap_or_else(PoisonError::into_inner) = ObservedDirectories {
            passes: self.passes.keys().cloned().collect(),
            records: self.records.keys().cloned().collect(),
        };
        let is_wanted =
            |path: &PathBuf, id| self.passes.get(path) == Some(id) || self.records.get(path) == Some(id);
        for (path, _) in self.armed.iter().filter(|(path, id)| !is_wanted(path, id)) {
            // The kernel has already removed the watch of a removed directory.
            let _ = watcher.unwatch(path);
        }
        let mut armed = Places::new();
        // Where there is room for some watches only, a pass is worth more than a count.
        for (path, id) in self.passes.iter().chain(&self.records) {
            let watched = armed.contains_key(path)
                || self.armed.get(path) == Some(id)
                || watcher.watch(path, RecursiveMode::NonRecursive).is_ok();
            // One that vanished just now is looked for again in the next round.
            if watched {
                armed.insert(path.clone(), *id);
            }
        }
        // Not one: there is no room for watches, which is as good as no instance.
        if armed.is_empty() {
            self.watcher = None;
        }
        self.armed = armed;
    }

    fn start(&self) -> Option<INotifyWatcher> {
        let (state, wake) = (Arc::clone(&self.state), self.wake.clone());
        let handler = move |event: notify::Result<notify::Event>| {
            if event.as_ref().is_ok_and(|event| is_a_look(event.kind)) {
                return;
            }
            let paths = event.map(|event| event.paths).unwrap_or_default();
            let (pass, count) =
                state.worth.lock().unwrap_or_else(PoisonError::into_inner).judge_paths(&paths);
            // A loop that is gone means that the process ends soon.
            if count && !state.uncounted.swap(true, Ordering::SeqCst) {
                let _ = wake.send(WakeReason::Records);
            }
            if !pass {
                return;
            }
            let now = u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            state.last_ms.store(now, Ordering::SeqCst);
            if !state.pending.swap(true, Ordering::SeqCst) {
                let _ = wake.send(WakeReason::Changed);
            }
        };
        INotifyWatcher::new(handler, notify::Config::default()).ok()
    }
}

/// A process opened or read something. An overflow of the queue is no such event.
fn is_a_look(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

/// Whether each of these directories is among those that are observed.
fn is_armed(places: &Places, armed: &Places) -> bool {
    places.iter().all(|(path, id)| armed.get(path) == Some(id))
}

/// The directory at `path`, or the nearest one above, and which one it is.
fn nearest_directory(path: &Path) -> Option<(PathBuf, (u64, u64))> {
    path.ancestors().find_map(|dir| {
        let meta = dir.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        Some((dir.to_path_buf(), (meta.dev(), meta.ino())))
    })
}

/// Turns signals into wakes, in a thread that otherwise sleeps.
///
/// # Errors
/// When there is no file descriptor left.
pub(crate) fn signals(wake: Sender<WakeReason>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("install signal handlers")?;
    let listen = move || {
        for signal in signals.forever() {
            let sent = wake.send(if signal == SIGHUP { WakeReason::Hangup } else { WakeReason::Stop });
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
        let watched_dirs = [dir.path().join("a/b")];
        assert!(events.arm(watched_dirs.iter()) && !events.polls());
        assert_eq!(events.armed.keys().collect::<Vec<_>>(), [dir.path()]);
        assert!(!events.arm(watched_dirs.iter()));
        for step in ["a", "a/b"] {
            std::fs::create_dir(dir.path().join(step)).expect("mkdir");
            assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(WakeReason::Changed), "{step}");
            assert!(events.arm(watched_dirs.iter()));
            events.reset_pending();
        }
        assert_eq!(events.armed.keys().collect::<Vec<_>>(), [&watched_dirs[0]]);
        // Replaced by another one of the same name.
        std::fs::rename(&watched_dirs[0], dir.path().join("a/c")).expect("rename");
        std::fs::create_dir(&watched_dirs[0]).expect("mkdir");
        assert!(events.arm(watched_dirs.iter()));
        while wakes.try_recv().is_ok() {}
        events.reset_pending();
        std::fs::write(watched_dirs[0].join("f"), "x").expect("write");
        assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(WakeReason::Changed), "in the new one");
    }

    #[test]
    fn what_happens_among_the_records_is_no_pass_and_wakes_once_until_it_is_counted() {
        let dir = tempfile::tempdir().expect("scratch");
        let (send, wakes) = std::sync::mpsc::channel();
        let mut events = Events::new(send);
        let [conf, state] = ["conf", "state"].map(|name| dir.path().join(name));
        for dir in [&conf, &state] {
            std::fs::create_dir(dir).expect("mkdir");
        }
        assert!(!events.arm_records([&state].into_iter()) && !events.watches_records(), "no watcher yet");
        let shard = state.join("a");
        assert!(events.arm([&conf].into_iter()));
        assert!(events.arm_records([&state, &shard].into_iter()) && events.watches_records());
        assert!(!events.arm_records([&state, &shard].into_iter()), "the same again");
        std::fs::create_dir(&shard).expect("mkdir");
        assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(WakeReason::Records));
        assert!(events.arm_records([&state, &shard].into_iter()), "another directory is nearest now");
        events.reset_uncounted();
        std::fs::write(shard.join("c@eth0"), "x").expect("write");
        assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(WakeReason::Records));
        std::fs::write(shard.join("c@eth0"), "xy").expect("write");
        // The next event of a pass is behind those of the record, and the first that is wakes_seen.
        std::fs::write(conf.join("f"), "x").expect("write");
        assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(WakeReason::Changed));
        assert!(!events.arm([&conf].into_iter()), "the records make no set for passes new");
        // A directory for both is worth both.
        assert!(events.arm([&conf, &state].into_iter()));
        while wakes.try_recv().is_ok() {}
        events.reset_pending();
        events.reset_uncounted();
        std::fs::write(state.join("f"), "x").expect("write");
        let mut wakes_seen = [0, 1].map(|_| wakes.recv_timeout(Duration::from_secs(20)).expect("a wake"));
        wakes_seen.sort_by_key(|wake| *wake == WakeReason::Changed);
        assert_eq!(wakes_seen, [WakeReason::Records, WakeReason::Changed]);
    }

    #[test]
    fn lost_events_are_worth_everything() {
        let worth = ObservedDirectories { passes: ["/c".into()].into(), records: ["/s".into()].into() };
        for (paths, expected) in [
            (&[][..], (true, true)),
            (&["/c"], (true, false)),
            (&["/c/f"], (true, false)),
            (&["/s/f"], (false, true)),
            (&["/s/f", "/c/f"], (true, true)),
            (&["/elsewhere/f"], (true, false)),
        ] {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            assert_eq!(worth.judge_paths(&paths), expected, "{paths:?}");
        }
    }
}
