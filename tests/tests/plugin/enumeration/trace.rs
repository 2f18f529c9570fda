//! The output of strace: the system calls that a call of the shim makes, and the files that it writes.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

/// What our own program does first: it forbids dumps of its memory (`shim/src/main.rs`). Everything before is the kernel's, the C library's and the
/// standard library's.
const MARKER: &str = "prctl(PR_SET_DUMPABLE";

/// How the calls begin that may come before the marker. Anything else there means that our program begins earlier than the marker says.
///
/// *Source*: the C library's start, and `rt::init` of the standard library, which opens the standard streams, ignores SIGPIPE, and sets up the handler
/// that names the thread of a stack overflow.
const START_UP: [&str; 25] = [
    "execve(",
    "brk(",
    "mmap(",
    "mremap(",
    "arch_prctl(",
    "set_tid_address(",
    "set_robust_list(",
    "rseq(",
    "prlimit64(",
    "readlink(\"/proc/self/exe\"",
    "getrandom(",
    "mprotect(",
    "munmap(",
    "poll(",
    "rt_sigaction(",
    "rt_sigprocmask(",
    "openat(AT_FDCWD, \"/proc/self/maps\"",
    "open(\"/proc/self/maps\"",
    "fstat(",
    "newfstatat(3, \"\"",
    "read(3, ",
    "close(3)",
    "sched_getaffinity(",
    "sigaltstack(",
    "gettid(",
];

/// Calls that change the file system by a path, beside those that open.
const WRITES_PATH: [&str; 14] = [
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "chmod",
    "fchmodat",
    "truncate",
];

/// For `-e trace=`: the calls that [`Trace::written`] reads.
pub(crate) fn writers() -> String {
    [&WRITES_PATH[..], &["openat", "open", "creat"]].concat().join(",")
}

/// For `-e trace=`: the calls that [`Trace::is_read_after`] reads.
pub(crate) const fn readers_of_signals() -> &'static str {
    "signalfd4,read"
}

/// One system call: its name, which of that name it is counted from 1, and strace's line.
#[derive(Debug, Clone)]
pub(crate) struct SystemCall {
    pub(crate) name: String,
    pub(crate) nth: u32,
    pub(crate) line: String,
}

impl SystemCall {
    /// Whether it opens a file by its path. *Source*: the C library's `open`; glibc's and musl's are not the same call.
    pub(crate) fn is_open(&self) -> bool {
        ["openat", "open"].contains(&self.name.as_str())
    }

    /// Whether it starts a process. *Source*: the C library's `posix_spawn`, and what it falls back to.
    pub(crate) fn is_spawn(&self) -> bool {
        ["clone3", "clone", "vfork", "fork"].contains(&self.name.as_str())
    }
}

/// The system calls of one process, in order.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) calls: Vec<SystemCall>,
}

impl Trace {
    pub(crate) fn parse(text: &str) -> Self {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut calls = Vec::new();
        for line in text.lines() {
            let Some((name, _)) = line.split_once('(') else { continue };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let nth = counts.entry(name).or_default();
            *nth += 1;
            calls.push(SystemCall { name: name.to_owned(), nth: *nth, line: line.to_owned() });
        }
        Self { calls }
    }

    /// Whether the process got the signal that came before its `nth` call of this name. strace tells nothing of a signal that the process blocks. But the
    /// next signal that the process reads from its descriptor must be this one, for the kernel passes the lowest number first, and SIGCHLD is higher. A
    /// process that reads no signal any more has not been asked for it.
    pub(crate) fn is_read_after(&self, name: &str, nth: u32, signal: &str) -> bool {
        let created = self.calls.iter().find(|call| call.name == "signalfd4");
        let descriptor = created.and_then(|call| call.line.rsplit_once(" = "));
        let at = self.calls.iter().position(|call| call.name == name && call.nth == nth);
        let (Some((_, descriptor)), Some(at), Ok(signal)) = (descriptor, at, signal.parse::<Signal>()) else {
            return false;
        };
        let is_read = |call: &&SystemCall| call.line.starts_with(&format!("read({descriptor}, "));
        // The first field is the number, in octal digits here (man 2 signalfd).
        let expected = format!("read({descriptor}, \"\\{:o}\\0", signal as i32);
        self.calls[at..].iter().find(is_read).is_none_or(|call| call.line.starts_with(&expected))
    }

    /// The calls from our program's first step on.
    pub(crate) fn after_start_up(&self) -> Result<&[SystemCall]> {
        let at = self.calls.iter().position(|call| call.line.starts_with(MARKER));
        let at = at.with_context(|| format!("no `{MARKER}`: what does the program do first by now?"))?;
        for call in &self.calls[..at] {
            ensure!(
                START_UP.iter().any(|beginning| call.line.starts_with(beginning)),
                "`{}` comes before `{MARKER}`: if a library makes it, add it to START_UP, else move the marker",
                call.line
            );
        }
        Ok(&self.calls[at..])
    }

    /// Paths that were written to, made, renamed or removed. What the kernel refused, or was not
    /// reached before a kill, changed nothing.
    pub(crate) fn written(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for call in &self.calls {
            // Strings may hold anything but an unescaped quotation mark; ours are paths.
            let strings: Vec<&str> = call.line.split('"').skip(1).step_by(2).collect();
            let opens = call.name.starts_with("open") || call.name == "creat";
            let writes =
                ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.line.contains(flag));
            let refused = call.line.contains(" = -1 ") || call.line.ends_with(" = ?");
            if !refused && (WRITES_PATH.contains(&call.name.as_str()) || (opens && writes)) {
                // An empty path stands for an open file that is given a name (man 2 linkat, AT_EMPTY_PATH).
                paths.extend(strings.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from));
            }
        }
        paths
    }
}
