//! Mounts that make a file system, or a boot, look different to the shim.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::case::Case;

/// A wrapper under which a call sees the boot id of another boot.
pub(crate) fn another_boot(case: &Case) -> Result<[String; 6]> {
    let boot_id = case.path("boot_id");
    fs::write(&boot_id, "11111111-2222-4333-8444-555555555555\n")?;
    let script = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", boot_id.display());
    Ok(["unshare", "--mount", "sh", "-c", &script, "another-boot"].map(str::to_owned))
}

/// A mount that goes when this is dropped.
pub(crate) struct Mount {
    target: PathBuf,
}

impl Mount {
    /// Mounts a file or directory upon itself, so that it cannot be removed.
    pub(crate) fn upon_itself(target: &Path) -> Result<Self> {
        mount(Some(target), target, NOTHING, MsFlags::MS_BIND, NOTHING).context("bind")?;
        Ok(Self { target: target.to_owned() })
    }

    /// Makes a directory read-only.
    pub(crate) fn read_only(target: &Path) -> Result<Self> {
        let made = Self::upon_itself(target)?;
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(NOTHING, target, NOTHING, flags, NOTHING).context("remount read-only")?;
        Ok(made)
    }

    /// Puts a file system of 64 KiB there.
    pub(crate) fn small_tmpfs(target: &Path) -> Result<Self> {
        let options = "mode=0700,size=64k";
        mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(options))
            .context("mount a small tmpfs")?;
        Ok(Self { target: target.to_owned() })
    }

    /// Puts a file system without a free block there.
    pub(crate) fn full_tmpfs(target: &Path) -> Result<Self> {
        let made = Self::small_tmpfs(target)?;
        made.fill()?;
        Ok(made)
    }

    /// Takes the last free block of a small one.
    pub(crate) fn fill(&self) -> Result<()> {
        let filled = fs::write(self.target.join("filler"), vec![0; 1 << 20]);
        ensure!(filled.is_err(), "a megabyte fits into 64 KiB");
        Ok(())
    }

    /// Gives its blocks back.
    pub(crate) fn empty(&self) -> Result<()> {
        fs::remove_file(self.target.join("filler")).context("remove the filler")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The lab's mount namespace ends with the process anyhow.
        let _unmounted = umount2(&self.target, MntFlags::MNT_DETACH);
    }
}

const NOTHING: Option<&str> = None;
