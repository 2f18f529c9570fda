//! Real parts from the distribution's packages.
//!
//! [`fetch`] downloads packages and unpacks them into a cache directory: nothing is installed, no daemon starts, no user's
//! Docker is replaced. [`crate::host::isolate::enter`] lays the unpacked `/usr` over the machine's, so a lab on any machine runs
//! the distribution's unmodified parts; what was not fetched is the machine's own.

mod suite;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use suite::Apt;
pub use suite::Suite;

/// What the lab needs, by Debian's and Ubuntu's names.
pub const PACKAGES: [&str; 15] = [
    "busybox-static",
    "conmon",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "dnsmasq-base",
    "ipset",
    "iproute2",
    "iptables",
    "nftables",
    "podman",
    "runc",
    "strace",
    "systemd",
    "systemd-container",
];

/// Libraries that must be of the same build as the programs above, and so are fetched where they are installed as well.
const OF_ONE_BUILD: [&str; 1] = ["libsystemd-shared"];

/// Directories that hold programs, below a root.
const PROGRAMS: &[&str] = &["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin"];

/// Directories that hold CNI plugins, below a root.
const PLUGINS: &[&str] = &["usr/lib/cni", "opt/cni/bin"];

/// Links that the iptables package makes when it is installed, and so lacks when it is unpacked.
const ALTERNATIVES: [&str; 6] =
    ["iptables", "iptables-restore", "iptables-save", "ip6tables", "ip6tables-restore", "ip6tables-save"];

/// What [`fetch`] writes last: the packages the cache was made of.
const STAMP: &str = ".packages";

/// Where unpacked parts are: `$CROSSFADE_LAB_PARTS`, else `<workspace>/target/lab-parts`; those of a newer suite beside it.
pub fn cache_dir() -> PathBuf {
    let own = match std::env::var_os("CROSSFADE_LAB_PARTS") {
        Some(directory) => PathBuf::from(directory),
        None => crate::build::dist::workspace().join("target/lab-parts"),
    };
    let mut path = own.into_os_string();
    // A suite that is not known has no directory; `fetch` and the preflight say what was expected.
    path.push(Suite::current().map_or_else(|_| "-unknown".to_owned(), Suite::suffix));
    path.into()
}

/// The path of a program such as `containerd`: the unpacked one, else the machine's.
///
/// # Errors
/// It is nowhere; the message says what to do.
pub fn part(name: &str) -> Result<PathBuf> {
    find(PROGRAMS, name)
}

/// The path of a standard CNI plugin such as `bridge`: the unpacked one, else the machine's.
///
/// # Errors
/// It is nowhere; the message says what to do.
pub fn plugin(name: &str) -> Result<PathBuf> {
    find(PLUGINS, name)
}

fn find(directories: &[&str], name: &str) -> Result<PathBuf> {
    let cache = cache_dir();
    let executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let places = [cache.as_path(), Path::new("/")]
        .into_iter()
        .flat_map(|root| directories.iter().map(move |directory| root.join(directory).join(name)));
    let mut programs = places.filter(executable);
    programs
        .next()
        .with_context(|| format!("{name} is neither installed nor fetched: run `lab-preflight fetch`"))
}

/// A command that runs a part where the lab's mounts are not: with the libraries and modules it was unpacked with.
pub fn command(part: &Path) -> Command {
    let mut command = Command::new(part);
    let cache = cache_dir();
    if part.starts_with(&cache) {
        let libraries = libraries(&cache);
        if let Ok(paths) = std::env::join_paths(&libraries) {
            command.env("LD_LIBRARY_PATH", paths);
        }
        if let Some(modules) = libraries.iter().map(|path| path.join("xtables")).find(|path| path.is_dir()) {
            command.env("XTABLES_LIBDIR", modules);
        }
    }
    command
}

