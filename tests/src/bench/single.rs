//! Single calls with stub delegates.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use super::report::Limit;
use super::statistics::{Pairs, Summary, micros};
use super::workshop::{Installation, Networks, Workshop, nothing_left, plugin_conf, stub_network};
use super::{Bench, Turn};

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let netns = bench.workshop.netns("single", 1)?.remove(0);
    let attachment = Attachment { id: "single".to_owned(), netns, ifname: "eth0".to_owned() };
    add_and_del(bench, &attachment)?;
    both(bench, &attachment)?;
    status(bench)?;
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
    let (old, _, shim) = behind_shim(&bench.workshop, "single", "1.0.0")?;
    let mut bare_add = bare(&bench.workshop, &old, "ADD", attachment)?;
    let mut bare_del = bare(&bench.workshop, &old, "DEL", attachment)?;
    let mut shim_add = shim.call_for("ADD", attachment)?;
    let mut shim_del = shim.call_for("DEL", attachment)?;
    // The first call makes directories; the record it leaves says how long records are.
    shim_add.run()?;
    let record = shim.records()?.pop().context("an ADD without a record")?;
    let durable = DurableWrite::new(&bench.workshop, fs::metadata(&record)?.len())?;
    shim_del.run()?;

    let (mut add, mut del, mut written_us) = (Pairs::default(), Pairs::default(), Vec::new());
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        turn.measure(&mut add, || bare_add.run(), || shim_add.run())?;
        turn.measure(&mut del, || bare_del.run(), || shim_del.run())?;
        let took = durable.run()?;
        if turn.counts {
            written_us.push(micros(took));
        }
    }
    nothing_left("stub ADD and DEL", &shim.leftovers()?)?;
    let report = &mut bench.report;
    report.pairs("stub ADD", &add);
    report.pairs("stub DEL", &del);
    let (over, written) = (add.difference(), Summary::of(&written_us));
    let millis = |us: f64| us / 1000.0;
    report.figure("write + fsync + rename + fsync of the directory: p50", millis(written.median_us), "ms");
    report.figure("write + fsync + rename + fsync of the directory: p99", millis(written.p99_us), "ms");
    report.figure("shim overhead of ADD, durable: p50", millis(over.median_us), "ms");
    report.figure("shim overhead of ADD, durable: p99", millis(over.p99_us), "ms");
    let less = millis(over.median_us - written.median_us);
    report.figure("shim overhead of ADD, less that write: p50", less, "ms");
    report.goal(
        "shim overhead, durable, delegates excluded",
        vec![
            Limit::new("p50", millis(over.median_us), 1.0, "ms"),
            Limit::new("p99", millis(over.p99_us), 5.0, "ms"),
        ],
    );
    Ok(())
}

/// Both networks through the shim, against their two calls one after the other.
fn both(bench: &mut Bench, attachment: &Attachment) -> Result<()> {
    let old = stub_network("oldnet", "stub-old", "1.0.0");
    let new = stub_network("newnet", "stub-new", "1.0.0");
    let bin = bench.workshop.stubs.path().to_owned();
    let networks = Networks { old: &old, new: &new, attach: "both", version: "1.0.0", bin: &bin };
    let shim = bench.workshop.install("both", &networks)?;
    let second = Attachment { ifname: "net1".to_owned(), ..attachment.clone() };
    let calls = |verb| -> Result<[Call; 3]> {
        Ok([
            bare(&bench.workshop, &old, verb, attachment)?,
            bare(&bench.workshop, &new, verb, &second)?,
            shim.call_for(verb, attachment)?,
        ])
    };
    let [mut old_add, mut new_add, mut shim_add] = calls("ADD")?;
    let [mut old_del, mut new_del, mut shim_del] = calls("DEL")?;
    let (mut add, mut del) = (Pairs::default(), Pairs::default());
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        turn.measure(&mut add, || Ok(old_add.run()? + new_add.run()?), || shim_add.run())?;
        turn.measure(&mut del, || Ok(new_del.run()? + old_del.run()?), || shim_del.run())?;
    }
    nothing_left("both-mode", &shim.leftovers()?)?;
    bench.report.pairs("both-mode ADD, against two stub ADDs", &add);
    bench.report.pairs("both-mode DEL, against two stub DELs", &del);
    Ok(())
}

/// STATUS where the network was ready before, and where it is asked for the first time.
fn status(bench: &mut Bench) -> Result<()> {
    let (old, _, shim) = behind_shim(&bench.workshop, "status", "1.1.0")?;
    let nobody = Attachment { id: String::new(), netns: String::new(), ifname: String::new() };
    let mut bare_status = bare(&bench.workshop, &old, "STATUS", &nobody)?;
    let mut shim_status = shim.call("STATUS")?;
    let (mut sticky, mut first) = (Pairs::default(), Pairs::default());
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        turn.measure(&mut sticky, || bare_status.run(), || shim_status.run())?;
        let forget = || match fs::remove_dir_all(shim.run.join("ready")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        forget().context("the readiness marker")?;
        turn.measure(&mut first, || bare_status.run(), || shim_status.run())?;
    }
    bench.report.pairs("STATUS 1.1.0, ready before", &sticky);
    bench.report.pairs("STATUS 1.1.0, first in this boot", &first);
    Ok(())
}

fn version(bench: &mut Bench) -> Result<()> {
    let (old, _, shim) = behind_shim(&bench.workshop, "version", "1.0.0")?;
    let dummy = || "dummy".to_owned();
    let nobody = Attachment { id: String::new(), netns: dummy(), ifname: dummy() };
    let mut bare_version = bare(&bench.workshop, &old, "VERSION", &nobody)?;
    let mut shim_version = shim.call_for("VERSION", &nobody)?;
    for call in [&mut bare_version, &mut shim_version] {
        call.stdin(&json!({ "cniVersion": "1.0.0" }))?;
    }
    let mut pairs = Pairs::default();
    for turn in bench.turns(bench.options.pairs) {
        turn?.measure(&mut pairs, || bare_version.run(), || shim_version.run())?;
    }
    bench.report.pairs("VERSION, the stub's against the shim's", &pairs);
    Ok(())
}

/// What durability alone costs: a file as long as a record, written as records are.
struct DurableWrite {
    directory: PathBuf,
    bytes: Vec<u8>,
}

impl DurableWrite {
    fn new(workshop: &Workshop, length: u64) -> Result<DurableWrite> {
        let directory = workshop.disk.join("durable");
        fs::create_dir(&directory).context("directory of durable writes")?;
        Ok(DurableWrite { directory, bytes: vec![b'x'; usize::try_from(length)?] })
    }

    /// Writes it once, and removes it when the time has been taken.
    fn run(&self) -> Result<Duration> {
        let (temporary, path) = (self.directory.join(".tmp"), self.directory.join("record"));
        let write = || -> std::io::Result<()> {
            let mut file = File::options().append(true).create_new(true).open(&temporary)?;
            file.write_all(&self.bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        let began = Instant::now();
        let written = write();
        let took = began.elapsed();
        written.and_then(|()| fs::remove_file(&path)).context("a durable write")?;
        Ok(took)
    }
}
