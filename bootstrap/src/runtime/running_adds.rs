//! Running ADDs: past Crossfade, under the conf that a runtime had before Crossfade's, or through Crossfade.
//!
//! containerd up to 1.6 loads a conf while an ADD under the one before still runs, and no runtime lists a sandbox before its ADD
//! ended. So the processes are looked at: a plugin is told its verb in its environment.
//!
//! Any user may start a process with such an environment, and its text would hold up this command or reach a terminal. So only what the
//! runtime itself has started counts: a descendant of its process, with its uid, out of one of its plugin directories, with a container
//! id that a runtime could have made. What Crossfade's plugin starts in its turn goes through Crossfade.
//!
//! Between two plugins of a chain there is a moment without a process, and another between the last one and the runtime's
//! note in its cache; so it counts as over when nothing was seen for [`QUIET`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shim::call::request::DEPTH_VARIABLE;
use shim::node::layout::PLUGIN;
use types::text::names::is_name;

use super::cri::Runtime;

/// So long nothing must be seen: a hundred times what lies between two plugins of a chain.
const QUIET: Duration = Duration::from_secs(1);
/// Between two polls.
const PAUSE: Duration = Duration::from_millis(20);

/// So many steps are between a plugin and the runtime at most.
const MOST_ANCESTORS: usize = 64;
/// So many words of a command line may name the script: the interpreter, one argument of it, the script.
const MOST_SCRIPT_WORDS: usize = 3;

/// The way of an ADD to the plugins of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddPath {
    /// The runtime calls the plugins of a network itself.
    PastUs,
    /// The runtime calls Crossfade, and Crossfade calls the plugins.
    ThroughUs,
}

/// Whether the ADDs of the runtime at `endpoint` can be seen from here: in a pod that has not the rights they cannot, and would
/// count as none.
///
/// # Errors
/// What is missing.
pub(crate) fn can_see(endpoint: &str) -> Result<(), String> {
    let cannot =
        |why: &str| format!("the runtime's ADDs cannot be seen from here, and one might be missed: {why}");
    let Ok(runtime) = Runtime::connect(endpoint) else { return Ok(()) };
    // A runtime that does not answer is another check's finding.
    let Ok(pid) = runtime.pid() else { return Ok(()) };
    if pid == 0 {
        return Err(cannot("it is in another pid namespace; a pod needs hostPID"));
    }
    let proc_file = |pid: &str, what: &str| Path::new("/proc").join(pid).join(what);
    let pid = pid.to_string();
    std::fs::read(proc_file(&pid, "environ")).map_err(|e| {
        cannot(&format!("the environment of process {pid}: {e}; a pod needs CAP_SYS_PTRACE, and no AppArmor profile that forbids it"))
    })?;
    let net = |pid: &str| std::fs::read_link(proc_file(pid, "ns/net")).ok();
    if net(&pid) == net("self") {
        Ok(())
    } else {
        Err(cannot("it is in another network namespace; a pod needs hostNetwork"))
    }
}

/// The process that starts plugins on this node.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    runtime: Runtime,
    pid: i32,
    bin_dirs: Vec<PathBuf>,
}

impl Caller {
    /// The runtime at `endpoint`, which finds its plugins in `bin_dirs`.
    ///
    /// # Errors
    /// No process listens there.
    pub(crate) fn connect(endpoint: &str, bin_dirs: &[PathBuf]) -> anyhow::Result<Self> {
        let runtime = Runtime::connect(endpoint)?;
        let pid = runtime.pid()?;
        // A process is shown with the path that its program has in the end.
        let real = |dir: &PathBuf| dir.canonicalize().unwrap_or_else(|_| dir.clone());
        Ok(Self { runtime, pid, bin_dirs: bin_dirs.iter().map(real).collect() })
    }

    /// A runtime that was restarted is another process.
    fn follow(&mut self) {
        if !Path::new("/proc").join(self.pid.to_string()).exists() {
            self.pid = self.runtime.pid().unwrap_or(self.pid);
        }
    }
}

