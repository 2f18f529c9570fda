//! The mount points of this process: the trees that must not be deleted, and those that are no part of an image.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// *Source*: man 5 `proc_pid_mountinfo`.
const MOUNT_INFO: &str = "/proc/self/mountinfo";
/// File systems that hold nothing an image could keep. *Source*: man 5 `filesystems`, and the kernel's `Documentation/filesystems`.
const VOLATILE: [&str; 18] = [
    "autofs",
    "bpf",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "proc",
    "pstore",
    "ramfs",
    "sysfs",
    "tmpfs",
];

/// The mounts, in the kernel's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mounts(Vec<Mount>);

#[derive(Debug, Clone)]
struct Mount {
    /// The device, `MAJOR:MINOR`.
    device: String,
    /// Which directory of its file system is seen there.
    root: PathBuf,
    /// The directory at which the mount appears.
    point: PathBuf,
    /// The type of the file system.
    kind: String,
}

/// What a place in a tree is to an image of that tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountPlace {
    /// The path is a part of the image.
    Image,
    /// The next boot empties the path, so the image does not hold it.
    Volatile,
    /// Something of this machine that is only shown there, by the mount at this path.
    Foreign(PathBuf),
}

impl Mounts {
    /// The current mounts of this process.
    ///
    /// # Errors
    /// /proc is not mounted, so mounts cannot be told from directories.
    pub(crate) fn read() -> io::Result<Self> {
        let text = std::fs::read(MOUNT_INFO).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("mounts cannot be told from directories without /proc: {MOUNT_INFO}: {error}"),
            )
        })?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n');
        Self(lines.filter_map(Mount::parse).collect())
    }

    /// A mount at `path` or below it; `path` has no link in it.
    #[must_use]
    pub(crate) fn mount_of(&self, path: &Path) -> Option<&Path> {
        self.0.iter().map(|mount| mount.point.as_path()).find(|point| point.starts_with(path))
    }

    /// Whether something is mounted at `path` itself, which has no link in it.
    #[must_use]
    pub(crate) fn is_mount_point(&self, path: &Path) -> bool {
        self.0.iter().any(|mount| mount.point == path)
    }

    /// Every mount point at `path` and below it; `path` has no link in it.
    #[must_use]
    pub(crate) fn mounts_below(&self, path: &Path) -> Vec<PathBuf> {
        let mut points: Vec<_> =
            self.0.iter().map(|mount| &mount.point).filter(|point| point.starts_with(path)).collect();
        points.dedup();
        points.into_iter().cloned().collect()
    }

    /// What `path` is to an image of the tree at `root`; neither has a link in it.
    ///
    /// A partition of the image, mounted where it belongs, is part of it. The same mount shown outside of the tree as well is
    /// this machine's: `mount --bind /run IMAGE/run`.
    #[must_use]
    pub(crate) fn place(&self, root: &Path, path: &Path) -> MountPlace {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        // Of two on one place the later one is on top.
        let Some(mount) = above.max_by_key(|mount| mount.point.components().count()) else {
            return MountPlace::Image;
        };
        if mount.point == root || !mount.point.starts_with(root) {
            return MountPlace::Image;
        }
        let elsewhere = |other: &Mount| {
            !other.point.starts_with(root)
                && other.device == mount.device
                && mount.root.starts_with(&other.root)
        };
        if VOLATILE.contains(&mount.kind.as_str()) {
            MountPlace::Volatile
        } else if self.0.iter().any(elsewhere) {
            MountPlace::Foreign(mount.point.clone())
        } else {
            MountPlace::Image
        }
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        fields.find(|field| *field == b"-")?;
        Some(Self { device, root, point, kind: String::from_utf8_lossy(fields.next()?).into_owned() })
    }
}

/// A path of that file: blanks and backslashes are three octal digits there.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, others)) = rest.split_first() {
        let octal = || u8::from_str_radix(std::str::from_utf8(others.get(..3)?).ok()?, 8).ok();
        match (first, octal()) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            _ => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 0:5 / /run rw shared:2 - tmpfs tmpfs rw\n\
        3 1 7:0 / /mnt/image rw - ext4 /dev/loop0 rw\n\
        4 3 7:1 / /mnt/image/var rw - ext4 /dev/loop1 rw\n\
        5 3 0:5 / /mnt/image/run rw - tmpfs tmpfs rw\n\
        6 3 8:1 /srv/cni /mnt/image/opt/a\\040b rw - ext4 /dev/sda1 rw\n\
        7 1 8:2 / /var/log rw - xfs /dev/sda2 rw\n";

    #[test]
    fn a_mount_within_is_told_and_one_beside_is_not() {
        let mounts = Mounts::parse(TEXT);
        for (path, within) in [
            ("/mnt/image/opt", Some("/mnt/image/opt/a b")),
            ("/mnt/image/opt/a b", Some("/mnt/image/opt/a b")),
            ("/mnt/image/opt/a b/below", None),
            ("/mnt/image/opt/a", None),
            ("/mnt/image/v", None),
            ("/mnt/image/var", Some("/mnt/image/var")),
        ] {
            assert_eq!(mounts.mount_of(Path::new(path)), within.map(Path::new), "{path}");
        }
    }

    #[test]
    fn a_mount_point_is_one_path_and_those_below_a_path_are_all_named() {
        let mounts = Mounts::parse(TEXT);
        for (path, is_point, below) in [
            ("/run", true, &["/run"][..]),
            ("/mnt/image/opt", false, &["/mnt/image/opt/a b"]),
            ("/mnt/image/v", false, &[]),
            ("/var", false, &["/var/log"]),
        ] {
            assert_eq!(mounts.is_mount_point(Path::new(path)), is_point, "{path}");
            assert_eq!(
                mounts.mounts_below(Path::new(path)),
                below.iter().map(PathBuf::from).collect::<Vec<_>>(),
                "{path}"
            );
        }
    }

    #[test]
    fn an_image_s_own_partition_is_part_of_it_and_what_is_bound_there_is_not() {
        let mounts = Mounts::parse(TEXT);
        for (root, path, place) in [
            ("/mnt/image", "/mnt/image/etc/x", MountPlace::Image),
            ("/mnt/image", "/mnt/image/var/lib/x", MountPlace::Image),
            ("/mnt/image", "/mnt/image/run/x", MountPlace::Volatile),
            ("/mnt/image", "/mnt/image/opt/a b/x", MountPlace::Foreign("/mnt/image/opt/a b".into())),
            ("/", "/etc/x", MountPlace::Image),
            ("/", "/var/log/pods", MountPlace::Image),
            ("/", "/run/crossfade", MountPlace::Volatile),
            ("/run/image", "/run/image/etc/x", MountPlace::Image),
        ] {
            assert_eq!(mounts.place(Path::new(root), Path::new(path)), place, "{root} {path}");
        }
    }

    #[test]
    fn this_machine_s_can_be_read() {
        assert!(Mounts::read().expect("/proc").mount_of(Path::new("/")).is_some());
    }
}
