//! Collects what an ADD needs before it begins anything: the choice of networks, confs, probes, binaries and free interface names.

use std::io;
use std::time::Instant;

use serde_json::value::RawValue;
use types::json::raw::RawObject;
use types::pod::Pod;
use types::policy::{Attach, Policy, SecondaryFailure, Side};

use crate::attachment::delegate::{Network, secondary_runtime_config};
use crate::attachment::plan::{LegPlan, Plan};
use crate::attachment::route::Budget;
use crate::call::reply::{CniError, code};
use crate::call::request::POD_ANNOTATIONS;
use crate::call::serve::Session;
use crate::call::serve::networks::{self, LoadedNetwork};
use crate::host::exec::{Binary, ReadyPlugin};
use crate::host::netns::Netns;
use crate::node::hostports;
use crate::node::inventory;
use crate::node::probe::{ADD_TIMEOUT, Depth};
use crate::node::ready;
use crate::node::store::StoredRecord;

/// Each network to attach, with its conf or the reason why there is none.
pub(super) type LoadedNetworks<'a> = Vec<(Side, Result<LoadedNetwork<'a>, CniError>)>;

/// A network that is ready to be attached: its plan, its conf, its binaries.
pub(super) struct ReadyNetwork<'a> {
    pub(super) plan: LegPlan,
    pub(super) loaded: LoadedNetwork<'a>,
    pub(super) binaries: Vec<Binary>,
    /// The part of `runtimeConfig` that its plugins declare; none if that is nothing.
    pub(super) runtime_config: Option<Box<RawValue>>,
    /// Whether that part asks for host ports.
    pub(super) maps_host_ports: bool,
}

impl ReadyNetwork<'_> {
    /// The network as its plugins are called.
    pub(super) fn network<'b>(&'b self, session: &Session<'b>) -> Network<'b> {
        Network {
            conf: &self.loaded.conf,
            ifname: &self.plan.ifname,
            runtime_config: self.runtime_config.as_deref(),
            scope: session.scope(),
        }
    }

    /// Prepares the network's first plugin.
    ///
    /// # Errors
    /// As [`Network::prepare`].
    pub(super) fn prepare(&self, session: &Session<'_>) -> io::Result<ReadyPlugin<'_>> {
        self.network(session).prepare(&self.binaries)
    }

    /// Whether an earlier call has marked the network as ready in this boot.
    pub(super) fn is_marked(&self, session: &Session<'_>) -> bool {
        ready::is_marked_with_conf(session.layout(), &self.loaded.conf.name, self.loaded.conf_path)
    }
}

pub(in crate::call::serve) fn choose(
    session: &Session<'_>,
    policy: &Policy,
    runtime_config: &RawObject,
) -> Attach {
    let pod = Pod::from_args(session.env.args.as_deref().unwrap_or_default());
    let choice = policy.choose(&pod, |key| {
        let annotations: RawObject = runtime_config.decode(POD_ANNOTATIONS).ok().flatten()?;
        // Annotation keys are case-sensitive, unlike those of a conf.
        let value = annotations.pairs().filter(|(name, _)| *name == key).last()?.1;
        serde_json::from_slice(value.get().as_bytes()).ok()
    });
    if choice.ignored_annotation.is_some() {
        tracing::warn!(
            container_id = session.env.container_id,
            attach = choice.attach.as_str(),
            "the pod's annotation asks for what the policy does not allow; ignored"
        );
    }
    choice.attach
}

/// Loads the confs of all networks to attach. An absent conf is reported later, in the fixed order of checks.
pub(super) fn load_all<'a>(
    session: &Session<'_>,
    policy: &'a Policy,
    attach: Attach,
) -> Result<LoadedNetworks<'a>, CniError> {
    let tolerated = |side| {
        attach == Attach::Both
            && side != policy.both.primary()
            && policy.both.secondary_failure == SecondaryFailure::Tolerate
    };
    let sides: &[Side] = match attach {
        Attach::One(Side::Old) => &[Side::Old],
        Attach::One(Side::New) => &[Side::New],
        Attach::Both => &Side::BOTH,
    };
    let mut all = Vec::new();
    for side in sides {
        let loaded = networks::load(session, policy, *side);
        match loaded {
            Err(error) if error.code != code::TRY_LATER && !tolerated(*side) => return Err(error),
            other => all.push((*side, other)),
        }
    }
    if let [(_, Ok(first)), (_, Ok(second))] = all.as_slice()
        && first.conf.name == second.conf.name
    {
        let places = format!("{} and {}", first.conf_path.display(), second.conf_path.display());
        return Err(networks::same_name(&first.conf.name).details(places));
    }
    Ok(all)
}

