//! Live migrations away from Calico, whose agents act on every pod several times before a step is judged: seconds after an ADD
//! everything works. Real containerd, and the demonstration's own probes all the while.

use std::fs;
use std::process::{ExitCode, Output};

use anyhow::{Context, Result, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS, trial};
use lab::demo::board::Board;
use lab::demo::bootstrap;
use lab::demo::cluster::{CONF_DIR, Cluster, Pod, PodRequest};
use lab::demo::migrate::{self, Size};
use lab::demo::placement::ensure_placed;
use lab::demo::plan::{Old, Plan};
use lab::demo::remains::host_routes;
use lab::demo::report::Migration;
use lab::demo::strategy::{Arrival, Phase, Strategy};
use lab::install::package;
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

/// Two pods on a node, so that neighbours are among the pairs; three probes of each kind, after several passes of the agents.
const SIZE: Size = Size { nodes: 2, pods: 2, probes_per_step: 3 };

/// Pods of a migration.
const PODS: u64 = 4;

/// Passes after which a leak is collected: more than an ADD takes, fewer than a phase.
const LEAK_GRACE: u64 = 20;

const POLICY: &str = "/etc/crossfade/policy.json";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        vec![
            trial("bridge_loses_nothing", NEEDS, || bridge(&[Phase::New])),
            trial("bridge_by_both_old_loses_nothing", NEEDS, || bridge(&[Phase::BothOld, Phase::New])),
            trial("double_with_host_routes_loses_nothing", NEEDS, double_with_host_routes_loses_nothing),
            trial("double_without_host_routes_loses_probes", NEEDS, double_without_host_routes_loses_probes),
            trial(
                "a_refused_second_network_changes_nothing",
                NEEDS,
                a_refused_second_network_changes_nothing,
            ),
        ]
    })
}

/// What a person writes of Calico: its profile, and that the stand-in's agents are not asked whether they are ready.
fn calico() -> Value {
    json!({ "profile": "calico", "ready": [] })
}

fn migrate(
    strategy: Strategy,
    passes: &'static [Phase],
    policy: Value,
    leak_grace: Option<u64>,
) -> Result<Migration> {
    let plan = Plan { strategy, passes, old: Old::Calico { policy, leak_grace } };
    migrate::run(&plan, SIZE, &Board::silent())
}

/// Calico is never the second network, so even its collection of leaks stays on.
fn bridge(passes: &'static [Phase]) -> Result<()> {
    let migration = migrate(Strategy::Bridge, passes, calico(), Some(LEAK_GRACE))?;
    nothing_is_lost(&migration, passes)
}

/// `policy set` writes from the profile that Calico needs host routes.
fn double_with_host_routes_loses_nothing() -> Result<()> {
    let passes = Strategy::Double.passes();
    let migration = migrate(Strategy::Double, passes, calico(), None)?;
    nothing_is_lost(&migration, passes)
}

fn nothing_is_lost(migration: &Migration, passes: &[Phase]) -> Result<()> {
    let problems = migration.problems(PODS);
    ensure!(problems.is_empty(), "{}\n{:?}", problems.join("\n"), migration.losses);
    // Every pod in every pass, and one per node when the old network is gone.
    let recreated = PODS * u64::try_from(passes.len())? + u64::from(SIZE.nodes);
    ensure!(
        migration.recreated == recreated,
        "{} pods re-created, expected {recreated}",
        migration.recreated
    );
    for phase in passes {
        let probes = migration.phases.iter().find(|probes| probes.phase == phase.as_str());
        let answered = probes.with_context(|| format!("no phase {phase}"))?.answered;
        // Twelve directed pairs, three probes each over UDP and over TCP, on either node.
        ensure!(answered >= 144, "{answered} probes answered in phase {phase}");
    }
    Ok(())
}

/// The control: who says that Calico needs nothing loses pods, and no sooner than it is their second network.
fn double_without_host_routes_loses_probes() -> Result<()> {
    let policy = json!({ "profile": "calico", "ready": [], "secondary": "works" });
    let migration = migrate(Strategy::Double, Strategy::Double.passes(), policy, None)?;
    let lossy: Vec<&str> =
        migration.phases.iter().filter(|phase| phase.lost > 0).map(|phase| phase.phase.as_str()).collect();
    ensure!(lossy.first() == Some(&"both-new"), "lost in {lossy:?}; {:?}", migration.errors);
    // Neither network is reached: not the primary's address, nor Calico's, from which pods on both ask pods of the phase before.
    for prefix in ["10.244.", "10.245."] {
        let is_to_old = |loss: &&lab::probe::Loss| loss.address.to_string().starts_with(prefix);
        ensure!(migration.losses.iter().any(|loss| is_to_old(&loss)), "{prefix}: {:?}", migration.losses);
    }
    Ok(())
}

