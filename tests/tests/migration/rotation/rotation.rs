//! The loop, and where it leads.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::command::run;
use lab::host::deadline::until;
use lab::kubernetes::Operator;
use lab::kubernetes::api::node_path;
use lab::kubernetes::operator::Running;
use serde_json::{Value, json};

use super::company::Company;
use super::world::{Image, World};

/// How long a run may take for a node, on a machine that is busy.
const TURN: Duration = Duration::from_mins(15);

/// The settings of a run to nodes of this image, over nodes that forward, which have time.
fn settings(image: &str) -> Value {
    json!({ "roll": {
        "image": image,
        "limits": {
            "inTransit": 1, "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900,
        },
        "bridge": { "accept": "the nodes of the lab forward" },
    }})
}

/// A run, and the pipeline that asks it.
struct Permits {
    operator: Operator,
    pipeline: Operator,
    run: Running,
}

impl Permits {
    fn begin(world: &World) -> Result<Permits> {
        let operator = Self::operator(world, "new")?;
        let pipeline = operator.pipeline(&world.cluster.plane)?;
        Self::start(world, operator, pipeline)
    }

    /// The run to the final image, which the same pipeline asks.
    fn begin_last(world: &World, pipeline: Operator) -> Result<Permits> {
        Self::start(world, Self::operator(world, "final")?, pipeline)
    }

    fn operator(world: &World, image: &str) -> Result<Operator> {
        Operator::new(&world.cluster.plane, "rotation", settings(image))?.waiving_what_blocks()
    }

    fn start(world: &World, operator: Operator, pipeline: Operator) -> Result<Permits> {
        let hash = operator.plan()?;
        let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
        until("the run", TURN, || {
            run.goes_on()?;
            let maps = world.api.list("/api/v1/namespaces/crossfade/configmaps")?;
            let is_of_plan = |map: &Value| {
                map["metadata"]["name"] == "crossfade-run" && map["data"].to_string().contains(&hash)
            };
            Ok(maps.iter().any(is_of_plan).then_some(()))
        })?;
        Ok(Permits { operator, pipeline, run })
    }

    /// Asks until the node may go: 75 says to ask again.
    fn wait_for(&mut self, node: &str) -> Result<()> {
        until(&format!("a permit for {node}"), TURN, || {
            self.run.goes_on()?;
            let answer = self.pipeline.run(&["permit", node, "--wait", "30"])?;
            ensure!(matches!(answer.status, Some(0 | 75)), "{answer:#?}");
            Ok((answer.status == Some(0)).then_some(()))
        })
        .with_context(|| format!("{:#?}", self.operator.run(&["status"])))
    }
}

