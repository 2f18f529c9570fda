//! A network that joins a pod that runs, and leaves it, beside the ADD and the DEL of that network alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::Bench;
use super::call::Attachment;
use super::cost::Verb;
use super::floor::Floor;
use super::plugins::Bridge;
use super::report::Limit;
use super::workshop::{Installation, Networks, nothing_left, stub_network};
use crate::host::node;

/// How many calls `move-pods` makes at once.
const AT_ONCE: usize = 4;

/// With the real bridge and host-local: each JOIN keeps the default route of the pod by a table of its own, and each LEAVE gives it back.
pub(super) fn with_plugins(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, new) = (Bridge::new(workshop, 101), Bridge::new(workshop, 102));
    let bin = workshop.plugins.clone();
    let networks =
        Networks { old: old.conflist(), new: new.conflist(), attach: "old", version: "1.0.0", bin: &bin };
    let shim = workshop.install("joins", &networks)?;
    let mut netns = workshop.netns("joins", 2)?.into_iter();
    let mut attachment = |id: &str, ifname: &str| -> Result<Attachment> {
        let netns = netns.next().context("a netns")?;
        Ok(Attachment { id: id.to_owned(), netns, ifname: ifname.to_owned() })
    };
    let (alone, pod) = (attachment("bare", "net1")?, attachment("pod", "eth0")?);
    let floor = Floor::durable(workshop, "joins", shim.record_length(&pod)?)?;
    let (bare_add, bare_del) = (new.bare(workshop, "ADD", &alone)?, new.bare(workshop, "DEL", &alone)?);
    let mut join = Verb::new(vec![bare_add], shim.call_for("JOIN", &pod)?, None, floor);
    let mut leave = Verb::new(
        vec![bare_del],
        shim.call_for("LEAVE", &pod)?,
        None,
        Floor::durable(workshop, "leaves", 1)?,
    );
    shim.call_for("ADD", &pod)?.run()?;
    for turn in bench.turns(bench.options.pairs.div_ceil(5)) {
        let turn = turn?;
        shim.attach("both")?;
        join.measure(turn)?;
        new.remember(&mut join.bare[0], &mut leave.bare[0])?;
        shim.attach("old")?;
        leave.measure(turn)?;
    }
    shim.call_for("DEL", &pod)?.run()?;
    for left in [shim.leftovers()?, old.leftovers()?, new.leftovers()?] {
        nothing_left("JOIN and LEAVE", &left)?;
    }
    let report = &mut bench.report;
    let joined = join.report("bridge + host-local JOIN, against an ADD", report);
    let left = leave.report("bridge + host-local LEAVE, against a DEL", report);
    report.goal(
        "a network that joins and leaves, beyond its plugin",
        vec![
            Limit::new("JOIN, p50", joined.overhead.median_us / 1000.0, 60.0, "ms"),
            Limit::new("LEAVE, p50", left.overhead.median_us / 1000.0, 30.0, "ms"),
        ],
    );
    Ok(())
}

/// All pods of a node, with delegates that answer at once: four JOINs at a time, as `move-pods` makes them.
pub(super) fn of_a_node(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, new) =
        (stub_network("oldnet", "stub-old", "1.0.0"), stub_network("newnet", "stub-new", "1.0.0"));
    let bin = workshop.stubs.path().to_owned();
    let networks = Networks { old: &old, new: &new, attach: "old", version: "1.0.0", bin: &bin };
    let shim = workshop.install("node-joins", &networks)?;
    let count = bench.options.sandboxes;
    let pods: Vec<Attachment> = workshop
        .netns("node-joins", count)?
        .into_iter()
        .enumerate()
        .map(|(number, netns)| Attachment { id: format!("pod{number}"), netns, ifname: "eth0".to_owned() })
        .collect();
    for pod in &pods {
        give_interface(&pod.netns)?;
        shim.call_for("ADD", pod)?.run()?;
    }
    shim.attach("both")?;
    let seconds = join_all(&shim, &pods)?;
    for pod in &pods {
        shim.call_for("DEL", pod)?.run()?;
    }
    nothing_left("JOINs of a node", &shim.leftovers()?)?;
    bench.report.goal(
        &format!("{count} pods of a node joined, {AT_ONCE} at a time, with instant delegates"),
        vec![Limit::new("in all", seconds, 5.0, "s")],
    );
    Ok(())
}

/// Joins the pods, and says how many seconds it took.
fn join_all(shim: &Installation, pods: &[Attachment]) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let answers: Vec<Result<()>> = std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                shim.call_for("JOIN", pod)?.run()?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a caller panicked")))
            .collect()
    });
    answers.into_iter().collect::<Result<()>>()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The interface that the stub's result names, with its route.
fn give_interface(netns: &str) -> Result<()> {
    let commands = [
        "link add eth0 type veth peer name peer",
        "address add 10.1.0.5/32 dev eth0",
        "link set eth0 up",
        "route add 169.254.1.1 dev eth0",
        "route add default via 169.254.1.1 dev eth0",
    ];
    let name = netns.rsplit('/').next().unwrap_or_default();
    for command in commands {
        let mut ip = std::process::Command::new("ip");
        node::run(ip.args(["-n", name]).args(command.split(' ')))?;
    }
    Ok(())
}
