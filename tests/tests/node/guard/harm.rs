//! Shared mode: what others do to our conf.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::host::command::status_and_text;
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::CONF_DIR;
use lab::scene::{end, signal};
use lab::standin::agent::{Agent, Spec};
use nix::sys::signal::Signal;

use crate::guarded::{GuardScene, OURS};

/// What another program does to our conf once, and how often that is itself a rename to our name or a write in place.
struct Harm {
    name: &'static str,
    act: fn(&Path) -> Result<()>,
    own_writes: (usize, usize),
}

const HARMS: [Harm; 8] = [
    Harm { name: "removed", act: |ours| Ok(fs::remove_file(ours)?), own_writes: (0, 0) },
    Harm {
        name: "renamed as an exclusive agent does",
        act: |ours| Ok(fs::rename(ours, ours.with_file_name(format!("{OURS}.cilium_bak")))?),
        own_writes: (0, 0),
    },
    Harm {
        name: "renamed out of the directory",
        act: |ours| Ok(fs::rename(ours, ours.with_file_name("../away"))?),
        own_writes: (0, 0),
    },
    Harm { name: "overwritten in place", act: |ours| Ok(fs::write(ours, "{}")?), own_writes: (0, 1) },
    Harm {
        name: "torn",
        act: |ours| {
            let bytes = fs::read(ours)?;
            Ok(fs::write(ours, &bytes[..bytes.len() / 2])?)
        },
        own_writes: (0, 1),
    },
    Harm {
        name: "overwritten by rename",
        act: |ours| {
            let other = ours.with_file_name("other");
            fs::write(&other, r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"bridge"}]}"#)?;
            Ok(fs::rename(other, ours)?)
        },
        own_writes: (1, 0),
    },
    Harm {
        name: "made unreadable for others",
        act: |ours| Ok(fs::set_permissions(ours, fs::Permissions::from_mode(0o600))?),
        own_writes: (0, 0),
    },
    Harm {
        name: "replaced by a symbolic link",
        act: |ours| {
            fs::remove_file(ours)?;
            Ok(symlink("10-old.conflist", ours)?)
        },
        own_writes: (0, 0),
    },
];

/// Each is repaired by one rename and by nothing else, and containerd has loaded our conf again.
pub(crate) fn every_single_harm_is_repaired_by_one_rename() -> Result<()> {
    let scene = GuardScene::shared()?;
    // The conf as watch writes it, to compare with.
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let whole = fs::read(scene.ours())?;
    end(watch)?;
    for harm in HARMS {
        let watch = scene.watch()?;
        scene.expect_reason("NetworkReady")?;
        let counter = scene.counter()?;
        (harm.act)(&scene.ours()).context(harm.name)?;
        scene.expect_whole(&whole).context(harm.name)?;
        scene.expect_loaded("crossfade").context(harm.name)?;
        let repairs = until("the report", LIMIT, || {
            let repairs = scene.status()["conf"]["repairs"].as_u64();
            Ok(repairs.filter(|repairs| *repairs > 0))
        });
        repairs.context(harm.name)?;
        // Whatever it might still be about to do, it has done.
        end(watch).context(harm.name)?;
        let writes = counter.writes()?;
        let expected = (harm.own_writes.0 + 1, harm.own_writes.1);
        ensure!(
            writes == expected,
            "{}: (renames, writes in place) {writes:?}, expected {expected:?}",
            harm.name
        );
        scene.expect_whole(&whole).context("after the end of watch")?;
    }
    scene.expect_pods()
}

/// A directory that is removed and made anew: our conf is there again, containerd does not see it, and that is said.
pub(crate) fn a_replaced_directory_is_written_to_and_the_runtime_has_to_be_restarted() -> Result<()> {
    let mut scene = GuardScene::shared()?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let (whole, theirs) = (fs::read(scene.ours())?, fs::read(scene.dir().join("10-old.conflist"))?);
    // In one step, so that no round comes between: what counts is that it is another directory.
    let next = scene.dir().with_file_name("next");
    fs::create_dir(&next)?;
    fs::write(next.join("10-old.conflist"), &theirs)?;
    fs::write(next.join("10-new.conflist"), fs::read(scene.dir().join("10-new.conflist"))?)?;
    fs::rename(scene.dir(), scene.dir().with_file_name("previous"))?;
    fs::rename(&next, scene.dir())?;
    scene.expect_whole(&whole)?;
    scene.expect_reason("RuntimeRestartNeeded")?;
    // The new one is watched, too.
    let counter = scene.counter()?;
    fs::remove_file(scene.ours())?;
    scene.expect_whole(&whole)?;
    scene.expect_reason("RuntimeRestartNeeded")?;
    end(watch)?;
    ensure!(counter.writes()? == (1, 0), "more than one write");
    // The next watch of this boot knows it as well.
    let watch = scene.watch()?;
    scene.expect_reason("RuntimeRestartNeeded")?;
    scene.containerd.restart()?;
    scene.expect_loaded("crossfade")?;
    scene.expect_reason("NetworkReady")?;
    // Removed by a program that does not make it again.
    fs::remove_dir_all(scene.dir())?;
    scene.expect_whole(&whole)?;
    end(watch)
}

