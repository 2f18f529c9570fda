//! A node's files, or those of a tree that is inspected instead: an image that is being built.
//!
//! The builder of such a tree also decided where its links lead. So a link is followed as the node itself would follow it: an absolute one
//! from the tree's own top, and `..` never above that top (man 2 `openat2`, `RESOLVE_IN_ROOT`). Nothing outside of the tree is read or
//! written. The kernel resolves in this way only for a file that it opens. Crossfade also inspects, renames and removes by path, so it
//! resolves the path first and uses it then. Only the tree's builder could change the tree in between, and the builder is trusted.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use shim::node::layout::{Layout, SETTINGS_DIRS};

/// Links followed on one path before it is called a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;
/// What the path of a loop has right below the root: no system call takes it nor a directory above it, and no error calls it absent.
const LOOP: &str = "(links that lead round in a circle)\0";

/// A node's files, or those of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

/// What becomes of a link that is the last component of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FinalLink {
    Follow,
    Keep,
}

impl Default for Root {
    fn default() -> Self {
        Self("/".into())
    }
}

impl Root {
    /// The tree at `dir`, which is an absolute path.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.into())
    }

    /// Whether this root is the node itself, and not an image.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where what `path` leads to lies; `path` is absolute as the node sees it. Nothing has to be there.
    ///
    /// Every link is followed inside the tree, the last component too: this is the path to read, and to look into.
    #[must_use]
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.place(path.as_ref(), FinalLink::Follow)
    }

    /// Where `path` itself lies, even if it is a link: this is the path to write by rename, to remove, and to ask whether
    /// something is there, be it a link that leads nowhere.
    #[must_use]
    pub fn entry(&self, path: impl AsRef<Path>) -> PathBuf {
        self.place(path.as_ref(), FinalLink::Keep)
    }

    /// As [`Root::join`], for a path that has the root before it already and was made longer since.
    #[must_use]
    pub fn resolve_inside(&self, path: &Path) -> PathBuf {
        self.strip(path).map_or_else(|| path.into(), |path| self.join(path))
    }

    /// As [`Root::join`], for a path that a file of the tree names: `watch`, run on a tree, writes paths with the root before them.
    #[must_use]
    pub fn join_or_resolve(&self, path: &Path) -> PathBuf {
        self.strip(path).map_or_else(|| self.join(path), |path| self.join(path))
    }

    /// As [`Root::entry`], for a path that has the root before it already and was made longer since.
    #[must_use]
    pub fn inside_entry(&self, path: &Path) -> PathBuf {
        self.strip(path).map_or_else(|| path.into(), |path| self.entry(path))
    }

    /// Where `path` leads as the node sees it; none where something is missing. A masked unit's /dev/null is always there.
    #[must_use]
    pub fn chase(&self, path: &Path) -> Option<PathBuf> {
        let real = self.resolve(path, FinalLink::Follow).ok()?;
        (real == Path::new("/dev/null") || self.join_unresolved(&real).symlink_metadata().is_ok())
            .then_some(real)
    }

    /// The first of [`SETTINGS_DIRS`] that has `file`; a dangling link is there, too: it must fail, not fall through.
    #[must_use]
    pub fn settings_file(&self, file: &str) -> Option<PathBuf> {
        self.settings_files(file).next().map(|place| self.join(place))
    }

    /// Each `file` of [`SETTINGS_DIRS`], as the node sees it: the first one counts, and hides the others.
    pub fn settings_files(&self, file: &str) -> impl Iterator<Item = PathBuf> {
        let places = SETTINGS_DIRS.iter().map(move |dir| Path::new(dir).join(file));
        places.filter(|place| self.entry(place).symlink_metadata().is_ok())
    }

    /// The directories of a layout, as they lie below this root; the policy is not looked for.
    #[must_use]
    pub fn layout(&self, layout: &Layout) -> Layout {
        Layout {
            state_dir: self.join(&layout.state_dir),
            run_dir: self.join(&layout.run_dir),
            policy: layout.policy.as_ref().map(|policy| self.join(policy)),
        }
    }

    /// Refuses a directory below this root with a link that leads elsewhere for this process than for the node: an absolute link, or one
    /// that climbs out. Readers that know no root would follow it. On a node itself no link is refused.
    ///
    /// # Errors
    /// One line that names the link.
    pub fn check_links(&self, dir: &Path) -> Result<(), String> {
        if self.is_node() {
            return Ok(());
        }
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.check_links(&path)?,
                Ok(kind) if kind.is_symlink() => self.agrees(&path)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses state that readers without a root would look for elsewhere than the node; as [`Root::check_links`]. `layout` has the
    /// root before its directories.
    ///
    /// # Errors
    /// One line that names the link.
    pub fn holds_state(&self, layout: &Layout) -> Result<(), String> {
        let all = [layout.attachments(), layout.locks(), layout.inventory(), layout.name(), layout.ledger()];
        all.iter().filter(|path| path.is_symlink()).try_for_each(|link| self.agrees(link))?;
        [layout.attachments(), layout.locks()].iter().try_for_each(|dir| self.check_links(dir))
    }

    /// Refuses a link that leads elsewhere for this process than for the node, as [`Root::check_links`] does for all of a directory.
    ///
    /// # Errors
    /// One line that names the link.
    pub fn agrees(&self, link: &Path) -> Result<(), String> {
        let for_us = link.canonicalize().ok();
        let for_the_node = self.resolve_inside(link).canonicalize().ok();
        if self.is_node() || for_us.is_some() && for_us == for_the_node {
            return Ok(());
        }
        Err(format!(
            "{} is a link that leads out of {} when it is followed from here: remove it, or make it a relative one that stays inside",
            link.display(),
            self.0.display()
        ))
    }

    /// Without the root: as the node sees it; none for a path that is not below the root, or where the root is the node's.
    fn strip(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.0).ok().filter(|_| !self.is_node())?;
        Some(Path::new("/").join(below))
    }

    fn join_unresolved(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn place(&self, path: &Path, last: FinalLink) -> PathBuf {
        if self.is_node() {
            return self.join_unresolved(path);
        }
        match self.resolve(path, last) {
            Ok(real) => self.join_unresolved(&real),
            Err(_) => self.0.join(LOOP).join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// Follows the links of `path` inside the tree, and goes on below what is missing as if it were a directory without any.
    fn resolve(&self, path: &Path, last: FinalLink) -> io::Result<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut rest = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            real.push(part);
            if last == FinalLink::Keep && rest.is_empty() {
                break;
            }
            // A link that cannot be read cannot be opened either: it is not followed, and its reader reports why.
            let Ok(target) = std::fs::read_link(self.join_unresolved(&real)) else { continue };
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
            }
            real.pop();
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        }
        Ok(real)
    }
}

