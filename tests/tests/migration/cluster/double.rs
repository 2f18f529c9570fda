//! A migration in three passes, over nodes that are not known to forward between both networks, turned back to `old` from the end of a pass. It goes by agents that
//! probe the network, and by no command.

use anyhow::{Context, Result, ensure};
use lab::kubernetes::api::{WITHIN, node_path};
use lab::kubernetes::{Api, Cluster, Operator};
use serde_json::{Value, json};

use super::probed::Company;
use super::steps::{RUN, all_on, all_open, ended};
use super::world::{NODES, cluster, in_namespace};

/// The ends of passes that a run turns back from: the pass, the phase that it leads to, and the network whose addresses pods publish then.
///
/// The way back from the last one leads over the end of the second, which would take as long again.
const ENDS: [(u32, &str, &str); 2] = [(1, "both-old", "old"), (LAST, "new", "new")];
/// The last pass: the run is over at its end.
const LAST: u32 = 3;

pub(crate) fn a_run_of_three_passes_turns_back_at_the_end_of_a_pass() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    // Nodes have time, since the machine may be busy.
    let settings = json!({
        "roll": { "limits": {
            "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900,
        } },
        "networks": cluster.networks(),
        "probe": { "gates": ["packets", "dns-queries", "api-server-to-pods"] },
    });
    let operator = Operator::new(&cluster.plane, "double", settings)?.waiving_what_blocks()?;
    in_namespace(&api, "double", |namespace| {
        let mut company = Company::deploy(&cluster, &api, namespace)?;
        all_on(&cluster, &api, namespace, "old")?;
        operator.bring_agents(&cluster.plane)?;
        for end in ENDS {
            let turned = there_and_back(&cluster, &operator, &api, namespace, &mut company, end);
            ended(turned, &operator, &api).with_context(|| format!("{end:?}"))?;
        }
        company.finish()?;
        operator.ends(&operator.about(&["probe", "--remove"]), 0).map(drop)
    })
}

fn there_and_back(
    cluster: &Cluster,
    operator: &Operator,
    api: &Api,
    namespace: &str,
    company: &mut Company<'_>,
    (pass, phase, network): (u32, &str, &str),
) -> Result<()> {
    let hash = operator.plan()?;
    let before = run(api)?;
    let mut roll = operator.begin(&["roll", "--plan", &hash[..12]])?;
    company.until(&format!("the end of pass {pass}"), |_| {
        roll.goes_on()?;
        let now = run(api)?;
        Ok((now["id"] != before["id"] && now["pass"] == pass + 1).then_some(()))
    })?;
    if pass != LAST {
        operator.ends(&["roll", "pause", "--now", "--reason", "the pass is at its end"], 0)?;
    }
    let over = roll.ends(WITHIN)?;
    ensure!(over.status == Some(if pass == LAST { 0 } else { 75 }), "{over:#?}");
    all_on(cluster, api, namespace, network)?;
    // On a busy machine the next pass may have flipped its first node before the pause is heard.
    let flipped = over.answer["zones"][""]["inTransit"].as_u64().unwrap_or_default();
    all_in(api, phase, flipped)?;
    operator.ends(&["roll", "stragglers", "--phase", phase], 0)?;

    operator.ends(&["roll", "abort", "--to", "old", "--reason", "the test goes back"], 0)?;
    let back = company.follow_run(operator.begin(&["roll", "--resume"])?, |_, _| Ok(()))?;
    // A pass that had begun is undone by one of its own; after that, each pass has one in the opposite direction.
    let begun = u32::from(pass != LAST);
    ensure!(back.answer["pass"] == 2 * (pass + 1) + begun, "{back:#?}");
    all_on(cluster, api, namespace, "old")?;
    all_in(api, "old", 0)?;
    all_open(api)?;
    operator.ends(&["roll", "stragglers", "--phase", "old"], 0).map(drop)
}

/// The run as the cluster keeps it; null before it begins.
fn run(api: &Api) -> Result<Value> {
    let map = api.client.get(RUN)?.body;
    Ok(map["data"]["run.json"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
}

/// Every node hands out the phase, but for as many as may be further.
fn all_in(api: &Api, phase: &str, further: u64) -> Result<()> {
    let mut others = Vec::new();
    for name in NODES {
        let labels = &api.get(&node_path(name))?["metadata"]["labels"];
        if labels["crossfade/phase"] != phase {
            others.push(format!("{name}: {labels}"));
        }
    }
    ensure!(others.len() as u64 <= further, "not in {phase}: {others:#?}");
    Ok(())
}
