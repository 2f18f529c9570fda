//! The search for files in a tree, without leaving it: links are followed as the node would follow them, below the root, and what is
//! found is never one that a link leads to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use convergence::node::glob::matches;
use shim::host::file::read_bounded;

use crate::host::root::{Root, names_in};

/// Largest file that is looked into, in bytes.
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where, as the node sees it and as it was asked for.
    pub path: PathBuf,
    /// Where it lies, the root included, with no link on the way.
    pub real: PathBuf,
    pub kind: ItemKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemKind {
    File,
    Dir,
    /// A link, a socket, a FIFO or a device.
    Other,
}

impl Item {
    /// What is at `path`; none where nothing is.
    #[must_use]
    pub(crate) fn open(root: &Root, path: &Path) -> Option<Self> {
        path.file_name()?;
        let real = root.entry(path);
        let meta = real.symlink_metadata().ok()?;
        let kind = match meta.file_type() {
            kind if kind.is_file() => ItemKind::File,
            kind if kind.is_dir() => ItemKind::Dir,
            _ => ItemKind::Other,
        };
        Some(Self { path: path.into(), real, kind })
    }

    /// What is in a directory, by name.
    #[must_use]
    pub(crate) fn children(&self, root: &Root) -> Vec<Self> {
        names_in(&self.real).iter().filter_map(|name| Self::open(root, &self.path.join(name))).collect()
    }

    /// How many things, directories left out, are in it.
    #[must_use]
    pub(crate) fn holds(&self) -> Option<u64> {
        (self.kind == ItemKind::Dir).then(|| count(&self.real))
    }

    /// A file's content.
    ///
    /// # Errors
    /// Any I/O error; when it is no regular file, or larger than is looked into.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        if self.kind != ItemKind::File {
            return Err(io::Error::other("it is no regular file"));
        }
        read_bounded(&mut File::open(&self.real)?, MAX_BYTES)
    }
}

/// What a pattern names, by name; `*`, `?` and `[..]` may stand in any component.
#[must_use]
pub(crate) fn glob(root: &Root, pattern: &Path) -> Vec<Item> {
    let mut paths = vec![PathBuf::from("/")];
    for part in pattern.components().skip(1) {
        let part = part.as_os_str().to_string_lossy();
        if part.contains(['*', '?', '[']) {
            let below = |dir: PathBuf| {
                let names = names_in(&root.join(&dir));
                let fitting = names.into_iter().filter(|name| matches(&part, name));
                fitting.map(|name| dir.join(name)).collect::<Vec<_>>()
            };
            paths = paths.into_iter().flat_map(below).collect();
        } else {
            paths.iter_mut().for_each(|dir| dir.push(&*part));
        }
    }
    paths.iter().filter_map(|path| Item::open(root, path)).collect()
}

fn count(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => count(&entry.path()),
        _ => 1,
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(root: &Root, pattern: &str) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let below = |real: &Path| text(real.strip_prefix(root.join("/")).expect("in the tree"));
        glob(root, Path::new(pattern)).iter().map(|item| (text(&item.path), below(&item.real))).collect()
    }

    #[test]
    fn a_link_leads_to_a_place_in_the_tree_or_nowhere() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        for made in ["data/cni/results", "etc"] {
            fs::create_dir_all(dir.path().join(made)).expect("directory");
        }
        fs::create_dir_all(dir.path().join("var/lib")).expect("directory");
        fs::write(dir.path().join("data/cni/results/a"), "").expect("file");
        symlink("/data/cni", dir.path().join("var/lib/cni")).expect("link");
        symlink("../../../../../../../etc", dir.path().join("var/lib/up")).expect("link");
        symlink("/etc/hostname", dir.path().join("etc/link")).expect("link");
        let pair = |path: &str, real: &str| vec![(path.to_owned(), real.to_owned())];
        assert_eq!(
            paths(&root, "/var/lib/cni/results/*"),
            pair("/var/lib/cni/results/a", "data/cni/results/a")
        );
        assert_eq!(paths(&root, "/var/*/cni/results"), pair("/var/lib/cni/results", "data/cni/results"));
        // Clamped at the root, and the link itself is what is found.
        assert_eq!(paths(&root, "/var/lib/up/*"), pair("/var/lib/up/link", "etc/link"));
        assert_eq!(paths(&root, "/var/lib/cni"), pair("/var/lib/cni", "var/lib/cni"));
        for absent in ["/nowhere/*", "/etc/nowhere", "/etc/link/*", "/*/*/nowhere"] {
            assert!(paths(&root, absent).is_empty(), "{absent}");
        }
        let item = Item::open(&root, Path::new("/data")).expect("there");
        assert_eq!((item.kind, item.holds()), (ItemKind::Dir, Some(1)));
    }
}
