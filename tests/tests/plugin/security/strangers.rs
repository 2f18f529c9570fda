//! Other users of a node against `crossfade-bootstrap`, which runs as root and never ends: its locks, and the directories of theirs
//! in which it writes or reads.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use lab::host::{
    deadline::{LIMIT, until},
    scratch::{Scratch, files},
};
use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use serde_json::{Value, json};

use crate::{files::STRANGER, trials};

trials![
    lock_of_watch_is_closed_to_others,
    metrics_in_a_directory_of_others_do_not_hold_watch_up,
    metrics_follow_no_link_of_others,
    confs_that_are_no_files_hold_no_command_up,
];

/// A node below a directory, with nothing on it but a node.json.
struct Tree(Scratch);

impl Tree {
    fn new() -> Result<Self> {
        let tree = Self(Scratch::new("strangers")?);
        for dir in ["etc/crossfade", "etc/cni/net.d", "run/crossfade", "usr/lib", "var/lib", "opt/cni/bin"] {
            tree.0.dir(dir)?;
        }
        tree.settings(&json!({}))?;
        Ok(tree)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Writes a node.json that names this file for metrics.
    fn settings(&self, report: &Value) -> Result<()> {
        let mut report = report.clone();
        report["node"] = json!(false);
        let settings = json!({ "version": 1, "confDir": "shared", "report": report });
        Ok(fs::write(self.path("etc/crossfade/node.json"), settings.to_string())?)
    }

    /// A directory of the stranger's.
    fn theirs(&self, name: &str) -> Result<PathBuf> {
        let dir = self.0.dir(name)?;
        chown(&dir, Some(STRANGER), Some(STRANGER))?;
        Ok(dir)
    }

    fn bootstrap(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(lab::build::dist::bootstrap()?);
        command.args(arguments).arg("--root").arg(self.0.path()).stdin(Stdio::null());
        Ok(command)
    }

    fn status(&self) -> Value {
        let bytes = fs::read(self.path("run/crossfade/status.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    /// Starts `watch` and waits until it has written its first status.
    fn watch(&self) -> Result<Running> {
        let log = fs::File::create(self.path("watch.log"))?;
        let mut command = self.bootstrap(&["unit", "watch"])?;
        let mut watch = Running(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        until("the first status of watch", LIMIT, || {
            if let Some(status) = watch.0.try_wait()? {
                anyhow::bail!("watch ended with {status}: {}", fs::read_to_string(self.path("watch.log"))?);
            }
            Ok((self.status()["watch"]["pid"] == watch.0.id()).then_some(()))
        })?;
        Ok(watch)
    }

    fn has_finding(&self, words: &[&str]) -> Result<()> {
        let text = until("a finding", LIMIT, || {
            let findings = self.status()["findings"].to_string();
            Ok(words.iter().all(|word| findings.contains(word)).then_some(()))
        });
        text.with_context(|| format!("{words:?}: {:#}", self.status()))
    }
}

/// A process of the test's own.
struct Running(Child);

impl Running {
    /// Ends it as systemd does.
    fn end(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        let status = until("its end", LIMIT, || Ok(self.0.try_wait()?))?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Another user holds a lock on a file, if that user can open it at all.
fn held_by_stranger(path: &Path) -> Result<Option<Running>> {
    let mut command = Command::new("setpriv");
    let id = STRANGER.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "flock", "--nonblock"]).arg(path);
    command.args(["sh", "-c", "echo held; exec sleep infinity"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
    let running = Running(child);
    Ok((line == "held\n").then_some(running))
}

/// whatever a user can open below the run directory and hold a lock on, `watch` starts.
fn lock_of_watch_is_closed_to_others() -> Result<()> {
    let tree = Tree::new()?;
    tree.watch()?.end()?;
    let mut held = Vec::new();
    for file in files(&tree.path("run"))? {
        held.extend(held_by_stranger(&file)?);
    }
    ensure!(!held.is_empty(), "not even the status can be opened, so nothing is shown");
    let watch = tree.watch()?;
    let second = tree.bootstrap(&["unit", "watch"])?.output()?;
    ensure!(second.status.code() == Some(75), "a second watch: {}", second.status);
    let lock = tree.path("run/crossfade/locks/watch.lock");
    let free = Command::new("flock").arg("--nonblock").arg(&lock).arg("true").status()?;
    ensure!(!free.success(), "a watch runs and its lock is free");
    watch.end()
}

/// a FIFO in the place of the metrics, in a directory of another user's.
fn metrics_in_a_directory_of_others_do_not_hold_watch_up() -> Result<()> {
    let tree = Tree::new()?;
    let dir = tree.theirs("var/lib/node_exporter/collector")?;
    chown(dir.parent().context("above")?, Some(STRANGER), Some(STRANGER))?;
    let metrics = dir.join("crossfade.prom");
    mkfifo(&metrics, Mode::from_bits_truncate(0o666))?;
    chown(&metrics, Some(STRANGER), Some(STRANGER))?;
    tree.settings(&json!({ "textfile": metrics }))?;
    let watch = tree.watch()?;
    tree.has_finding(&["crossfade.prom", "regular file"])?;
    fs::remove_file(&metrics)?;
    until("the metrics", LIMIT, || Ok(metrics.is_file().then_some(())))?;
    until("the end of the finding", LIMIT, || {
        Ok((!tree.status()["findings"].to_string().contains("crossfade.prom")).then_some(()))
    })?;
    watch.end()
}

/// a link that another user made, in the place of the metrics or of a directory above them, leads nowhere.
fn metrics_follow_no_link_of_others() -> Result<()> {
    for link in ["collector", "collector/crossfade.prom"] {
        let tree = Tree::new()?;
        let dir = tree.theirs("var/lib/node_exporter")?;
        let precious = tree.0.dir("precious")?;
        fs::write(precious.join("crossfade.prom"), "precious")?;
        if link == "collector" {
            symlink(&precious, dir.join(link))?;
        } else {
            tree.theirs("var/lib/node_exporter/collector")?;
            symlink(precious.join("crossfade.prom"), dir.join(link))?;
        }
        tree.settings(&json!({ "textfile": dir.join("collector/crossfade.prom") }))?;
        let watch = tree.watch()?;
        tree.has_finding(&["crossfade.prom"]).context(link)?;
        ensure!(fs::read_to_string(precious.join("crossfade.prom"))? == "precious", "{link} was followed");
        ensure!(fs::read_dir(&precious)?.count() == 1, "{link}: something was made behind it");
        watch.end()?;
    }
    Ok(())
}

/// A user who may write into the conf directory puts a FIFO among the confs.
fn confs_that_are_no_files_hold_no_command_up() -> Result<()> {
    let tree = Tree::new()?;
    chown(tree.path("etc/cni/net.d"), Some(STRANGER), None)?;
    for conf in ["00-first.conflist", "01-crossfade.conflist", "10-other.conf"] {
        mkfifo(&tree.path("etc/cni/net.d").join(conf), Mode::from_bits_truncate(0o666))?;
    }
    mkfifo(&tree.path("opt/cni/bin/crossfade"), Mode::from_bits_truncate(0o777))?;
    tree.watch()?.end()?;
    for arguments in [
        &["unit", "boot", "--dry-run"][..],
        &["image", "explain"],
        &["status"],
        &["unit", "gate", "--dry-run"],
    ] {
        let mut command = tree.bootstrap(arguments)?;
        let mut running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        until(&format!("the end of {arguments:?}"), LIMIT, || Ok(running.0.try_wait()?))?;
    }
    Ok(())
}
