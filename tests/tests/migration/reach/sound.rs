//! Networks that are sound.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::host::deadline::until;
use nix::sched::{CloneFlags, setns};
use reachability::class::{Packet, Place, Target};
use reachability::frame::Frame;
use reachability::report::ToHub;
use reachability::{Class, Counts, Kind, Peer, Phase};

use crate::ring::{HUB_PORT, KEY, NAMED, PORT, Ring, ip, is_allowed, is_lossless, is_sound, rule};

pub(crate) fn every_pair_is_probed_with_every_packet() -> Result<()> {
    let ring = Ring::start()?;
    let _old = ring.pod(1, "10.244.1.2")?;
    let _new = ring.pod(2, "10.1.2.2")?;
    let first = ring.wait_until_sound(5)?;
    let (old, new) = (Kind::Pod(Phase::Old), Kind::Pod(Phase::New));
    let expected = [(Kind::Host, Kind::Host), (Kind::Host, old), (old, Kind::Host), (old, new), (new, old)];
    for packet in [Packet::Udp, Packet::LargeUdp, Packet::Connect, Packet::HeldTcp] {
        for (from, to) in expected {
            until(&format!("{from} -> {to} by {packet}"), NAMED, || {
                let counts = ring.counts(0, |class| {
                    (class.from, class.to, class.packet) == (from, Target::Agent(to), packet)
                })?;
                Ok((counts.answered > 0).then_some(()))
            })?;
        }
    }
    // Agents take the zones of their nodes from a file.
    for place in [Place::SameNode, Place::OtherNode, Place::OtherZone] {
        let counts = ring.counts(0, |class| class.place == place)?;
        ensure!(counts.answered > 0, "{place}: {counts:?}");
    }
    let all = ring.counts(first - 1, is_allowed)?;
    ensure!(is_lossless(&all) && all.restarting == 0, "{all:?}");
    Ok(())
}

pub(crate) fn a_network_that_joins_makes_a_pod_another_kind() -> Result<()> {
    let ring = Ring::start()?;
    let (netns, _agent) = ring.pod(1, "10.244.1.2")?;
    let first = ring.wait_until_sound(4)?;
    ring.node(1).run_in(&netns.inside, &["ip", "address", "add", "10.1.1.2/32", "dev", "eth0"])?;
    let joined = Kind::Pod(Phase::BothOld);
    until("the pod with both networks", NAMED, || {
        let counts = ring.counts(first, |class| class.from == joined || class.to == Target::Agent(joined))?;
        Ok((counts.answered > 20).then_some(()))
    })?;
    let last = ring.reports(0)?.pop().context("a report")?;
    ensure!(!last.agents.contains_key(&Kind::Pod(Phase::Old)), "{:?}", last.agents);
    let all = ring.counts(first, is_allowed)?;
    ensure!(is_lossless(&all), "{all:?}");
    Ok(())
}

pub(crate) fn what_a_policy_denies_is_no_loss() -> Result<()> {
    let ring = Ring::start()?;
    let _old = ring.pod(1, "10.244.1.2")?;
    let _new = ring.pod(2, "10.1.2.2")?;
    ring.wait_until_sound(5)?;
    let (old, new) = (Kind::Pod(Phase::Old), Kind::Pod(Phase::New));
    for (from, to) in [(old, new), (new, old)] {
        until(&format!("{from} -> {to} without an answer"), NAMED, || {
            let counts = ring.counts(0, |class| {
                (class.from, class.to) == (from, Target::Agent(to)) && !is_allowed(class)
            })?;
            ensure!(counts.is_clean(Packet::DeniedUdp), "{from} -> {to}: {counts:?}");
            Ok((counts.lost > 0).then_some(()))
        })?;
    }
    let is_of_host = |class: &Class| class.from == Kind::Host || class.to == Target::Agent(Kind::Host);
    let of_host = ring.counts(0, |class| !is_allowed(class) && is_of_host(class))?;
    ensure!(of_host == Counts::default(), "policies do not select the host network: {of_host:?}");
    let troubles: Vec<_> = ring.reports(0)?.into_iter().flat_map(|report| report.troubles).collect();
    ensure!(troubles.iter().all(|trouble| is_allowed(&trouble.class)), "{troubles:?}");
    ring.expect_causes(0, &[])
}

