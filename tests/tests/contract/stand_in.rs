//! Stands in for `lab::isolate`, `lab::scratch` and `lab::dist` until they are here.
use std::{fs, os::unix::process::CommandExt, path::{Path, PathBuf}, process::Command};
use anyhow::{Context, Result};

pub(crate) fn enter() -> Result<()> {
    if std::env::var_os("STAND_IN").is_some() { return Ok(()); }
    let script = "mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/lab /run/netns; mount -t tmpfs -o mode=755 tmpfs /var/lib; ip link set lo up; exec \"$@\"";
    let error = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", script, "_"])
        .arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env("STAND_IN", "1").exec();
    Err(error.into())
}

pub(crate) struct Scratch { directory: tempfile::TempDir }
impl Scratch {
    pub(crate) fn new(label: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix(&format!("{label}-")).permissions(fs::Permissions::from_mode(0o755)).tempdir_in("/run/lab")?;
        Ok(Self { directory })
    }
    pub(crate) fn path(&self) -> &Path { self.directory.path() }
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf { self.path().join(name) }
    pub(crate) fn dir(&self, name: impl AsRef<Path>) -> Result<PathBuf> { let p = self.join(name); fs::create_dir_all(&p)?; Ok(p) }
    pub(crate) fn install(&self, program: &Path, name: impl AsRef<Path>) -> Result<PathBuf> { let t = self.join(name); fs::copy(program, &t)?; Ok(t) }
}
pub(crate) fn crossfade() -> Result<PathBuf> { Ok(PathBuf::from(std::env::var_os("CROSSFADE_DIST").context("CROSSFADE_DIST")?).join("crossfade")) }
pub(crate) fn lab_bin(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors().skip(1).take(2).map(|d| d.join(name)).find(|p| p.is_file()).context("lab bin")
}
