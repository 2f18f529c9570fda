//! Single calls with stub delegates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use super::cost::{Floor, Verb};
use super::report::Limit;
use super::workshop::{Installation, Networks, Workshop, nothing_left, plugin_conf, stub_network};
use super::{Bench, Turn};
use crate::host::scratch;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let netns = bench.workshop.netns("single", 1)?.remove(0);
    let attachment = Attachment { id: "single".to_owned(), netns, ifname: "eth0".to_owned() };
    add_and_del(bench, &attachment)?;
    both(bench, &attachment)?;
    check(bench, &attachment)?;
    status(bench)?;
    gc(bench)?;
    version(bench)
}

/// A bare call of a stub.
pub(super) fn bare(
    workshop: &Workshop,
    network: &Value,
    verb: &str,
    attachment: &Attachment,
) -> Result<Call> {
    let plugin = network["plugins"][0]["type"].as_str().context("a plugin's type")?;
    let program = workshop.stubs.program(plugin);
    let mut call = Call::new(&program, verb, workshop.stubs.path(), &plugin_conf(network))?;
    call.attachment(attachment);
    Ok(call)
}

/// The shim in front of one stub, `old`; `new` is there but not attached.
pub(super) fn behind_shim(
    workshop: &Workshop,
    label: &str,
    version: &str,
) -> Result<(Value, Value, Installation)> {
    let old = stub_network("oldnet", "stub-old", version);
    let new = stub_network("newnet", "stub-new", version);
    let networks = Networks { old: &old, new: &new, attach: "old", version, bin: workshop.stubs.path() };
    let installation = workshop.install(label, &networks)?;
    Ok((old, new, installation))
}

fn add_and_del(bench: &mut Bench, attachment: &Attachment) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, _, shim) = behind_shim(workshop, "single", "1.0.0")?;
    let multus = Multus::before(workshop, bench.options.multus.as_deref(), "single", &[&old])?;
    let through = |verb| multus.as_ref().map(|multus| multus.call(verb, attachment)).transpose();
    let floor = Floor::durable(workshop, "single", shim.record_length(attachment)?)?;
    let (shim_add, shim_del) = (shim.call_for("ADD", attachment)?, shim.call_for("DEL", attachment)?);
    let mut add = Verb::new(vec![bare(workshop, &old, "ADD", attachment)?], shim_add, through("ADD")?, floor);
    let bare_del = vec![bare(workshop, &old, "DEL", attachment)?];
    let mut del = Verb::new(bare_del, shim_del, through("DEL")?, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        add.measure(turn)?;
        del.measure(turn)?;
    }
    nothing_left("stub ADD and DEL", &shim.leftovers()?)?;
    let report = &mut bench.report;
    add.floor.report(report);
    let cost = add.report("stub ADD", report);
    report.goal("overhead of an ADD", vec![Limit::new("by its floor", cost.to_floor, 1.25, "")]);
    del.report("stub DEL", report);
    Ok(())
}

/// Both networks through the shim, against their two calls one after the other.
fn both(bench: &mut Bench, attachment: &Attachment) -> Result<()> {
    let workshop = &bench.workshop;
    let old = stub_network("oldnet", "stub-old", "1.0.0");
    let new = stub_network("newnet", "stub-new", "1.0.0");
    let bin = workshop.stubs.path().to_owned();
    let networks = Networks { old: &old, new: &new, attach: "both", version: "1.0.0", bin: &bin };
    let shim = workshop.install("both", &networks)?;
    let multus = Multus::before(workshop, bench.options.multus.as_deref(), "both", &[&old, &new])?;
    let through = |verb| multus.as_ref().map(|multus| multus.call(verb, attachment)).transpose();
    let second = Attachment { ifname: "net1".to_owned(), ..attachment.clone() };
    let of_both = |verb| -> Result<Vec<Call>> {
        Ok(vec![bare(workshop, &old, verb, attachment)?, bare(workshop, &new, verb, &second)?])
    };
    let floor = Floor::durable(workshop, "both", shim.record_length(attachment)?)?;
    let (shim_add, shim_del) = (shim.call_for("ADD", attachment)?, shim.call_for("DEL", attachment)?);
    let mut add = Verb::new(of_both("ADD")?, shim_add, through("ADD")?, floor);
    let mut del = Verb::new(of_both("DEL")?, shim_del, through("DEL")?, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        add.measure(turn)?;
        del.measure(turn)?;
    }
    nothing_left("both-mode", &shim.leftovers()?)?;
    add.report("both-mode ADD, against two stub ADDs", &mut bench.report);
    del.report("both-mode DEL, against two stub DELs", &mut bench.report);
    Ok(())
}

