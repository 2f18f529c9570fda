//! The node that a pod has mounted: everything after [`enter`] is done in there.

use std::path::Path;

use nix::unistd::chroot;

use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};

/// Makes the directory that `--host` names the root of this process; without the option nothing happens.
///
/// Every path then means the same as on the node: links have the node's targets, and the node's own programs can run.
///
/// # Errors
/// The directory is not the root of a node, or the process lacks `CAP_SYS_CHROOT`.
pub fn enter(global: &Global) -> Result<(), Failure> {
    let Some(dir) = &global.host else { return Ok(()) };
    // A mount of another directory would receive Crossfade's files, and the node would not use them.
    if !dir.join("proc/self").exists() {
        let why = format!("--host {}: expected the node's root directory with its /proc", dir.display());
        return Err(Failure::new(Exit::Usage, why).at("--host").fix("mount hostPath / there"));
    }
    let failed =
        |e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("--host {}: {e}", dir.display()));
    chroot(dir).map_err(|e| {
        let failure = failed(&format!("{e}; the container needs CAP_SYS_CHROOT"));
        failure.at("--host").fix("add CAP_SYS_CHROOT to the container's capabilities")
    })?;
    std::env::set_current_dir(Path::new("/")).map_err(|e| failed(&e))
}