/// Waits until no ADD of this runtime goes this way.
///
/// # Errors
/// The container ids of those that still run after `within`.
pub(crate) fn wait_for_quiet(
    path: AddPath,
    mut caller: Caller,
    within: Duration,
) -> Result<(), BTreeSet<String>> {
    let end = Instant::now() + within;
    let mut quiet_since = Instant::now();
    loop {
        caller.follow();
        let running = list_running(&Processes::read(), caller.pid, &caller.bin_dirs, path);
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

/// The processes of this host, as far as the way from one to its ancestors needs them.
#[derive(Debug, Default)]
struct Processes(BTreeMap<i32, Process>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    parent: i32,
    uid: u32,
}

impl Processes {
    /// Processes that end during the look are none.
    fn read() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter_map(|pid| Some((pid, Process::read(pid)?))).collect())
    }

    /// The ancestors of `pid` up to `root`, itself first; none where `root` is not among them.
    fn line(&self, pid: i32, root: i32) -> Option<Vec<i32>> {
        let mut line = vec![pid];
        let mut ancestor = pid;
        // Processes are looked at one after the other, so what is read need not be a tree.
        while line.len() <= MOST_ANCESTORS {
            ancestor = self.0.get(&ancestor)?.parent;
            if ancestor == root {
                return Some(line);
            }
            line.push(ancestor);
        }
        None
    }
}

impl Process {
    /// *Source*: man 5 `proc`, `/proc/PID/status`: `PPid:`, and `Uid:` with the real, the effective and two more.
    fn read(pid: i32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let uid = field("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { parent: field("PPid:")?.trim().parse().ok()?, uid })
    }
}

/// Container ids of the ADDs of the runtime `root` that go this way.
fn list_running(
    processes: &Processes,
    root: i32,
    bin_dirs: &[PathBuf],
    add_path: AddPath,
) -> BTreeSet<String> {
    let Some(uid) = processes.0.get(&root).map(|runtime| runtime.uid) else {
        return BTreeSet::new();
    };
    let add = |(pid, process): (&i32, &Process)| {
        let line = processes.line(*pid, root).filter(|_| process.uid == uid)?;
        let (container_id, was_marked) = parse_add(&std::fs::read(format!("/proc/{pid}/environ")).ok()?)?;
        let plugin = plugin(*pid, bin_dirs)?;
        let is_ours = |pid: i32| self::plugin(pid, bin_dirs).is_some_and(|name| name == PLUGIN);
        let through = was_marked || plugin == PLUGIN || line[1..].iter().any(|pid| is_ours(*pid));
        let path = if through { AddPath::ThroughUs } else { AddPath::PastUs };
        (path == add_path).then_some(container_id)
    };
    processes.0.iter().filter_map(add).collect()
}

/// Name of the plugin that a process runs: its program lies in one of the directories, or, where that is an interpreter, the script does.
fn plugin(pid: i32, bin_dirs: &[PathBuf]) -> Option<String> {
    let proc = Path::new("/proc").join(pid.to_string());
    let exe = std::fs::read_link(proc.join("exe")).ok()?;
    let line = std::fs::read(proc.join("cmdline")).unwrap_or_default();
    let words = line
        .split(|byte| *byte == 0)
        .take(MOST_SCRIPT_WORDS)
        .map(|word| PathBuf::from(OsStr::from_bytes(word)));
    std::iter::once(exe).chain(words).find_map(|path| {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty())?;
        let real = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        // A plugin that was replaced while it runs is shown as `NAME (deleted)`.
        let name = path.file_name()?.to_string_lossy().split(' ').next().unwrap_or_default().to_owned();
        bin_dirs.contains(&real).then_some(name)
    })
}