/// An agent that renames everything on every event: named in the report, not fought, and pods find an ordinary end.
pub(crate) fn an_agent_that_takes_everything_is_named_and_left_alone() -> Result<()> {
    let scene = GuardScene::shared()?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let counter = scene.counter()?;
    let spec = Spec { name: "exclusive".into(), exclusive: Some(CONF_DIR.into()), ..Spec::default() };
    let agent = Agent::start(spec, Some(scene.node().pid().as_raw().cast_unsigned()))?;
    let status = scene.expect_reason("ConfContended")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(message.contains("cilium") && message.contains("cni.exclusive"), "{message}");
    let findings = status["findings"].to_string();
    ensure!(findings.contains(".cilium_bak"), "no word of our stale conf: {findings}");
    // Events go on; rounds go on, as the report of a flip shows; our conf is left alone.
    for number in 0..20 {
        fs::write(scene.dir().join(format!("9{number}-other.conf")), "{}")?;
    }
    scene.crossfade.phase("new")?;
    until("the report of the flip", LIMIT, || Ok((scene.status()["phase"] == "new").then_some(())))?;
    ensure!(scene.status()["reason"] == "ConfContended", "{:#}", scene.status());
    let (renames, in_place) = counter.writes()?;
    ensure!(renames == 2 && in_place == 0, "{renames} renames, {in_place} writes in place; expected 2 and 0");
    let log = fs::read_to_string(watch.log())?;
    let answer = log.lines().filter(|line| line.contains("event=ConfContended")).count();
    ensure!(answer == 1, "said {answer} times:\n{log}");
    agent.kill()?;
    // A restart is another try.
    end(watch)?;
    let watch = scene.watch()?;
    scene.expect_loaded("crossfade")?;
    ensure!(counter.writes()? == (1, 0), "more than one write after the war");
    end(watch)
}

/// Pods come and go without `watch`, and while it hangs; what was done to our conf meanwhile it makes good later.
pub(crate) fn pods_run_while_watch_is_dead_or_hangs() -> Result<()> {
    let scene = GuardScene::shared()?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let whole = fs::read(scene.ours())?;
    watch.signal(Signal::SIGSTOP)?;
    scene.expect_pods().context("while it hangs")?;
    fs::remove_file(scene.ours())?;
    let counter = scene.counter()?;
    watch.resume()?;
    scene.expect_whole(&whole)?;
    scene.expect_loaded("crossfade")?;
    let status = watch.kill()?;
    ensure!(!status.success(), "{status}");
    ensure!(counter.writes()? == (1, 0), "more than one write");
    scene.expect_whole(&whole)?;
    scene.expect_pods().context("while it is dead")?;
    let (_, text) = status_and_text(&mut scene.bootstrap(&["status"])?)?;
    ensure!(text.contains("stale"), "{text}");
    let watch = scene.watch()?;
    // A second one ends at once.
    scene.run_expecting(&["unit", "watch"], 75)?;
    scene.run_expecting(&["status", "--wait", "--timeout", "60"], 0)?;
    end(watch)
}

/// The kernel's queue of events is full: what came after it is lost, and found all the same.
pub(crate) fn an_overflow_of_events_is_a_look_at_everything() -> Result<()> {
    let scene = GuardScene::shared()?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let whole = fs::read(scene.ours())?;
    signal(&watch, Signal::SIGSTOP)?;
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?.trim().parse()?;
    // In a directory that containerd does not watch; each round is several events, of which no two in a row are the same.
    let (first, second) = (scene.outside("/etc/crossfade/one"), scene.outside("/etc/crossfade/two"));
    fs::write(&first, "")?;
    for _ in 0..=limit / 4 {
        fs::rename(&first, &second)?;
        fs::rename(&second, &first)?;
    }
    let counter = scene.counter()?;
    fs::remove_file(scene.ours())?;
    watch.resume()?;
    scene.expect_whole(&whole)?;
    end(watch)?;
    ensure!(counter.writes()? == (1, 0), "more than one write");
    Ok(())
}

/// No inotify instance is to be had: the node says so, and a conf is put back all the same.
pub(crate) fn without_events_it_looks_every_so_often() -> Result<()> {
    let scene = GuardScene::shared()?;
    let mut command = scene.node().command(lab::build::packages::part("strace")?);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=inotify_init1"]);
    command
        .args(["-e", "inject=inotify_init1:error=EMFILE"])
        .arg(lab::build::dist::bootstrap()?)
        .args(["unit", "watch"]);
    let watch = scene.watching(&command)?;
    let status = scene.expect_reason("NetworkReady")?;
    ensure!(status["findings"].to_string().contains("inotify"), "{status:#}");
    let whole = fs::read(scene.ours())?;
    let counter = scene.counter()?;
    fs::remove_file(scene.ours())?;
    scene.expect_whole(&whole)?;
    signal(&watch, Signal::SIGTERM)?;
    let mut watch = watch;
    watch.wait(LIMIT)?;
    ensure!(counter.writes()? == (1, 0), "more than one write");
    Ok(())
}

/// Switched off while it runs: our conf goes, the network that was there before is the runtime's again, and `watch` ends.
pub(crate) fn off_takes_our_conf_away_and_ends() -> Result<()> {
    let scene = GuardScene::shared()?;
    let mut watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    scene.node().write("/etc/crossfade/disabled", "")?;
    let status = watch.wait(LIMIT)?;
    ensure!(status.code() == Some(3), "watch ended with {status}");
    ensure!(!scene.ours().exists(), "our conf is still there");
    ensure!(scene.status()["reason"] == "SwitchedOff", "{:#}", scene.status());
    until("the other network", LIMIT, || {
        let loaded = scene.containerd.cri().conf_plugins()?;
        Ok((!loaded.is_empty() && !loaded.iter().any(|plugin| plugin == "crossfade")).then_some(()))
    })
}
