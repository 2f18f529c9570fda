//! The evidence that CRI-O, which does not tell what it has loaded, has read Crossfade's conf. Its Status says nothing of it, and a second of
//! quiet proves nothing: an ADD that runs holds the reload up. What proves it is a call: see [`shim::node::version_query`]. It asks the plugins of
//! all confs before it takes any of them over, so the proof counts once no plugin is being asked any more.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use shim::host::process::Process;
use shim::node::layout::Layout;
use shim::node::version_query;

use super::cri::Runtime;

/// Between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether the runtime at `endpoint` has read `conf`, which is Crossfade's, since it was written.
///
/// # Errors
/// It has not, as far as can be seen; in words.
pub(crate) fn check(endpoint: &str, conf: &Path) -> Result<(), String> {
    let runtime = Runtime::connect(endpoint).map_err(|why| why.to_string())?;
    let pid = runtime.pid().map_err(|why| format!("{why:#}"))?;
    let process = Process::read(pid)
        .ok_or_else(|| format!("the runtime's process {pid} is not to be seen from here"))?;
    let written = written_at(conf)?;
    if is_asking(pid) {
        return Err("CRI-O is asking plugins for their versions, and uses the confs that it had before until it has all answers".into());
    }
    match version_query::last_by(&Layout::default(), process) {
        Some(when) if when >= written => Ok(()),
        _ => Err(format!(
            "CRI-O has not asked Crossfade's plugin for its versions since {} was written, so it may still use the conf that it had before",
            conf.display()
        )),
    }
}

/// Whether this runtime is asking a plugin for its versions now.
fn is_asking(runtime: i32) -> bool {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // A plugin that ends meanwhile has answered.
    pids.filter(|pid| parent(*pid) == Some(runtime)).any(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == b"CNI_COMMAND=VERSION")
    })
}

/// Whose child it is. *Source*: man 5 `proc`: the second field behind the name.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// When a conf was written.
///
/// # Errors
/// Why that cannot be told.
pub(crate) fn written_at(conf: &Path) -> Result<SystemTime, String> {
    conf.metadata().and_then(|meta| meta.modified()).map_err(|e| format!("{}: {e}", conf.display()))
}

/// Waits until [`check`] holds.
///
/// # Errors
/// Why it does not, after `within`.
pub(crate) fn wait(endpoint: &str, conf: &Path, within: Duration) -> Result<(), String> {
    let end = Instant::now() + within;
    loop {
        match check(endpoint, conf) {
            Err(_) if Instant::now() < end => std::thread::sleep(PAUSE),
            checked => return checked,
        }
    }
}

/// Why the runtime at `endpoint`, if it runs, may not have read `conf`.
#[must_use]
pub(crate) fn problem(endpoint: &str, conf: &Path) -> Option<String> {
    Runtime::connect(endpoint).ok()?.pid().ok()?;
    check(endpoint, conf).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_plugin_that_is_asked_is_a_child_of_the_runtime_with_the_verb_in_its_environment() {
        let me = std::process::id().cast_signed();
        let mut plugin = Command::new("cat")
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("cat");
        // `spawn` returns while the kernel still lays out the new program.
        let end = Instant::now() + Duration::from_secs(60);
        while !is_asking(me) {
            assert!(Instant::now() < end, "it is not seen");
            std::thread::sleep(PAUSE);
        }
        assert!(!is_asking(1), "another process's child");
        drop(plugin.stdin.take());
        plugin.wait().expect("ends");
        assert!(!is_asking(me));
    }
}
