//! kubelet's directory of configuration drop-ins, where Crossfade's taints go into a file.
//!
//! It holds copies of the files of kubelet's own directory, numbered in the order in which kubelet merges them, and Crossfade's file behind them. They
//! are copied at every start of kubelet, which reads them once, then. A copy is root's alone, for a configuration may hold what its
//! original's owner keeps to himself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use shim::host::file::PRIVATE;

use crate::host::root::Root;
use crate::kubelet::config;
use convergence::change::{Act, Change, Write};
use convergence::failure::Failure;
use convergence::node::paths::KUBELET_CONFIG_DIR;
use types::command::exit::Exit;

/// Crossfade's file; digits sort before it.
const OWN_FILE: &str = "zz-crossfade.conf";

/// Makes the directory what it should be: copies of kubelet's own files (`kubelets`), then a file with Crossfade's taints (`own_taints`).
///
/// # Errors
/// 75: a file went away meanwhile; 1: one cannot be read.
pub(crate) fn write(root: &Root, kubelets: &[PathBuf], own_taints: &str) -> Result<Vec<Change>, Failure> {
    let dir = root.join(KUBELET_CONFIG_DIR);
    let mut files = Vec::new();
    for (index, path) in kubelets.iter().enumerate() {
        let bytes = config::bytes(root, path).map_err(|why| Failure::new(Exit::Failed, why))?;
        let bytes = bytes.ok_or_else(|| Failure::try_later(format!("{} has gone", path.display())))?;
        let mut name = OsString::from(format!("{index:04}-"));
        name.push(path.file_name().unwrap_or_default());
        files.push((name, bytes, format!("a copy of {}", path.display())));
    }
    files.push((OWN_FILE.into(), own_taints.as_bytes().to_vec(), "the taints that kubelet registers".into()));
    let names: BTreeSet<&OsString> = files.iter().map(|(name, ..)| name).collect();
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let stale = entries.filter(|entry| !names.contains(&entry.file_name()));
    let removals =
        stale.map(|entry| Change::remove(entry.path(), false, "kubelet's own directory has it no more"));
    let mut changes: Vec<Change> = removals.collect();
    changes.extend(files.into_iter().map(|(name, bytes, why)| {
        Change::ensure(Write { path: dir.join(name), bytes, mode: PRIVATE, nudge: false }, why)
    }));
    Ok(changes)
}

/// Takes the directory away, where it is.
pub(crate) fn remove(root: &Root, why: &str) -> Option<Change> {
    let dir = root.join(KUBELET_CONFIG_DIR);
    let target = dir.display().to_string();
    dir.symlink_metadata().is_ok().then(|| Change::new(Act::RemoveTree(dir), target, why))
}
