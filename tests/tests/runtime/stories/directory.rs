//! The reactions of this containerd to changes in its conf directory, on which our own way of writing relies.
//!
//! containerd reloads on write, rename-away and remove and says so in its debug log; what it ignores it names there as well, so
//! that it can be told from what it has not come to yet. One bad file that sorts first takes the whole node's network down.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::runtime::containerd::{Options, Release};

use crate::spied::SpyScene;

/// The runtime's directory; nothing is in it at first.
const DIR: &str = "/run/conf";
/// Where files are that have not arrived yet; on the same file system.
const ELSEWHERE: &str = "/run/elsewhere";

/// A containerd whose conf directory is empty, and our conf as `install` would write it.
struct Directory {
    scene: SpyScene,
    ours: Vec<u8>,
}

impl Directory {
    fn new() -> Result<Directory> {
        let options = Options { conf_dir: DIR.into(), debug: true, ..Options::default() };
        let scene = SpyScene::with(options, false)?;
        let ours = fs::read(scene.outside(lab::install::crossfade::CONF_DIR).join("01-crossfade.conflist"))?;
        scene.node().write(format!("{ELSEWHERE}/made"), "")?;
        ensure!(!scene.cri().network_ready()?.0, "ready without a conf");
        Ok(Directory { scene, ours })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.scene.outside(DIR).join(file)
    }

    fn elsewhere(&self, file: &str) -> PathBuf {
        self.scene.outside(ELSEWHERE).join(file)
    }

    /// A file with our conf where the runtime does not look.
    fn staged(&self, file: &str) -> Result<PathBuf> {
        let path = self.elsewhere(file);
        fs::write(&path, &self.ours)?;
        Ok(path)
    }

    /// Takes every file away, which containerd notices.
    fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(self.scene.outside(DIR))? {
            fs::remove_file(entry?.path())?;
        }
        self.nudge()?;
        self.expect_ready(false)
    }

    /// Makes a hidden file and removes it: an event that containerd never ignores.
    fn nudge(&self) -> Result<()> {
        let nudge = self.path(".nudge");
        fs::write(&nudge, "").and_then(|()| fs::remove_file(&nudge)).context("nudge")
    }

    /// How often containerd has said this of a file.
    fn count_events(&self, what: &str, file: &str, event: &str) -> Result<usize> {
        let log = self.scene.containerd.log()?;
        // As in `CREATE        \"/run/conf/x.conf\"`, quotes and all.
        let name = format!("/{file}\\\"");
        let of_file = |line: &&str| [what, event, &name].iter().all(|part| line.contains(part));
        Ok(log.lines().filter(of_file).count())
    }

    /// Waits until containerd says that it ignores one more event of this file; the conf is what it was.
    fn expect_ignored(&self, file: &str, event: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let ready = self.scene.cri().network_ready()?.0;
        let before = self.count_events("ignore event", file, event)?;
        act()?;
        until(&format!("{event} of {file} ignored"), LIMIT, || {
            Ok((self.count_events("ignore event", file, event)? > before).then_some(()))
        })?;
        ensure!(self.scene.cri().network_ready()?.0 == ready, "{event} of {file} changed something");
        Ok(())
    }

    fn expect_ready(&self, ready: bool) -> Result<()> {
        until(&format!("NetworkReady {ready}"), LIMIT, || {
            Ok((self.scene.cri().network_ready()?.0 == ready).then_some(()))
        })
    }

    fn install(&self, status: i32) -> Result<String> {
        self.scene.run_expecting(&["install", "--conf-dir", DIR], status)
    }

    /// `install` must end with our conf loaded, whatever lies there; a pod then runs and ends.
    fn expect_installed(&self, what: &str) -> Result<()> {
        self.install(0).with_context(|| what.to_owned())?;
        self.scene.expect_loaded("crossfade").with_context(|| what.to_owned())?;
        let pod = self.scene.run("pod").with_context(|| what.to_owned())?;
        self.scene.end(&pod).with_context(|| what.to_owned())?;
        self.scene.expect_nothing().with_context(|| what.to_owned())
    }
}

