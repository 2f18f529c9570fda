//! The disk of a machine: a directory on the lab's tmpfs, `/usr` mounted in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::host::scratch::Scratch;
use crate::host::{command, isolate};

/// What a machine takes from the machine underneath, beside `/usr`.
const COPIED: [&str; 5] = ["passwd", "group", "nsswitch.conf", "ld.so.cache", "pam.d"];

/// Directories of an image of which a machine has its own: one that is a layer over the image's, and those that a boot fills.
const OWN: [&str; 6] = ["usr", "proc", "sys", "dev", "run", "tmp"];

/// A root directory.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    // Removed after the unmount.
    scratch: Scratch,
}

impl Disk {
    /// An almost empty `/etc` and `/var`, and the `/usr` that is the lab's: with `package` on top and writable, else as it is.
    pub(super) fn of_lab(package: Option<&Path>) -> Result<Self> {
        let disk = Self::empty()?;
        for directory in ["etc/systemd/system", "var/log/journal", "opt", "root"] {
            disk.scratch.dir(Path::new("root").join(directory))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(Path::new("usr").join(name), disk.root.join(name)).context("links to /usr")?;
        }
        let mut copy = Command::new("cp");
        copy.arg("--archive").args(COPIED.map(|name| Path::new("/etc").join(name)));
        command::run(copy.arg(disk.root.join("etc")))?;
        match package {
            Some(package) => disk.layer(&[package, Path::new("/usr")])?,
            // No layer of its own: systemd-sysext lays one over it, and overlayfs stacks no higher than two.
            None => isolate::bind(Path::new("/usr"), &disk.root.join("usr"))?,
        }
        Ok(disk)
    }

    /// The root directory of an image, copied; its `/usr` is under a writable layer.
    ///
    /// containerd's directory must not be on overlayfs, and it is small; so `/var` is not a layer, nor is the rest.
    pub(super) fn of_image(image: &Path) -> Result<Self> {
        let disk = Self::empty()?;
        let entries = fs::read_dir(image).with_context(|| format!("reading {}", image.display()))?;
        let mut copy = Command::new("cp");
        copy.arg("--archive");
        for entry in entries {
            let name = entry?.file_name();
            if !OWN.iter().any(|own| name == *own) {
                copy.arg(image.join(name));
            }
        }
        command::run(copy.arg(&disk.root)).with_context(|| format!("copying {}", image.display()))?;
        disk.layer(&[&image.join("usr")])?;
        Ok(disk)
    }

    /// The directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether its `/usr` can be written to.
    pub(super) fn has_layer(&self) -> bool {
        self.scratch.join("upper").is_dir()
    }

    fn empty() -> Result<Self> {
        let scratch = Scratch::new("machine")?;
        let root = scratch.dir("root")?;
        for directory in OWN {
            scratch.dir(Path::new("root").join(directory))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).context("mode of /tmp")?;
        Ok(Self { root, scratch })
    }

    /// Mounts `/usr`: these directories, the first one on top, under a layer of this disk.
    fn layer(&self, lower: &[&Path]) -> Result<()> {
        let (upper, work) = (self.scratch.dir("upper")?, self.scratch.dir("work")?);
        let lower: Vec<String> = lower.iter().map(|layer| layer.display().to_string()).collect();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
        let usr = self.root.join("usr");
        mount(Some("overlay"), &usr, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .context("a machine's /usr")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _goes_with_the_lab = umount2(&self.root.join("usr"), MntFlags::MNT_DETACH);
    }
}
