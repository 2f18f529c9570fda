//! How a process starts: this one, and its delegates. All code of the plugin that the compiler cannot check is here.
//!
//! The first steps of this process are not the standard library's own. That reads `/proc/self/maps` and sets up a second stack, so that it can name the
//! thread of a stack overflow. This costs a tenth of a millisecond in every call, and a twelfth of the program (the parsers of the C library that it
//! links). Without it, an overflow still ends the process at its guard page, by the same signal. This module does the other steps, which the plugin
//! relies on. It provides what a C library leaves to the program, and copies memory in place of one that is slow to begin.

#[cfg(all(any(test, target_env = "musl"), target_arch = "x86_64"))]
use std::arch::asm;
use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::ptr::{NonNull, null, null_mut};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, PT_GNU_RELRO, dl_iterate_phdr, dl_phdr_info};
use nix::sys::mman::{ProtFlags, mprotect};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, SysconfVar, setpgid, sysconf};
use shim::exec::{Launch, launch_by};

/// musl's own allocator takes its memory from the kernel by single pages and gives it back by single pages, which is a fifth of the system calls of
/// a call (`docs/performance.md`, "The C library of the plugin"). This one takes 64 KiB at once.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The last standard stream.
const STDERR: RawFd = 2;

/// The entry point that the C library calls once the process is set up.
#[cfg_attr(
    not(test),
    expect(unsafe_code, reason = "the C library finds its entry point by this very name"),
    unsafe(no_mangle)
)]
extern "C" fn main() -> i32 {
    // glibc has done it before `main`.
    if cfg!(target_env = "musl") {
        protect_relocated();
    }
    keep_memory_to_ourselves();
    open_standard_streams();
    set_signals();
    launch_by(launch);
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
    if unsafe { dl_iterate_phdr(Some(protect_object), null_mut()) } != 0 {
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
    if (0..=STDERR).all(|number| fcntl(standard(number), FcntlArg::F_GETFD).is_ok()) {
        return;
    }
    while let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > STDERR {
            return;
        }
        // The lowest free number belongs to one of the three streams, so the descriptor stays open.
        let _ = null.into_raw_fd();
    }
    // Without /dev/null, no further step is safe.
    std::process::abort();
}

/// A standard stream by its number: 0, 1 or 2.
#[expect(
    unsafe_code,
    reason = "the standard library lends these descriptors with a buffer for each, which costs an allocation"
)]
pub(crate) fn standard(stream: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=STDERR).contains(&stream), "no standard stream has the number {stream}");
    // SAFETY: the process never closes one, and opens those that are closed at its start. Until then, it only asks whether they are.
    unsafe { BorrowedFd::borrow_raw(stream) }
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

/// The stack of a child until it executes its program, in words of 16 bytes. What runs on it calls the kernel and little else.
const CHILD_STACK_WORDS: usize = 1024;

/// What a child of [`launch`] works with, in the memory that it shares with this process.
struct Child {
    streams: [RawFd; 3],
    file: RawFd,
    by_path: bool,
    /// The program's path, and the end.
    arguments: [*const c_char; 2],
    environment: Vec<*const c_char>,
    /// Why the program was not executed.
    failed: Option<Errno>,
}

/// Starts a delegate, as [`shim::exec::Launcher`] says.
///
/// The child shares the memory of this process, which waits until the child has executed its program or ended (man 2 `clone`, CLONE_VM and
/// CLONE_VFORK), so that no page table is copied. `posix_spawn` does it in the same way, but it must reckon with threads and with handlers of signals.
/// This process has neither: it reads its signals from a descriptor, and a signal that comes before `execve` does to the child what it does to a program.
#[expect(unsafe_code, reason = "only the kernel can start a process, and it takes pointers")]
fn launch(program: &Launch<'_>) -> nix::Result<Pid> {
    let pointers = program.environment.iter().map(|variable| variable.as_ptr());
    let mut child = Child {
        streams: program.streams.map(|stream| stream.as_raw_fd()),
        file: program.file.as_raw_fd(),
        by_path: program.by_path,
        arguments: [program.path.as_ptr(), null()],
        environment: pointers.chain([null()]).collect(),
        failed: None,
    };
    let mut stack: Vec<u128> = Vec::with_capacity(CHILD_STACK_WORDS);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack and what the child reads outlive it, because `clone` returns only once the child no longer uses them. This thread sleeps
    // meanwhile, and there is no other.
    let pid = Errno::result(unsafe {
        let top = stack.as_mut_ptr().add(CHILD_STACK_WORDS);
        libc::clone(run_child, top.cast(), flags, (&raw mut child).cast())
    })?;
    let pid = Pid::from_raw(pid);
    match child.failed {
        None => Ok(pid),
        Some(errno) => {
            // It has ended already.
            let _ = waitpid(pid, None);
            Err(errno)
        }
    }
}