/// A conf that arrives complete under its name is not seen, however it arrives.
pub(crate) fn a_conf_that_arrives_from_elsewhere_is_ignored() -> Result<()> {
    let lab = Directory::new()?;
    let file = "01-crossfade.conflist";
    let target = lab.path(file);
    lab.expect_ignored(file, "CREATE", || Ok(fs::rename(lab.staged("renamed")?, &target)?))?;
    lab.expect_ignored(file, "CHMOD", || {
        Ok(fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?)
    })?;
    lab.nudge()?;
    lab.scene.expect_loaded("crossfade").context("a nudge after a rename from elsewhere")?;
    lab.empty()?;
    lab.expect_ignored(file, "CREATE", || Ok(fs::hard_link(lab.staged("linked")?, &target)?))?;
    lab.expect_installed("over a hard link that was ignored")?;
    lab.empty()?;
    let staged = format!("{ELSEWHERE}/linked");
    lab.expect_ignored(file, "CREATE", || Ok(symlink(&staged, &target)?))?;
    lab.expect_installed("over a symbolic link that was ignored")?;
    lab.empty()?;
    // In the same directory the temporary name goes away, and that is seen.
    let temporary = lab.path(".temporary");
    fs::write(&temporary, &lab.ours)?;
    fs::rename(&temporary, &target)?;
    lab.scene.expect_loaded("crossfade").context("a rename in the directory")
}

