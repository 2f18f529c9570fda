//! The gates of a run that go by what agents see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use migration::config::ProbeGate;
use migration::drive::gate::{Sight, measured_rows, probe};
use migration::plan::{Gate, GateSource, Plan};
use migration::roll::world::{Color, Verdict};
use reachability::Kind;
use reachability::manifests::{HUB, NAME, NAMESPACE, ROLE, collection, read_zones};
use reachability::measurement::{Follower, Measurement};
use reachability::report::Report;
use serde::Deserialize;

use super::reports::{self, is_running, list_pods, name, node_name};
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::path::pod;
use crate::live::session::state::Event;

/// The time by which gates go.
const WINDOW: Duration = Duration::from_secs(60);
/// The most nodes of each kind on which the API server is asked to reach a pod.
const NODES: usize = 2;

/// Looks at what agents see again and again, until it is dropped. Gates of other sources are not asked.
pub(in crate::live) async fn watch_gates(
    gates: Vec<Gate>,
    plan: Plan,
    port: u16,
    caller: Caller,
    send: impl Fn(Event) + Send,
) {
    let turn = gates.iter().map(|gate| gate.every_seconds).min().unwrap_or(1).max(1);
    let turn = Duration::from_secs(turn.into());
    let source = |gate: &Gate| if let GateSource::Probe(source) = gate.source { Some(source) } else { None };
    let sources: Vec<ProbeGate> = gates.iter().filter_map(source).collect();
    let mut follower = Follower::default();
    let mut has_looked = false;
    loop {
        let time = caller.clock().now();
        let hubs = reports::read(&caller, WINDOW).await;
        if let Ok(hubs) = &hubs {
            let new = follower.take(hubs.clone());
            // What was reported before the first look, an earlier holder of the run may have counted.
            if std::mem::replace(&mut has_looked, true) {
                send(Event::Measured(new.iter().flat_map(|report| measured_rows(report, &plan)).collect()));
            }
        }
        let sight = look(&caller, port, &sources, hubs).await;
        for (gate, source) in gates.iter().filter_map(|gate| Some((gate, source(gate)?))) {
            let verdict = match &sight {
                Ok(sight) => probe(source, sight, &plan, time),
                Err(why) => Verdict { color: Color::Unknown, checked_at: time, why: why.clone() },
            };
            send(Event::Verdict(gate.name.clone(), verdict));
        }
        tokio::time::sleep(turn.saturating_sub(caller.clock().now().saturating_sub(time))).await;
    }
}

/// What agents saw within the last minute, as far as these gates go by it.
async fn look(
    caller: &Caller,
    port: u16,
    gates: &[ProbeGate],
    hubs: Result<BTreeMap<String, Vec<Report>>, String>,
) -> Result<Sight, String> {
    let hubs =
        hubs.map_err(|why| format!("no agents report: {why}; start them: kubectl crossfade probe --keep"))?;
    // Every hub has what all agents report that are registered with it.
    let best = hubs
        .into_values()
        .max_by_key(|reports| (reports.len(), reports.last().map(Report::count_agents)))
        .unwrap_or_default();
    let measurement = Measurement::of_reports(&best);
    let zones = if gates.contains(&ProbeGate::Forwarding) { zones(caller).await } else { BTreeMap::new() };
    let reached = match gates.contains(&ProbeGate::ApiServerToPods) {
        true => reach(caller, port, &measurement).await?,
        false => BTreeMap::new(),
    };
    Ok(Sight { measurement, zones, reached })
}

/// The zones of nodes; none where they cannot be read, so that all nodes count as of one.
async fn zones(caller: &Caller) -> BTreeMap<String, String> {
    let path = format!("{}/{NAME}", collection("v1", "configmaps"));
    let reply = caller.page(&ApiRequest::get(path)).await.ok().filter(|reply| reply.is_done());
    let map = reply.and_then(|reply| reply.object::<ConfigMap>().ok()).unwrap_or_default();
    map.data.and_then(|data| Some(read_zones(data.get("zones")?))).unwrap_or_default()
}

/// Whether the API server reaches a pod of each kind: an agent answers with its own. A kind whose agents do not run just now is not there.
pub(super) async fn reach(
    caller: &Caller,
    port: u16,
    measurement: &Measurement,
) -> Result<BTreeMap<Kind, Result<(), String>>, String> {
    #[derive(Debug, Deserialize)]
    struct Answer {
        kind: Kind,
    }
    let kinds = measurement.agents.iter().filter(|(kind, _)| matches!(kind, Kind::Pod(_)));
    let nodes: BTreeSet<&str> =
        kinds.clone().flat_map(|(_, nodes)| nodes.iter().take(NODES)).map(String::as_str).collect();
    let kinds: Vec<Kind> = kinds.map(|(kind, _)| *kind).collect();
    let mut reached: BTreeMap<Kind, Result<(), String>> = BTreeMap::new();
    let pods = list_pods(caller, None).await?;
    let is_asked = |pod: &&Pod| {
        let role =
            pod.metadata.labels.as_ref().and_then(|labels| labels.get(ROLE)).map_or("", String::as_str);
        is_running(pod) && ![HUB, "host"].contains(&role) && nodes.contains(node_name(pod))
    };
    for agent in pods.iter().filter(is_asked) {
        if kinds.iter().all(|kind| reached.get(kind).is_some_and(Result::is_ok)) {
            break;
        }
        let path = format!("{}:{port}/proxy/", pod(NAMESPACE, name(agent)));
        let why = match caller.page(&ApiRequest::get(path)).await {
            Err(why) => why.to_string(),
            Ok(reply) if !reply.is_done() => reply.refusal().to_string(),
            Ok(reply) => match reply.object::<Answer>() {
                Ok(Answer { kind }) => {
                    reached.insert(kind, Ok(()));
                    continue;
                }
                Err(why) => why,
            },
        };
        // Of which kind it is, it did not say.
        for kind in &kinds {
            if !reached.get(kind).is_some_and(Result::is_ok) {
                reached.insert(*kind, Err(format!("{}: {why}", name(agent))));
            }
        }
    }
    Ok(reached)
}
