//! The places of the packages, and the files in each.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::host::command;
use lab::host::scratch::Scratch;
use sha2::{Digest, Sha256};

use crate::architecture;

/// One build of all packages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    /// What `make packages` makes.
    Released,
    /// The same again, built where everything that must not matter is different.
    Again,
    /// The next release: other bytes in the plugin.
    Next,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Permissions.
    pub(crate) mode: u32,
    /// Owner and group.
    pub(crate) owner: (u64, u64),
    /// Seconds since 1970.
    pub(crate) time: u64,
    /// What it is.
    pub(crate) what: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    /// A file, by its SHA-256.
    File(String),
    /// A link, by where it leads.
    Link(String),
}

/// A tree by paths that begin with `/`.
pub(crate) type Tree = BTreeMap<String, Entry>;

impl Build {
    /// Its directory. *Source*: `tests/packages`.
    pub(crate) fn directory(self) -> PathBuf {
        let suffix = match self {
            Self::Released => architecture::current().map_or("", |architecture| architecture.suffix),
            Self::Again => " again",
            Self::Next => ".next",
        };
        dist::workspace().join(format!("target/packages{suffix}"))
    }

    /// The one file of a node's whose name ends so.
    pub(crate) fn file(self, suffix: &str) -> Result<PathBuf> {
        let directory = self.directory();
        let mut packages = files(&directory)?;
        packages.retain(|name| name.starts_with("crossfade") && name.ends_with(suffix));
        ensure!(packages.len() == 1, "{}: expected one *{suffix}, found {packages:?}", directory.display());
        Ok(directory.join(&packages[0]))
    }

    /// Unpacks the tarball below a directory; where `install.sh` is.
    pub(crate) fn unpack(self, directory: &Path) -> Result<PathBuf> {
        fs::create_dir_all(directory).context("a directory")?;
        let archive = self.file(architecture::current()?.tarball)?;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(directory);
        command::run(&mut tar)?;
        let mut names = files_and_directories(directory)?;
        ensure!(names.len() == 1, "{} has {names:?}", archive.display());
        Ok(directory.join(names.remove(0)))
    }
}

/// Names of the files in a directory that are no hidden ones, sorted.
pub(crate) fn files(directory: &Path) -> Result<Vec<String>> {
    let mut names = files_and_directories(directory)?;
    names.retain(|name| directory.join(name).is_file() && !name.starts_with('.'));
    Ok(names)
}

fn files_and_directories(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("{}: run tests/packages, which builds it", directory.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The tree of a Debian package.
pub(crate) fn deb(file: &Path) -> Result<Tree> {
    let data = bytes(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(file))?;
    archive(&data, ".")
}

/// The tree of the tarball, without the directory that it is in.
pub(crate) fn tarball(file: &Path) -> Result<Tree> {
    let data = bytes(Command::new("gzip").args(["-dc"]).arg(file))?;
    let name = file.file_name().context("a name")?.to_string_lossy();
    archive(&data, name.trim_end_matches(".tar.gz"))
}

/// The tree of an RPM package, as the package itself says it.
pub(crate) fn rpm(file: &Path) -> Result<Tree> {
    let text = command::run(Command::new("rpm").args(["-q", "--dump", "-p"]).arg(file))?;
    text.lines().map(dumped).collect()
}

/// `path size mtime digest mode owner group isconfig isdoc rdev symlink`, man 8 `rpm`.
fn dumped(line: &str) -> Result<(String, Entry)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [path, _, time, digest, mode, owner, group, _, _, _, link] = words[..] else {
        anyhow::bail!("a line of rpm --dump: {line}");
    };
    let root = |name: &str| if name == "root" { Ok(0) } else { name.parse() };
    let mode = u32::from_str_radix(mode, 8).context("a mode")?;
    let what = match mode & 0o170_000 {
        0o040_000 => EntryKind::Directory,
        0o120_000 => EntryKind::Link(link.to_owned()),
        _ => EntryKind::File(digest.to_owned()),
    };
    let owner = (root(owner)?, root(group)?);
    Ok((path.to_owned(), Entry { mode: mode & 0o7777, owner, time: time.parse()?, what }))
}

/// The tree of the system extension.
pub(crate) fn sysext(file: &Path, scratch: &Scratch) -> Result<Tree> {
    let root = scratch.join("extension");
    let mut unsquashfs = Command::new("unsquashfs");
    command::run(unsquashfs.args(["-quiet", "-no-progress", "-dest"]).arg(&root).arg(file))?;
    let mut tree = Tree::new();
    walk(&root, &root, &mut tree)?;
    Ok(tree)
}

fn walk(root: &Path, directory: &Path, tree: &mut Tree) -> Result<()> {
    for name in files_and_directories(directory)? {
        let path = directory.join(name);
        let meta = path.symlink_metadata().context("an entry")?;
        let what = if meta.is_dir() {
            walk(root, &path, tree)?;
            EntryKind::Directory
        } else if meta.is_symlink() {
            EntryKind::Link(fs::read_link(&path)?.display().to_string())
        } else {
            EntryKind::File(sha256(&fs::read(&path)?))
        };
        let entry = Entry {
            mode: meta.permissions().mode() & 0o7777,
            owner: (meta.uid().into(), meta.gid().into()),
            time: u64::try_from(meta.mtime())?,
            what,
        };
        tree.insert(format!("/{}", path.strip_prefix(root)?.display()), entry);
    }
    Ok(())
}

/// The entries of a tar archive below `top`.
fn archive(data: &[u8], top: &str) -> Result<Tree> {
    let mut tree = Tree::new();
    for entry in tar::Archive::new(data).entries().context("a tar archive")? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let path = path.strip_prefix(top).with_context(|| format!("{path} is not below {top}"))?;
        let path = path.trim_end_matches('/').to_owned();
        let header = entry.header();
        let (mode, owner) = (header.mode()?, (header.uid()?, header.gid()?));
        let time = header.mtime()?;
        let what = match header.entry_type() {
            tar::EntryType::Directory => EntryKind::Directory,
            tar::EntryType::Symlink => {
                EntryKind::Link(header.link_name()?.context("a link")?.display().to_string())
            }
            tar::EntryType::Regular => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).context("a file")?;
                EntryKind::File(sha256(&content))
            }
            other => anyhow::bail!("{path} is {other:?}"),
        };
        if !path.is_empty() {
            tree.insert(path, Entry { mode, owner, time, what });
        }
    }
    Ok(tree)
}

/// Lower-case hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a program to its end; its stdout, whatever is in it.
fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
