//! The node that a pod has mounted: everything after [`enter`] is done in there.

use std::path::Path;

use nix::unistd::chroot;

use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};

/// Makes the directory that `--host` names our root; without it nothing is done.
///
/// Every path then means what it means on the node: links lead where they lead there, and the node's own programs can be run.
///
/// # Errors
/// It is no root of a node, or the right is missing (`CAP_SYS_CHROOT`).
pub fn enter(global: &Global) -> Result<(), Failure> {
    let Some(dir) = &global.host else { return Ok(()) };
    // A mount of another directory would be filled with our files, and nothing would come of it.
    if !dir.join("proc/self").exists() {
        let dir = dir.display();
        return Err(Failure::usage(format!(
            "--host {dir}: expected the node's root directory with its /proc"
        ))
        .at("--host")
        .fix(format!("mount hostPath / of the node at {dir}")));
    }
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("--host {}: {e}", dir.display())).at("--host")
    };
    chroot(dir).map_err(|e| failed(&e).fix("give the container the capability CAP_SYS_CHROOT"))?;
    std::env::set_current_dir(Path::new("/")).map_err(|e| failed(&e))
}
