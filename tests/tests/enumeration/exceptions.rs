//! What cannot be broken like everything else, by name and with the reason.

/// Calls that are killed at, but never made to fail: the kernel promises that they do not (the manual page of each).
const NEVER_FAILS: [(&str, &str); 7] = [
    ("rt_sigprocmask", "fails for mistakes of the caller alone (a bad pointer, an unknown request)"),
    ("exit_group", "does not return"),
    ("rt_sigreturn", "returns to where the signal came; a result in its place is a register of that code"),
    ("restart_syscall", "goes on with a call that a signal interrupted, and has no result of its own"),
    ("getpid", "has no error"),
    ("geteuid", "has no error"),
    ("gettid", "has no error"),
];

/// Calls for memory. Without memory the allocator of Rust's standard library ends the process by SIGABRT, which is then
/// as good as a kill; nothing else may.
const MEMORY: [&str; 5] = ["brk", "mmap", "mremap", "munmap", "madvise"];

/// Why a call is never made to fail, if so.
pub(crate) fn never_fails(name: &str) -> Option<&'static str> {
    NEVER_FAILS.iter().find(|(exempt, _)| *exempt == name).map(|(_, why)| *why)
}

/// Whether a call that is made to fail may end the process by SIGABRT.
pub(crate) fn may_abort(name: &str) -> bool {
    MEMORY.contains(&name)
}