/// The first file decides, good or bad.
pub(crate) fn a_broken_first_file_takes_the_network_down() -> Result<()> {
    let lab = Directory::new()?;
    let good = fs::read(lab.scene.outside(lab::install::crossfade::CONF_DIR).join("10-old.conflist"))?;
    fs::write(lab.path("50-good.conflist"), good)?;
    lab.scene.expect_loaded("spy-old")?;
    let half = lab.ours.len() / 2;
    for (what, broken) in [
        ("truncated", &lab.ours[..half]),
        ("empty", b"".as_slice()),
        ("without a plugin", br#"{"cniVersion":"1.0.0","name":"none","plugins":[]}"#),
    ] {
        let first = lab.path("00-broken.conflist");
        fs::write(&first, broken)?;
        // An empty file is made and never written: containerd would not notice it yet.
        lab.nudge()?;
        lab.expect_ready(false).with_context(|| format!("a first file that is {what}"))?;
        fs::remove_file(&first)?;
        lab.expect_ready(true).with_context(|| format!("after a first file that is {what}"))?;
        let last = lab.path("99-broken.conflist");
        fs::write(&last, broken)?;
        lab.nudge()?;
        // Renamed away, it is the last event of all: by then the others have been heeded.
        fs::rename(&last, lab.elsewhere("broken"))?;
        until("the end of the last file", LIMIT, || {
            Ok((lab.count_events("receiving change", "99-broken.conflist", "RENAME")? > 0).then_some(()))
        })?;
        lab.expect_ready(true).with_context(|| format!("a last file that is {what}"))?;
        // The same as our own file: install makes it whole.
        fs::write(lab.path("01-crossfade.conflist"), broken)?;
        lab.nudge()?;
        lab.expect_ready(false).with_context(|| format!("our own file, {what}"))?;
        lab.expect_installed(&format!("over our own file, {what}"))?;
        fs::remove_file(lab.path("01-crossfade.conflist"))?;
        lab.expect_ready(true)?;
    }
    Ok(())
}

/// Owner and mode are not looked at, nor is a version that is newer than the runtime; both are ours to look at.
pub(crate) fn owner_mode_and_version_are_not_looked_at() -> Result<()> {
    let lab = Directory::new()?;
    let file = lab.path("01-crossfade.conflist");
    fs::write(&file, &lab.ours)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    chown(&file, Some(65_534), Some(65_534))?;
    lab.nudge()?;
    lab.scene.expect_loaded("crossfade").context("a conf of the user nobody that all may write")?;
    lab.expect_installed("over a conf of the user nobody")?;
    let stat = fs::metadata(&file)?;
    let (mode, owner) = (stat.permissions().mode() & 0o777, stat.uid());
    ensure!((mode, owner) == (0o644, 0), "mode {mode:o}, owner {owner}");
    let newer = String::from_utf8(lab.ours.clone())?.replace("1.0.0", "1.1.0");
    fs::write(&file, newer)?;
    until("a conf of a newer version", LIMIT, || Ok(lab.loaded_version("1.1.0")?.then_some(())))?;
    let pod = lab.scene.run("newer");
    // CNI 1.1.0 came with libcni 1.2, which containerd has from 2.0 on.
    let knows = lab.scene.containerd.release() >= Release(2, 0, 0);
    ensure!(pod.is_ok() == knows, "a pod through a conf of version 1.1.0: {pod:?}");
    if let Ok(pod) = pod {
        lab.scene.end(&pod)?;
    }
    lab.scene.expect_nothing()?;
    lab.install(0)?;
    Ok(())
}

/// A directory that is made anew is not watched any more; `install` waits, and a restart of containerd helps. From 2.1 on containerd
/// ends when its directory is removed, and its unit starts it again.
pub(crate) fn a_directory_that_is_made_anew_is_not_watched() -> Result<()> {
    let mut lab = Directory::new()?;
    lab.expect_installed("into the directory it knows")?;
    let inode = fs::metadata(lab.scene.outside(DIR))?.ino();
    ensure!(lab.watched()?.contains(&inode), "containerd does not watch its conf directory");
    fs::remove_dir_all(lab.scene.outside(DIR))?;
    if lab.scene.containerd.release() >= Release(2, 1, 0) {
        lab.scene.containerd.wait()?;
        lab.scene.containerd.start_again()?;
        lab.expect_ready(false)?;
        return lab.expect_installed("into the directory that containerd made");
    }
    lab.expect_ready(false)?;
    fs::create_dir(lab.scene.outside(DIR))?;
    until("the end of the watch", LIMIT, || Ok((!lab.watched()?.contains(&inode)).then_some(())))?;
    let inode = fs::metadata(lab.scene.outside(DIR))?.ino();
    ensure!(!lab.watched()?.contains(&inode), "containerd watches the new directory");
    let file = lab.path("01-crossfade.conflist");
    let install = lab.scene.bootstrap(&["install", "--conf-dir", DIR])?;
    let mut install = lab.scene.node().background("install", &install)?;
    until("our conf", LIMIT, || Ok(file.exists().then_some(())))?;
    ensure!(!lab.scene.cri().network_ready()?.0, "a conf was loaded from a directory that is not watched");
    lab.scene.containerd.restart()?;
    lab.scene.expect_loaded("crossfade").context("after the restart")?;
    let (status, log) = (install.wait(LIMIT)?, fs::read_to_string(install.log())?);
    // It asks now and then: a restart between two looks is one that it does not notice.
    ensure!(
        matches!(status.code(), Some(0 | 75)),
        "install that waited while containerd restarted: {status}\n{log}"
    );
    lab.expect_installed("after the restart")
}

/// What an agent that renames our conf away, and another program that renames it back, do to the node; afterwards `install` wins.
pub(crate) fn a_war_of_renames_ends_with_our_conf_loaded() -> Result<()> {
    let lab = Directory::new()?;
    lab.expect_installed("at first")?;
    let (ours, away) = (lab.path("01-crossfade.conflist"), lab.path("01-crossfade.conflist.cilium_bak"));
    for _ in 0..500 {
        fs::rename(&ours, &away)?;
        fs::rename(&away, &ours)?;
    }
    fs::rename(&ours, &away)?;
    until("the war's last event", LIMIT, || {
        Ok((lab.count_events("receiving change", "01-crossfade.conflist", "RENAME")? >= 501).then_some(()))
    })?;
    let failed = lab.scene.containerd.log()?.lines().filter(|l| l.contains("failed to reload cni")).count();
    ensure!(failed > 0, "no reload failed in 500 renames");
    lab.expect_ready(false)?;
    // What took our conf away is named, and not fought.
    let output = lab.install(3)?;
    ensure!(output.contains("cni.exclusive"), "{output}");
    fs::remove_file(&away)?;
    lab.expect_installed("after the war")
}

/// What a reader that never rests finds under our name during `write`, which gets the number of reads.
fn read_while(
    lab: &Directory,
    write: impl FnOnce(&AtomicUsize) -> Result<()>,
) -> Result<(BTreeSet<Vec<u8>>, usize)> {
    let path = lab.path("01-crossfade.conflist");
    let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                // While it is away there is nothing to be torn.
                if let Ok(bytes) = fs::read(&path) {
                    seen.insert(bytes);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
            seen
        });
        let written = write(&reads);
        done.store(true, Ordering::Relaxed);
        written?;
        reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))
    })?;
    Ok((seen, reads.into_inner()))
}

