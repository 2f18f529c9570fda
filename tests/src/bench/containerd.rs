//! Sandboxes of a real containerd, on a node without the shim and on one with it.
//!
//! Two nodes alike but for Crossfade, each with a containerd of its own; only one of them works at a time. containerd's own
//! files are on the lab's tmpfs, so a sandbox is as cheap as it can be, and what the shim adds weighs most.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::report::Limit;
use super::statistics::Pairs;
use super::{Bench, Turn};
use crate::host::fabric::{Fabric, Overlay};
use crate::host::node::Node;
use crate::host::scratch::files;
use crate::install::crossfade::Crossfade;
use crate::runtime::containerd::{Containerd, Options};
use crate::runtime::cri::Sandbox;

/// Of the pairs of single calls, a sandbox's are so many times fewer: each is worth fifty calls.
const FEWER: usize = 10;

/// State of the shim on a node.
const STATE: &str = "/var/lib/crossfade";

/// One node and its containerd.
struct Side<'a> {
    name: &'static str,
    node: &'a Node,
    old: &'a Overlay,
    containerd: Containerd,
}

/// Pairs of the three things that are done to a sandbox.
#[derive(Default)]
struct Life {
    run: Pairs,
    stop: Pairs,
    remove: Pairs,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let fabric = Fabric::new(2)?;
    let [old, new] = fabric.old_and_new()?;
    let bare = side("bare", fabric.node(1), &old, || {
        let conf = serde_json::to_vec(&old.conflist(1))?;
        fabric.node(1).write("/etc/cni/net.d/10-old.conflist", conf)
    })?;
    let disk = bench.workshop.disk.join("containerd");
    let shim = side("shim", fabric.node(2), &old, || {
        state_on_disk(fabric.node(2), &disk)?;
        Crossfade::install(fabric.node(2), &old, &new).map(drop)
    })?;
    one_by_one(bench, &bare, &shim)?;
    let errors = at_once(bench, &bare, &shim)?;
    let mut left = bare.leftovers()?;
    left.extend(shim.leftovers()?);
    bench.report.goal(
        &format!("{} sandboxes at once through containerd", bench.options.sandboxes),
        vec![
            Limit::new("errors", errors.len() as f64, 0.0, ""),
            Limit::new("leftovers", left.len() as f64, 0.0, ""),
        ],
    );
    bench.report.errors.extend(errors);
    bench.report.leftovers.extend(left);
    Ok(())
}

fn side<'a>(
    name: &'static str,
    node: &'a Node,
    old: &'a Overlay,
    install: impl FnOnce() -> Result<()>,
) -> Result<Side<'a>> {
    install().with_context(|| format!("node {name}"))?;
    Ok(Side { name, node, old, containerd: Containerd::start(node, &Options::default())? })
}

/// A node's own directories are on a tmpfs; this one, of all, belongs on a disk.
fn state_on_disk(node: &Node, disk: &Path) -> Result<()> {
    std::fs::create_dir(disk).with_context(|| format!("creating {}", disk.display()))?;
    let disk = disk.to_str().context("a path")?;
    node.run(&["mount", "--bind", disk, STATE]).map(drop)
}

fn one_by_one(bench: &mut Bench, bare: &Side<'_>, shim: &Side<'_>) -> Result<()> {
    let mut life = Life::default();
    for (number, turn) in bench.turns(bench.options.pairs.div_ceil(FEWER)).enumerate() {
        let turn: Turn = turn?;
        let sandbox = Sandbox::new(&format!("single-{number}"));
        let (mut bare_id, mut shim_id) = (String::new(), String::new());
        turn.measure(
            &mut life.run,
            || timed(|| bare.containerd.cri().run_sandbox(&sandbox).map(|id| bare_id = id)),
            || timed(|| shim.containerd.cri().run_sandbox(&sandbox).map(|id| shim_id = id)),
        )?;
        let (bare, shim) = (bare.containerd.cri(), shim.containerd.cri());
        turn.measure(&mut life.stop, || timed(|| bare.stop(&bare_id)), || timed(|| shim.stop(&shim_id)))?;
        turn.measure(
            &mut life.remove,
            || timed(|| bare.remove(&bare_id)),
            || timed(|| shim.remove(&shim_id)),
        )?;
    }
    let report = &mut bench.report;
    report.pairs("containerd: run a sandbox", &life.run);
    report.pairs("containerd: stop a sandbox", &life.stop);
    report.pairs("containerd: remove a sandbox", &life.remove);
    Ok(())
}

