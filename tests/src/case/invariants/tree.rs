//! N6: what a call changed on the file system.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::Finding;

/// A directory tree as it was: every path with what any write to it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

/// Inode, mode, length and the time of the last change, in seconds and nanoseconds.
type Entry = (u64, u32, u64, i64, i64);

impl Tree {
    /// Looks at everything below `root`, links not followed, but for what is below `except`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(root: &Path, except: &[&Path]) -> Result<Self> {
        let mut entries = BTreeMap::new();
        let mut paths = vec![root.to_owned()];
        while let Some(path) = paths.pop() {
            if except.contains(&path.as_path()) {
                continue;
            }
            let looking = || format!("look at {}", path.display());
            let meta = path.symlink_metadata().with_context(looking)?;
            if meta.is_dir() {
                for entry in fs::read_dir(&path).with_context(looking)? {
                    paths.push(entry?.path());
                }
            }
            // A directory changes with the names in it, which are looked at one by one.
            let changed = if meta.is_dir() { (0, 0) } else { (meta.ctime(), meta.ctime_nsec()) };
            let length = if meta.is_dir() { 0 } else { meta.len() };
            entries.insert(path, (meta.ino(), meta.mode(), length, changed.0, changed.1));
        }
        Ok(Self { entries })
    }

    /// N6: every path that was made, changed or removed since.
    pub fn changes(&self, after: &Self) -> Vec<Finding> {
        let paths = self.entries.keys().chain(after.entries.keys());
        let mut changed: Vec<&PathBuf> =
            paths.filter(|path| self.entries.get(*path) != after.entries.get(*path)).collect();
        changed.sort();
        changed.dedup();
        changed.into_iter().cloned().map(Finding::WrittenOutside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_changed_or_removed_is_told_and_what_is_excepted_is_not() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("ours")).expect("directory");
        for name in ["kept", "changed", "removed"] {
            fs::write(path(name), name).expect("file");
        }
        let look = || Tree::read(dir.path(), &[&path("ours")]).expect("tree");
        let before = look();
        fs::write(path("ours/record"), b"").expect("ours");
        assert_eq!(before.changes(&look()), []);
        fs::write(path("changed"), b"longer than before").expect("change");
        fs::remove_file(path("removed")).expect("remove");
        fs::write(path("made"), b"").expect("make");
        let findings: Vec<Finding> =
            ["changed", "made", "removed"].map(|name| Finding::WrittenOutside(path(name))).into();
        assert_eq!(before.changes(&look()), findings);
    }
}
