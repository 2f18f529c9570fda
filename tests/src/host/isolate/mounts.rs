//! Mounts of the lab's mount namespace.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// What a lab may change without changing the machine.
const COPY_ON_WRITE: [&str; 5] = ["/usr", "/etc", "/opt", "/var/lib", "/var/log"];

/// Directory of the layers, below the scratch root.
const LAYERS: &str = ".layers";

const NONE: Option<&str> = None;

/// No mount made here is seen outside, none made outside later is seen here.
pub(crate) fn private_tree() -> Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("making mounts private")
}

/// `/proc` of this pid namespace.
pub(crate) fn proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, NONE).context("mounting /proc")
}

/// The lab's own `/run`, and a writable layer, with the unpacked parts, over the machine's directories.
pub(super) fn lab_directories() -> Result<()> {
    // Held open, because the new /run may cover both.
    let parts = File::open(crate::build::packages::cache_dir().join("usr")).ok();
    let layers = Path::new(crate::host::scratch::ROOT).join(LAYERS);
    let outer = File::open(&layers).ok();
    lab_run()?;
    directory(&layers)?;
    for target in COPY_ON_WRITE.map(Path::new) {
        if target.is_dir() {
            let parts = parts.as_ref().filter(|_| target == Path::new("/usr"));
            copy_on_write(target, &layers, outer.as_ref(), parts)?;
        }
    }
    Ok(())
}

/// An empty `/run` with a `/run/netns` of its own and the scratch root.
///
/// Without a mount on `/run/netns`, the first `ip netns add` binds the directory over itself and hides the mounts a runtime
/// made there before; stopping those sandboxes then fails for ever.
fn lab_run() -> Result<()> {
    tmpfs(Path::new("/run"))?;
    directory(Path::new(crate::host::scratch::ROOT))?;
    let netns = Path::new("/run/netns");
    directory(netns)?;
    tmpfs(netns)?;
    make_shared(netns)
}

/// Makes one directory copy-on-write.
///
/// A lab inside a lab starts from the machine's directory, which the `outer` one kept: what that lab changed is its own, and
/// overlayfs stacks no higher than two.
fn copy_on_write(target: &Path, layers: &Path, outer: Option<&File>, parts: Option<&File>) -> Result<()> {
    let name = target.strip_prefix("/")?.to_string_lossy().replace('/', "-");
    let layer = layers.join(&name);
    let (lower, upper, work) = (layer.join("lower"), layer.join("upper"), layer.join("work"));
    for path in [&lower, &upper, &work] {
        directory(path)?;
    }
    match outer {
        Some(outer) => bind(&opened(outer).join(&name).join("lower"), &lower)?,
        None => bind(target, &lower)?,
    }
    let below = submounts(&lower)?;
    let mut lowers = vec![lower.clone()];
    if let Some(parts) = parts {
        // Through a mount of a plain name: option strings of overlayfs split at colons and commas.
        let plain = layer.join("parts");
        directory(&plain)?;
        bind(&opened(parts), &plain)?;
        lowers.insert(0, plain);
    }
    overlay(target, &lowers, &upper, &work)?;
    if parts.is_some() {
        own_by_root(&lowers[0], target)?;
    }
    for source in below {
        bind(&source, &target.join(source.strip_prefix(&lower)?))?;
    }
    Ok(())
}

/// Where an open directory is found whatever has covered it.
fn opened(directory: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string())
}

fn overlay(target: &Path, lowers: &[PathBuf], upper: &Path, work: &Path) -> Result<()> {
    let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper.display(), work.display());
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("copy-on-write mount of {} (needs overlayfs)", target.display()))
}

/// Gives root, in the merged view, what the person who fetched the parts owns below them: nothing else is trusted.
fn own_by_root(parts: &Path, merged: &Path) -> Result<()> {
    for entry in fs::read_dir(parts).with_context(|| format!("reading {}", parts.display()))? {
        let entry = entry?;
        let (path, metadata) = (merged.join(entry.file_name()), entry.metadata()?);
        if metadata.uid() != 0 {
            lchown(&path, Some(0), Some(0)).with_context(|| format!("owner of {}", path.display()))?;
        }
        if metadata.is_dir() {
            own_by_root(&entry.path(), &path)?;
        }
    }
    Ok(())
}

/// A tmpfs owned by root and writable by no other user.
pub(crate) fn tmpfs(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some("mode=0755"))
        .with_context(|| format!("tmpfs on {}", target.display()))
}

/// Shows `source` and the mounts below it at `target` as well.
pub(crate) fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .with_context(|| format!("binding {} to {}", source.display(), target.display()))
}

/// Later mounts below `target` are seen by its copies; runtimes ask for it on `/run/netns`.
pub(crate) fn make_shared(target: &Path) -> Result<()> {
    mount(NONE, target, NONE, MsFlags::MS_SHARED, NONE)
        .with_context(|| format!("making {} shared", target.display()))
}

/// Mount points strictly below `directory`, parents first.
fn submounts(directory: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    // Field 5; blanks in a path are escaped, and such a mount is of no use to the lab.
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    Ok(points.filter(|point| point.starts_with(directory) && point != directory && point.exists()).collect())
}

/// Makes a directory, mode 0755 whatever the umask, unless it is there.
pub(crate) fn directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("mode of {}", path.display()))
}
