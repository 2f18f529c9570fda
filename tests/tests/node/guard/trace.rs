//! Every system call that `watch` makes on our file, over a whole life with kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::LIMIT;
use lab::scene::signal;
use nix::sys::signal::Signal;

use crate::guarded::{GuardScene, OURS};

/// Calls that name a file and change nothing.
const LOOKS: [&str; 10] = [
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "execve",
];

/// Our file is removed, overwritten and renamed while `watch` is killed and started again; of all calls of `watch` only a rename
/// onto our name changes anything there, and a removal when it is switched off.
pub(crate) fn our_file_is_only_ever_the_target_of_a_rename() -> Result<()> {
    let scene = GuardScene::shared()?;
    let mut traces = Vec::new();
    let whole = {
        let watch = scene.watch()?;
        scene.expect_reason("NetworkReady")?;
        watch.terminate()?;
        fs::read(scene.ours())?
    };
    for turn in 0..6 {
        let (command, trace) = traced(&scene, turn)?;
        traces.push(trace);
        let mut watch = scene.watching(&command)?;
        for harm in 0..2 {
            match (turn + harm) % 3 {
                0 => fs::remove_file(scene.ours())?,
                1 => fs::write(scene.ours(), "{")?,
                _ => fs::rename(scene.ours(), scene.dir().join("away"))?,
            }
            // The third and the last time it is killed in the middle of it.
            if harm == 1 && turn % 3 == 2 {
                break;
            }
            scene.expect_whole(&whole)?;
        }
        signal(&watch, if turn % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM })?;
        watch.wait(LIMIT)?;
    }
    let (command, last) = traced(&scene, 6)?;
    let mut watch = scene.watching(&command)?;
    scene.expect_whole(&whole)?;
    scene.node().write("/etc/crossfade/disabled", "")?;
    watch.wait(LIMIT)?;
    ensure!(!scene.ours().exists(), "off left our conf");
    let mut renames = 0;
    for trace in &traces {
        let (renamed, removed) = count(trace)?;
        ensure!(removed == 0, "{}: removed although Crossfade was not switched off", trace.display());
        renames += renamed;
    }
    ensure!(renames >= 10, "only {renames} renames were seen: the trace does not see what it should");
    let (_, removed) = count(&last)?;
    ensure!(removed == 1, "off removed it {removed} times");
    Ok(())
}

fn traced(scene: &GuardScene, turn: usize) -> Result<(Command, PathBuf)> {
    let trace = scene.node().dir().join(format!("trace-{turn}"));
    let mut command = scene.node().command(lab::build::packages::part("strace")?);
    command.args(["-f", "-qq", "-s", "4096", "-e", "trace=%file,open_by_handle_at", "-o"]).arg(&trace);
    command.arg(lab::build::dist::bootstrap()?).args(["unit", "watch"]);
    Ok((command, trace))
}

/// Renames onto our name and removals of it; anything else that could change it is an error.
fn count(trace: &Path) -> Result<(usize, usize)> {
    let (mut renamed, mut removed) = (0, 0);
    let text = fs::read_to_string(trace).with_context(|| trace.display().to_string())?;
    // `12 rename("/a", "/b") = 0`; a call that another thread interrupted goes on in a line without its arguments.
    for line in text.lines().filter(|line| line.contains(&format!("/{OURS}\""))) {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let (name, arguments) = call.split_once('(').with_context(|| format!("not a call: {line}"))?;
        let strings: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        let target = strings.last().is_some_and(|last| last.ends_with(&format!("/{OURS}")));
        let source = strings.first().is_some_and(|first| first.ends_with(&format!("/{OURS}")));
        match name {
            "rename" | "renameat" | "renameat2" if target && !source => renamed += 1,
            "unlink" | "unlinkat" => removed += 1,
            "open" | "openat" | "openat2" => {
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
                ensure!(!writes.iter().any(|flag| arguments.contains(flag)), "opened for writing: {line}");
            }
            _ if LOOKS.contains(&name) => {}
            _ => anyhow::bail!("{}: {line}", trace.display()),
        }
    }
    Ok((renamed, removed))
}