/// Our own conf is whole at every instant; a writer that does not rename is seen in the middle by the same reader.
pub(crate) fn our_conf_is_never_seen_torn() -> Result<()> {
    let lab = Directory::new()?;
    lab.expect_installed("at first")?;
    let path = lab.path("01-crossfade.conflist");
    let install =
        |version: &str| lab.scene.run_expecting(&["install", "--conf-dir", DIR, "--cni-version", version], 0);
    let mut whole = BTreeSet::new();
    for version in ["1.1.0", "1.0.0"] {
        install(version)?;
        whole.insert(fs::read(&path)?);
    }
    let (seen, reads) = read_while(&lab, |_| {
        for _ in 0..4 {
            install("1.1.0")?;
            install("1.0.0")?;
        }
        Ok(())
    })?;
    ensure!(seen == whole, "{} contents in {reads} reads, expected the 2 that were written", seen.len());
    ensure!(reads > 1000, "only {reads} reads");
    lab.scene.expect_loaded("crossfade")?;
    let (seen, _) = read_while(&lab, |reads| {
        let mut file = File::create(&path)?;
        let before = reads.load(Ordering::Relaxed);
        until("a read in the middle", LIMIT, || {
            Ok((reads.load(Ordering::Relaxed) > before + 1).then_some(()))
        })?;
        Ok(file.write_all(&lab.ours)?)
    })?;
    ensure!(!seen.is_subset(&whole), "a writer that does not rename was not seen in the middle");
    lab.expect_installed("over what others wrote")
}

impl Directory {
    /// Whether the conf that containerd has read is of this version.
    fn loaded_version(&self, version: &str) -> Result<bool> {
        Ok(self.scene.cri().conf_versions()?.iter().any(|loaded| loaded == version))
    }

    /// Inodes that containerd watches, of whatever file system.
    fn watched(&self) -> Result<BTreeSet<u64>> {
        let pid = self.scene.containerd.pid().context("containerd is not running")?;
        let mut inodes = BTreeSet::new();
        for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // One that is closed meanwhile is no watch.
            let Ok(text) = fs::read_to_string(file?.path()) else { continue };
            // proc(5): `inotify wd:1 ino:2a sdev:800013 ...`, in hexadecimal.
            let watches = text.lines().filter(|line| line.starts_with("inotify "));
            let inode = |line: &str| {
                line.split(' ').find_map(|part| u64::from_str_radix(part.strip_prefix("ino:")?, 16).ok())
            };
            inodes.extend(watches.filter_map(inode));
        }
        Ok(inodes)
    }
}
