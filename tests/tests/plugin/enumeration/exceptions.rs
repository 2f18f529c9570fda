//! The points that cannot be broken like all others, by name and with the reason.

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

/// Calls after whose failure the process may end itself by SIGABRT, which is then as good as a kill; no other may.
const MAY_ABORT: [(&str, &str); 6] = [
    ("brk", OUT_OF_MEMORY),
    ("mmap", OUT_OF_MEMORY),
    ("mremap", OUT_OF_MEMORY),
    ("munmap", OUT_OF_MEMORY),
    ("madvise", OUT_OF_MEMORY),
    ("setns", "a thread that cannot leave a pod's netns would do to the pod what it means for the host"),
];

const OUT_OF_MEMORY: &str = "without memory the allocator of the standard library ends the process";

/// Why a call is never made to fail, if so.
pub(crate) fn never_fails(name: &str) -> Option<&'static str> {
    NEVER_FAILS.iter().find(|(exempt, _)| *exempt == name).map(|(_, why)| *why)
}

/// Why the process may end itself after the `nth` call of this name has failed, if so.
pub(crate) fn may_abort(name: &str, nth: u32) -> Option<&'static str> {
    // Every second one is the way back; what fails to enter a netns is an error like any other.
    let way_in = name == "setns" && nth % 2 == 1;
    MAY_ABORT.iter().find(|(exempt, _)| *exempt == name && !way_in).map(|(_, why)| *why)
}