pub(crate) fn an_http_client_learns_the_kind_of_an_agent() -> Result<()> {
    let ring = Ring::start()?;
    let (netns, _agent) = ring.pod(1, "10.244.1.2")?;
    let kind = |address| ring.node(3).http_get(address, PORT, "/");
    until("the agent's answer", NAMED, || Ok(kind(ip("10.244.1.2")?).ok()))?;
    ensure!(kind(ip("10.244.1.2")?)? == r#"{"kind":"old"}"#);
    ensure!(kind(ring.node(2).address().into())? == r#"{"kind":"host"}"#);
    ring.node(1).run_in(&netns.inside, &["ip", "address", "add", "10.1.1.2/32", "dev", "eth0"])?;
    until("the pod with both networks", NAMED, || {
        Ok((kind(ip("10.244.1.2")?)? == r#"{"kind":"both-old"}"#).then_some(()))
    })
}

pub(crate) fn an_agent_that_is_restarted_costs_no_loss() -> Result<()> {
    let mut ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    // Once with its leave, once killed.
    let leaving = ring.agents[2].take().context("the agent")?;
    leaving.terminate()?;
    until("the agent that took its leave", NAMED, || departures(&ring, first, 1))?;
    ring.agents[2] = Some(ring.agent(3)?);
    ring.wait_until_sound(3)?;
    // Probes that it does not answer before it ends are counted apart.
    let drop_questions = format!("INPUT -p udp --dport {PORT} -j DROP");
    rule(ring.node(3), &format!("-I {drop_questions}"))?;
    std::thread::sleep(Duration::from_secs(3));
    ring.agents[2].take().context("the agent")?.kill()?;
    rule(ring.node(3), &format!("-D {drop_questions}"))?;
    until("the agent that was killed", NAMED, || departures(&ring, first, 2))?;
    ring.agents[2] = Some(ring.agent(3)?);
    let last = ring.wait_until_sound(3)?;
    // A loss that was held back for the target's sake would be counted by then.
    until("four more reports", NAMED, || Ok((ring.reports(0)?.len() > last + 4).then_some(())))?;
    let all = ring.counts(first, is_allowed)?;
    ensure!(is_lossless(&all) && all.restarting > 0, "{all:?}");
    ring.expect_causes(first, &[])
}

/// Whether so many departures are reported, each of an agent that ended.
fn departures(ring: &Ring, first: usize, count: usize) -> Result<Option<()>> {
    let reports = ring.reports(0)?;
    let departed: Vec<_> = reports.iter().skip(first).flat_map(|report| &report.departed).collect();
    ensure!(departed.iter().all(|departure| departure.is_ended), "{departed:?}");
    Ok((departed.len() == count).then_some(()))
}

pub(crate) fn a_hub_that_ends_is_replaced_by_the_next() -> Result<()> {
    let mut ring = Ring::start()?;
    ring.wait_until_sound(3)?;
    ring.agents[0].take().context("the hub")?.kill()?;
    until("six reports of the second hub", NAMED, || {
        let reports = ring.reports(1)?;
        let later = reports.iter().skip_while(|report| report.agents.values().flatten().count() == 3);
        let is_clean = later.clone().all(|report| report.classes.iter().all(is_sound));
        let last = reports.last().context("a report")?;
        ensure!(is_clean, "the agents wait for the hub that has ended: {last:?}");
        // A loss that was held back for the hub's sake would be counted by then.
        let has_answers = last.classes.iter().any(|row| row.counts.answered > 0);
        Ok((later.count() > 5 && has_answers).then_some(()))
    })
}

pub(crate) fn a_stranger_gets_no_answer() -> Result<()> {
    let ring = Ring::start()?;
    ring.wait_until_sound(3)?;
    let target = ring.node(1).address();
    let netns = std::fs::File::open(format!("/proc/{}/ns/net", ring.node(3).pid()))?;
    let stranger = std::thread::spawn(move || -> Result<()> {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        let [key, other] = [KEY, "ff0102030405060708090a0b0c0d0e0f"]
            .map(|text| reachability::Key::parse(text).expect("a key"));
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let question = Frame { is_answer: false, is_heard: false, sequence: 1, asker: 9, target: 1 };
        let mut buffer = [0; 2000];
        socket.send_to(&question.encode(&other, 0), (target, PORT))?;
        ensure!(socket.recv_from(&mut buffer).is_err(), "a question with another key was answered");
        socket.send_to(&question.encode(&key, 0), (target, PORT))?;
        let (length, _) = socket.recv_from(&mut buffer).context("the right key")?;
        ensure!(Frame::decode(&key, &buffer[..length]) == Some(question.answer()));

        let peer = Peer {
            name: "stranger".to_owned(),
            node: "n9".to_owned(),
            zone: String::new(),
            kind: Kind::Host,
            id: 9,
            addresses: vec![ip("192.0.2.9")?],
            mtu: 1500,
        };
        for line in [other.seal(&ToHub::Register(peer)), "x".repeat(600_000), key.seal(&ToHub::Goodbye)] {
            let mut stream = TcpStream::connect((target, HUB_PORT))?;
            stream.set_read_timeout(Some(NAMED))?;
            // The hub may close the connection while it is written to.
            let _ = stream.write_all(line.as_bytes());
            let ended = stream.read(&mut buffer);
            ensure!(!matches!(ended, Ok(1..)), "the hub answered a stranger");
        }
        Ok(())
    });
    stranger.join().map_err(|_| anyhow::anyhow!("the stranger panicked"))??;
    let seen = ring
        .reports(0)?
        .iter()
        .flat_map(|report| report.arrived.clone())
        .any(|agent| agent.name == "stranger");
    ensure!(!seen, "the stranger was registered");
    ring.wait_until_sound(3).map(drop)
}
