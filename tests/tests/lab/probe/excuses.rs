//! Losses that are excused, and losses that never are.

use anyhow::{Result, ensure};
use lab::probe::{Link, Mesh};

use crate::lan::Lan;
use crate::watch::{SILENCE_MS, ensure_books_balance, is_clean, mesh, pair, pairs_in, until, until_answered};

/// A pod that is retired with probes under way to it, taken off the net and entered again costs no loss.
pub(crate) fn retired_pod_is_excused() -> Result<()> {
    let lan = Lan::new("excused", 3)?;
    let mut mesh = mesh(&lan, 3)?;
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 6, 3)?;

    mesh.phase("restart")?;
    // Answers that are held back are probes under way, in both directions of no other pair.
    mesh.hold_answers(&lan.name(3), 1500)?;
    let (kept, restarted) = (lan.name(1), lan.name(3));
    let others = [kept.clone(), lan.name(2)];
    until("probes are under way", &gauge, |report| {
        let mut pairs = others.iter().map(|other| pair(report, other, &restarted));
        pairs.all(|pair| pair.udp.pending() >= 5 && pair.tcp.pending() >= 5)
    })?;
    mesh.retire(&restarted)?;
    ensure!(mesh.pid(&restarted).is_none(), "its agent is gone");
    lan.cable(3, false)?;
    let seen = pair(&gauge.report(), &kept, &lan.name(2)).udp.answered;
    until("three seconds pass without it", &gauge, |report| {
        pair(report, &kept, &lan.name(2)).udp.answered >= seen + 30
    })?;

    lan.cable(3, true)?;
    let again = std::net::IpAddr::from([10, 9, 0, 33]);
    lan.ip(3, "address flush dev eth0")?;
    lan.ip(3, &format!("address add {again}/24 dev eth0"))?;
    mesh.phase("again")?;
    mesh.enter(&restarted, &lan.netns(3), &[again])?;
    until_answered(&gauge, "again", 6, 10)?;
    let report = mesh.finish()?;
    report.verify(10)?;
    ensure_books_balance(&report)?;
    for other in &others {
        let there = pair(&report, other, &restarted);
        ensure!(there.udp.excused >= 5 && there.tcp.excused >= 5, "{there:?}");
    }
    for (src, dst) in [(1, 2), (2, 1)].map(|(a, b)| (lan.name(a), lan.name(b))) {
        let pair = pair(&report, &src, &dst);
        ensure!(is_clean(pair.udp) && is_clean(pair.tcp), "{pair:?}");
    }
    Ok(())
}

/// While 3 is being restarted, 2 loses its cable: that is no part of the restart.
pub(crate) fn retired_pod_excuses_no_other_pod() -> Result<()> {
    let lan = Lan::new("strict", 3)?;
    let mut mesh = mesh(&lan, 3)?;
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 6, 3)?;
    lan.cable(2, false)?;
    let (src, dst) = (lan.name(1), lan.name(2));
    until("probes to 2 are under way", &gauge, |report| pair(report, &src, &dst).udp.pending() >= 5)?;
    mesh.retire(&lan.name(3))?;
    until("they are lost", &gauge, |report| pair(report, &src, &dst).udp.lost >= 10)?;
    let report = mesh.finish()?;
    ensure_books_balance(&report)?;
    for (src, dst) in [(&src, &dst), (&dst, &src)] {
        let pair = pair(&report, src, dst);
        ensure!(pair.udp.lost >= 10 && pair.udp.excused + pair.tcp.excused == 0, "{pair:?}");
    }
    ensure!(report.verify(1).is_err(), "a report with losses must not pass");
    Ok(())
}

/// A probe counts in the phase in which it was sent, whenever it is settled; links and pauses do what they say.
pub(crate) fn phases_are_told_apart() -> Result<()> {
    let lan = Lan::new("phases", 2)?;
    let mut mesh = Mesh::new("one", SILENCE_MS);
    mesh.restrict(|_, _, _| false);
    for pod in 1..=2 {
        mesh.enter(&lan.name(pod), &lan.netns(pod), &[lan.v4(pod)])?;
    }
    let gauge = mesh.gauge();
    let link = Link { src: lan.name(1), dst: lan.name(2), address: lan.v6(2), source: Some(lan.v6(1)) };
    mesh.link(&link)?;
    ensure!(mesh.link(&link).is_err(), "the same link twice");
    until_answered(&gauge, "one", 1, 3)?;
    mesh.hold_answers(&link.dst, 1000)?;
    until("probes of phase one are under way", &gauge, |report| {
        pairs_in(report, "one").iter().all(|pair| pair.udp.pending() >= 5)
    })?;
    mesh.phase("two")?;
    mesh.pause()?;
    let paused = gauge.report();
    ensure_books_balance(&paused)?;
    mesh.hold_answers(&link.dst, 0)?;
    mesh.phase("three")?;
    mesh.resume()?;
    until_answered(&gauge, "three", 1, 5)?;
    let report = mesh.finish()?;
    report.verify(8)?;
    let answered = |phase: &str| pairs_in(&report, phase).iter().map(|pair| pair.udp.answered).sum::<u64>();
    ensure!(answered("one") >= 8, "{report:?}");
    ensure!(pairs_in(&report, "one") == pairs_in(&paused, "one"), "phase one was over: {report:?}");
    ensure!(pairs_in(&report, "two") == pairs_in(&paused, "two"), "phase two was over: {report:?}");
    ensure!(report.phases.iter().all(|phase| phase.pairs.len() <= 1), "one link only: {report:?}");
    let text = serde_json::to_string(&report)?;
    ensure!(serde_json::from_str::<lab::probe::Report>(&text)? == report, "{text}");
    Ok(())
}