/// The components of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let components = path.components().rev().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    components.collect()
}

/// The names in a directory, sorted; none where it cannot be listed.
#[must_use]
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use convergence::node::paths::NODE_FILE;

    #[test]
    fn the_first_place_that_has_the_file_wins_even_as_a_dangling_link() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        assert_eq!(root.settings_file(NODE_FILE), None);
        for place in ["usr/lib/crossfade", "run/crossfade", "etc/crossfade"] {
            let place = dir.path().join(place);
            fs::create_dir_all(&place).expect("place");
            symlink("nowhere", place.join(NODE_FILE)).expect("link");
            assert_eq!(root.settings_file(NODE_FILE), Some(place.join("nowhere")));
        }
        assert_eq!(Root::default().join("/run/x"), Path::new("/run/x"));
        assert!(Root::default().is_node() && !root.is_node());
    }

    #[test]
    fn every_link_is_followed_inside_the_tree() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let below = |path: &str| dir.path().join(path);
        fs::create_dir_all(below("data/deep")).expect("directory");
        fs::write(below("data/file"), "").expect("file");
        for (target, link) in [
            ("/data", "absolute"),
            ("../../../../../../../../../../../../data", "climbing"),
            ("../data/file", "data/file-link"),
            ("/nowhere/at/all", "dangling"),
            ("../../../etc/hostname", "data/deep/up"),
        ] {
            symlink(target, below(link)).expect("link");
        }
        for (path, target, entry) in [
            ("/absolute/file", "data/file", "data/file"),
            ("/climbing/file", "data/file", "data/file"),
            ("/climbing", "data", "climbing"),
            ("/absolute/file-link", "data/file", "data/file-link"),
            ("/dangling/x", "nowhere/at/all/x", "nowhere/at/all/x"),
            ("/absolute/deep/up", "etc/hostname", "data/deep/up"),
            ("/absolute/../x", "x", "x"),
            ("/../../x", "x", "x"),
            ("/missing/../absolute/x", "data/x", "data/x"),
        ] {
            assert_eq!((root.join(path), root.entry(path)), (below(target), below(entry)), "{path}");
            assert_eq!(root.resolve_inside(&below(&path[1..])), below(target), "{path}");
        }
        assert_eq!(root.resolve_inside(Path::new("/elsewhere/x")), Path::new("/elsewhere/x"));
        assert_eq!(root.chase(Path::new("/absolute/file")), Some("/data/file".into()));
        assert_eq!(root.chase(Path::new("/dangling")), None);
    }

    #[test]
    fn a_loop_is_an_error_for_each_caller_and_never_absent() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        fs::create_dir_all(dir.path().join("etc")).expect("directory");
        // From here it leads to a directory that there is.
        symlink("/etc", dir.path().join("etc/crossfade")).expect("link");
        symlink("/usr", dir.path().join("usr")).expect("link");
        assert_eq!(root.join("/etc/crossfade/crossfade/x"), dir.path().join("etc/x"));
        for path in [root.join("/usr/bin"), root.entry("/usr/bin")] {
            let error = fs::read_dir(&path).expect_err("a loop");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
            assert!(fs::create_dir_all(&path).is_err() && !path.exists());
            let above: Vec<_> = path.ancestors().filter(|above| above.exists()).collect();
            assert_eq!(above.first(), Some(&dir.path()), "no directory above it is one that a link leads to");
            assert_eq!(root.resolve_inside(&path), path);
        }
        assert_eq!(root.chase(Path::new("/usr")), None);
    }

    #[test]
    fn a_directory_for_readers_without_a_root_has_no_link_that_they_would_follow_out() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        fs::create_dir_all(dir.path().join("state/deep")).expect("directory");
        fs::write(dir.path().join("state/file"), "").expect("file");
        symlink("../file", dir.path().join("state/deep/inside")).expect("link");
        root.check_links(&root.join("/state")).expect("a link that stays inside");
        root.check_links(&root.join("/absent")).expect("nothing");
        for target in ["/state/file", "/etc", "../../../../../../../../etc/passwd", "/nowhere"] {
            let link = dir.path().join("state/deep/link");
            symlink(target, &link).expect("link");
            let why = root.check_links(&root.join("/state")).expect_err(target);
            assert!(why.starts_with(&link.display().to_string()), "{why}");
            fs::remove_file(&link).expect("link");
        }
        Root::default().check_links(Path::new("/etc")).expect("the node itself");
    }
}