/// Starts and ends many sandboxes together, and returns what failed.
fn at_once(bench: &mut Bench, bare: &Side<'_>, shim: &Side<'_>) -> Result<Vec<String>> {
    let size = bench.options.sandboxes;
    let (mut run, mut end) = (Pairs::default(), Pairs::default());
    let mut errors = Vec::new();
    for (number, turn) in bench.turns(bench.options.rounds).enumerate() {
        let turn: Turn = turn?;
        let sandboxes: Vec<Sandbox> =
            (0..size).map(|member| Sandbox::new(&format!("many-{number}-{member}"))).collect();
        let (mut bare_ids, mut shim_ids) = (Vec::new(), Vec::new());
        let mut bare_errors = Vec::new();
        let mut shim_errors = Vec::new();
        turn.measure(
            &mut run,
            || bare.run_all(&sandboxes, &mut bare_ids, &mut bare_errors),
            || shim.run_all(&sandboxes, &mut shim_ids, &mut shim_errors),
        )?;
        turn.measure(
            &mut end,
            || bare.end_all(&bare_ids, &mut bare_errors),
            || shim.end_all(&shim_ids, &mut shim_errors),
        )?;
        errors.extend(bare_errors.into_iter().chain(shim_errors));
    }
    let report = &mut bench.report;
    report.pairs(format!("containerd: {size} sandboxes at once: run"), &run);
    report.pairs(format!("containerd: {size} sandboxes at once: stop and remove"), &end);
    Ok(errors.into_iter().map(|error| format!("{error:#}")).collect())
}

impl Side<'_> {
    fn run_all(
        &self,
        sandboxes: &[Sandbox],
        ids: &mut Vec<String>,
        errors: &mut Vec<anyhow::Error>,
    ) -> Result<Duration> {
        let cri = self.containerd.cri();
        let (took, ran) = together(sandboxes.iter().map(|sandbox| || cri.run_sandbox(sandbox)).collect())?;
        for outcome in ran {
            match outcome {
                Ok(id) => ids.push(id),
                Err(error) => errors.push(error.context(self.name)),
            }
        }
        Ok(took)
    }

    fn end_all(&self, ids: &[String], errors: &mut Vec<anyhow::Error>) -> Result<Duration> {
        let cri = self.containerd.cri();
        let members = ids.iter().map(|id| || cri.stop(id).and_then(|()| cri.remove(id)));
        let (took, ended) = together(members.collect())?;
        errors.extend(ended.into_iter().filter_map(Result::err).map(|error| error.context(self.name)));
        Ok(took)
    }

    /// What sandboxes that are gone must not leave: themselves, addresses, namespaces and, of the shim, records.
    fn leftovers(&self) -> Result<Vec<String>> {
        let mut leftovers: Vec<String> = self
            .containerd
            .cri()
            .list()?
            .into_iter()
            .map(|sandbox| format!("sandbox {}", sandbox.id))
            .collect();
        leftovers.extend(self.old.leases(self.node)?.into_iter().map(|address| format!("address {address}")));
        for directory in ["/run/netns", "/var/lib/crossfade/attachments", "/run/crossfade/locks"] {
            let lease_files = files(&self.node.outside(directory))?;
            leftovers.extend(lease_files.into_iter().map(|path| path.display().to_string()));
        }
        Ok(leftovers.into_iter().map(|what| format!("containerd, {}: {what}", self.name)).collect())
    }
}

/// Lets all members begin together: the time from the first that began to the last that ended, and the outcome of each.
fn together<T: Send>(members: Vec<impl FnOnce() -> T + Send>) -> Result<(Duration, Vec<T>)> {
    let start = Barrier::new(members.len());
    let done: Vec<(Instant, Instant, T)> = thread::scope(|scope| {
        let mut threads = Vec::new();
        for act in members {
            let start = &start;
            threads.push(scope.spawn(move || {
                start.wait();
                let began = Instant::now();
                let outcome = act();
                (began, Instant::now(), outcome)
            }));
        }
        let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a caller panicked")));
        ended.collect::<Result<_>>()
    })?;
    let began = done.iter().map(|(began, _, _)| *began).min();
    let ended = done.iter().map(|(_, ended, _)| *ended).max();
    let took = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
    Ok((took, done.into_iter().map(|(_, _, outcome)| outcome).collect()))
}

fn timed(act: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    act()?;
    Ok(began.elapsed())
}
