//! The naive way: a second conf dropped into the directory of a node that runs pods, without Crossfade.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};

use super::board::Board;
use super::cluster::{Cluster, PodRequest};
use super::plan::Old;
use super::report::Naive;
use super::strategy::{Arrival, Network, Phase};
use crate::host::deadline;
use crate::host::leases::Lease;

/// Tells a runtime that reads its conf directory from one that does not.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// Runs pods on `old`, lets the new network's conf arrive, stops the pods, and counts what is left of them.
///
/// # Errors
/// A part of the lab fails; that the naive way fails is what is to be seen.
pub fn run(pods: u8, board: &Board) -> Result<Naive> {
    board.cluster("naive", 1);
    let cluster = Cluster::new(1, Arrival::Installed, &Old::Bridge).context("building the node")?;
    let host = &cluster.hosts()[0];
    let run = |name: &str, attempt| {
        cluster.run_pod(&PodRequest {
            name,
            namespace: "default",
            host: 0,
            attempt,
            phase: Phase::Old,
            host_port: None,
        })
    };
    let running = (1..=pods).map(|number| run(&format!("pod-{number}"), 0)).collect::<Result<Vec<_>>>()?;
    board.pods(host.node.name(), running.iter().map(|pod| pod.phase));
    board.say(&format!("{pods} pods run on old; now a second conf arrives that sorts first"));
    cluster.new_agents_arrive()?;
    let mut naive = Naive::default();
    // It is not asked for, but from some moment on every pod that starts is on the new network.
    let mut attempt = 0;
    deadline::until("the runtime to notice the new conf", NOTICED_WITHIN, || {
        attempt += 1;
        let pod = run("bystander", attempt)?;
        let moved =
            cluster.leases(0)?.iter().any(|(network, lease)| lease.id == pod.id && *network == Network::New);
        naive.pods_moved_silently += u64::from(moved);
        cluster.end_pod(&pod)?;
        Ok(moved.then_some(()))
    })?;
    for pod in &running {
        cluster.end_pod(pod)?;
        naive.pods_stopped += 1;
    }
    let alive: BTreeSet<String> = host.containerd.cri().list()?.into_iter().map(|listed| listed.id).collect();
    let leaked =
        |(network, lease): &&(Network, Lease)| *network == Network::Old && !alive.contains(&lease.id);
    naive.leases_leaked = u64::try_from(cluster.leases(0)?.iter().filter(leaked).count())?;
    naive.dels_astray = cluster.call_counts()?[&Network::New].foreign_dels;
    board.say(&format!(
        "{} pods stopped: {} DELs went to new, leases leaked: {}",
        naive.pods_stopped, naive.dels_astray, naive.leases_leaked
    ));
    Ok(naive)
}
