//! The machine that was measured.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::bench::workshop::Workshop;

/// File systems on which an fsync costs nothing.
const IN_MEMORY: [&str; 3] = ["overlay", "ramfs", "tmpfs"];

/// What figures depend on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// `uname -sr`, as in `Linux 6.1.0`.
    pub kernel: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Model of the first core.
    pub cpu: String,
    /// File system under the shim's state, as in `ext4`.
    pub file_system: String,
    /// What the file system is on, as in `/dev/sda1`.
    pub device: String,
    /// Load averages of 1, 5 and 15 minutes when the run began.
    pub load: [f64; 3],
    /// Load average of the minute before the run ended.
    pub load_at_end: f64,
}

impl Machine {
    /// What makes the figures doubtful, if anything does.
    pub fn warning(&self) -> Option<String> {
        let mut doubts = Vec::new();
        if self.load[0] > self.cores as f64 / 2.0 {
            doubts.push(format!(
                "this machine is busy (load {:.2} on {} cores): figures are worse than they would be",
                self.load[0], self.cores
            ));
        }
        if IN_MEMORY.contains(&self.file_system.as_str()) {
            doubts.push(format!(
                "the shim's state is on {}, where durability costs nothing: run from a checkout on a disk",
                self.file_system
            ));
        }
        (!doubts.is_empty()).then(|| doubts.join("; "))
    }
}

/// Looks at the machine as it is before anything is measured.
///
/// # Errors
/// `/proc` is not readable.
pub(in crate::bench) fn describe(workshop: &Workshop) -> Result<Machine> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let (file_system, device) = file_system(workshop.disk.path())?;
    let load = load()?;
    Ok(Machine {
        kernel: format!("Linux {}", release.trim()),
        cores: thread::available_parallelism().context("number of cores")?.get(),
        cpu: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.to_owned()),
        file_system,
        device,
        load,
        load_at_end: load[0],
    })
}

/// Load averages of 1, 5 and 15 minutes.
///
/// # Errors
/// `/proc` is not readable.
pub(super) fn load() -> Result<[f64; 3]> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    let mut averages = text.split(' ').map(|word| word.parse().context("a load average"));
    let mut next = || averages.next().context("three load averages")?;
    Ok([next()?, next()?, next()?])
}

/// Type and device of the file system mounted at `path`.
fn file_system(path: &Path) -> Result<(String, String)> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    // Fields (man 5 proc): the mount point is the fifth; type and source follow a lone dash.
    let line = table
        .lines()
        .rfind(|line| line.split(' ').nth(4).is_some_and(|mount_point| Path::new(mount_point) == path));
    let line = line.with_context(|| format!("no mount at {}", path.display()))?;
    let (_, rest) = line.split_once(" - ").context("a line of mountinfo")?;
    let mut words = rest.split(' ').map(str::to_owned);
    Ok((words.next().context("a type")?, words.next().context("a device")?))
}