/// The child of [`launch`]: it executes its program, or notes why it could not.
extern "C" fn run_child(child: *mut c_void) -> c_int {
    #[expect(unsafe_code, reason = "the C library passes a pointer")]
    // SAFETY: it is the child of `launch`, which sleeps.
    let child = unsafe { &mut *child.cast::<Child>() };
    child.failed = Some(execute(child));
    // As a shell does after an `exec` that failed. Nobody reads the status.
    #[expect(unsafe_code, reason = "what a process does at its end is the parent's to do")]
    // SAFETY: it ends the child alone.
    unsafe {
        libc::_exit(127)
    }
}

/// Executes the child's program. Returns only after an error.
#[expect(unsafe_code, reason = "the kernel takes pointers")]
fn execute(child: &Child) -> Errno {
    let prepared = setpgid(Pid::from_raw(0), Pid::from_raw(0)).and_then(|()| {
        for (number, stream) in (0..).zip(child.streams) {
            // SAFETY: the descriptors are the child's own copies.
            Errno::result(unsafe { libc::dup2(stream, number) })?;
        }
        // An ignored signal would stay ignored in the program (man 7 `signal`).
        for number in Signal::iterator().filter(|number| !matches!(number, Signal::SIGKILL | Signal::SIGSTOP))
        {
            // SAFETY: the default action runs no handler.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
        SigSet::empty().thread_set_mask()
    });
    if let Err(errno) = prepared {
        return errno;
    }
    let (arguments, environment) = (child.arguments.as_ptr(), child.environment.as_ptr());
    // SAFETY: all pointers lead to C strings, and both lists end with a null pointer. On success, there is nothing to return to.
    unsafe {
        if child.by_path {
            libc::execve(child.arguments[0], arguments, environment);
        } else {
            let whole = c"".as_ptr();
            libc::syscall(libc::SYS_execveat, child.file, whole, arguments, environment, libc::AT_EMPTY_PATH);
        }
    }
    Errno::last()
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

/// memcpy(3), in place of musl's: see [`copy`].
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "the compiler calls it by this very name, with pointers")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: whoever calls memcpy promises what `copy` needs.
    unsafe { copy(to, from, length) };
    to
}

/// memmove(3), in place of musl's: see [`copy`].
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "the compiler calls it by this very name, with pointers")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: whoever calls memmove promises what `copy` needs.
    unsafe { copy(to, from, length) };
    to
}

/// Copies `length` bytes between two places, which may overlap.
///
/// An ADD copies a thousand short pieces of memory. musl 1.2 copies each of them by string instructions (`src/string/x86_64/memcpy.s`), which
/// processors are slow to begin (`docs/performance.md`, "What was tried"). This function copies a short piece by ordinary instructions: its
/// first bytes and its last ones, which meet or overlap in the middle.
///
/// # Safety
/// `length` bytes are readable at `from` and writable at `to`.
#[cfg(all(any(test, target_env = "musl"), target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "only the caller knows what the pointers lead to")]
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: nothing before the first byte or after the last one is touched.
    unsafe {
        match length {
            0 => {}
            1 => to.write(from.read()),
            2..4 => copy_ends::<u16>(to, from, length),
            4..8 => copy_ends::<u32>(to, from, length),
            8..16 => copy_ends::<u64>(to, from, length),
            16..=32 => copy_ends::<u128>(to, from, length),
            // From the first byte to the last one, unless that would overwrite bytes that are still to be copied. The distance wraps around
            // if `to` comes before `from`.
            _ if to.addr().wrapping_sub(from.addr()) >= length => asm!(
                "rep movsb",
                inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags)
            ),
            // The ABI wants the direction flag clear again.
            _ => asm!(
                "std", "rep movsb", "cld",
                inout("rcx") length => _, inout("rdi") to.add(length - 1) => _, inout("rsi") from.add(length - 1) => _,
                options(nostack)
            ),
        }
    }
}

