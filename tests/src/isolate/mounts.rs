//! Mounts of the lab's mount namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// What a lab may change without changing the machine.
const COPY_ON_WRITE: [&str; 4] = ["/usr", "/etc", "/opt", "/var/lib"];

const NONE: Option<&str> = None;

/// No mount made here is seen outside, none made outside later is seen here.
pub(crate) fn private_tree() -> Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("making mounts private")
}

/// `/proc` of this pid namespace.
pub(crate) fn proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, NONE).context("mounting /proc")
}

/// An empty `/run` with a `/run/netns` of its own and the scratch root.
///
/// Without a mount on `/run/netns`, the first `ip netns add` binds the directory over itself and hides the mounts a runtime
/// made there before; stopping those sandboxes then fails for ever.
pub(super) fn lab_run() -> Result<()> {
    tmpfs(Path::new("/run"))?;
    directory(Path::new(crate::scratch::ROOT))?;
    let netns = Path::new("/run/netns");
    directory(netns)?;
    tmpfs(netns)?;
    make_shared(netns)
}

/// Puts a writable layer, and the unpacked parts, over the machine's directories.
pub(super) fn copy_on_write() -> Result<()> {
    let base = Path::new(crate::scratch::ROOT).join(".cow");
    directory(&base)?;
    let parts = crate::packages::cache_dir();
    for target in COPY_ON_WRITE.map(Path::new) {
        if !target.is_dir() {
            continue;
        }
        let below = submounts(target)?;
        let layer = base.join(
            target
                .strip_prefix("/")?
                .to_string_lossy()
                .replace('/', "-"),
        );
        let (lower, upper, work) = (layer.join("lower"), layer.join("upper"), layer.join("work"));
        for path in [&layer, &lower, &upper, &work] {
            directory(path)?;
        }
        bind(target, &lower)?;
        let mut lowers = vec![lower.clone()];
        if target == Path::new("/usr") && parts.join("usr").is_dir() {
            // Through a mount of a plain name: option strings of overlayfs split at colons and commas.
            let plain = layer.join("parts");
            directory(&plain)?;
            bind(&parts.join("usr"), &plain)?;
            lowers.insert(0, plain);
        }
        overlay(target, &lowers, &upper, &work)?;
        for path in below {
            let source = lower.join(path.strip_prefix(target)?);
            mount(
                Some(&source),
                &path,
                NONE,
                MsFlags::MS_BIND | MsFlags::MS_REC,
                NONE,
            )
            .with_context(|| format!("keeping the mount {}", path.display()))?;
        }
    }
    Ok(())
}

fn overlay(target: &Path, lowers: &[PathBuf], upper: &Path, work: &Path) -> Result<()> {
    let lowers: Vec<String> = lowers
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lowers.join(":"),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        target,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| {
        format!(
            "copy-on-write mount of {} (needs overlayfs)",
            target.display()
        )
    })
}

/// A tmpfs owned by root and writable by nobody else.
pub(crate) fn tmpfs(target: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some("mode=0755"),
    )
    .with_context(|| format!("tmpfs on {}", target.display()))
}

/// Shows `source` and the mounts below it at `target` as well.
pub(crate) fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(
        Some(source),
        target,
        NONE,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NONE,
    )
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
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    Ok(points
        .filter(|point| point.starts_with(directory) && point != directory && point.exists())
        .collect())
}

pub(crate) fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))?;
    // Whatever the umask left of it: the shim trusts nothing below a directory that others may write to.
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("mode of {}", path.display()))
}