/// Shared libraries a part needs and does not find; empty for a static program.
///
/// # Errors
/// `ldd` cannot be run.
pub fn missing_libraries(part: &Path) -> Result<Vec<String>> {
    let mut ldd = Command::new("ldd");
    if let Some((_, Some(paths))) = command(part).get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH") {
        ldd.env("LD_LIBRARY_PATH", paths);
    }
    // It fails on a static program, which is as good as finding everything.
    let output = ldd.arg(part).output().context("running ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let missing = text.lines().filter(|line| line.ends_with("not found"));
    Ok(missing.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Keeps the cache as it is while a lab runs from it; none when nothing was fetched.
///
/// # Errors
/// The lock cannot be taken.
pub(crate) fn hold() -> Result<Option<File>> {
    let Ok(stamp) = File::open(cache_dir().join(STAMP)) else {
        return Ok(None);
    };
    stamp.lock_shared().context("locking the parts")?;
    Ok(Some(stamp))
}

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The cache had everything in its current version.
    Complete,
    /// A lab runs from the cache, so it stays as it is.
    InUse,
    /// These packages were unpacked.
    Unpacked(Vec<String>),
}

/// Makes the cache hold the current versions of [`PACKAGES`] and of the libraries they need that the machine lacks.
///
/// Needs no root. A complete cache is left as it is; a new one takes the old one's place by rename.
///
/// # Errors
/// No apt, a package it does not know, or no network; the message says which.
pub fn fetch() -> Result<FetchOutcome> {
    let (suite, directory) = (Suite::current()?, cache_dir());
    if suite != Suite::Own && directory.join(STAMP).exists() {
        // Its lists are this cache's own: asking for them anew would ask the archive at every call.
        return Ok(FetchOutcome::Complete);
    }
    let parent = directory.parent().context("the cache directory has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let new =
        tempfile::Builder::new().prefix(".lab-parts-").tempdir_in(parent).context("a new cache directory")?;
    let apt = suite.apt(&new.path().join("apt"))?;
    let installed = if suite == Suite::Own { installed()? } else { BTreeSet::new() };
    let libraries = absent_libraries(&apt, &installed)?;
    let packages: Vec<String> = PACKAGES.into_iter().map(str::to_owned).chain(libraries).collect();
    let selected = apt
        .run("apt-get", &["download", "--print-uris"], &packages)
        .context("asking apt for the packages: are its lists current (`sudo apt-get update`)?")?;
    if fs::read_to_string(directory.join(STAMP)).is_ok_and(|stamp| stamp == selected) {
        return Ok(FetchOutcome::Complete);
    }
    let stamp = File::open(directory.join(STAMP)).ok();
    if stamp.as_ref().is_some_and(|stamp| stamp.try_lock().is_err()) {
        return Ok(FetchOutcome::InUse);
    }
    let (root, archives) = (new.path().join("root"), new.path().join("deb"));
    for path in [&root, &archives] {
        fs::create_dir(path).with_context(|| format!("creating {}", path.display()))?;
    }
    let mut download = apt.command("apt-get");
    download
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
        .args(&packages)
        .current_dir(&archives);
    ensure!(
        download.status().context("running apt-get")?.success(),
        "apt-get download failed: is there a network?"
    );
    prepare(&root)?;
    for archive in fs::read_dir(&archives).context("the downloaded packages")? {
        unpack(&archive?.path(), &root)?;
    }
    for name in ALTERNATIVES {
        symlink("xtables-nft-multi", root.join("usr/sbin").join(name))
            .with_context(|| format!("linking {name}"))?;
    }
    fs::write(root.join(STAMP), selected).context("writing the stamp")?;
    if directory.exists() {
        // It disappears with `new`.
        fs::rename(&directory, new.path().join("old")).context("moving the old cache away")?;
    }
    fs::rename(&root, &directory).context("moving the new cache into place")?;
    Ok(FetchOutcome::Unpacked(packages))
}

/// The machine's packages.
fn installed() -> Result<BTreeSet<String>> {
    let format = "--showformat=${db:Status-Status} ${Package}\n";
    let table = Command::new("dpkg-query").args(["--show", format]).output().context("running dpkg-query")?;
    let table = String::from_utf8_lossy(&table.stdout);
    Ok(table.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect())
}

/// Libraries that the packages depend on, directly or through libraries, and that are not `installed`.
fn absent_libraries(apt: &Apt, installed: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut absent = BTreeSet::new();
    let mut ask: Vec<String> = PACKAGES.into_iter().map(str::to_owned).collect();
    while !ask.is_empty() {
        let answer = apt.run("apt-cache", &["depends", "--important"], &ask)?;
        let dependencies =
            answer.lines().filter_map(|line| line.split_once("Depends: ")).map(|(_, name)| name);
        let plain = dependencies.map(|name| name.split(':').next().unwrap_or(name));
        let libraries = plain.filter(|name| {
            name.starts_with("lib") && (!installed.contains(*name) || OF_ONE_BUILD.contains(name))
        });
        ask = libraries.map(str::to_owned).filter(|name| absent.insert(name.clone())).collect();
    }
    Ok(absent)
}

/// Links `/bin` and its like to `/usr`, whichever way the packages name them.
fn prepare(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name)).context("the cache's /usr")?;
        symlink(Path::new("usr").join(name), root.join(name)).context("links to the cache's /usr")?;
    }
    Ok(())
}

fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let mut data = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("running dpkg-deb")?;
    let stdout = data.stdout.take().context("dpkg-deb's stdout")?;
    let status = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--directory"])
        .arg(root)
        .args(["--exclude=./usr/share/doc", "--exclude=./usr/share/man", "--exclude=./usr/share/locale"])
        .stdin(stdout)
        .status()
        .context("running tar")?;
    ensure!(data.wait()?.success() && status.success(), "unpacking {} failed", archive.display());
    Ok(())
}

/// The cache's directories of shared libraries, `usr/lib/TRIPLET` and `usr/lib`.
fn libraries(cache: &Path) -> Vec<PathBuf> {
    let base = cache.join("usr/lib");
    let is_triplet = |name: &OsStr| name.to_string_lossy().contains("-linux-gnu");
    let entries = fs::read_dir(&base).into_iter().flatten().flatten();
    let mut directories: Vec<PathBuf> =
        entries.filter(|entry| is_triplet(&entry.file_name())).map(|entry| entry.path()).collect();
    // systemd's own are not where the loader looks by itself.
    let systemd = directories.iter().map(|path| path.join("systemd")).filter(|path| path.is_dir());
    directories.extend(systemd.collect::<Vec<_>>());
    directories.push(base);
    directories
}
