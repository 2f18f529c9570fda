//! The differences between this node's routes to its pods' addresses and those that its records ask for, as findings.

use shim::attachment::hostroute;
use shim::attachment::route::Budget;
use shim::node::store::DamagedFile;
use types::attachment::Attachment;

use convergence::failure::Failure;
use types::command::exit::Exit;

/// What a sweep would change, in words, by the sound `records` and those that are `damaged`; none where all is as it should be.
///
/// # Errors
/// What the kernel says to being asked.
pub(crate) fn to_change(records: &[Attachment], damaged: &[DamagedFile]) -> Result<Option<String>, Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(Exit::Failed, format!("look at the host routes: {e}")).with_place("table 1003")
    };
    let changes = hostroute::unconverged_routes(records, damaged, Budget::new_brief()).map_err(failed)?;
    Ok((!changes.is_empty()).then(|| changes.join("; ")))
}
