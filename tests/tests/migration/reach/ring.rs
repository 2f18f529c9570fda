//! Three nodes with an agent each on the host network, of which the first two are hubs, and pods with agents where a test wants them. The third node is
//! in a zone of its own. The nodes pass nothing on to one port of pods, as if a policy closed it.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::build::dist;
use lab::host::deadline::until;
use lab::host::fabric::Fabric;
use lab::host::node::{Daemon, Netns, Node};
use reachability::diagnosis::{Diagnosis, diagnose};
use reachability::report::ClassCounts;
use reachability::{Class, Counts, Packet, Report};

pub(crate) const PORT: u16 = 9797;
pub(crate) const HUB_PORT: u16 = 9798;
pub(crate) const DENIED_PORT: u16 = 9799;
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const NETWORKS: &str = "old=10.244.0.0/16;new=10.1.0.0/16";
const ZONES: &str = "n1=a\nn2=a\nn3=b\n";
/// How long a fault may take to be named. It is named within a minute; more only tells "named" from "never".
pub(crate) const NAMED: Duration = Duration::from_secs(180);

/// See the module.
pub(crate) struct Ring {
    pub(crate) fabric: Fabric,
    /// The agents of the nodes, in their order.
    pub(crate) agents: Vec<Option<Daemon>>,
}

impl Ring {
    pub(crate) fn start() -> Result<Self> {
        let fabric = Fabric::new(3)?;
        let mut ring = Self { fabric, agents: Vec::new() };
        for index in 1..=3 {
            let node = ring.node(index);
            rule(node, &format!("-I FORWARD -p udp --dport {DENIED_PORT} -j DROP"))?;
            node.write(node.dir().join("zones"), ZONES)?;
            let agent = ring.agent(index)?;
            ring.agents.push(Some(agent));
        }
        Ok(ring)
    }

    pub(crate) fn node(&self, index: u8) -> &Node {
        self.fabric.node(index)
    }

    /// The agent on the host network of a node; the first two are hubs.
    pub(crate) fn agent(&self, index: u8) -> Result<Daemon> {
        let node = self.node(index);
        let mut command = node.command(dist::probe()?);
        let role = if index <= 2 { "hub" } else { "agent" };
        let address = node.address().to_string();
        environment(&mut command, &self.fabric, node, &format!("host-{index}"), &address, role);
        command.env("CROSSFADE_PROBE_HOST", "true");
        node.background(&format!("host-{index}"), &command)
    }

    /// A pod with an address of a network, which all nodes reach, and its agent.
    pub(crate) fn pod(&self, index: u8, address: &str) -> Result<(Netns, Daemon)> {
        let node = self.node(index);
        let netns = node.netns_add(&format!("pod{index}"))?;
        node.ip_batch(&format!(
            "link add v{index} type veth peer name eth0 netns {name}\nlink set v{index} up\nroute add {address} dev v{index}\n",
            name = netns.name
        ))?;
        for line in [
            format!("ip address add {address}/32 dev eth0"),
            "ip link set lo up".to_owned(),
            "ip link set eth0 up".to_owned(),
            format!("ip route add {} dev eth0", node.address()),
            format!("ip route add default via {}", node.address()),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            node.run_in(&netns.inside, &words)?;
        }
        for other in self.fabric.nodes().iter().filter(|other| other.index() != index) {
            other.run(&["ip", "route", "add", address, "via", &node.address().to_string()])?;
        }
        let mut command = node.command_in(&netns.inside, dist::probe()?);
        environment(&mut command, &self.fabric, node, &format!("pod-{index}"), address, "agent");
        let daemon = node.background(&format!("pod-{index}"), &command)?;
        Ok((netns, daemon))
    }

    /// Every report of a hub so far.
    pub(crate) fn reports(&self, hub: usize) -> Result<Vec<Report>> {
        let agent = self.agents.get(hub).and_then(Option::as_ref).context("the hub has ended")?;
        reports(agent.log())
    }

