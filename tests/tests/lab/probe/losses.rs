//! Losses, and the pair that each counts for.

use anyhow::{Result, ensure};
use lab::probe::{Kind, Mesh};
use nix::time::{ClockId, clock_gettime};

use crate::lan::Lan;
use crate::watch::{
    SILENCE_MS, ensure_books_balance, is_clean, mesh, of_kind, pair, pairs_in, until, until_answered,
};

/// Three pods, both families: six pairs, all answered, nothing lost.
pub(crate) fn quiet_mesh_loses_nothing() -> Result<()> {
    let lan = Lan::new("quiet", 3)?;
    let mut mesh = Mesh::new("only", SILENCE_MS);
    for pod in 1..=3 {
        let addresses = [lan.v4(pod), lan.v6(pod)];
        mesh.enter(&lan.name(pod), &lan.netns(pod), &addresses)?;
    }
    until_answered(&mesh.gauge(), "only", 6, 40)?;
    let report = mesh.finish()?;
    report.verify(40)?;
    ensure_books_balance(&report)?;
    ensure!(report.losses.is_empty() && report.total.excused == 0, "{report:?}");
    let slots = report.total.sent + report.total.late;
    // 24 probes per slot: 6 pairs, 2 addresses, 2 kinds; pods enter one after the other.
    ensure!(slots >= 24 * 20, "{slots} slots for 40 answers per pair");
    Ok(())
}

/// A cut cable costs every probe of its pairs for as long as it is cut, and no probe of the others.
pub(crate) fn cut_cable_loses_its_pairs_only() -> Result<()> {
    let lan = Lan::new("cable", 3)?;
    let mut mesh = mesh(&lan, 3)?;
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 6, 3)?;

    let cut_began_ns = monotonic_ns()?;
    lan.cable(3, false)?;
    let cut_ns = monotonic_ns()?;
    mesh.phase("cut")?;
    let cut_pairs = [(1, 3), (3, 1), (2, 3), (3, 2)].map(|(a, b)| (lan.name(a), lan.name(b)));
    until("each cut pair loses 5 of each kind", &gauge, |report| {
        let mut pairs = cut_pairs.iter().map(|(src, dst)| pair(report, src, dst));
        pairs.all(|pair| pair.udp.lost >= 5 && pair.tcp.lost >= 5 && pair.broken >= 1)
    })?;
    let mending_ns = monotonic_ns()?;
    lan.cable(3, true)?;
    let mended_ns = monotonic_ns()?;
    mesh.phase("healing")?;
    until_answered(&gauge, "healing", 6, 5)?;
    mesh.phase("after")?;
    until_answered(&gauge, "after", 6, 10)?;
    let report = mesh.finish()?;
    ensure_books_balance(&report)?;

    let slots_cut = (mending_ns - cut_ns) / 100_000_000;
    for (src, dst) in &cut_pairs {
        let pair = pair(&report, src, dst);
        let late = pair.udp.late;
        // One slot may straddle each end.
        ensure!(pair.udp.lost + late + 1 >= slots_cut, "{slots_cut} slots cut: {pair:?}");
    }
    for loss in of_kind(&report, Kind::Udp) {
        ensure!(cut_pairs.contains(&(loss.src.clone(), loss.dst.clone())), "{loss}");
        // Under way when the cable was cut: a round trip, for which a whole slot is plenty.
        let begin_ns = cut_began_ns - 100_000_000;
        ensure!((begin_ns..=mended_ns).contains(&loss.monotonic_ns), "{loss}");
    }
    for (src, dst) in [(1, 2), (2, 1)].map(|(a, b)| (lan.name(a), lan.name(b))) {
        let pair = pair(&report, &src, &dst);
        ensure!(is_clean(pair.udp) && is_clean(pair.tcp) && pair.broken == 0, "{pair:?}");
    }
    for pair in pairs_in(&report, "after") {
        ensure!(is_clean(pair.udp) && is_clean(pair.tcp) && pair.broken == 0, "{pair:?}");
    }
    Ok(())
}

/// Only what 1 asks 2 over UDP is dropped: neither the other way, nor TCP, nor another pod suffers.
pub(crate) fn one_direction_is_told_from_the_other() -> Result<()> {
    let lan = Lan::new("oneway", 3)?;
    let mut mesh = mesh(&lan, 3)?;
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 6, 3)?;
    let rule = format!("INPUT -s {} -p udp --dport 7117 -j DROP", lan.v4(1));
    lan.iptables(2, &format!("-A {rule}"))?;
    mesh.phase("dropping")?;
    let (src, dst) = (lan.name(1), lan.name(2));
    until("UDP from 1 to 2 is lost", &gauge, |report| pair(report, &src, &dst).udp.lost >= 5)?;
    // The rule outlives its phase, for what is sent in the phase is to meet it.
    mesh.phase("after")?;
    lan.iptables(2, &format!("-D {rule}"))?;
    until_answered(&gauge, "after", 6, 5)?;
    let report = mesh.finish()?;
    ensure_books_balance(&report)?;
    for loss in &report.losses {
        let whose = (loss.src == src, loss.dst == dst, loss.kind);
        ensure!(whose == (true, true, Kind::Udp), "{loss}");
    }
    let dropped = pairs_in(&report, "dropping").iter().find(|pair| pair.src == src && pair.dst == dst);
    ensure!(dropped.is_some_and(|pair| pair.udp.answered == 0), "{dropped:?}");
    Ok(())
}

