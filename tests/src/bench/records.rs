//! Ten thousand live records.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use super::footprint;
use super::statistics::{Pairs, Summary, micros};
use super::workshop::Installation;
use super::{Bench, Turn, single};
use crate::build::preflight::{TRACE, check};

/// How often GC is measured.
const COLLECTIONS: usize = 5;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let count = bench.options.records;
    let netns = bench.workshop.netns("records", 1)?.remove(0);
    let (_, _, empty) = single::behind_shim(&bench.workshop, "no-records", "1.0.0")?;
    let (_, _, full) = single::behind_shim(&bench.workshop, "records", "1.1.0")?;
    fill(&full, count, &netns)?;
    let records = full.records()?;
    ensure!(records.len() == count, "{} records after {count} ADDs", records.len());

    let (add, del) = compare(bench, &empty, &full, &netns)?;
    let sides = ["0 records", &format!("{count} records")];
    bench.report.compared("stub ADD beside live records", sides, &add);
    bench.report.compared("stub DEL beside live records", sides, &del);
    let grows = (add.through().p99_us - add.bare().p99_us) / 1000.0;
    bench.report.figure(format!("ADD p99 beside {count} records, growth"), grows, "ms");

    collect(bench, &full, &records)
}

/// Makes the records as pods do: by ADDs.
fn fill(shim: &Installation, count: usize, netns: &str) -> Result<()> {
    let next = AtomicUsize::new(0);
    let workers = 2 * thread::available_parallelism().context("number of cores")?.get();
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            let mut add = shim.call("ADD")?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                add.attachment(&member(number, netns)).run()?;
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a caller panicked"))?)
    })
}

/// A container as runtimes call theirs: by 64 hexadecimal digits.
fn member(number: usize, netns: &str) -> Attachment {
    Attachment { id: format!("{number:064x}"), netns: netns.to_owned(), ifname: "eth0".to_owned() }
}

fn compare(bench: &Bench, empty: &Installation, full: &Installation, netns: &str) -> Result<(Pairs, Pairs)> {
    let one_more = member(usize::MAX, netns);
    let calls = |shim: &Installation| -> Result<[Call; 2]> {
        Ok([shim.call_for("ADD", &one_more)?, shim.call_for("DEL", &one_more)?])
    };
    let ([mut empty_add, mut empty_del], [mut full_add, mut full_del]) = (calls(empty)?, calls(full)?);
    let (mut add, mut del) = (Pairs::default(), Pairs::default());
    // A p99 needs more than a median does.
    for turn in bench.turns(2 * bench.options.pairs) {
        let turn: Turn = turn?;
        turn.measure(&mut add, || empty_add.run(), || full_add.run())?;
        turn.measure(&mut del, || empty_del.run(), || full_del.run())?;
    }
    Ok((add, del))
}

/// GC with every record valid.
fn collect(bench: &mut Bench, full: &Installation, records: &[PathBuf]) -> Result<()> {
    let valid: Vec<Value> = (0..records.len())
        .map(|number| json!({ "containerID": member(number, "").id, "ifname": "eth0" }))
        .collect();
    let mut conf = full.conf().clone();
    conf["cni.dev/valid-attachments"] = json!(valid);
    conf["cni.dev/attachments"] = json!(valid);
    let mut gc = full.call("GC")?;
    gc.stdin(&conf)?;
    let mut times_us = Vec::new();
    for _ in 0..COLLECTIONS {
        times_us.push(micros(gc.run()?));
    }
    ensure!(full.records()?.len() == records.len(), "GC of valid attachments closed some");
    let summary = Summary::new(&times_us);
    let secs = |us: f64| us / 1e6;
    let what = format!("GC of {} records, two instant stubs", records.len());
    bench.report.figure(format!("{what}: median of {COLLECTIONS}"), secs(summary.median_us), "s");
    bench.report.figure(format!("{what}: longest"), secs(summary.p99_us), "s");
    if check(TRACE).is_complete() {
        bench.report.figure(format!("{what}: peak memory"), footprint::peak_memory_kib(&gc)?, "KiB");
    }
    Ok(())
}
