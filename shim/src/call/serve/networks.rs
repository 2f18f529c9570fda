//! The policy's networks as this call finds them: conf, readiness, binaries.

use std::path::Path;
use std::time::Instant;

use types::attachment::{Intent, Leg};
use types::policy::{self, Policy, Side};

use super::Session;
use crate::attachment::conflist::{Conflist, LoadError};
use crate::attachment::delegate::{Network, Scope, delegates_to_itself};
use crate::call::reply::{CniError, code};
use crate::host::boot::boot_id;
use crate::host::netns::Netns;
use crate::node::probe::{self, Depth};
use crate::node::ready;

/// What to do if a pod waits for a file of `watch`.
const WATCH_KEEPS_IT: &str = "crossfade-watch keeps this file while the agent of the network is ready. `crossfade-bootstrap status` \
    on the node says what the agent lacks, `systemctl status crossfade-watch` whether crossfade-watch runs";

/// A network of the policy with its conf.
#[derive(Debug)]
pub(super) struct LoadedNetwork<'a> {
    pub(super) network: &'a policy::Network,
    pub(super) conf: Conflist,
    pub(super) conf_path: &'a Path,
}

impl LoadedNetwork<'_> {
    /// Refuses a network if one of its plugins has the type of the shim itself.
    ///
    /// # Errors
    /// Code 7 names the network.
    pub(super) fn refuse_ourselves(&self, plugin_type: &str) -> Result<(), CniError> {
        if self.conf.plugins.iter().any(|plugin| plugin.plugin_type == plugin_type) {
            return Err(delegates_to_itself(&self.conf.name));
        }
        Ok(())
    }

    /// The network's part of an attachment, without `runtimeConfig`.
    pub(super) fn leg(&self, ifname: &str, primary: bool) -> Leg {
        Leg {
            network: self.conf.name.clone(),
            profile: self.network.profile.clone(),
            conf_path: self.conf_path.to_str().map(str::to_owned),
            ifname: ifname.to_owned(),
            primary,
            tolerated: false,
            host_route: false,
            conf: self.conf.raw.clone(),
            runtime_config: None,
        }
    }
}

/// Loads the conf of the policy's network on `side`.
///
/// # Errors
/// Code 11 if there is no conf yet, 1 if Crossfade does not support its version, else 7.
pub(super) fn load<'a>(
    session: &Session<'_>,
    policy: &'a Policy,
    side: Side,
) -> Result<LoadedNetwork<'a>, CniError> {
    let loaded = read(policy, side)?;
    loaded.refuse_ourselves(&session.conf.plugin_type)?;
    Ok(loaded)
}

/// Reads the conf of the policy's network on `side`, whatever its plugins are.
///
/// # Errors
/// As [`load`].
pub(super) fn read(policy: &Policy, side: Side) -> Result<LoadedNetwork<'_>, CniError> {
    let network = policy
        .network(side)
        .ok_or_else(|| CniError::new(code::CONFIG, format!("the policy has no network {side}")))?;
    let (conf, conf_path) = Conflist::load(&network.conf).map_err(|why| {
        let code = match why {
            LoadError::Absent(_) => code::TRY_LATER,
            LoadError::Version(..) => code::VERSION,
            LoadError::Unreadable(..) | LoadError::Invalid(..) => code::CONFIG,
        };
        CniError::new(code, format!("network {side}: {why}"))
    })?;
    Ok(LoadedNetwork { network, conf, conf_path })
}

/// The error for two networks of one name, which no record could tell apart.
pub(super) fn same_name(name: &str) -> CniError {
    CniError::new(code::CONFIG, format!("both networks are called {name:?}; expected two names"))
}

/// Runs a network's probes.
///
/// # Errors
/// Code 11 names the probe that does not hold.
pub(super) fn probes_hold(
    side: Side,
    network: &policy::Network,
    depth: Depth,
    deadline: Instant,
) -> Result<(), CniError> {
    probe::all_hold(network.probes(), depth, deadline).map_err(|red| {
        let details = if red.of_watch { WATCH_KEEPS_IT } else { "waiting for its agent" };
        CniError::new(code::TRY_LATER, format!("network {side} is not ready: {red}"))
            .details(format!("{details}; there is no fallback to the other network"))
    })
}

/// Marks a network as ready in this boot. If that fails, STATUS only runs the probes again.
pub(super) fn mark_ready(session: &Session<'_>, name: &str, conf_path: &Path) {
    if let Err(error) = ready::mark(session.layout(), name, conf_path) {
        tracing::warn!(network = name, error = error.to_string(), "ready marker not written");
    }
}

/// Whether the netns at `path` is the attachment's own; none if nothing is there or it cannot be decided.
pub(super) fn is_its_netns(intent: &Intent, path: &str) -> Option<bool> {
    is_its(intent, &Netns::open(Path::new(path)).ok()?)
}

/// Whether the netns `found` is the attachment's own; none if it cannot be decided.
pub(super) fn is_its(intent: &Intent, netns: &Netns) -> Option<bool> {
    // Reading the cookie means entering the netns, so it is read only if the record has one to compare with.
    let cookie = intent.netns_cookie.and_then(|_| netns.cookie());
    intent.is_its_netns(netns.id(), cookie, boot_id().ok())
}

/// A recorded leg as a network that is about to be called.
pub(super) fn recorded_network<'a>(
    session: &Session<'_>,
    leg: &'a Leg,
    conf: &'a Conflist,
    scope: Scope<'a>,
) -> Network<'a> {
    session.note_called(&leg.network);
    Network { conf, ifname: &leg.ifname, runtime_config: leg.runtime_config.as_deref(), scope }
}

/// The conf of a recorded leg.
///
/// # Errors
/// Code 7. The shim writes no such record, and the checksum was right.
pub(super) fn recorded_conf(leg: &Leg) -> Result<Conflist, CniError> {
    let network = &leg.network;
    Conflist::from_resolved(&leg.conf)
        .map_err(|why| CniError::new(code::CONFIG, format!("network {network:?}: its recorded conf: {why}")))
}
