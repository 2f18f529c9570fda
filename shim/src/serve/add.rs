//! ADD.
//!
//! Checks come in a fixed order, cheapest and most certain first, and all of them before anything is begun: environment (4),
//! stdin (6, 7, 1), policy and confs (7), record exists (102), conf absent or probe red (11), binary missing (101), record store
//! (5). From the record on, every failure is undone in reverse before it is reported.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::attachment::{Event, FORMAT, Intent, Leg, RouteStep};
use crate::boot::Moment;
use crate::delegate::{Limits, Network, Scope, secondary_runtime_config};
use crate::exec::Binary;
use crate::inventory::Inventory;
use crate::lock::{Lock, NoLock, Patience};
use crate::netns::Netns;
use crate::plan::{LegPlan, Plan, decide_add};
use crate::policy::{Attach, Policy, Side};
use crate::probe::{ADD_TIMEOUT, Depth};
use crate::raw::RawObject;
use crate::reply::{CniError, code};
use crate::request::Pod;
use crate::route;
use crate::store::{Found, Open};
use crate::version::AddResult;

use super::networks::{self, Loaded};
use super::{Request, close, print};

/// Of an ADD's deadline, so much is kept for undoing it, but never more than a third.
const KEPT_FOR_UNDO: Duration = Duration::from_secs(30);

/// The key under which the runtime passes a pod's annotations (a convention of the CRI runtimes).
const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// What was found of each network that is to be attached.
type Findings<'a> = Vec<(Side, Result<Loaded<'a>, CniError>)>;

/// A leg that can be attached: its plan, its network, its binaries.
struct Ready<'a> {
    plan: LegPlan,
    loaded: Loaded<'a>,
    binaries: Vec<Binary>,
    runtime_config: RawObject,
}

