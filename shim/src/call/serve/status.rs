//! STATUS: cheap, limited in time, and sticky on purpose.
//!
//! A runtime calls STATUS every few seconds. If the plugin reports an error, the whole node becomes not ready, and after five minutes its pods are
//! evicted. So a network has to be ready once in a boot. From then on, only a broken policy or a missing binary is an error, and a restart of an
//! agent, whose conf is gone or torn for a moment, costs no node. This departs from the specification, and docs/architecture.md says so.

use std::time::{Duration, Instant};

use types::policy::{Policy, Side};

use super::{Session, networks};
use crate::attachment::delegate::Network;
use crate::call::reply::{CniError, code};
use crate::host::exec::Binary;
use crate::node::probe::Depth;
use crate::node::ready;

pub(super) fn status(session: &Session<'_>) -> Result<(), CniError> {
    let policy = session.policy().map_err(not_available_error)?;
    let deadline = session.began + Duration::from_millis(policy.deadlines.status_millis);
    let mut first: Option<CniError> = None;
    for side in policy.attached_sides() {
        if let Err(error) = network_status(session, policy, side, deadline) {
            // Code 51 means, beyond 50, that running pods may have lost their network.
            match &first {
                Some(first) if first.code == code::LIMITED || error.code != code::LIMITED => {}
                _ => first = Some(error),
            }
        }
    }
    first.map_or(Ok(()), Err)
}

fn network_status(
    session: &Session<'_>,
    policy: &Policy,
    side: Side,
    deadline: Instant,
) -> Result<(), CniError> {
    let loaded = match networks::read(policy, side) {
        Ok(loaded) => loaded,
        // The network's agent has removed the conf, or is writing it. A torn conf names no binary to check.
        Err(error) => {
            let was_ready = policy
                .network(side)
                .is_some_and(|network| ready::is_marked_by_conf(session.layout(), &network.conf));
            return if was_ready { Ok(()) } else { Err(not_available_error(error)) };
        }
    };
    loaded.refuse_ourselves(&session.conf.plugin_type).map_err(not_available_error)?;
    let network = Network { conf: &loaded.conf, ifname: "", runtime_config: None, scope: session.scope() };
    let _binaries: Vec<Binary> = network.find_binaries().map_err(not_available_error)?;
    if ready::is_marked(session.layout(), &loaded.conf.name) {
        return Ok(());
    }
    networks::probes_hold(side, loaded.network, Depth::All, deadline).map_err(not_available_error)?;
    let limits = session.limits(deadline);
    network
        .status(&limits)
        .map_err(|error| if error.code == code::LIMITED { error } else { not_available_error(error) })?;
    networks::mark_ready(session, &loaded.conf.name, loaded.conf_path);
    Ok(())
}

/// Turns any error into STATUS's code for "an ADD would not succeed now".
fn not_available_error(error: CniError) -> CniError {
    CniError { code: code::NOT_AVAILABLE, ..error }
}