    /// What the first hub's reports from `first` on add up to for the classes that `is_counted` picks.
    pub(crate) fn counts(&self, first: usize, is_counted: impl Fn(&Class) -> bool) -> Result<Counts> {
        let mut sum = Counts::default();
        for report in self.reports(0)?.iter().skip(first) {
            report.classes.iter().filter(|row| is_counted(&row.class)).for_each(|row| sum += row.counts);
        }
        Ok(sum)
    }

    /// Waits until every agent hears of every other one and all probes of a report are clean.
    pub(crate) fn wait_until_sound(&self, agents: usize) -> Result<usize> {
        until("a report of all agents without a loss", NAMED, || {
            let reports = self.reports(0)?;
            let is_complete = |report: &Report| {
                report.agents.values().flatten().count() == agents
                    && !report.classes.is_empty()
                    && report.classes.iter().all(is_sound)
            };
            Ok(reports.last().is_some_and(is_complete).then_some(reports.len()))
        })
    }

    /// What the first hub's reports from `first` on name, of the last half minute.
    pub(crate) fn causes(&self, first: usize) -> Result<BTreeSet<Diagnosis>> {
        let reports = self.reports(0)?;
        let later = reports.get(first.max(reports.len().saturating_sub(6))..).unwrap_or_default();
        let troubles: Vec<_> = later.iter().flat_map(|report| report.troubles.clone()).collect();
        let departures: Vec<_> = later.iter().flat_map(|report| report.departed.clone()).collect();
        Ok(diagnose(&troubles, &departures))
    }

    /// Waits until these causes are named and no others.
    pub(crate) fn expect_causes(&self, first: usize, expected: &[Diagnosis]) -> Result<()> {
        let expected: BTreeSet<Diagnosis> = expected.iter().cloned().collect();
        let mut last = BTreeSet::new();
        let named = until("the cause", NAMED, || {
            last = self.causes(first)?;
            Ok((last == expected).then_some(()))
        });
        named.with_context(|| format!("named: {last:?}"))
    }
}

fn environment(command: &mut Command, fabric: &Fabric, node: &Node, pod: &str, address: &str, role: &str) {
    let hubs: Vec<String> =
        fabric.nodes().iter().take(2).map(|node| format!("{}:{HUB_PORT}", node.address())).collect();
    command
        .env("POD_NAME", pod)
        .env("POD_IPS", address)
        .env("NODE_NAME", node.name())
        .env("CROSSFADE_PROBE_ROLE", role)
        .env("CROSSFADE_PROBE_KEY", KEY)
        .env("CROSSFADE_PROBE_HUBS", hubs.join(","))
        .env("CROSSFADE_PROBE_PORT", PORT.to_string())
        .env("CROSSFADE_PROBE_HUB_PORT", HUB_PORT.to_string())
        .env("CROSSFADE_PROBE_DENIED_PORT", DENIED_PORT.to_string())
        .env("CROSSFADE_PROBE_ZONES", node.dir().join("zones"))
        .env("CROSSFADE_PROBE_NETWORKS", NETWORKS);
}

/// The reports in a hub's log; a line that is just being written is none.
pub(crate) fn reports(log: &Path) -> Result<Vec<Report>> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// An address as the tests write it.
pub(crate) fn ip(text: &str) -> Result<IpAddr> {
    text.parse().with_context(|| text.to_owned())
}

/// A rule of the firewall of a node.
pub(crate) fn rule(node: &Node, rule: &str) -> Result<()> {
    let line: Vec<&str> = ["iptables", "-w"].into_iter().chain(rule.split(' ')).collect();
    node.run(&line).map(drop)
}

/// No policy denies these packets.
pub(crate) fn is_allowed(class: &Class) -> bool {
    class.packet != Packet::DeniedUdp
}

/// Nothing was lost that no policy denies, and nothing answered that one denies.
pub(crate) fn is_sound(row: &ClassCounts) -> bool {
    if is_allowed(&row.class) { is_lossless(&row.counts) } else { row.counts.is_clean(row.class.packet) }
}

/// Nothing was lost. On a machine with more to do than it has processors, an answer may be late.
pub(crate) fn is_lossless(counts: &Counts) -> bool {
    (counts.lost, counts.outages, counts.broken) == (0, 0, 0)
}