pub(super) fn add(request: &Request<'_>, out: &mut impl Write) -> Result<(), CniError> {
    refuse_prev_result(request)?;
    let policy = request.policy()?;
    let runtime_config = request.conf.runtime_config()?;
    let attach = choose(request, &policy, &runtime_config);
    let mut loaded = load_all(request, &policy, attach)?;
    let until = request.until(policy.deadlines.add_secs);
    let patience = Patience { until, ask_from: None };
    let key = request.key();
    let lock = match Lock::take(request.layout(), &key, request.env.verb, patience, request.signals) {
        Err(why @ (NoLock::Held(_) | NoLock::Stopped)) => return Err(request.no_lock(why)),
        // A run directory that cannot be written is told in its turn.
        other => other,
    };
    refuse_existing(request)?;

    let netns = Netns::open(Path::new(&request.env.netns));
    let taken = taken_ifnames(request, attach, netns.as_ref())?;
    let mut plan = decide_add(attach, &policy.both, &request.env.ifname, &taken);
    let legs = make_ready(request, &mut plan, &mut loaded, &runtime_config)?;
    let mut lock = lock.map_err(|why| request.no_lock(why))?;

    let intent = intent(request, &legs, netns.as_ref().ok())?;
    let mut open = request.store.begin(intent).map_err(|e| {
        CniError::new(
            code::IO,
            format!("write the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
        .details("nothing was attached")
    })?;
    let attached = attach_all(request, &legs, &mut open, &mut lock, netns.as_ref().ok(), until);
    let outcome = attached.and_then(|result| {
        let raw = result.at(request.conf.version)?;
        print(out, raw.get())
    });
    match outcome {
        Ok(()) => {
            for leg in
                legs.iter().zip(&open.attachment.progress).filter(|(_, progress)| progress.result.is_some())
            {
                networks::mark_ready(request, &leg.0.loaded.conf.name, leg.0.loaded.conf_path);
            }
            Ok(())
        }
        Err(error) => Err(undo(request, open, &mut lock, until, error)),
    }
}

fn refuse_prev_result(request: &Request<'_>) -> Result<(), CniError> {
    match request.conf.object.get("prevResult") {
        Some(raw) if raw.get() != "null" => Err(CniError::new(code::CONFIG, "must be first in its conflist")
            .details("found a prevResult; move the plugins before this one into a delegate's conflist")),
        _ => Ok(()),
    }
}

fn choose(request: &Request<'_>, policy: &Policy, runtime_config: &RawObject) -> Attach {
    let pod = Pod::from_args(request.env.args.as_deref().unwrap_or_default());
    let choice = policy.choose(&pod, |key| {
        let annotations: RawObject = runtime_config.decode(POD_ANNOTATIONS).ok().flatten()?;
        // Annotation keys are case-sensitive, unlike those of a conf.
        let value = annotations.pairs().filter(|(name, _)| *name == key).last()?.1;
        serde_json::from_slice(value.get().as_bytes()).ok()
    });
    if choice.ignored_annotation.is_some() {
        tracing::warn!(
            container_id = request.env.container_id,
            attach = choice.attach.as_str(),
            "the pod's annotation asks for what the policy does not allow; ignored"
        );
    }
    choice.attach
}

/// The confs of everything that is to be attached. One that is absent is kept for its turn in the order of checks.
fn load_all<'a>(request: &Request<'_>, policy: &'a Policy, attach: Attach) -> Result<Findings<'a>, CniError> {
    let tolerated = |side| {
        attach == Attach::Both
            && side != policy.both.primary
            && policy.both.secondary_failure == crate::policy::SecondaryFailure::Tolerate
    };
    let sides: &[Side] = match attach {
        Attach::One(Side::Old) => &[Side::Old],
        Attach::One(Side::New) => &[Side::New],
        Attach::Both => &Side::BOTH,
    };
    let mut all = Vec::new();
    for side in sides {
        let loaded = networks::load(request, policy, *side);
        match loaded {
            Err(error) if error.code != code::TRY_LATER && !tolerated(*side) => return Err(error),
            other => all.push((*side, other)),
        }
    }
    if let [(_, Ok(one)), (_, Ok(other))] = all.as_slice()
        && one.conf.name == other.conf.name
    {
        return Err(CniError::new(
            code::CONFIG,
            format!("both networks are called {:?}; expected two names", one.conf.name),
        )
        .details(format!("{} and {}", one.conf_path.display(), other.conf_path.display())));
    }
    Ok(all)
}

fn refuse_existing(request: &Request<'_>) -> Result<(), CniError> {
    let key = request.key();
    let name = format!("attachment {} {}", key.container_id, key.ifname);
    let exists = |what: &str| {
        CniError::new(code::EXISTS, format!("{name} exists already"))
            .details(format!("{what}; DEL it before another ADD"))
    };
    let io = |e: std::io::Error| CniError::new(code::IO, format!("read the record of {name}: {e}"));
    match request.store.find(&key).map_err(io)? {
        Found::Nothing => {}
        Found::Record(_) => return Err(exists("it has a record")),
        Found::Damaged(why) => return Err(exists(&format!("it has a damaged record ({why})"))),
    }
    match Inventory::load(request.layout()).map_err(io)?.find(&key) {
        Some(_) => Err(exists("it is in the inventory")),
        None => Ok(()),
    }
}

/// Interface names that a secondary may not use. Only both-mode asks.
fn taken_ifnames(
    request: &Request<'_>,
    attach: Attach,
    netns: Result<&Netns, &std::io::Error>,
) -> Result<Vec<String>, CniError> {
    if attach != Attach::Both {
        return Ok(Vec::new());
    }
    let path = &request.env.netns;
    let netns = netns.map_err(|e| {
        CniError::new(code::ENVIRONMENT, format!("CNI_NETNS {path:?} cannot be entered: {e}"))
    })?;
    let mut taken = netns
        .interface_names()
        .map_err(|e| CniError::new(code::IO, format!("list the interfaces of {path:?}: {e}")))?;
    let others = request.store.of_container(&request.env.container_id).map_err(|e| {
        CniError::new(code::IO, format!("list the records of container {}: {e}", request.env.container_id))
    })?;
    taken.extend(others.iter().flat_map(|other| other.ifnames()).map(str::to_owned));
    Ok(taken)
}

/// Everything that must be there before anything is begun. A tolerated secondary that is not is dropped from the plan.
fn make_ready<'a>(
    request: &Request<'_>,
    plan: &mut Plan,
    loaded: &mut Findings<'a>,
    runtime_config: &RawObject,
) -> Result<Vec<Ready<'a>>, CniError> {
    let mut first_error: Option<CniError> = None;
    let mut legs = Vec::new();
    for leg in plan.legs.clone() {
        let Some(at) = loaded.iter().position(|(side, _)| *side == leg.side) else {
            continue;
        };
        match ready_leg(request, &leg, loaded.swap_remove(at).1, runtime_config) {
            Ok(ready) => legs.push(ready),
            Err(error) if leg.tolerated => {
                tracing::warn!(
                    container_id = request.env.container_id,
                    network = leg.side.as_str(),
                    code = error.code,
                    error = error.log,
                    "secondary network left out: it is not ready and the policy tolerates it"
                );
                *plan = plan.primary_alone();
            }
            // Not ready yet (11) is told before a missing binary (101), whichever network has it.
            Err(error) => match &first_error {
                Some(first) if first.code == code::TRY_LATER || error.code != code::TRY_LATER => {}
                _ => first_error = Some(error),
            },
        }
    }
    first_error.map_or(Ok(legs), Err)
}

