//! The root of the node that a pod has mounted: after [`enter`], the process runs in it.

use std::path::Path;

use nix::unistd::chroot;

use crate::cli::Global;
use convergence::failure::Failure;
use types::command::exit::Exit;
use types::command::problem::Problem;

/// Makes the directory that `--host` names the root of this process; without the option nothing happens.
///
/// Every path then means the same as on the node: links have the node's targets, and the node's own programs can run.
///
/// # Errors
/// The directory is not the root of a node, or the process lacks `CAP_SYS_CHROOT`.
pub(crate) fn enter(global: &Global) -> Result<(), Failure> {
    let Some(dir) = &global.host else { return Ok(()) };
    // A mount of another directory would receive Crossfade's files, and the node would not use them.
    if !dir.join("proc/self").exists() {
        let dir = dir.display();
        return Err(Failure::usage(format!(
            "--host {dir}: expected the node's root directory with its /proc"
        ))
        .with_place("--host")
        .fix(format!("mount hostPath / of the node at {dir}")));
    }
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("--host {}: {e}", dir.display())).with_place("--host")
    };
    chroot(dir).map_err(|e| failed(&e).fix("give the container the capability CAP_SYS_CHROOT"))?;
    std::env::set_current_dir(Path::new("/")).map_err(|e| failed(&e))
}

/// Refuses a pod that has the node's files and not its network: what the kernel has of the node is not in the pod's own network namespace. Without
/// `--host` nothing is asked.
///
/// # Errors
/// The namespace is another one than that of process 1, or that cannot be told.
pub(crate) fn require_node_network(global: &Global) -> Result<(), Failure> {
    if global.host.is_none() {
        return Ok(());
    }
    is_node_network().map_err(|why| {
        let fix = "run the pod with hostNetwork: true and the node's /proc";
        Failure::from_problem(Exit::No, Problem::new(why).with_place("--host").fix(fix))
    })
}

fn is_node_network() -> Result<(), String> {
    let [own, first] = ["/proc/self/ns/net", "/proc/1/ns/net"].map(|path| {
        std::fs::read_link(path)
            .map_err(|why| format!("{path}: {why}; it is unknown whether this is the node's network"))
    });
    if own? == first? { Ok(()) } else { Err("this is not the node's own network namespace".into()) }
}
