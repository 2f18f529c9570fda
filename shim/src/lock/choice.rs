//! The lock under which an ADD chooses an interface name of its container.
//!
//! *Shape*: one byte of `RUN/locks/choice.lock` for each container, under a lock of the open file description (man 2 `fcntl`, F_OFD_SETLK). The
//! number of the byte is a part of the container id's hash. The file is the same for all containers. It is empty, and it stays.
//!
//! The kernel unlocks the byte when the last descriptor of the opened file is closed. No delegate inherits one, because none runs while the lock
//! is held. So the lock ends with its holder, however that ends, and leaves nothing that somebody would have to find and remove.

use std::fs::File;
use std::io;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::lock_file::{open, prepare};
use super::shared::shared_name;
use super::{NoLock, PAUSE};
use crate::layout::Layout;
use crate::signal::Signals;
use crate::store::container_hash;

/// The held lock, until it is dropped.
#[derive(Debug)]
pub struct Choice {
    _file: File,
}

impl Choice {
    /// Takes the lock. The call holds it from the moment it reads the names in use until a record holds the new name. A call that holds this lock
    /// already has the lock of its attachment, and waits for no other lock. Like [`super::Lock::take`], it gives back a lock that came too late.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn take(
        layout: &Layout,
        container_id: &str,
        until: Instant,
        signals: &Signals,
    ) -> Result<Self, NoLock> {
        let path = prepare(layout, &shared_name("choice")).map_err(NoLock::Io)?;
        let file = open(&path).map_err(NoLock::Io)?;
        let byte = byte_of(container_id);
        loop {
            let last = Instant::now() >= until;
            match try_lock(&file, byte).map_err(NoLock::Io)? {
                _ if signals.stop_requested() => return Err(NoLock::Stopped),
                true if Instant::now() >= until => return Err(NoLock::Late),
                true => return Ok(Self { _file: file }),
                false if last => {
                    return Err(NoLock::Held(
                        "another call that chooses an interface name of the container".to_owned(),
                    ));
                }
                false => signals.pause(PAUSE),
            }
        }
    }
}

/// Locks one byte of the file; false if another opened file has locked it.
fn try_lock(file: &File, byte: libc::off_t) -> io::Result<bool> {
    #[expect(clippy::cast_possible_truncation, reason = "both constants are below 3")]
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The byte that stands for a container. Should two containers have the same one, they only wait for each other.
fn byte_of(container_id: &str) -> libc::off_t {
    let bits = u32::try_from(container_hash(container_id) >> 96).unwrap_or_default();
    libc::off_t::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn take(layout: &Layout, container_id: &str, patience: Duration) -> Result<Choice, NoLock> {
        let signals = Signals::receive().expect("signals");
        Choice::take(layout, container_id, Instant::now() + patience, &signals)
    }

    #[test]
    fn one_call_chooses_for_a_container_at_a_time_and_others_choose_for_theirs() {
        let dir = std::env::temp_dir().join(format!("crossfade-choice-{}", std::process::id()));
        let layout = Layout { run_dir: dir.clone(), ..Layout::default() };
        let patience = Duration::from_secs(20);
        let first = take(&layout, "c1", patience).expect("nobody has it");
        let refused = take(&layout, "c1", Duration::ZERO).expect_err("the first has it");
        assert!(matches!(&refused, NoLock::Held(by) if by.contains("interface name")), "{refused:?}");
        drop(take(&layout, "c2", patience).expect("another container's"));
        assert!(
            matches!(take(&layout, "c2", Duration::ZERO), Err(NoLock::Late)),
            "free only at the deadline"
        );

        let waiting = std::thread::spawn({
            let layout = layout.clone();
            move || take(&layout, "c1", Duration::from_secs(20)).map(drop)
        });
        drop(first);
        waiting.join().expect("no panic").expect("the first gave it back");
        let left: Vec<_> = std::fs::read_dir(layout.locks()).expect("locks").flatten().collect();
        assert_eq!(left.iter().map(|file| file.file_name()).collect::<Vec<_>>(), ["choice.lock"]);
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