pub(super) fn refuse_existing(session: &Session<'_>) -> Result<(), CniError> {
    let key = session.key();
    let name = format!("attachment {} {}", key.container_id, key.ifname);
    let exists = |what: &str| {
        CniError::new(code::EXISTS, format!("{name} exists already"))
            .details(format!("{what}; DEL it before another ADD"))
    };
    let io = |e: io::Error| CniError::new(code::IO, format!("read the record of {name}: {e}"));
    match session.store.find(&key).map_err(io)? {
        StoredRecord::Absent => {}
        StoredRecord::Sound(_) => return Err(exists("it has a record")),
        StoredRecord::Damaged(why) => return Err(exists(&format!("it has a damaged record ({why})"))),
    }
    match inventory::load(session.layout()).map_err(io)?.find(&key) {
        Some(_) => Err(exists("it is in the inventory")),
        None => Ok(()),
    }
}

/// Interface names that a secondary network may not use. Only both-mode needs them.
pub(super) fn taken_ifnames(
    session: &Session<'_>,
    attach: Attach,
    netns: Result<&Netns, &io::Error>,
    until: Instant,
) -> Result<Vec<String>, CniError> {
    if attach != Attach::Both {
        return Ok(Vec::new());
    }
    let path = &session.env.netns;
    let netns = netns.map_err(|e| {
        CniError::new(code::ENVIRONMENT, format!("CNI_NETNS {path:?} cannot be entered: {e}"))
    })?;
    let mut names = netns
        .interface_names(Budget::new(until, Some(session.signals)))
        .map_err(|e| CniError::new(code::IO, format!("list the interfaces of {path:?}: {e}")))?;
    let others = session.store.find_by_container(&session.env.container_id).map_err(|e| {
        CniError::new(code::IO, format!("list the records of container {}: {e}", session.env.container_id))
    })?;
    names.extend(others.iter().flat_map(|other| other.ifnames()).map(str::to_owned));
    Ok(names)
}

/// Checks everything that must exist before the ADD begins. A tolerated secondary network that is not ready is removed from the plan.
pub(super) fn make_ready<'a>(
    session: &Session<'_>,
    plan: &mut Plan,
    loaded: &mut LoadedNetworks<'a>,
    runtime_config: &RawObject,
) -> Result<Vec<ReadyNetwork<'a>>, CniError> {
    let mut first_error: Option<CniError> = None;
    let mut legs = Vec::new();
    for leg in plan.legs.clone() {
        let Some(index) = loaded.iter().position(|(side, _)| *side == leg.side) else {
            continue;
        };
        match ready_leg(session, &leg, loaded.swap_remove(index).1, runtime_config) {
            Ok(ready) => legs.push(ready),
            Err(error) if leg.tolerated => {
                tracing::warn!(
                    container_id = session.env.container_id,
                    network = leg.side.as_str(),
                    code = error.code,
                    error = error.log,
                    "secondary network left out: it is not ready and the policy tolerates it"
                );
                *plan = plan.primary_alone();
            }
            // "Not ready yet" (11) is reported before a missing binary (101), whichever network has it.
            Err(error) => match &first_error {
                Some(first) if first.code == code::TRY_LATER || error.code != code::TRY_LATER => {}
                _ => first_error = Some(error),
            },
        }
    }
    first_error.map_or(Ok(legs), Err)
}

pub(super) fn ready_leg<'a>(
    session: &Session<'_>,
    plan: &LegPlan,
    loaded: Result<LoadedNetwork<'a>, CniError>,
    runtime_config: &RawObject,
) -> Result<ReadyNetwork<'a>, CniError> {
    let loaded = loaded?;
    let deadline = Instant::now() + ADD_TIMEOUT * 4;
    networks::probes_hold(plan.side, loaded.network, Depth::Local, deadline)?;
    let declared = loaded.conf.retain_declared(runtime_config.clone());
    let runtime_config = if plan.primary { declared } else { secondary_runtime_config(declared) };
    let network =
        Network { conf: &loaded.conf, ifname: &plan.ifname, runtime_config: None, scope: session.scope() };
    let binaries = network.find_binaries()?;
    Ok(ReadyNetwork {
        plan: plan.clone(),
        binaries,
        maps_host_ports: hostports::are_wanted(&runtime_config),
        runtime_config: (!runtime_config.is_empty()).then(|| runtime_config.to_raw()),
        loaded,
    })
}
