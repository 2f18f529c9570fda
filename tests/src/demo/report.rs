//! The report of a demonstration, and the conditions of its success.

mod table;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::strategy::{Arrival, Network, Strategy};
use super::witness::CallCounts;
use crate::probe;

/// Version of the JSON form.
pub const VERSION: u32 = 1;

/// Everything, as `--output json` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Nodes of each cluster.
    pub nodes: u8,
    pub pods_per_node: u8,
    /// What happens without Crossfade.
    pub naive: Naive,
    /// One per strategy, in the order in which they ran.
    pub migrations: Vec<Migration>,
    /// Why this is no success, one line each; empty if it is one.
    pub problems: Vec<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A second conf dropped in first, on one node, without Crossfade.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Naive {
    /// Pods on `old` that were stopped after the second conf had arrived.
    pub pods_stopped: u64,
    /// Addresses that `old` still holds for pods that are gone.
    pub leases_leaked: u64,
    /// DELs that the new network got for attachments of the old one.
    pub dels_astray: u64,
    /// Pods that were not to move and that started on the new network.
    pub pods_moved_silently: u64,
}

/// One strategy, from the first pod to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    pub strategy: Strategy,
    /// How Crossfade came to the nodes.
    pub arrival: Arrival,
    /// Pods that ran when Crossfade, where it was installed, and the new agents came, and that were the same afterwards: sandbox,
    /// process, netns, address.
    pub untouched: u64,
    /// How often a pod was re-created.
    pub recreated: u64,
    /// How often a network joined or left a pod that went on.
    pub changed: u64,
    /// Connections to published ports that led to their pod; one that does not is an error.
    pub ports_answered: u64,
    /// Probes per phase, between pods that were not being restarted.
    pub phases: Vec<Probes>,
    /// Every loss by itself.
    pub losses: Vec<probe::Loss>,
    /// Pods that were on other networks than their node's policy named, one line each.
    pub misplaced: Vec<String>,
    /// Calls by the network that got them.
    pub asked: BTreeMap<Network, CallCounts>,
    /// What was seen of forwarding before the first node was rolled; none if it did not come to that.
    pub forwarding: Option<Forwarding>,
    /// What was still there when all pods were gone.
    pub left: Leftovers,
    /// The longest time in milliseconds for which this machine did not run a probe agent.
    pub longest_stall_ms: u64,
    /// What kept it from its end.
    pub errors: Vec<String>,
}

/// Whether the nodes forward between the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Forwarding {
    /// They do: pods on one network probed pods on the other, and those answered.
    Open,
    /// They do not: no pod of one network reached one of the other.
    Blocked {
        /// Packets that ran into the block, until the old network was removed.
        packets: u64,
    },
}

impl fmt::Display for Forwarding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forwarding::Open => out.write_str("open"),
            Forwarding::Blocked { packets } => write!(out, "blocked ({packets} packets)"),
        }
    }
}

/// Probes of one phase: sent = answered + lost + excused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Name of the phase.
    pub phase: String,
    /// UDP and TCP probes sent.
    pub sent: u64,
    /// Answered within two seconds.
    pub answered: u64,
    /// Not answered, plus connections that broke.
    pub lost: u64,
    /// Under way when one of the two pods was taken down to be re-created.
    pub excused: u64,
    /// Due but never sent, because this machine was too busy.
    pub late: u64,
}

/// What was left, over all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftovers {
    /// Addresses that either network still holds.
    pub leases: u64,
    /// Records of attachments, damaged ones included.
    pub records: u64,
    /// Entries of the inventory that `install` took.
    pub inventory: u64,
    /// Network namespaces.
    pub netns: u64,
    /// Rules that portmap made for single pods.
    pub port_rules: u64,
    /// Host routes of Crossfade's, and rules to them.
    pub host_routes: u64,
}

impl Leftovers {
    /// What is not zero, in words.
    fn words(self) -> Option<String> {
        let kinds = [
            (self.leases, "leases"),
            (self.records, "records"),
            (self.inventory, "inventory entries"),
            (self.netns, "network namespaces"),
            (self.port_rules, "rules of portmap"),
            (self.host_routes, "host routes"),
        ];
        let leftovers: Vec<String> = kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        if leftovers.is_empty() { None } else { Some(leftovers.join(", ")) }
    }
}

