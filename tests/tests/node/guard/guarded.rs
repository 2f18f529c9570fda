//! A node with our conf before one network of real plugins, for `watch` to guard.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::{self, CONF_DIR};
use lab::runtime::containerd::Options;
use lab::scene::{Scene, Setup};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::{Value, json};

/// File name of our conf.
pub(crate) const OURS: &str = "01-crossfade.conflist";
/// The private conf directory.
pub(crate) const PRIVATE: &str = "/run/crossfade/net.d";

/// A scene of which one directory counts.
pub(crate) struct GuardScene {
    scene: Scene,
    conf_dir: &'static str,
}

impl Deref for GuardScene {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for GuardScene {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

impl GuardScene {
    /// Shared mode: our conf is installed.
    pub(crate) fn shared() -> Result<GuardScene> {
        let guarded = GuardScene::with(CONF_DIR, json!({}))?;
        guarded.expect_loaded("crossfade")?;
        Ok(guarded)
    }

    /// Private mode: nothing is in the runtime's directory, and agents have theirs.
    pub(crate) fn private() -> Result<GuardScene> {
        GuardScene::private_with(json!({}))
    }

    /// The same with more settings.
    pub(crate) fn private_with(mut settings: Value) -> Result<GuardScene> {
        settings["confDir"] = json!("private");
        let guarded = GuardScene::with(PRIVATE, settings)?;
        fs::remove_file(guarded.outside(crossfade::OURS))?;
        ensure!(!guarded.cri().network_ready()?.0, "ready without a conf");
        Ok(guarded)
    }

    fn with(conf_dir: &'static str, settings: Value) -> Result<GuardScene> {
        let options = Options { conf_dir: conf_dir.into(), ..Options::default() };
        let scene = Setup::shim().containerd(options).settings(settings).start()?;
        scene.booted()?;
        Ok(GuardScene { scene, conf_dir })
    }

    /// The runtime's directory as the lab sees it.
    pub(crate) fn dir(&self) -> PathBuf {
        self.outside(self.conf_dir)
    }

    /// Our conf as the lab sees it.
    pub(crate) fn ours(&self) -> PathBuf {
        self.dir().join(OURS)
    }

    /// Moves our conf away and back again, as a person does who wants to see what happens: containerd 1.6 loads the network behind
    /// it and keeps that.
    pub(crate) fn away_and_back(&self) -> Result<()> {
        let aside = self.dir().with_file_name("aside");
        fs::rename(self.ours(), &aside)?;
        until("the network behind ours", LIMIT, || {
            let loaded = self.loaded()?;
            Ok((!loaded.is_empty() && !loaded.iter().any(|plugin| plugin == "crossfade")).then_some(()))
        })?;
        Ok(fs::rename(&aside, self.ours())?)
    }

    /// Waits until `watch` says that this is why.
    pub(crate) fn expect_reason(&self, reason: &str) -> Result<Value> {
        let output = until(&format!("reason {reason}"), LIMIT, || {
            let status = self.status();
            Ok((status["reason"] == reason).then_some(status))
        });
        output.with_context(|| format!("status: {:#}", self.status()))
    }

    /// Waits until our conf is whole, a regular file and readable for all.
    pub(crate) fn expect_whole(&self, bytes: &[u8]) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        until("our conf, whole", LIMIT, || {
            let Ok(meta) = self.ours().symlink_metadata() else { return Ok(None) };
            let right = meta.is_file() && meta.permissions().mode() & 0o7777 == 0o644;
            Ok((right && fs::read(self.ours()).is_ok_and(|found_bytes| found_bytes == bytes)).then_some(()))
        })
    }

    /// A pod runs on the old network and ends, and nothing of it stays.
    pub(crate) fn expect_pods(&self) -> Result<()> {
        let id = self.run("pod")?;
        let leases = self.old.leases(self.node())?;
        ensure!(leases.len() == 1, "leases of old: {leases:?}");
        self.end(&id)?;
        let leases = self.old.leases(self.node())?;
        ensure!(leases.is_empty(), "leases of old afterwards: {leases:?}");
        ensure!(self.crossfade.records()?.is_empty(), "records: {:?}", self.crossfade.records()?);
        Ok(())
    }

    /// Counts what happens to names in the runtime's directory from now on.
    pub(crate) fn counter(&self) -> Result<Counter> {
        Counter::new(&self.dir())
    }
}

/// What inotify tells of a directory.
pub(crate) struct Counter(Inotify);

impl Counter {
    fn new(dir: &Path) -> Result<Counter> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        inotify.add_watch(dir, flags).with_context(|| format!("watch {}", dir.display()))?;
        Ok(Counter(inotify))
    }

    /// How many renames to our name and how many writes to it in place there were since the last call.
    pub(crate) fn writes(&self) -> Result<(usize, usize)> {
        let (mut renamed, mut in_place) = (0, 0);
        loop {
            let events = match self.0.read_events() {
                Err(Errno::EAGAIN) => return Ok((renamed, in_place)),
                events => events?,
            };
            for event in events.iter().filter(|event| event.name.as_deref() == Some(OURS.as_ref())) {
                renamed += usize::from(event.mask.contains(AddWatchFlags::IN_MOVED_TO));
                in_place += usize::from(event.mask.contains(AddWatchFlags::IN_MODIFY));
            }
        }
    }
}
