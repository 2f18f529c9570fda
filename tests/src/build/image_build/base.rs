//! The Debian that an image begins with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::boot::Machine;
use crate::host::command;
use crate::host::scratch::Scratch;

/// Names the archive that `tests/image` makes of the distribution's packages.
const ARCHIVE: &str = "CROSSFADE_IMAGE_BASE";

/// A machine of the base that is off: what a template begins with, for those who only change root into it.
///
/// # Errors
/// As [`directory`], and what the file system says.
pub fn machine() -> Result<Machine> {
    Machine::of_image(directory()?)
}

/// The unpacked root directory of this process; machines are made of copies.
///
/// # Errors
/// No archive is named, or it cannot be unpacked.
pub(super) fn directory() -> Result<&'static Path> {
    static BASE: OnceLock<Result<Scratch, String>> = OnceLock::new();
    let base = BASE.get_or_init(|| unpack().map_err(|error| format!("{error:#}")));
    base.as_ref().map(Scratch::path).map_err(|error| anyhow::anyhow!("{error}"))
}

fn unpack() -> Result<Scratch> {
    let archive = std::env::var_os(ARCHIVE).map(PathBuf::from);
    let archive = archive.with_context(|| format!("{ARCHIVE} is not set: run `make image-test`"))?;
    let scratch = Scratch::new("base")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--file"]).arg(&archive).arg("--directory").arg(scratch.path());
    command::run(&mut tar).with_context(|| format!("unpacking {}", archive.display()))?;
    Ok(scratch)
}
