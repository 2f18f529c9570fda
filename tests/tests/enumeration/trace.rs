//! What strace wrote: which system calls a call of the shim makes, and which files it writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};

/// What our own program does first: it forbids dumps of its memory (`shim/src/start.rs`). Everything before is the kernel's,
/// the loader's and the C library's.
const MARKER: &str = "prctl(PR_SET_DUMPABLE";

/// What may come before the marker. Anything else there means that our program begins earlier than the marker says.
const START_UP: [&str; 12] = [
    "execve",
    "brk",
    "mmap",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "readlink",
    "getrandom",
    "mprotect",
    "munmap",
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

/// Calls that start a process. *Source*: the C library's `posix_spawn`, and what it falls back to.
const SPAWNS: [&str; 4] = ["clone3", "clone", "vfork", "fork"];

/// For `-e trace=`: the calls that [`Trace::pipes_of_spawns`] reads, beside `close`.
pub(crate) fn spawners() -> String {
    [&SPAWNS[..], &["pipe2"]].concat().join(",")
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

    /// Whether it starts a process.
    pub(crate) fn is_spawn(&self) -> bool {
        SPAWNS.contains(&self.name.as_str())
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

    /// Which `close` calls, counted from 1, are `posix_spawn`'s own: each closes the end of a pipe that was made right before the start of a process.
    /// *Source*: musl 1.2, `src/process/posix_spawn.c`. glibc makes no pipe.
    pub(crate) fn pipes_of_spawns(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for around in self.calls.windows(3) {
            let [pipe, spawn, close] = around else { continue };
            // `pipe2([22, 23], O_CLOEXEC) = 0`
            let end = pipe.line.split_once(", ").and_then(|(_, rest)| rest.split_once(']'));
            let is_pipe = pipe.name == "pipe2" && spawn.is_spawn() && close.name == "close";
            if is_pipe && end.is_some_and(|(end, _)| close.line.starts_with(&format!("close({end})"))) {
                found.insert(close.nth);
            }
        }
        found
    }

    /// The calls from our program's first step on.
    pub(crate) fn after_start_up(&self) -> Result<&[SystemCall]> {
        let at = self.calls.iter().position(|call| call.line.starts_with(MARKER));
        let at = at.with_context(|| format!("no `{MARKER}`: what does the program do first by now?"))?;
        for call in &self.calls[..at] {
            ensure!(
                START_UP.contains(&call.name.as_str()),
                "`{}` comes before `{MARKER}`: if it is the C library's, add it to START_UP, else move the marker",
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