/// 1.2 s late is an answer; 2.6 s late is a loss, although the answer comes.
pub(crate) fn answer_after_two_seconds_is_a_loss() -> Result<()> {
    let lan = Lan::new("slow", 2)?;
    let mut mesh = mesh(&lan, 2)?;
    let gauge = mesh.gauge();
    let (src, dst) = (lan.name(1), lan.name(2));
    mesh.hold_answers(&dst, 1200)?;
    mesh.phase("in time")?;
    until_answered(&gauge, "in time", 2, 20)?;
    ensure!(gauge.losses().is_empty(), "{:?}", gauge.losses());
    mesh.hold_answers(&dst, 2600)?;
    mesh.phase("too late")?;
    until("probes are lost", &gauge, |report| {
        let pair = pair(report, &src, &dst);
        pair.udp.lost >= 10 && pair.tcp.lost >= 10
    })?;
    let report = mesh.finish()?;
    ensure_books_balance(&report)?;
    for phase in pairs_in(&report, "too late") {
        let slow = phase.src == src;
        ensure!(slow == (phase.udp.answered == 0), "{phase:?}");
        ensure!(slow == (phase.tcp.answered == 0), "{phase:?}");
        ensure!(slow == (phase.broken > 0), "{phase:?}");
    }
    let other_way = pair(&report, &dst, &src);
    ensure!(is_clean(other_way.udp) && is_clean(other_way.tcp), "{other_way:?}");
    Ok(())
}

/// A reset is noticed at once, named, and followed by a new connection.
pub(crate) fn reset_connection_is_a_loss() -> Result<()> {
    let lan = Lan::new("reset", 2)?;
    let mut mesh = mesh(&lan, 2)?;
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 2, 3)?;
    mesh.reset_connections(&lan.name(2))?;
    until("the reset is noticed", &gauge, |report| !of_kind(report, Kind::Connection).is_empty())?;
    mesh.phase("after")?;
    until_answered(&gauge, "after", 2, 5)?;
    let report = mesh.finish()?;
    ensure_books_balance(&report)?;
    let broken = of_kind(&report, Kind::Connection);
    ensure!(broken.len() == 1, "{broken:?}");
    ensure!(broken[0].src == lan.name(1) && broken[0].cause.contains("reset"), "{}", broken[0]);
    ensure!(of_kind(&report, Kind::Udp).is_empty(), "{:?}", report.losses);
    Ok(())
}

/// 3 takes 2's address over: it answers, but not as 2.
pub(crate) fn another_pods_answer_does_not_count() -> Result<()> {
    let lan = Lan::new("taken", 3)?;
    let mut mesh = Mesh::new("start", SILENCE_MS);
    let other = lan.name(2);
    mesh.restrict(move |_, dst, _| dst == other);
    for pod in 1..=3 {
        mesh.enter(&lan.name(pod), &lan.netns(pod), &[lan.v4(pod)])?;
    }
    let gauge = mesh.gauge();
    until_answered(&gauge, "start", 2, 3)?;
    lan.ip(2, &format!("address delete {}/24 dev eth0", lan.v4(2)))?;
    lan.ip(3, &format!("address add {}/24 dev eth0", lan.v4(2)))?;
    lan.ip(1, "neighbour flush dev eth0")?;
    until("the wrong answers are losses", &gauge, |report| {
        let wrong = report.losses.iter().filter(|loss| loss.cause.contains("another pod"));
        [Kind::Udp, Kind::Tcp].map(|kind| wrong.clone().any(|loss| loss.kind == kind)) == [true, true]
    })?;
    Ok(())
}

/// A pod with two addresses answers from the one that was asked, as a client demands.
pub(crate) fn answer_comes_from_the_probed_address() -> Result<()> {
    let lan = Lan::new("second", 2)?;
    let second = std::net::IpAddr::from([10, 9, 0, 77]);
    lan.ip(2, &format!("address add {second}/24 dev eth0"))?;
    let mut mesh = Mesh::new("only", SILENCE_MS);
    mesh.enter(&lan.name(1), &lan.netns(1), &[lan.v4(1)])?;
    mesh.enter(&lan.name(2), &lan.netns(2), &[second])?;
    until_answered(&mesh.gauge(), "only", 2, 5)?;
    mesh.finish()?.verify(5)
}

fn monotonic_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}