/// Starts a new node, asks, drains the old one and deletes it, as the loop of docs/rotation.md does.
fn replace(
    world: &mut World,
    company: &mut Company,
    (old, new, image): (&str, &str, Image),
    permits: &mut Permits,
) -> Result<()> {
    world.launch(new, image)?;
    company.gather(world, world.expected())?;
    permits.wait_for(old)?;
    eprintln!("{old} may go");
    company.leave(old)?;
    for words in [
        vec!["drain", old, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=600s"],
        vec!["delete", "node", old],
    ] {
        run(&mut world.cluster.plane.kubectl(&words)?)?;
    }
    world.end(old)?;
    eprintln!("{old} is gone");
    world.until_rolled_out()?;
    company.gather(world, world.expected())
}

pub(crate) fn a_loop_replaces_every_node_by_the_migration_image_and_then_by_the_final_one() -> Result<()> {
    let mut world = World::start(2, 4)?;
    world.build(Image::Migration)?;
    world.build(Image::Final)?;
    accompanied(&mut world, forward)
}

pub(crate) fn a_loop_goes_back_to_the_earlier_image_in_mid_rotation() -> Result<()> {
    let mut world = World::start(3, 3)?;
    world.build(Image::Migration)?;
    accompanied(&mut world, back)
}

/// Rotates with all pods in the mesh, and judges their probes whatever came of it.
fn accompanied(world: &mut World, rotate: impl FnOnce(&mut World, &mut Company) -> Result<()>) -> Result<()> {
    let mut company = Company::new();
    company.gather(world, world.expected())?;
    let old = world.running();
    ensure_all_on(&company, "old", &old.iter().map(String::as_str).collect::<Vec<_>>())?;
    let outcome = rotate(world, &mut company);
    let probed = company.finish();
    outcome.and(probed)
}

/// Every pod is on this network, and each of these nodes has some.
fn ensure_all_on(company: &Company, network: &str, nodes: &[&str]) -> Result<()> {
    let [old, new] = company.networks();
    ensure!(if network == "old" { new } else { old } == 0, "{old} pods are on old, {new} on new");
    let node_names: BTreeSet<&str> = company.nodes().into_keys().collect();
    ensure!(node_names == nodes.iter().copied().collect(), "pods are on {node_names:?}, expected {nodes:?}");
    Ok(())
}

fn forward(world: &mut World, company: &mut Company) -> Result<()> {
    let first = world.expected();
    let mut permits = Permits::begin(world)?;
    company.begin("to the migration image")?;
    // In an order of the loop's own, as if the later node had been asked for first.
    for (old, new) in [("n2", "n3"), ("n1", "n4")] {
        replace(world, company, (old, new, Image::Migration), &mut permits)?;
    }
    let rolled = permits.run.ends(TURN)?;
    ensure!(rolled.status == Some(0), "{rolled:#?}");
    ensure_all_on(company, "new", &["n3", "n4"])?;
    let twice = company.moved_twice(first);
    ensure!(twice.is_empty(), "moved twice: {twice:?}");

    company.begin("without the old network")?;
    world.remove_old()?;
    company.gather(world, world.expected())?;

    let mut permits = Permits::begin_last(world, permits.pipeline)?;
    company.begin("to the final image")?;
    for (old, new) in [("n4", "n5"), ("n3", "n6")] {
        replace(world, company, (old, new, Image::Final), &mut permits)?;
    }
    let rolled = permits.run.ends(TURN)?;
    ensure!(rolled.status == Some(0), "{rolled:#?}");
    for name in ["n5", "n6"] {
        ensure_without_crossfade(world, name)?;
    }
    ensure_all_on(company, "new", &["n5", "n6"])
}

/// Nothing on a node of the final image, or about it, is Crossfade's.
fn ensure_without_crossfade(world: &mut World, name: &str) -> Result<()> {
    let node = world.api.get(&node_path(name))?;
    let text = [&node["metadata"]["labels"], &node["metadata"]["annotations"], &node["status"]["conditions"]];
    ensure!(!format!("{text:?}").to_lowercase().contains("crossfade"), "{text:?}");
    let machine = world.machine(name)?.machine();
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    let confs = machine.list("/etc/cni/net.d")?;
    ensure!(confs == ["05-cilium.conflist"], "{confs:?}");
    for path in
        ["/usr/bin/crossfade-bootstrap", "/run/crossfade", "/var/lib/crossfade", "/opt/cni/bin/crossfade"]
    {
        ensure!(!machine.inside(path)?.exists(), "{path} on a node of the final image");
    }
    Ok(())
}

fn back(world: &mut World, company: &mut Company) -> Result<()> {
    let mut permits = Permits::begin(world)?;
    company.begin("to the migration image")?;
    for (old, new) in [("n2", "n4"), ("n3", "n5")] {
        replace(world, company, (old, new, Image::Migration), &mut permits)?;
    }
    let [old, new] = company.networks();
    ensure!(old > 0 && new > 0, "{old} pods are on old, {new} on new");

    permits.operator.ends(&["roll", "abort", "--to", "old", "--reason", "the test goes back"], 0)?;
    // The run takes the abort up in a moment.
    until("an answer for n1", TURN, || {
        let answer = permits.pipeline.run(&["permit", "n1"])?;
        ensure!(matches!(answer.status, Some(3 | 75)), "{answer:#?}");
        Ok((answer.status == Some(3)).then_some(()))
    })?;
    // The image has its nodes follow no annotation, so that the run waits for the pipeline again.
    company.begin("back by an earlier node")?;
    replace(world, company, ("n5", "n6", Image::Old), &mut permits)?;

    // The other machine stays: a person gives it the earlier phase, and the run moves its pods.
    company.begin("back in place")?;
    company.leave("n4")?;
    // The disk of a machine of the lab lies in memory, where a phase can last no longer than a boot.
    world.machine("n4")?.machine().run(&["crossfade-bootstrap", "policy", "set", "--runtime", "old"])?;
    let rolled = permits.run.ends(TURN)?;
    ensure!(rolled.status == Some(0), "{rolled:#?}");
    world.until_rolled_out()?;
    company.gather(world, world.expected())?;
    let nodes = ["n1", "n4", "n6"];
    ensure_all_on(company, "old", &nodes)?;
    for name in nodes {
        let node = world.api.get(&node_path(name))?;
        ensure!(
            node["spec"]["taints"].is_null() && node["spec"]["unschedulable"].is_null(),
            "{name}: {}",
            node["spec"]
        );
    }
    Ok(())
}