/// CHECK of an attachment that is as it should be.
fn check(bench: &mut Bench, attachment: &Attachment) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, _, shim) = behind_shim(workshop, "check", "1.0.0")?;
    let mut add = shim.call_for("ADD", attachment)?;
    add.run()?;
    let mut conf = shim.conf().clone();
    conf["prevResult"] = add.answer()?;
    let mut shim_check = shim.call_for("CHECK", attachment)?;
    shim_check.stdin(&conf)?;
    let bare_check = vec![bare(workshop, &old, "CHECK", attachment)?];
    let mut check = Verb::new(bare_check, shim_check, None, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        check.measure(turn?)?;
    }
    shim.call_for("DEL", attachment)?.run()?;
    check.report("stub CHECK", &mut bench.report);
    Ok(())
}

/// STATUS where the network was ready before, and where it is asked for the first time.
fn status(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, _, shim) = behind_shim(workshop, "status", "1.1.0")?;
    let verb = || {
        let bare = vec![bare(workshop, &old, "STATUS", &no_attachment())?];
        Ok::<_, anyhow::Error>(Verb::new(bare, shim.call("STATUS")?, None, Floor::start(workshop)?))
    };
    let (mut sticky, mut first) = (verb()?, verb()?);
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        sticky.measure(turn)?;
        let forget = || match fs::remove_dir_all(shim.run.join("ready")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        forget().context("the readiness marker")?;
        first.measure(turn)?;
    }
    sticky.report_whole("STATUS 1.1.0, ready before", &mut bench.report);
    first.report("STATUS 1.1.0, first in this boot", &mut bench.report);
    Ok(())
}

/// GC where there is nothing to collect. It goes to both networks in any mode.
fn gc(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, new, shim) = behind_shim(workshop, "gc", "1.1.0")?;
    let none = json!([]);
    let mut conf = shim.conf().clone();
    conf["cni.dev/valid-attachments"] = none.clone();
    let mut shim_gc = shim.call("GC")?;
    shim_gc.stdin(&conf)?;
    let mut bare_gcs = Vec::new();
    for network in [&old, &new] {
        let mut bare_gc = bare(workshop, network, "GC", &no_attachment())?;
        let mut conf = plugin_conf(network);
        conf["cni.dev/valid-attachments"] = none.clone();
        bare_gc.stdin(&conf)?;
        bare_gcs.push(bare_gc);
    }
    let mut gc = Verb::new(bare_gcs, shim_gc, None, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        gc.measure(turn?)?;
    }
    gc.report("GC 1.1.0, no attachments, against two stub GCs", &mut bench.report);
    Ok(())
}

fn version(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, _, shim) = behind_shim(workshop, "version", "1.0.0")?;
    let multus = Multus::before(workshop, bench.options.multus.as_deref(), "version", &[&old])?;
    let dummy = || "dummy".to_owned();
    let dummy_attachment = Attachment { id: String::new(), netns: dummy(), ifname: dummy() };
    let mut bare_version = bare(workshop, &old, "VERSION", &dummy_attachment)?;
    let mut shim_version = shim.call_for("VERSION", &dummy_attachment)?;
    let mut multus_version = multus.map(|multus| multus.call("VERSION", &dummy_attachment)).transpose()?;
    for call in [&mut bare_version, &mut shim_version].into_iter().chain(&mut multus_version) {
        call.stdin(&json!({ "cniVersion": "1.0.0" }))?;
    }
    let mut version = Verb::new(vec![bare_version], shim_version, multus_version, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        version.measure(turn?)?;
    }
    version.report_whole("VERSION, the stub's against the shim's", &mut bench.report);
    Ok(())
}

/// Of calls that concern no attachment.
fn no_attachment() -> Attachment {
    Attachment { id: String::new(), netns: String::new(), ifname: String::new() }
}

/// Multus between the runtime and a stub, to compare with: the same job by the plugin that most clusters use for it. Without a kubeconfig, it asks no
/// API server and attaches the delegates of its conf.
pub(super) struct Multus {
    program: PathBuf,
    bin: PathBuf,
    conf: Value,
}

impl Multus {
    /// Multus in front of these networks; none if no binary was given.
    ///
    /// # Errors
    /// The binary cannot be read.
    pub(super) fn before(
        workshop: &Workshop,
        binary: Option<&Path>,
        label: &str,
        networks: &[&Value],
    ) -> Result<Option<Multus>> {
        let Some(binary) = binary else { return Ok(None) };
        let program = workshop.disk.join("multus/multus");
        if !program.exists() {
            scratch::install(binary, &program)
                .with_context(|| format!("{} is to be a binary of Multus", binary.display()))?;
        }
        let delegates: Vec<Value> = networks.iter().map(|network| plugin_conf(network)).collect();
        let conf = json!({
            "cniVersion": "1.0.0",
            "name": "multus",
            "type": "multus",
            "cniDir": workshop.scratch(&format!("multus-{label}")),
            "delegates": delegates,
        });
        Ok(Some(Multus { program, bin: workshop.stubs.path().to_owned(), conf }))
    }

    /// A call of it for one attachment.
    ///
    /// # Errors
    /// No scratch file.
    pub(super) fn call(&self, verb: &str, attachment: &Attachment) -> Result<Call> {
        let mut call = Call::new(&self.program, verb, &self.bin, &self.conf)?;
        call.attachment(attachment);
        Ok(call)
    }
}