fn ready_leg<'a>(
    request: &Request<'_>,
    plan: &LegPlan,
    loaded: Result<Loaded<'a>, CniError>,
    runtime_config: &RawObject,
) -> Result<Ready<'a>, CniError> {
    let loaded = loaded?;
    let deadline = Instant::now() + ADD_TIMEOUT * 4;
    networks::probes_hold(plan.side, loaded.network, Depth::Local, deadline)?;
    let runtime_config =
        if plan.primary { runtime_config.clone() } else { secondary_runtime_config(runtime_config.clone()) };
    let network =
        Network { conf: &loaded.conf, ifname: &plan.ifname, runtime_config: None, scope: scope(request) };
    let binaries = network.find_binaries()?;
    Ok(Ready { plan: plan.clone(), binaries, loaded, runtime_config })
}

fn scope<'a>(request: &'a Request<'_>) -> Scope<'a> {
    let env = request.env;
    Scope {
        container_id: &env.container_id,
        netns: &env.netns,
        args: env.args.as_deref(),
        search: env.path.as_deref().into_iter().collect(),
    }
}

fn intent(request: &Request<'_>, legs: &[Ready<'_>], netns: Option<&Netns>) -> Result<Intent, CniError> {
    let env = request.env;
    let begun = Moment::now().map_err(|e| CniError::new(code::IO, format!("read the clock: {e}")))?;
    let route = match legs {
        [first, owner] => {
            Some(RouteStep { first: first.plan.ifname.clone(), owner: owner.plan.ifname.clone() })
        }
        _ => None,
    };
    Ok(Intent {
        version: FORMAT,
        container_id: env.container_id.clone(),
        ifname: env.ifname.clone(),
        begun,
        netns: env.netns.clone(),
        netns_id: netns.map(Netns::id),
        cni_args: env.args.clone(),
        cni_path: env.path.clone(),
        route,
        legs: legs
            .iter()
            .map(|leg| Leg {
                network: leg.loaded.conf.name.clone(),
                profile: leg.loaded.network.profile.clone(),
                conf_path: leg.loaded.conf_path.to_str().map(str::to_owned),
                ifname: leg.plan.ifname.clone(),
                primary: leg.plan.primary,
                tolerated: leg.plan.tolerated,
                conf: leg.loaded.conf.raw.clone(),
                runtime_config: (!leg.runtime_config.is_empty()).then(|| leg.runtime_config.to_raw()),
            })
            .collect(),
    })
}