impl From<&probe::PhaseReport> for Probes {
    fn from(phase: &probe::PhaseReport) -> Self {
        let probe::Progress { sent, answered, lost, excused, late } = phase.total;
        Self { phase: phase.name.clone(), sent, answered, lost, excused, late }
    }
}

impl Migration {
    /// What was seen of forwarding.
    pub fn forwarding_in_words(&self) -> String {
        self.forwarding.map_or_else(|| "not seen".to_owned(), |forwarding| forwarding.to_string())
    }

    /// Probes lost over all phases.
    pub fn lost(&self) -> u64 {
        self.phases.iter().map(|phase| phase.lost).sum()
    }

    /// Why this is no success, of so many pods; empty if it is one.
    pub fn problems(&self, pods: u64) -> Vec<String> {
        let mut problems = Vec::new();
        let mut unless = |holds: bool, problem: String| {
            if !holds {
                problems.push(format!("{}: {problem}", self.strategy));
            }
        };
        self.errors.iter().for_each(|error| unless(false, error.clone()));
        unless(!self.phases.is_empty(), "no phase was probed".to_owned());
        unless(!self.asked.is_empty(), "no calls were seen".to_owned());
        for phase in &self.phases {
            let Probes { phase: name, sent, answered, lost, excused, .. } = phase;
            unless(*lost == 0, format!("{lost} probes lost in phase {name}"));
            unless(*answered > 0, format!("no probe was answered in phase {name}"));
            let settled = answered + lost + excused;
            // A broken connection is a loss, but no probe that was sent.
            unless(
                *sent <= settled,
                format!("{} probes unaccounted for in phase {name}", sent - settled.min(*sent)),
            );
        }
        let untouched = self.untouched;
        unless(
            untouched == pods,
            format!("{untouched} pods untouched when the new agents came, expected {pods}"),
        );
        let passes = u64::try_from(self.strategy.passes().len()).unwrap_or(u64::MAX);
        let (recreated, changed) = (self.recreated, self.changed);
        unless(
            recreated >= pods && recreated + changed >= pods * passes,
            format!(
                "{recreated} pods re-created and {changed} changed, expected {pods} or more, and {} in all",
                pods * passes
            ),
        );
        unless(self.misplaced.is_empty(), format!("pods on a wrong network: {}", self.misplaced.join("; ")));
        for (network, counts) in &self.asked {
            let CallCounts { adds, dels, foreign_dels, owed_dels } = *counts;
            let name = network.name();
            unless(
                adds > 0 && dels > 0,
                format!("{name} got {adds} ADDs and {dels} DELs, expected some of both"),
            );
            unless(
                foreign_dels == 0,
                format!("{name} got {foreign_dels} DELs for attachments of another network"),
            );
            unless(owed_dels == 0, format!("{name} never got the DEL for {owed_dels} of its attachments"));
        }
        unless(
            match self.forwarding {
                Some(Forwarding::Open) => self.strategy == Strategy::Bridge,
                Some(Forwarding::Blocked { packets }) => self.strategy == Strategy::Double && packets > 0,
                None => false,
            },
            format!(
                "forwarding between old and new: {}, which is not for this strategy",
                self.forwarding_in_words()
            ),
        );
        if let Some(left) = self.left.words() {
            unless(false, format!("left behind: {left}"));
        }
        problems
    }
}

impl Report {
    /// Puts the report together and judges it.
    pub fn new(size: (u8, u8), naive: Naive, migrations: Vec<Migration>, duration_ms: u64) -> Report {
        let (nodes, pods_per_node) = size;
        let mut problems = Vec::new();
        if naive.leases_leaked == 0 || naive.dels_astray == 0 {
            problems.push(format!(
                "naive: {} leases leaked and {} DELs went astray, expected some: this demonstrates nothing",
                naive.leases_leaked, naive.dels_astray
            ));
        }
        let pods = u64::from(nodes) * u64::from(pods_per_node);
        problems.extend(migrations.iter().flat_map(|migration| migration.problems(pods)));
        Report { version: VERSION, nodes, pods_per_node, naive, migrations, problems, duration_ms }
    }