/// Copies the first and the last `T` of `length` bytes, which are at least one `T` and at most two. Both are read before either is written, so the
/// places may overlap in any way.
///
/// # Safety
/// As [`copy`].
#[cfg(all(any(test, target_env = "musl"), target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "only the caller knows what the pointers lead to")]
#[inline(always)]
unsafe fn copy_ends<T: Copy>(to: *mut u8, from: *const u8, length: usize) {
    let last = length - size_of::<T>();
    // SAFETY: both lie within the `length` bytes.
    unsafe {
        let ends = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
        to.cast::<T>().write_unaligned(ends.0);
        to.add(last).cast::<T>().write_unaligned(ends.1);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::num::NonZero;

    use nix::sys::mman::{MapFlags, mmap_anonymous};

    use super::*;

    /// A page of memory; nobody may touch the bytes before it and after it.
    #[expect(unsafe_code, reason = "only the kernel has such memory")]
    fn lone_page() -> &'static mut [u8] {
        let page: usize = 4096;
        let whole = NonZero::new(3 * page).expect("three pages");
        let usable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses where, nobody else knows of it, and it stays until the process ends.
        unsafe {
            let at = mmap_anonymous(None, whole, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE).expect("pages");
            let middle = at.byte_add(page);
            mprotect(middle, page, usable).expect("a page to read and write");
            std::slice::from_raw_parts_mut(middle.as_ptr().cast(), page)
        }
    }

    /// Copies within `memory`, from and to these offsets.
    #[expect(unsafe_code, reason = "that is what is tested")]
    fn copy_in(memory: &mut [u8], from: usize, to: usize, length: usize) {
        assert!(from.max(to) + length <= memory.len());
        let start = memory.as_mut_ptr();
        // SAFETY: both places lie within the memory.
        unsafe { copy(start.add(to), start.add(from), length) };
    }

    /// Bytes of which no two neighbours are alike.
    fn pattern(length: usize) -> Vec<u8> {
        (0_u8..=250).cycle().take(length).collect()
    }

    #[test]
    fn a_copy_has_every_byte_and_changes_no_other_wherever_the_two_places_overlap() {
        const ROOM: usize = 512;
        for length in (0..=140).chain([255, 256, 257, ROOM]) {
            for distance in 0..=length + 2 {
                for (from, to) in [(8, 8 + distance), (8 + distance, 8)] {
                    let mut copied = pattern(8 + 2 * ROOM + 16);
                    let mut expected = copied.clone();
                    expected.copy_within(from..from + length, to);
                    copy_in(&mut copied, from, to, length);
                    assert!(copied == expected, "{length} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn a_copy_reads_and_writes_nothing_beyond_its_ends() {
        let (source, target) = (lone_page(), lone_page());
        source.copy_from_slice(&pattern(source.len()));
        let ends = |length: usize| [0, source.len() - length];
        for length in (0..=140).chain([source.len() - 1, source.len()]) {
            for (from, to) in ends(length).into_iter().flat_map(|from| ends(length).map(|to| (from, to))) {
                target.fill(0xff);
                #[expect(unsafe_code, reason = "that is what is tested")]
                // SAFETY: both places lie within their pages.
                unsafe {
                    copy(target.as_mut_ptr().add(to), source.as_ptr().add(from), length);
                }
                assert!(
                    target[to..to + length] == source[from..from + length],
                    "{length} from {from} to {to}"
                );
                let others = target[..to].iter().chain(&target[to + length..]);
                assert!(others.clone().all(|byte| *byte == 0xff), "{length} from {from} to {to}");
            }
        }
    }
}
