//! Networks that are wrong in one way, and the agents name it.

use anyhow::{Context as _, Result};
use lab::host::deadline::until;
use nix::sys::signal::Signal;
use reachability::diagnosis::Diagnosis;

use crate::ring::{DENIED_PORT, NAMED, PORT, Ring, rule};

/// Drops packets of agents that come from `from` to `to`, but for those between agents and hubs.
fn drop_packets(ring: &Ring, from: u8, to: u8) -> Result<()> {
    let source = ring.node(from).address();
    for protocol in ["udp", "tcp"] {
        for port in ["--dport", "--sport"] {
            rule(ring.node(to), &format!("-I INPUT -s {source} -p {protocol} {port} {PORT} -j DROP"))?;
        }
    }
    Ok(())
}

fn named(index: u8) -> String {
    format!("n{index}")
}

pub(crate) fn packets_in_one_direction_only() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    drop_packets(&ring, 2, 3)?;
    ring.expect_causes(first, &[Diagnosis::OneWay { from: named(2), to: named(3) }])
}

pub(crate) fn two_nodes_apart() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    drop_packets(&ring, 2, 3)?;
    drop_packets(&ring, 3, 2)?;
    ring.expect_causes(first, &[Diagnosis::Apart { first: named(2), second: named(3) }])
}

pub(crate) fn large_packets_are_lost() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    let source = ring.node(1).address();
    rule(ring.node(3), &format!("-I INPUT -s {source} -m length --length 1401:65535 -j DROP"))?;
    let causes =
        [(1, 3), (3, 1)].map(|(from, to)| Diagnosis::LargePackets { from: named(from), to: named(to) });
    ring.expect_causes(first, &causes)
}

/// The third agent stops for two seconds again and again: nothing is lost, but it is late.
pub(crate) fn answers_come_late() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    let agent = ring.agents[2].as_ref().context("the agent")?;
    let expected = [1, 2].map(|from| Diagnosis::Late { from: named(from), to: named(3) });
    let mut last = Default::default();
    let named = until("late answers", NAMED, || {
        agent.signal(Signal::SIGSTOP)?;
        std::thread::sleep(std::time::Duration::from_millis(2_200));
        agent.resume()?;
        std::thread::sleep(std::time::Duration::from_millis(800));
        last = ring.causes(first)?;
        Ok(expected.iter().all(|cause| last.contains(cause)).then_some(()))
    });
    named.with_context(|| format!("named: {last:?}"))
}

pub(crate) fn a_node_falls_silent() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    ring.node(3).run(&["ip", "link", "set", "eth0", "down"])?;
    ring.expect_causes(first, &[Diagnosis::SilentNode { node: named(3) }])
}

pub(crate) fn a_policy_is_not_enforced_in_one_direction() -> Result<()> {
    let ring = Ring::start()?;
    let _old = ring.pod(1, "10.244.1.2")?;
    let _new = ring.pod(2, "10.1.2.2")?;
    let first = ring.wait_until_sound(5)?;
    for index in [1, 2] {
        let packets = format!("-s 10.244.1.2 -d 10.1.2.2 -p udp --dport {DENIED_PORT}");
        rule(ring.node(index), &format!("-I FORWARD {packets} -j ACCEPT"))?;
    }
    ring.expect_causes(first, &[Diagnosis::Open { from: named(1), to: named(2) }])
}

pub(crate) fn connections_are_refused() -> Result<()> {
    let ring = Ring::start()?;
    let first = ring.wait_until_sound(3)?;
    let source = ring.node(1).address();
    rule(
        ring.node(3),
        &format!("-I INPUT -s {source} -p tcp --dport {PORT} -j REJECT --reject-with tcp-reset"),
    )?;
    ring.expect_causes(first, &[Diagnosis::Connections { from: named(1), to: named(3) }])
}
