//! The check whether a file outlives a reboot.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};

/// *Source*: `linux/magic.h`.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
/// Directories that every boot starts empty. *Source*: the Filesystem Hierarchy Standard 3.0, section 3.15.
const VOLATILE: [&str; 3] = ["/run", "/var/run", "/dev"];

/// Whether the directory of `path`, or the nearest existing one above, lies on a disk, as far as the kernel tells.
///
/// # Errors
/// Why a reboot would remove the file.
pub(crate) fn outlives_reboot(path: &Path) -> Result<(), String> {
    if let Some(dir) = VOLATILE.iter().find(|dir| path.starts_with(dir)) {
        return Err(format!("{} lies in {dir}, which every boot empties", path.display()));
    }
    let dir = path.ancestors().skip(1).find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match volatile_reason(dir, &mounts) {
        None => Ok(()),
        Some(kind) => Err(format!("{} lies on {kind}, which does not outlive a reboot", path.display())),
    }
}

fn volatile_reason(dir: &Path, mounts: &str) -> Option<&'static str> {
    // What cannot be asked is taken for a disk: refusing to flip for that would be worse.
    let kind = |path: &Path| statfs(path).ok().map(|stat| stat.filesystem_type());
    match kind(dir)? {
        TMPFS_MAGIC => Some("a tmpfs"),
        RAMFS_MAGIC => Some("a ramfs"),
        OVERLAYFS_SUPER_MAGIC => match kind(&upper_dir(dir, mounts)?)? {
            TMPFS_MAGIC | RAMFS_MAGIC => Some("an overlay over memory"),
            _ => None,
        },
        _ => None,
    }
}

/// The writable layer of the overlay that `path` lies on: option `upperdir` of the longest mount point above it.
/// *Source*: man 5 `proc_pid_mountinfo`.
fn upper_dir(path: &Path, mounts: &str) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let line = mounts
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|point| real.starts_with(point)))
        // Of two on one place the later one is on top.
        .max_by_key(|line| line.split(' ').nth(4).map(str::len))?;
    let options = line.split(' ').next_back()?;
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_volatile_whatever_it_is_mounted_from() {
        for path in ["/run/crossfade/policy.json", "/var/run/x", "/dev/shm/x"] {
            assert!(outlives_reboot(Path::new(path)).is_err(), "{path}");
        }
        assert!(!Path::new("/runner/x").starts_with("/run"));
    }

    #[test]
    fn the_upper_layer_is_that_of_the_longest_mount_above() {
        let mounts = "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/up0,workdir=/w\n\
                      2 1 0:2 / /tmp rw - overlay overlay rw,lowerdir=/l,upperdir=/up1,workdir=/w\n\
                      3 1 0:3 / /tmpx rw - tmpfs tmpfs rw\n";
        assert_eq!(upper_dir(Path::new("/tmp"), mounts), Some("/up1".into()));
        assert_eq!(upper_dir(Path::new("/proc"), mounts), Some("/up0".into()));
        assert_eq!(upper_dir(Path::new("/"), "3 1 0:3 / / rw - tmpfs tmpfs rw"), None);
    }
}
