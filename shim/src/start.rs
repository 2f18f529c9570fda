//! The first steps of the process, instead of the standard library's own.
//!
//! The standard library reads `/proc/self/maps` and sets up a second stack, so that it can name the thread of a stack overflow. This costs a tenth
//! of a millisecond in every call, and a twelfth of the program (the parsers of the C library that it links). Without it, an overflow still ends
//! the process at its guard page, by the same signal. This module does the other steps, which the plugin relies on, and provides what a C library
//! leaves to the program.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::ptr::NonNull;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{PT_GNU_RELRO, dl_iterate_phdr, dl_phdr_info};
use nix::sys::mman::{ProtFlags, mprotect};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{SysconfVar, sysconf};

/// musl's own allocator takes its memory from the kernel by single pages and gives it back by single pages, which is a fifth of the system calls of
/// a call (`docs/architecture.md`, "The C library of the plugin"). This one takes 64 KiB at once.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The entry point that the C library calls once the process is set up.
#[expect(unsafe_code, reason = "the C library finds its entry point by this very name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    // glibc has done it before `main`.
    if cfg!(target_env = "musl") {
        protect_relocated();
    }
    keep_memory_to_ourselves();
    open_standard_streams();
    set_signals();
    std::process::exit(crate::run());
}

/// Makes the tables of pointers read-only that the program has relocated at its start. The linker puts them together and marks them with a
/// PT_GNU_RELRO header (man 5 `elf`).
///
/// musl does so in its dynamic loader alone, and a static program that relocates itself has none (musl 1.2.6, `ldso/dlstart.c`). As with glibc, the
/// program does not go on if the kernel refuses.
#[expect(unsafe_code, reason = "only the C library knows where the program lies")]
fn protect_relocated() {
    // SAFETY: the callback has the type that the function expects, and uses what it gets only while it runs.
    if unsafe { dl_iterate_phdr(Some(protect_object), std::ptr::null_mut()) } != 0 {
        std::process::abort();
    }
}

/// Protects what the headers of one object name; a static program has one object. Returns 0, or 1 after an error.
#[expect(unsafe_code, reason = "the C library passes pointers")]
unsafe extern "C" fn protect_object(object: *mut dl_phdr_info, _bytes: usize, _data: *mut c_void) -> c_int {
    let Some(page) = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|page| u64::try_from(page).ok())
    else {
        return 1;
    };
    // SAFETY: the C library passes an object, and has counted its headers (man 3 `dl_iterate_phdr`).
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    for header in headers.iter().filter(|header| header.p_type == PT_GNU_RELRO) {
        // Whole pages alone: what follows in the last one may be written.
        let from = (base + header.p_vaddr) / page * page;
        let to = (base + header.p_vaddr + header.p_memsz) / page * page;
        let (Some(at), Ok(length)) = (NonNull::new(from as *mut c_void), usize::try_from(to - from)) else {
            return 1;
        };
        // SAFETY: these pages were relocated before `main`, and the linker promises that nothing writes to them afterwards.
        if unsafe { mprotect(at, length, ProtFlags::PROT_READ) }.is_err() {
            return 1;
        }
    }
    0
}

/// Prevents core dumps, and that another process of this uid reads the memory or environment: confs hold tokens. A delegate starts dumpable again
/// (man 2 `prctl`, PR_SET_DUMPABLE), whereas it would inherit a limit on core dumps.
fn keep_memory_to_ourselves() {
    // If the kernel refuses, the process is as dumpable as any other program.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Opens /dev/null for each standard stream that the caller closed. Otherwise the next file would get the stream's number, and the output for the
/// caller.
fn open_standard_streams() {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    if [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
        .into_iter()
        .all(|fd| fcntl(fd, FcntlArg::F_GETFD).is_ok())
    {
        return;
    }
    while let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > stderr.as_raw_fd() {
            return;
        }
        // The lowest free number belongs to one of the three streams, so the descriptor stays open.
        let _ = null.into_raw_fd();
    }
    // Without /dev/null, no further step is safe.
    std::process::abort();
}

/// Ignores SIGPIPE, so that a reader that hangs up is an error of the write, and not the end of the process. Delegates start with the default.
///
/// No longer ignores SIGCHLD if the caller did: the kernel would discard the exit status of a delegate (man 2 `sigaction`, SA_NOCLDWAIT).
#[expect(unsafe_code, reason = "ignoring a signal, or not, installs no handler that could break a rule")]
fn set_signals() {
    for (number, action) in [(Signal::SIGPIPE, SigHandler::SigIgn), (Signal::SIGCHLD, SigHandler::SigDfl)] {
        // SAFETY: neither action runs a handler.
        let set = unsafe { signal(number, action) };
        debug_assert!(set.is_ok(), "every process may set what {number} does");
    }
}

/// Stands in for the unwinder of glibc's compilers. The standard library asks it for backtraces. The plugin prints none, and the linker discards the
/// tables from which an unwinder would read one (`shim/no-unwind-tables.ld`).
#[cfg(target_env = "musl")]
#[expect(unsafe_code, reason = "the standard library finds it by this very name")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_frame: *mut c_void, _argument: *mut c_void) -> c_int {
    // `_URC_END_OF_STACK` of the Itanium C++ ABI for exception handling, section 1.2: there is no further frame.
    5
}

/// The other function of the unwinder that the standard library refers to. Nothing calls it, because there is no frame.
#[cfg(target_env = "musl")]
#[expect(unsafe_code, reason = "the standard library finds it by this very name")]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_GetIP(_frame: *mut c_void) -> usize {
    0
}
