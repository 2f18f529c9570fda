//! Directories that a user other than root could change: Crossfade neither reads from them nor writes into them.

use std::path::{Path, PathBuf};

use shim::host::trust;
use shim::node::layout::Layout;
use shim::node::store::Store;

/// How strictly Crossfade checks directories against the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectoryRule {
    /// The directory has to be there. A run directory may be missing, for it is made when it is needed.
    Present,
    /// The rule also covers an absent directory: the place in which it would be made must keep the rule.
    Possible,
}

/// The directories that break the rule, one line each: the runtime's conf directory, if it matters, those of plugins, and Crossfade's own.
#[must_use]
pub(crate) fn directories(
    rule: DirectoryRule,
    conf_dir: Option<&Path>,
    bin_dirs: &[PathBuf],
    (layout, store): (&Layout, &Store),
) -> Vec<String> {
    let check = |path: &Path| match rule {
        DirectoryRule::Present => trust::check_dir(path),
        DirectoryRule::Possible => trust::check_place(path),
    };
    let describe =
        |what: &str, checked: Result<(), trust::Distrust>| checked.err().map(|why| format!("{what}: {why}"));
    let mut directories: Vec<String> =
        conf_dir.and_then(|dir| describe("conf dir", check(dir))).into_iter().collect();
    directories.extend(bin_dirs.iter().filter_map(|dir| describe("bin dir", check(dir))));
    let run_dir = check(&layout.run_dir);
    let is_missing = run_dir.as_ref().is_err_and(trust::Distrust::is_absent);
    directories.extend(describe("run dir", run_dir).filter(|_| !is_missing));
    directories.extend(store.check_trust().err().map(|why| format!("state dir: {why}")));
    directories
}
