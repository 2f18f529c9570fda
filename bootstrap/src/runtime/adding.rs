//! ADDs that are running: past us, under the conf that a runtime had before ours, or through us.
//!
//! containerd up to 1.6 loads a conf while an ADD under the one before still runs, and no runtime lists a sandbox before its ADD
//! ended. So the processes are looked at: a plugin is told its verb in its environment, and ours pass a mark on.
//!
//! Between two plugins of a chain there is a moment without a process, and another between the last one and the runtime's
//! note in its cache; so it counts as over when nothing was seen for [`QUIET`].

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use shim::layout::PLUGIN;
use shim::request::DEPTH_VARIABLE;

use super::cri::Runtime;

/// So long nothing must be seen: a hundred times what lies between two plugins of a chain.
const QUIET: Duration = Duration::from_secs(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Which way an ADD goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The runtime calls the plugins of a network itself.
    PastUs,
    /// The runtime calls us, and we call the plugins.
    ThroughUs,
}

/// Whether the ADDs of the runtime at `endpoint` can be seen from here: in a pod that has not the rights they cannot, and would
/// count as none.
///
/// # Errors
/// What is missing.
pub fn can_see(endpoint: &str) -> Result<(), String> {
    let cannot =
        |why: &str| format!("the runtime's ADDs cannot be seen from here, and one might be missed: {why}");
    let Ok(runtime) = Runtime::at(endpoint) else { return Ok(()) };
    // Whom nobody answers for is somebody else's finding.
    let Ok(pid) = runtime.pid() else { return Ok(()) };
    if pid == 0 {
        return Err(cannot("it is in another pid namespace; a pod needs hostPID"));
    }
    let of = |pid: &str, what: &str| Path::new("/proc").join(pid).join(what);
    let pid = pid.to_string();
    std::fs::read(of(&pid, "environ")).map_err(|e| {
        cannot(&format!("the environment of process {pid}: {e}; a pod needs CAP_SYS_PTRACE, and no AppArmor profile that forbids it"))
    })?;
    let net = |pid: &str| std::fs::read_link(of(pid, "ns/net")).ok();
    if net(&pid) == net("self") {
        Ok(())
    } else {
        Err(cannot("it is in another network namespace; a pod needs hostNetwork"))
    }
}

/// Waits until no ADD runs this way on this host.
///
/// # Errors
/// The container ids of those that still run after `within`.
pub fn wait_for_quiet(way: Way, within: Duration) -> Result<(), BTreeSet<String>> {
    let end = Instant::now() + within;
    let mut quiet_since = Instant::now();
    loop {
        let running = running(Path::new("/proc"), way);
        let now = Instant::now();
        if running.is_empty() && now.duration_since(quiet_since) >= QUIET {
            return Ok(());
        }
        if !running.is_empty() {
            quiet_since = now;
            if now >= end {
                return Err(running);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Container ids of the ADDs that run this way in our own network namespace, which is where runtimes start plugins.
/// Processes that end while we look, or are not ours to look at, are none.
fn running(proc: &Path, wanted: Way) -> BTreeSet<String> {
    let host = std::fs::read_link(proc.join("self/ns/net")).ok();
    let Ok(entries) = std::fs::read_dir(proc) else {
        return BTreeSet::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|dir| dir.file_name().is_some_and(|pid| pid.to_string_lossy().parse::<u32>().is_ok()))
        .filter_map(|dir| {
            let (container_id, way) = of_add(&std::fs::read(dir.join("environ")).ok()?)?;
            let exe = std::fs::read_link(dir.join("exe")).ok()?;
            // A plugin that was replaced while it runs is shown as `NAME (deleted)`.
            let ours = exe.file_name()?.to_string_lossy().split(' ').next() == Some(PLUGIN);
            let here = std::fs::read_link(dir.join("ns/net")).ok() == host;
            let way = if ours { Way::ThroughUs } else { way };
            (here && way == wanted).then_some(container_id)
        })
        .collect()
}

/// The container id of an environment that is of an ADD of a pod interface, and whether it was passed on by us.
fn of_add(environ: &[u8]) -> Option<(String, Way)> {
    let value = |key: &str| {
        environ.split(|byte| *byte == 0).find_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            pair.strip_prefix(key)?.strip_prefix('=')
        })
    };
    if value("CNI_COMMAND") != Some("ADD") || value("CNI_IFNAME") == Some("lo") {
        return None;
    }
    let way = if value(DEPTH_VARIABLE).is_some() { Way::ThroughUs } else { Way::PastUs };
    Some((value("CNI_CONTAINERID").unwrap_or_default().to_owned(), way))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn an_add_is_told_by_its_environment() {
        let depth = format!("{DEPTH_VARIABLE}=1");
        for (pairs, expected) in [
            (vec!["A=1", "CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0"], Some(Way::PastUs)),
            (vec!["CNI_COMMAND=DEL", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=lo"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0", &depth], Some(Way::ThroughUs)),
            (vec!["XCNI_COMMAND=ADD"], None),
        ] {
            let expected = expected.map(|way| ("c1".to_owned(), way));
            assert_eq!(of_add(pairs.join("\0").as_bytes()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_running_plugin_is_seen_until_it_ends() {
        let id = format!("adding-{}", std::process::id());
        let mut plugin = Command::new("cat")
            .env("CNI_COMMAND", "ADD")
            .env("CNI_CONTAINERID", &id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat");
        // `spawn` returns while the kernel still lays out the new program; its environment is there once it answers.
        plugin.stdin.as_mut().expect("piped").write_all(b"!").expect("taken");
        plugin.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("answered");
        let seen = |way| running(Path::new("/proc"), way).contains(&id);
        assert!(seen(Way::PastUs) && !seen(Way::ThroughUs));
        assert!(wait_for_quiet(Way::PastUs, Duration::ZERO).is_err_and(|running| running.contains(&id)));
        drop(plugin.stdin.take());
        plugin.wait().expect("ends");
        assert!(!seen(Way::PastUs));
    }
}
