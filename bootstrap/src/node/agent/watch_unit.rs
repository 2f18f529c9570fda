//! The units that run `boot` and `watch` on a node: whether systemd can run them, and what starts and ends them.

use convergence::node::agent::watch_unit::UNITS;

use nix::sys::statvfs::{FsFlags, statvfs};
use types::command::problem::Problem;

use crate::systemd::systemctl::{self, is_here};

/// The directory below which programs and units are installed.
const PACKAGED: &str = "/usr";

/// Whether units can be brought to this node.
///
/// # Errors
/// Why they cannot.
pub(crate) fn check() -> Result<(), String> {
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    let read_only = statvfs(PACKAGED).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    if read_only { Err(format!("{PACKAGED} of this node is read-only")) } else { Ok(()) }
}

/// Whether systemd can run `watch` as a unit.
///
/// # Errors
/// Why it cannot.
pub(crate) fn watch_unit() -> Result<(), Problem> {
    let [_, watch] = UNITS;
    if !is_here() {
        return Err("systemd does not run this node".into());
    }
    match systemctl::load_state(watch)?.as_str() {
        "loaded" => Ok(()),
        "masked" => {
            let fix = format!("unmask it: systemctl unmask {watch}");
            Err(Problem::new(format!("{watch} is masked")).with_place(watch).fix(fix))
        }
        _ => Err(Problem::new(format!("systemd does not know {watch}")).with_place(watch)),
    }
}
