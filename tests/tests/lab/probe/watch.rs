//! Waiting for what a mesh counts, and reading its report.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::host::deadline;
use lab::probe::{Count, Gauge, Kind, Loss, Mesh, Pair, Report};

use crate::lan::Lan;

/// An agent that is silent for so long is dead. Long, as two tests may share one processor with a build.
pub(crate) const SILENCE_MS: u64 = 10_000;

/// Tells what happens from what does not; what is waited for takes a second or three.
const LIMIT: Duration = Duration::from_secs(60);

/// A mesh over the first `pods` pods of a lan, by their IPv4 addresses.
pub(crate) fn mesh(lan: &Lan, pods: u8) -> Result<Mesh> {
    let mut mesh = Mesh::new("start", SILENCE_MS);
    for pod in 1..=pods {
        mesh.enter(&lan.name(pod), &lan.netns(pod), &[lan.v4(pod)])?;
    }
    Ok(mesh)
}

/// Waits until something is counted.
pub(crate) fn until(what: &str, gauge: &Gauge, met: impl Fn(&Report) -> bool) -> Result<()> {
    deadline::until(what, LIMIT, || Ok(met(&gauge.report()).then_some(())))
}

/// Waits until in the phase `phase` each of `pairs` pairs has been answered `times` times over UDP and over TCP.
pub(crate) fn until_answered(gauge: &Gauge, phase: &str, pairs: usize, times: u64) -> Result<()> {
    until("every pair is answered", gauge, |report| {
        let pairs_of = pairs_in(report, phase);
        pairs_of.len() == pairs
            && pairs_of.iter().all(|pair| pair.udp.answered >= times && pair.tcp.answered >= times)
    })
}

/// The pairs of one phase.
pub(crate) fn pairs_in<'a>(report: &'a Report, phase: &str) -> &'a [Pair] {
    let report_phase = report.phases.iter().find(|known| known.name == phase);
    report_phase.map(|phase| phase.pairs.as_slice()).unwrap_or_default()
}

/// One directed pair, over all phases.
pub(crate) fn pair(report: &Report, src: &str, dst: &str) -> Pair {
    let mut sum = Pair { src: src.to_owned(), dst: dst.to_owned(), ..Pair::default() };
    for pair in report.phases.iter().flat_map(|phase| &phase.pairs) {
        if pair.src == src && pair.dst == dst {
            sum.udp += pair.udp;
            sum.tcp += pair.tcp;
            sum.broken += pair.broken;
        }
    }
    sum
}

/// The losses of one kind.
pub(crate) fn of_kind(report: &Report, kind: Kind) -> Vec<&Loss> {
    report.losses.iter().filter(|loss| loss.kind == kind).collect()
}

/// Every probe of a mesh at rest is accounted for, and every loss is listed.
pub(crate) fn ensure_books_balance(report: &Report) -> Result<()> {
    for pair in report.phases.iter().flat_map(|phase| &phase.pairs) {
        for count in [pair.udp, pair.tcp] {
            ensure!(count.pending() == 0, "{} -> {}: {count:?}", pair.src, pair.dst);
            let settled = count.answered + count.lost + count.excused;
            ensure!(count.sent == settled, "{} -> {}: {count:?}", pair.src, pair.dst);
        }
    }
    let listed = report.losses.len();
    ensure!(
        u64::try_from(listed)? == report.total.lost,
        "{listed} losses listed, {} counted",
        report.total.lost
    );
    Ok(())
}

/// Nothing of this kind was lost or excused.
pub(crate) fn is_clean(count: Count) -> bool {
    count.lost == 0 && count.excused == 0
}