/// Attaches every leg in order, with the route step between them; the primary's result.
fn attach_all(
    request: &Request<'_>,
    legs: &[Ready<'_>],
    open: &mut Open,
    lock: &mut Lock,
    netns: Option<&Netns>,
    until: Instant,
) -> Result<AddResult, CniError> {
    let kept = KEPT_FOR_UNDO.min(until.saturating_duration_since(request.began) / 3);
    let mut primary = None;
    for (index, leg) in legs.iter().enumerate() {
        if index > 0 {
            append(open, &[Event::Started { leg: index }])?;
        }
        let left = (until - kept).saturating_duration_since(Instant::now());
        let share = left / u32::try_from(legs.len() - index).unwrap_or(1);
        let limits = Limits { deadline: Instant::now() + share, signals: request.signals };
        let result = match attach_leg(request, leg, lock, &limits) {
            Ok(result) => result,
            Err(error) if leg.plan.tolerated && !request.signals.stop_requested() => {
                leave_out(
                    request,
                    index,
                    leg,
                    open,
                    lock,
                    &error,
                    limits.deadline.max(Instant::now() + kept),
                )?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let raw = result.at(leg.loaded.conf.version)?;
        let added = Event::Added { leg: index, result: raw };
        let last = index + 1 == legs.len();
        if legs.len() == 1 {
            append(open, &[added, Event::Attached {}])?;
        } else {
            // Recorded before our own step: should that fail, the undoing has the result that belongs to the DEL.
            append(open, &[added])?;
            route_step(legs, index, open, netns)?;
            if last {
                append(open, &[Event::Attached {}])?;
            }
        }
        if leg.plan.primary {
            primary = Some(result);
        }
    }
    // The plan has one primary, and it was attached or we are not here.
    primary.ok_or_else(|| CniError::new(code::DELEGATE, "no network was attached"))
}

fn attach_leg(
    request: &Request<'_>,
    leg: &Ready<'_>,
    lock: &mut Lock,
    limits: &Limits<'_>,
) -> Result<AddResult, CniError> {
    networks::note(&leg.loaded.conf.name);
    let runtime_config = leg.runtime_config.to_raw();
    let network = Network {
        conf: &leg.loaded.conf,
        ifname: &leg.plan.ifname,
        runtime_config: Some(&runtime_config),
        scope: scope(request),
    };
    let result = network.add(&leg.binaries, lock, limits)?;
    if leg.plan.primary && result.addresses().is_empty() {
        // The runtime would fail later with words that name nobody.
        return Err(CniError::new(
            code::DECODE,
            format!("network {:?}: its ADD succeeded without any address", leg.loaded.conf.name),
        )
        .details("expected at least one entry in ips"));
    }
    Ok(result)
}

/// Undoes a tolerated secondary alone; the pod goes on without it. If that fails too, the DEL is owed and stays on record.
fn leave_out(
    request: &Request<'_>,
    index: usize,
    leg: &Ready<'_>,
    open: &mut Open,
    lock: &mut Lock,
    error: &CniError,
    until: Instant,
) -> Result<(), CniError> {
    tracing::warn!(
        container_id = request.env.container_id,
        network = leg.loaded.conf.name,
        code = error.code,
        error = error.log,
        "secondary network left out: its ADD failed and the policy tolerates it"
    );
    let limits = Limits { deadline: until, signals: request.signals };
    let search = request.env.path.as_deref();
    let errors = close::detach(open, &[index], &request.env.netns, search, Some(lock), &limits);
    for (_, error) in errors {
        tracing::warn!(
            network = leg.loaded.conf.name,
            code = error.code,
            error = error.log,
            "its DEL is owed"
        );
    }
    Ok(())
}

/// Our own routing, after each of two networks. It is on record in the intent, written before any delegate ran.
fn route_step(legs: &[Ready<'_>], index: usize, open: &Open, netns: Option<&Netns>) -> Result<(), CniError> {
    let ([first, owner], Some(netns)) = (legs, netns) else {
        return Ok(());
    };
    if index == 1 && open.attachment.progress[0].deleted {
        return Ok(());
    }
    let side = |leg: &Ready<'_>| -> (String, Vec<ipnetwork::IpNetwork>) {
        (leg.plan.ifname.clone(), leg.loaded.network.cidrs.clone())
    };
    let ((first_name, first_cidrs), (owner_name, owner_cidrs)) = (side(first), side(owner));
    let first = route::Side { ifname: &first_name, cidrs: &first_cidrs };
    let owner = route::Side { ifname: &owner_name, cidrs: &owner_cidrs };
    let done = if index == 0 {
        route::after_first(netns, &first)
    } else {
        route::after_owner(netns, &first, &owner)
    };
    done.map_err(|e| CniError::new(code::ROUTE, format!("route step of both-mode: {e}")))
}

fn append(open: &mut Open, events: &[Event]) -> Result<(), CniError> {
    open.append(events).map_err(|e| {
        let intent = &open.attachment.intent;
        CniError::new(
            code::IO,
            format!("write the record of attachment {} {}: {e}", intent.container_id, intent.ifname),
        )
    })
}

/// Undoes a failed ADD in reverse; the first error stays the error, what could not be undone is added to its details.
fn undo(request: &Request<'_>, mut open: Open, lock: &mut Lock, until: Instant, error: CniError) -> CniError {
    // Being asked to stop ended the ADD; it must not end the undoing as well.
    request.signals.heed();
    let deadline = until.min(Instant::now() + KEPT_FOR_UNDO);
    let limits = Limits { deadline, signals: request.signals };
    close::undo_route(&open.attachment, &request.env.netns);
    let pending = open.attachment.pending();
    let search = request.env.path.as_deref();
    let failures = close::detach(&mut open, &pending, &request.env.netns, search, Some(lock), &limits);
    let mut error = error;
    for (network, failure) in &failures {
        error = error.details(format!("undoing network {network:?} failed, its DEL is owed: {failure}"));
    }
    if failures.is_empty()
        && let Err(e) = request.store.remove(&request.key())
    {
        error = error.details(format!("remove the record: {e}"));
    }
    error
}
