//! One outer mount, net and pid namespace around a whole lab process.
//!
//! A lab makes network namespaces, mounts, bridges and daemons. Everything of it lives in namespaces whose lifetime is that
//! of one process, so that even SIGKILL leaves nothing on the machine but empty cgroup directories, which the next lab sweeps.
//!
//! [`enter`] re-executes the program twice, the way `unshare --pid --fork --kill-child` would:
//!
//! ```text
//! launcher (outside)  starts init in a new pid namespace, passes signals on, removes cgroups, exits with its status
//!   init (pid 1)      new mount and net namespace, own /proc /run /usr /etc /opt /var/lib, reaps orphans
//!     lab             returns from `enter` and runs the program
//! ```
//!
//! Inside, `/run` is an empty tmpfs; `/usr`, `/etc`, `/opt`, `/var/lib` and `/var/log` are copy-on-write, and `/usr` has the unpacked
//! parts of [`crate::build::packages`] on top, so a part is found where its package would have installed it.

mod cgroup;
mod mounts;
mod process;

pub(crate) use mounts::{bind, directory, make_shared, private_tree, proc, tmpfs};
pub(crate) use process::{Role, loopback_up, role_command};

use anyhow::{Context, Result, bail};
use nix::sched::CloneFlags;

/// Runs the rest of the program inside the lab's namespaces.
///
/// Must be the first thing in `main`, while the process has one thread. It returns only inside; outside, the process ends
/// with the status of the inner one. A SIGINT, SIGTERM or SIGHUP is passed on, everything inside ends (at once on the second
/// signal, within [`process::GRACE`] on the first) and the status is 128 plus the signal's number.
///
/// A child of a lab that calls `enter` gets a lab of its own inside the first one.
///
/// # Errors
/// Not root, or a namespace or mount that the kernel refuses; the message names it.
pub fn enter() -> Result<()> {
    match process::role() {
        Some(Role::Lab) => Ok(()),
        Some(Role::LabInit) => process::init(Role::Lab, lab_mounts),
        Some(Role::Node) => process::launch(Role::NodeInit, None),
        Some(Role::NodeInit) => process::init_without_child(crate::host::node::set_up_inside),
        None => {
            if !nix::unistd::geteuid().is_root() {
                bail!(
                    "the lab needs root for namespaces and mounts: run it through `make test` or `make demo`, \
                     which build as you and raise only the built programs"
                );
            }
            let cgroup = cgroup::Parent::claim().context("cgroup parent of this lab")?;
            process::launch(Role::LabInit, Some(cgroup))
        }
    }
}

/// The cgroup parent of everything this lab's runtimes start, as a path below each hierarchy's root.
///
/// # Errors
/// Outside of [`enter`].
pub fn cgroup_parent() -> Result<String> {
    std::env::var(cgroup::VARIABLE).context("not inside a lab: call lab::isolate::enter() first")
}

/// Makes the cgroup of a node's pods in every hierarchy, by its path below their roots, which is one below [`cgroup_parent`]. That one gets the
/// weight of such nodes.
///
/// # Errors
/// What the file system says.
pub fn make_cgroup(path: &str) -> Result<()> {
    cgroup::make(path)?;
    cgroup::weigh(&cgroup_parent()?)
}

/// What only the lab's init does: its namespaces, mounts and loopback.
fn lab_mounts() -> Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .context("new mount and net namespace")?;
    mounts::private_tree()?;
    mounts::proc()?;
    mounts::lab_directories()?;
    process::loopback_up()
}