/// A refused `policy set` leaves no trace but its exit status. In the end Calico's own profile is accepted on the same node.
fn a_refused_second_network_changes_nothing() -> Result<()> {
    let cluster = Cluster::new(1, Arrival::Installed, &Old::Calico { policy: calico(), leak_grace: None })?;
    let host = &cluster.hosts()[0];
    let before = run(&cluster, "before", Phase::Old)?;
    bootstrap::install(host, cluster.networks())?;
    cluster.new_agents_arrive()?;
    bootstrap::admit_new(host, cluster.networks(), Arrival::Installed)?;
    for (number, (side, phase, of_network)) in [
        ("old", "both-new", json!({ "profile": "calico", "ready": [], "secondary": "refused" })),
        ("old", "both-new", json!({ "profile": "unknown-cni" })),
        ("old", "both-new", json!({})),
        ("new", "both-old", json!({ "profile": "antrea", "ready": [] })),
    ]
    .into_iter()
    .enumerate()
    {
        describe(&cluster, side, &of_network)?;
        let files = files(&cluster)?;
        let (status, message) = policy_set(&cluster, phase)?;
        ensure!(status == Some(3), "{of_network}: {status:?}: {message}");
        ensure!(message.contains(&format!("networks.{side}")), "{of_network}: {message}");
        ensure!(self::files(&cluster)? == files, "{of_network}: a file has changed: {message}");
        let after = run(&cluster, &format!("after-{number}"), Phase::Old)?;
        cluster.dwell()?;
        for pod in [&before, &after] {
            ensure_placed(pod, &cluster.leases(0)?)?;
            host.node.ping_from(&pod.netns_inside, &host.node.address().to_string())?;
        }
        cluster.end_pod(&after)?;
    }
    taken_by_its_profile(&cluster)?;
    cluster.end_pod(&before)
}

/// The contrast: nothing else kept the node from it.
fn taken_by_its_profile(cluster: &Cluster) -> Result<()> {
    let host = &cluster.hosts()[0];
    describe(cluster, "old", &calico())?;
    let (status, message) = policy_set(cluster, "both-new")?;
    ensure!(status == Some(0), "{status:?}: {message}");
    let written = &policy(cluster)?["networks"]["old"]["secondary"];
    ensure!(written == "hostRoute", "the policy says {written}: {message}");
    let pod = run(cluster, "on-both", Phase::BothNew)?;
    ensure_placed(&pod, &cluster.leases(0)?)?;
    // A route and a rule for each of its two addresses.
    ensure!(host_routes(&host.node)? == 4, "{} host routes", host_routes(&host.node)?);
    cluster.end_pod(&pod)?;
    ensure!(host_routes(&host.node)? == 0, "{} host routes are left", host_routes(&host.node)?);
    Ok(())
}

fn policy(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(cluster.hosts()[0].node.outside(POLICY))?)?)
}

/// Writes into the policy what it says of one network; of the other it says what the cluster's does.
fn describe(cluster: &Cluster, side: &str, of_network: &Value) -> Result<()> {
    let mut policy = policy(cluster)?;
    policy["networks"] = cluster.networks().clone();
    let mut network = of_network.clone();
    for key in ["conf", "cidrs"] {
        network[key] = policy["networks"][side][key].take();
    }
    policy["networks"][side] = network;
    cluster.hosts()[0].node.write(POLICY, serde_json::to_vec_pretty(&policy)?)
}

/// Exit status and stderr of `policy set`.
fn policy_set(cluster: &Cluster, phase: &str) -> Result<(Option<i32>, String)> {
    let mut command = cluster.hosts()[0].node.command(package::program());
    let Output { status, stderr, .. } = command.args(["policy", "set", "--runtime", phase]).output()?;
    Ok((status.code(), String::from_utf8_lossy(&stderr).into_owned()))
}

/// Runs a pod that must be on the networks of a phase.
fn run(cluster: &Cluster, name: &str, phase: Phase) -> Result<Pod> {
    let namespace = "default";
    cluster.run_pod(&PodRequest { name, namespace, host: 0, attempt: 0, phase, host_port: None })
}

/// The node's policy, as a flip that outlives no reboot would write it too, and its confs.
fn files(cluster: &Cluster) -> Result<Vec<(String, Vec<u8>)>> {
    let node = &cluster.hosts()[0].node;
    let mut files = Vec::new();
    for directory in ["/etc/crossfade", "/run/crossfade", CONF_DIR] {
        for path in lab::host::scratch::files(&node.outside(directory))? {
            let bytes = fs::read(&path)?;
            files.push((path.display().to_string(), bytes));
        }
    }
    files.sort();
    Ok(files)
}
