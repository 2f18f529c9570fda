//! The gates of a run that go by what agents see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use migration::drive::gate::{Sight, probe};
use migration::plan::{Gate, GateSource, Plan};
use migration::roll::world::{Color, Verdict};
use reachability::Kind;
use reachability::manifests::{HUB, NAME, NAMESPACE, ROLE};
use reachability::measurement::Measurement;
use reachability::report::Report;
use serde::Deserialize;

use super::reports::{self, list_pods};
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::path::pod;

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
    sink: impl Fn(String, Verdict) + Send,
) {
    let turn = gates.iter().map(|gate| gate.every_seconds).min().unwrap_or(1).max(1);
    let turn = Duration::from_secs(turn.into());
    loop {
        let time = caller.clock().now();
        let sight = look(&caller, port).await;
        for gate in &gates {
            let GateSource::Probe(source) = gate.source else { continue };
            let verdict = match &sight {
                Ok(sight) => probe(source, sight, &plan, time),
                Err(why) => Verdict { color: Color::Unknown, checked_at: time, why: why.clone() },
            };
            sink(gate.name.clone(), verdict);
        }
        tokio::time::sleep(turn.saturating_sub(caller.clock().now().saturating_sub(time))).await;
    }
}

/// What agents saw within the last minute.
async fn look(caller: &Caller, port: u16) -> Result<Sight, String> {
    let hubs = reports::read(caller, WINDOW)
        .await
        .map_err(|why| format!("no agents report: {why}; start them: kubectl crossfade probe --keep"))?;
    let agents = |reports: &Vec<Report>| {
        reports.last().map_or(0, |report| report.agents.values().map(Vec::len).sum::<usize>())
    };
    // Every hub has what all agents report that are registered with it.
    let best = hubs.into_values().max_by_key(|reports| (reports.len(), agents(reports))).unwrap_or_default();
    let measurement = Measurement::of_reports(&best);
    let zones = zones(caller).await;
    let reached = reach(caller, port, &measurement).await?;
    Ok(Sight { measurement, zones, reached })
}

/// The zones of nodes; none where they cannot be read, so that all nodes count as of one.
async fn zones(caller: &Caller) -> BTreeMap<String, String> {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Zones {
        data: BTreeMap<String, String>,
    }
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}");
    let reply = caller.page(&ApiRequest::get(path)).await.ok().filter(|reply| reply.is_done());
    let zones = reply.and_then(|reply| reply.object::<Zones>().ok()).unwrap_or_default();
    let text = zones.data.get("zones").map_or("", String::as_str);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(node, zone)| (node.to_owned(), zone.to_owned())).collect()
}

/// Whether the API server reaches a pod of each kind: an agent answers with its own.
async fn reach(
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
    let mut reached: BTreeMap<Kind, Result<(), String>> =
        kinds.map(|(kind, _)| (*kind, Err("no agent of it answered".to_owned()))).collect();
    let pods = list_pods(caller, None).await?;
    let is_asked = |pod: &&reports::Pod| {
        let role = pod.metadata.labels.get(ROLE).map_or("", String::as_str);
        pod.status.phase == "Running"
            && ![HUB, "host"].contains(&role)
            && nodes.contains(pod.spec.node_name.as_str())
    };
    for agent in pods.iter().filter(is_asked) {
        if reached.values().all(Result::is_ok) {
            break;
        }
        let path = format!("{}:{port}/proxy/", pod(NAMESPACE, &agent.metadata.name));
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
        for unreached in reached.values_mut().filter(|reached| reached.is_err()) {
            *unreached = Err(format!("{}: {why}", agent.metadata.name));
        }
    }
    Ok(reached)
}