/// The container id of an environment that is of an ADD of a pod interface, and whether it was passed on by Crossfade. An id that no runtime
/// could have made is none.
fn parse_add(environ: &[u8]) -> Option<(String, bool)> {
    let value = |key: &str| {
        environ.split(|byte| *byte == 0).find_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            pair.strip_prefix(key)?.strip_prefix('=')
        })
    };
    if value("CNI_COMMAND") != Some("ADD") || value("CNI_IFNAME") == Some("lo") {
        return None;
    }
    let id = value("CNI_CONTAINERID").filter(|id| is_name(id))?;
    Some((id.to_owned(), value(DEPTH_VARIABLE).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    #[test]
    fn an_add_is_told_by_its_environment() {
        let depth = format!("{DEPTH_VARIABLE}=1");
        for (pairs, expected) in [
            (vec!["A=1", "CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0"], Some(false)),
            (vec!["CNI_COMMAND=DEL", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=lo"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_IFNAME=eth0", &depth], Some(true)),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=\x1b[31mc1", "CNI_IFNAME=eth0"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_CONTAINERID=", "CNI_IFNAME=eth0"], None),
            (vec!["CNI_COMMAND=ADD", "CNI_IFNAME=eth0"], None),
            (vec!["XCNI_COMMAND=ADD"], None),
        ] {
            let expected = expected.map(|marked| ("c1".to_owned(), marked));
            assert_eq!(parse_add(pairs.join("\0").as_bytes()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_descendants_count_and_a_loop_ends() {
        let processes = |pairs: &[(i32, i32)]| {
            Processes(pairs.iter().map(|(pid, parent)| (*pid, Process { parent: *parent, uid: 0 })).collect())
        };
        let tree = processes(&[(10, 1), (11, 10), (12, 11), (20, 1), (30, 31), (31, 30)]);
        assert_eq!(tree.line(12, 10), Some(vec![12, 11]));
        assert_eq!(tree.line(20, 10), None);
        assert_eq!(tree.line(30, 10), None);
        assert_eq!(tree.line(99, 10), None);
    }

    /// Runs until its stdin is closed.
    struct Plugin(Child);

    impl Plugin {
        fn start(program: &Path, id: &str) -> Self {
            let mut child = Command::new(program)
                .env("CNI_COMMAND", "ADD")
                .env("CNI_CONTAINERID", id)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("cat");
            // `spawn` returns while the kernel still lays out the new program; its environment is there once it answers.
            child.stdin.as_mut().expect("piped").write_all(b"!").expect("taken");
            child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("answered");
            Self(child)
        }
    }

    impl Drop for Plugin {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_plugin_is_seen_only_as_the_runtime_s_own() {
        let dir = tempfile::tempdir().expect("scratch");
        let program = |name: &str| {
            let path = dir.path().join(name);
            // Not by this process: another test that starts a program meanwhile would have the file open for writing, so it could not be run.
            assert!(Command::new("cp").arg("/bin/cat").arg(&path).status().expect("cp").success());
            path
        };
        let (past, ours) = (program("calico"), program(PLUGIN));
        let pid = i32::try_from(std::process::id()).expect("pid");
        let bin_dirs = [dir.path().canonicalize().expect("scratch")];
        let seen = |root: i32, dirs: &[PathBuf], path| list_running(&Processes::read(), root, dirs, path);
        let id = |name: &str| format!("adding-{name}-{pid}");
        let plugins = [
            Plugin::start(&past, &id("past")),
            Plugin::start(&ours, &id("ours")),
            Plugin::start(Path::new("/bin/cat"), &id("elsewhere")),
            Plugin::start(&past, "\x1b[31mred"),
        ];
        assert_eq!(seen(pid, &bin_dirs, AddPath::PastUs), [id("past")].into());
        assert_eq!(seen(pid, &bin_dirs, AddPath::ThroughUs), [id("ours")].into());
        // Of another process than the runtime, or where the runtime has another directory.
        let child = i32::try_from(plugins[2].0.id()).expect("pid");
        assert_eq!(seen(child, &bin_dirs, AddPath::PastUs), [].into());
        assert_eq!(seen(pid, &[PathBuf::from("/nowhere")], AddPath::PastUs), [].into());
        // Of another uid than the runtime's.
        let mut others = Processes::read();
        others.0.get_mut(&pid).expect("we").uid += 1;
        assert_eq!(list_running(&others, pid, &bin_dirs, AddPath::PastUs), [].into());
        drop(plugins);
        assert_eq!(seen(pid, &bin_dirs, AddPath::PastUs), [].into());
    }
}
