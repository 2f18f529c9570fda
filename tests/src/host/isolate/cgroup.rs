//! The cgroup parent of a lab's sandboxes: the one thing a lab makes that no namespace takes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Holds the lab's cgroup parent inside the lab, as a path below each hierarchy's root.
pub(super) const VARIABLE: &str = "CROSSFADE_LAB_CGROUP";

const PREFIX: &str = "crossfade-lab-";

/// What the pods of all nodes with a kubelet weigh against the other processes of the machine, each of which weighs 1,024 shares: 8 processors' worth.
///
/// kubelet gives a node's pods 1,024 shares for each of its processors, beside its own daemons. In a lab, they are below one
/// directory, and without a weight of its own, forty pods together get as much time as one compiler that runs beside them: agents
/// then miss their probes on a network that loses nothing.
const WEIGHTS: [(&str, &str); 2] = [("cpu.shares", "8192"), ("cpu.weight", "800")];

/// How long a killed process may take to leave its cgroup.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// The directory, of the same name in every hierarchy, that the runtimes of one lab put their cgroups in.
///
/// Runtimes create it; it is named after the lab's launcher (pid and start time), so that a later reader can tell
/// whether that lab still lives.
#[derive(Debug)]
pub(super) struct Parent {
    path: String,
    hierarchies: Vec<PathBuf>,
}

impl Parent {
    /// Names the parent of the calling launcher and removes what labs that are dead left beside it.
    pub(super) fn claim() -> Result<Parent> {
        let hierarchies = hierarchies()?;
        let pid = std::process::id();
        let start = start_time(pid).context("our own start time in /proc/self/stat")?;
        // A lab inside a lab stays below its parent's directory: it cannot see the pids that others are named after.
        let base = std::env::var(VARIABLE).unwrap_or_default();
        let parent = Parent { path: format!("{base}/{PREFIX}{pid}-{start}"), hierarchies };
        parent.sweep(&base);
        Ok(parent)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Removes the parent and everything below it; every process of the lab must be dead or dying.
    ///
    /// What cannot be removed is reported on stderr: it is litter, not a reason to fail the program that ran.
    pub(super) fn remove(self) {
        let deadline = Instant::now() + EMPTY_WITHIN;
        for hierarchy in &self.hierarchies {
            let directory = below(hierarchy, &self.path);
            while let Err(error) = remove_tree(&directory) {
                if Instant::now() > deadline {
                    eprintln!("lab: cgroup {} is left over: {error}", directory.display());
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Removes the parents of dead labs. One that is still busy stays for the next sweep.
    fn sweep(&self, base: &str) {
        for hierarchy in &self.hierarchies {
            let Ok(entries) = fs::read_dir(below(hierarchy, base)) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(is_of_dead_lab) {
                    let _still_busy = remove_tree(&entry.path());
                }
            }
        }
    }
}

/// Makes a directory in every hierarchy.
pub(super) fn make(path: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let directory = below(&hierarchy, path);
        fs::create_dir_all(&directory).with_context(|| format!("creating cgroup {}", directory.display()))?;
    }
    Ok(())
}

/// Gives a directory its weight, in the hierarchy that shares the processors: that of version 1, or that of version 2 where the controller is there.
pub(super) fn weigh(path: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        for (file, weight) in WEIGHTS {
            let file = below(&hierarchy, path).join(file);
            if file.exists() {
                fs::write(&file, weight)
                    .with_context(|| format!("writing {weight} to {}", file.display()))?;
            }
        }
    }
    Ok(())
}

fn is_of_dead_lab(name: &str) -> bool {
    let Some((pid, start)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let (Ok(pid), Ok(start)) = (pid.parse::<u32>(), start.parse::<u64>()) else {
        return false;
    };
    start_time(pid) != Some(start)
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name in parentheses may hold blanks and parentheses; the field after it is the third.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Mount points of every cgroup hierarchy, version 1 and 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let is_cgroup = |line: &str| {
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        matches!(kind, Some("cgroup" | "cgroup2"))
    };
    let lines = table.lines().filter(|line| is_cgroup(line));
    Ok(lines.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect())
}

fn below(hierarchy: &Path, path: &str) -> PathBuf {
    hierarchy.join(path.trim_start_matches('/'))
}

/// Removes a cgroup and those below it; an absent one is fine.
fn remove_tree(directory: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_lab_is_not_swept() {
        let pid = std::process::id();
        let start = start_time(pid).expect("own start time");
        assert!(!is_of_dead_lab(&format!("{PREFIX}{pid}-{start}")));
        assert!(is_of_dead_lab(&format!("{PREFIX}{pid}-{}", start + 1)));
        assert!(!is_of_dead_lab("system.slice"));
        assert!(!is_of_dead_lab("crossfade-lab-x-1"));
    }
}