    /// Nothing was lost, misplaced, sent astray or left.
    pub fn is_success(&self) -> bool {
        self.problems.is_empty()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn migration() -> Migration {
        let counts = CallCounts { adds: 4, dels: 4, foreign_dels: 0, owed_dels: 0 };
        let phase = Probes { phase: "new".to_owned(), sent: 9, answered: 8, lost: 0, excused: 1, late: 0 };
        Migration {
            strategy: Strategy::Double,
            arrival: Arrival::Installed,
            untouched: 4,
            recreated: 4,
            changed: 8,
            ports_answered: 4,
            phases: vec![phase],
            losses: Vec::new(),
            misplaced: Vec::new(),
            asked: Network::ALL.map(|network| (network, counts)).into(),
            forwarding: Some(Forwarding::Blocked { packets: 1 }),
            left: Leftovers::default(),
            longest_stall_ms: 0,
            errors: Vec::new(),
        }
    }

    pub(in super::super) fn naive() -> Naive {
        Naive { pods_stopped: 2, leases_leaked: 2, dels_astray: 2, pods_moved_silently: 1 }
    }

    fn problems(change: impl FnOnce(&mut Migration)) -> String {
        let mut migration = migration();
        change(&mut migration);
        Report::new((2, 2), naive(), vec![migration], 1).problems.join("\n")
    }

    #[test]
    fn a_clean_run_is_a_success() {
        assert_eq!(problems(|_| {}), "");
    }

    #[test]
    fn whatever_is_lost_misplaced_astray_or_left_is_a_problem() {
        type Change = fn(&mut Migration);
        let cases: [(Change, &str); 20] = [
            (|run| run.phases[0].lost = 1, "1 probes lost in phase new"),
            (|run| run.phases[0].sent = 10, "1 probes unaccounted for in phase new"),
            (|run| run.phases[0].answered = 0, "no probe was answered in phase new"),
            (|run| run.phases.clear(), "no phase"),
            (|run| run.untouched = 3, "3 pods untouched when the new agents came, expected 4"),
            (|run| run.recreated = 3, "3 pods re-created and 8 changed, expected 4"),
            (|run| run.changed = 7, "4 pods re-created and 7 changed, expected 4 or more, and 12 in all"),
            (|run| run.misplaced.push("p is lost".to_owned()), "wrong network: p is lost"),
            (|run| run.asked.entry(Network::New).or_default().foreign_dels = 1, "new got 1 DELs for"),
            (|run| run.asked.entry(Network::Old).or_default().owed_dels = 1, "old never got the DEL for 1"),
            (|run| run.asked.entry(Network::Old).or_default().adds = 0, "old got 0 ADDs"),
            (|run| run.asked.clear(), "no calls"),
            (|run| run.forwarding = None, "old and new: not seen"),
            (|run| run.forwarding = Some(Forwarding::Open), "old and new: open"),
            (|run| run.forwarding = Some(Forwarding::Blocked { packets: 0 }), "blocked (0 packets)"),
            (|run| run.left.leases = 1, "left behind: 1 leases"),
            (|run| run.left.records = 2, "left behind: 2 records"),
            (|run| run.left.port_rules = 3, "left behind: 3 rules of portmap"),
            (|run| run.left.host_routes = 4, "left behind: 4 host routes"),
            (|run| run.errors.push("a node died".to_owned()), "double: a node died"),
        ];
        for (change, expected) in cases {
            let problems = problems(change);
            assert!(problems.contains(expected), "{expected}: {problems}");
        }
    }

    #[test]
    fn a_naive_way_that_leaks_nothing_demonstrates_nothing() {
        for naive in [Naive { leases_leaked: 0, ..naive() }, Naive { dels_astray: 0, ..naive() }] {
            let report = Report::new((2, 2), naive, vec![migration()], 1);
            assert!(
                !report.is_success() && report.problems[0].starts_with("naive: "),
                "{:?}",
                report.problems
            );
        }
    }

    #[test]
    fn the_json_form_is_read_back() {
        let report = Report::new((2, 2), naive(), vec![migration()], 1);
        let json = serde_json::to_value(&report).expect("json");
        assert_eq!(json["migrations"][0]["forwarding"]["state"], "blocked");
        assert_eq!(json["migrations"][0]["asked"]["old"]["owedDels"], 0);
        assert_eq!(serde_json::from_value::<Report>(json).expect("a report"), report);
    }
}
