//! The gates that go by what agents see of the network within the last minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cni::reach;
use crate::config::ProbeGate;
use crate::plan::Plan;
use crate::roll::world::{Color, Verdict};
use reachability::class::{Class, Packet, Place, Target};
use reachability::diagnosis::Diagnosis;
use reachability::measurement::{self, Measurement, judge};
use reachability::report::{ClassCounts, Counts, Report};
use reachability::stream::OUTAGE;
use reachability::{Kind, Phase};
use types::text::list::first_few;

/// Reports of a hub in a minute; fewer say that the hub has just begun, or does not report any more.
const FEWEST_REPORTS: u64 = 9;
/// Pairs of nodes for each pair of zones, where there are so many.
const PAIRS: usize = 2;
/// How many words on what is wrong a verdict has.
const NAMED: usize = 3;

/// What is known of the network.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The last minute.
    pub measurement: Measurement,
    /// The zone of each node.
    pub zones: BTreeMap<String, String>,
    /// Pods that the API server was asked to reach, by kind, and why it does not.
    pub reached: BTreeMap<Kind, Result<(), String>>,
}

/// How a gate is.
#[must_use]
pub fn probe(gate: ProbeGate, sight: &Sight, plan: &Plan, now: Duration) -> Verdict {
    let (color, why) = match sight.measurement.reports {
        0 => (Color::Unknown, "no agents report; start them: kubectl crossfade probe --keep".to_owned()),
        1..FEWEST_REPORTS => {
            let why = format!("{} reports of the last minute, of 12", sight.measurement.reports);
            (Color::Unknown, why)
        }
        _ => match gate {
            ProbeGate::Packets => by_classes(&sight.measurement, |class| must_pass(class, plan), "packets"),
            ProbeGate::Forwarding => forwarding(sight),
            ProbeGate::DnsQueries => {
                by_classes(&sight.measurement, |class| class.to == Target::Dns, "DNS queries")
            }
            ProbeGate::ApiServerToPods => api_server_to_pods(sight),
            ProbeGate::Enforcement => enforcement(&sight.measurement, plan),
        },
    };
    Verdict { color, checked_at: now, why }
}

/// Whether a class is none of those that only nodes make possible which forward between both networks, unless the plan needs such nodes anyway; what policies deny has a gate
/// of its own.
fn must_pass(class: &Class, plan: &Plan) -> bool {
    match (class.from, class.to) {
        _ if class.packet == Packet::DeniedUdp => false,
        (Kind::Pod(client), Target::Agent(Kind::Pod(server))) => {
            plan.bridge.is_some() || !reach::needs_bridge(client, server)
        }
        _ => true,
    }
}

/// What a report says of the packets by which [`ProbeGate::Packets`] goes, without classes that have never passed.
#[must_use]
pub fn measured_rows(report: &Report, plan: &Plan) -> Vec<ClassCounts> {
    let is_measured = |row: &&ClassCounts| {
        row.counts.judged() > 0 && must_pass(&row.class, plan) && !report.unproven.contains(&row.class)
    };
    report.classes.iter().filter(is_measured).copied().collect()
}

/// Red if a class has an outage, amber if it loses more than one in a thousand, green otherwise; unknown if no class was measured. A class that has never passed is
/// not measured: there are nodes on which it cannot.
fn by_classes(measurement: &Measurement, counts: impl Fn(&Class) -> bool, what: &str) -> (Color, String) {
    let judged: Vec<(&Class, &Counts, measurement::Verdict)> = measurement
        .classes
        .iter()
        .filter(|(class, _)| counts(class) && !measurement.unproven.contains(class))
        .map(|(class, counts)| (class, counts, judge(class, counts)))
        .collect();
    let sent: u64 = judged.iter().map(|(_, counts, _)| counts.judged()).sum();
    let has = |verdict: measurement::Verdict| judged.iter().filter(move |(_, _, is)| *is == verdict);
    // An outage counts when it begins, and its gap as long as it lasts.
    let is_out = |counts: &Counts| counts.outages > 0 || counts.longest_gap >= OUTAGE;
    let has_outage = has(measurement::Verdict::Lossy).any(|(_, counts, _)| is_out(counts));
    let color = match (has_outage, has(measurement::Verdict::Lossy).count()) {
        (true, _) => Color::Red,
        (false, 1..) => Color::Amber,
        (false, 0) if has(measurement::Verdict::Clean).count() == 0 => Color::Unknown,
        (false, 0) => Color::Green,
    };
    let why = match color {
        Color::Unknown => format!("no {what} were measured"),
        Color::Green => format!("{sent} {what} in a minute, none lost for long"),
        Color::Amber | Color::Red => {
            let lossy = has(measurement::Verdict::Lossy)
                .map(|(class, counts, _)| format!("{class}: {} of {} lost", counts.lost, counts.judged()));
            let is_about = |cause: &&Diagnosis| match cause {
                Diagnosis::Unanswered { class, .. } => counts(class) && !measurement.unproven.contains(class),
                Diagnosis::SilentNode { .. }
                | Diagnosis::OneWay { .. }
                | Diagnosis::Apart { .. }
                | Diagnosis::Lossy { .. }
                | Diagnosis::LargePackets { .. }
                | Diagnosis::Connections { .. }
                | Diagnosis::Late { .. } => true,
                Diagnosis::Open { .. } => false,
            };
            let causes = measurement.causes.keys().filter(is_about).map(ToString::to_string);
            shorten(lossy.chain(causes))
        }
    };
    (color, why)
}

/// Packets pass both ways, over each family, between pods on either network alone, and on more than one pair of nodes for each pair of zones.
fn forwarding(sight: &Sight) -> (Color, String) {
    let (old, new) = (Kind::Pod(Phase::Old), Kind::Pod(Phase::New));
    let measurement = &sight.measurement;
    let nodes = |kind: Kind| -> BTreeSet<&str> {
        measurement.agents.get(&kind).into_iter().flatten().map(String::as_str).collect()
    };
    let (with_old, with_new) = (nodes(old), nodes(new));
    for (kind, nodes) in [(old, &with_old), (new, &with_new)] {
        if nodes.is_empty() {
            let why = format!(
                "no agent's pod is in phase {kind}: give the nodes' policy the rule {{\"namespace\": \"crossfade-probe\", \"pod\": \"{kind}-*\", \"attach\": \"{kind}\"}}"
            );
            return (Color::Unknown, why);
        }
    }
    if let Some(why) = missing_pair(&with_old, &with_new, &sight.zones) {
        return (Color::Unknown, why);
    }
    let families = measurement.families();
    let is_across = |class: &Class| {
        let ends = (class.from, class.to);
        let is_between = ends == (old, Target::Agent(new)) || ends == (new, Target::Agent(old));
        is_between && class.place != Place::SameNode && class.packet != Packet::DeniedUdp
    };
    for (from, to) in [(old, new), (new, old)] {
        for family in &families {
            let is_measured = measurement.classes.iter().any(|(class, counts)| {
                let is_of_direction =
                    (class.from, class.to, class.family) == (from, Target::Agent(to), *family);
                is_of_direction
                    && is_across(class)
                    && !measurement.unproven.contains(class)
                    && judge(class, counts) != measurement::Verdict::NotMeasured
            });
            if !is_measured {
                return (Color::Unknown, format!("{from} -> {to} over {family} is not measured yet"));
            }
        }
    }
    by_classes(measurement, is_across, "packets between both networks")
}

/// The first two zones between which too few pairs of nodes have agents of both networks, though there are more nodes with agents.
fn missing_pair(
    old: &BTreeSet<&str>,
    new: &BTreeSet<&str>,
    zones: &BTreeMap<String, String>,
) -> Option<String> {
    let zone = |node: &str| zones.get(node).map_or("", String::as_str);
    let all: BTreeSet<&str> = old.union(new).copied().collect();
    let names: BTreeSet<&str> = all.iter().map(|node| zone(node)).collect();
    let count_pairs = |clients: &BTreeSet<&str>, from: &str, servers: &BTreeSet<&str>, to: &str| -> usize {
        let to_others =
            |client: &&str| servers.iter().filter(|server| zone(server) == to && *server != client).count();
        clients.iter().filter(|client| zone(client) == from).map(to_others).sum()
    };
    for from in &names {
        for to in &names {
            let possible = count_pairs(&all, from, &all, to);
            let pairs = count_pairs(old, from, new, to);
            if pairs < PAIRS.min(possible) {
                let names = if from == to {
                    format!("in zone {from:?}")
                } else {
                    format!("from zone {from:?} to {to:?}")
                };
                return Some(format!(
                    "{names}, {pairs} pairs of nodes have agents of both networks, of {PAIRS} at least"
                ));
            }
        }
    }
    None
}

/// Unknown as long as a kind of pods has no agent that runs, as when its pods are restarted.
fn api_server_to_pods(sight: &Sight) -> (Color, String) {
    let Sight { measurement, reached, .. } = sight;
    let failures: Vec<String> = reached
        .iter()
        .filter_map(|(kind, reached)| Some(format!("a pod in phase {kind}: {}", reached.as_ref().err()?)))
        .collect();
    let is_missing = |kind: &&Kind| matches!(kind, Kind::Pod(_)) && !reached.contains_key(kind);
    let missing = measurement.agents.keys().find(is_missing);
    match (failures.is_empty(), missing) {
        (false, _) => (Color::Red, shorten(failures)),
        (true, Some(kind)) => (Color::Unknown, format!("no agent's pod in phase {kind} runs just now")),
        (true, None) if reached.is_empty() => {
            (Color::Unknown, "the API server was asked for no pod".to_owned())
        }
        (true, None) => {
            let kinds: Vec<&str> = reached.keys().map(|kind| kind.as_str()).collect();
            (Color::Green, format!("it reaches pods in phase {}", kinds.join(", ")))
        }
    }
}

/// Red if a packet arrives that a CNI should stop. Green without agents whose pods a CNI protects: the first node to move brings them.
fn enforcement(measurement: &Measurement, plan: &Plan) -> (Color, String) {
    let is_protected = |kind: &Kind| matches!(kind, Kind::Pod(phase) if plan.must_deny(*phase));
    if !measurement.agents.keys().any(is_protected) {
        let why = "no agent's pod is in a phase in which a CNI enforces every NetworkPolicy";
        return (Color::Green, why.to_owned());
    }
    let denied: Vec<(&Class, measurement::Verdict)> = measurement
        .classes
        .iter()
        .filter(|(class, _)| class.packet == Packet::DeniedUdp)
        .filter(|(class, _)| matches!(&class.to, Target::Agent(kind) if is_protected(kind)))
        .map(|(class, counts)| (class, judge(class, counts)))
        .collect();
    let open: Vec<String> = denied
        .iter()
        .filter(|(_, verdict)| *verdict == measurement::Verdict::Open)
        .map(|(class, _)| format!("{class}: packets arrive that a NetworkPolicy denies"))
        .collect();
    match (open.is_empty(), denied.iter().any(|(_, verdict)| *verdict == measurement::Verdict::Clean)) {
        (false, _) => (Color::Red, shorten(open)),
        (true, true) => (Color::Green, "what a NetworkPolicy denies does not arrive".to_owned()),
        (true, false) => (Color::Unknown, "nothing that a CNI enforces was measured".to_owned()),
    }
}

fn shorten(lines: impl IntoIterator<Item = String>) -> String {
    first_few(lines, NAMED).join("; ")
}

#[cfg(test)]
mod tests {
    use reachability::class::Family;
    use serde_json::json;

    use super::*;

    const OLD: Kind = Kind::Pod(Phase::Old);
    const NEW: Kind = Kind::Pod(Phase::New);

    fn class(from: Kind, to: Target, packet: Packet) -> Class {
        Class { from, to, place: Place::OtherNode, family: Family::IPv4, packet }
    }

    fn udp(from: Kind, to: Kind) -> Class {
        class(from, Target::Agent(to), Packet::Udp)
    }

    fn counts(answered: u64, lost: u64, outages: u64) -> Counts {
        Counts { answered, lost, outages, ..Counts::default() }
    }

    fn sight(agents: &[(Kind, &[&str])], classes: &[(Class, Counts)]) -> Sight {
        let names = |nodes: &[&str]| nodes.iter().map(|node| (*node).to_owned()).collect();
        let measurement = Measurement {
            reports: 12,
            agents: agents.iter().map(|(kind, nodes)| (*kind, names(nodes))).collect(),
            classes: classes.iter().copied().collect(),
            ..Measurement::default()
        };
        Sight { measurement, ..Sight::default() }
    }

    fn plan(bridge: Option<&str>, from: &str, unenforced: &[&str]) -> Plan {
        let mut plan = json!({
            "version": 1, "cluster": "c", "from": from, "to": "cilium", "strategy": "bridge", "settings": "s", "start": "old",
            "passes": ["new"], "waves": [], "leftOut": [], "leaveOut": [], "pools": [], "limits": {}, "marginPercent": 10, "pods": {},
            "gates": [], "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []},
            "agents": [], "unenforced": unenforced, "waivers": [],
        });
        if let Some(name) = bridge {
            plan["bridge"] = json!({ "gate": name });
        }
        serde_json::from_value(plan).expect("a plan")
    }

    fn color(gate: ProbeGate, sight: &Sight, plan: &Plan) -> Color {
        let verdict = probe(gate, sight, plan, Duration::from_secs(7));
        assert_eq!(verdict.checked_at.as_secs(), 7);
        assert!(!verdict.why.is_empty());
        verdict.color
    }

    #[test]
    fn without_reports_of_a_minute_nothing_is_known() {
        let plan = plan(Some("forwarding"), "calico", &[]);
        for gate in ProbeGate::ALL {
            let mut sight = sight(&[(OLD, &["a"])], &[(udp(OLD, OLD), counts(60, 0, 0))]);
            for reports in [0, FEWEST_REPORTS - 1] {
                sight.measurement.reports = reports;
                assert_eq!(color(gate, &sight, &plan), Color::Unknown, "{gate:?}");
            }
        }
    }

    #[test]
    fn an_outage_is_red_and_a_loss_is_amber() {
        let plan = plan(None, "calico", &[]);
        let gate = |counts| color(ProbeGate::Packets, &sight(&[], &[(udp(OLD, OLD), counts)]), &plan);
        assert_eq!(gate(counts(60, 0, 0)), Color::Green);
        assert_eq!(gate(counts(59, 1, 0)), Color::Amber);
        assert_eq!(gate(counts(50, 10, 1)), Color::Red);
        assert_eq!(gate(counts(1, 0, 0)), Color::Unknown);
        let lasting = Counts { longest_gap: 90_000, ..counts(0, 60, 0) };
        assert_eq!(gate(lasting), Color::Red, "it began more than a minute ago");
    }

    #[test]
    fn what_has_never_passed_is_not_measured() {
        let plan = plan(Some("forwarding"), "calico", &[]);
        let (query, lost) = (class(OLD, Target::Dns, Packet::Udp), counts(0, 60, 1));
        let mut sight = sight(&[], &[(udp(OLD, OLD), counts(60, 0, 0)), (query, lost)]);
        assert_eq!(color(ProbeGate::Packets, &sight, &plan), Color::Red);
        sight.measurement.unproven = [query].into();
        assert_eq!(color(ProbeGate::Packets, &sight, &plan), Color::Green);
        assert_eq!(color(ProbeGate::DnsQueries, &sight, &plan), Color::Unknown);
    }

    #[test]
    fn a_gate_names_what_it_goes_by_first() {
        let query = class(OLD, Target::Dns, Packet::Udp);
        let service = class(OLD, Target::Service, Packet::Udp);
        let mut sight = sight(&[], &[(query, counts(50, 10, 1)), (service, counts(50, 10, 1))]);
        let unanswered = |class| Diagnosis::Unanswered { class, node: "a".to_owned() };
        let late = Diagnosis::Late { from: "a".to_owned(), to: "b".to_owned() };
        sight.measurement.causes =
            [unanswered(query), unanswered(service), late].map(|cause| (cause, 1)).into();
        let verdict = probe(ProbeGate::DnsQueries, &sight, &plan(None, "calico", &[]), Duration::ZERO);
        let expected = "old -> DNS, IPv4, UDP, other node: 10 of 60 lost; a -> b: answers take more than a second; a: old -> DNS, IPv4, UDP, other node: no answer";
        assert_eq!(verdict.why, expected);
    }

    #[test]
    fn pods_that_only_forwarding_connects_count_where_the_plan_needs_it() {
        let sight = sight(&[], &[(udp(OLD, OLD), counts(60, 0, 0)), (udp(OLD, NEW), counts(0, 60, 2))]);
        assert_eq!(color(ProbeGate::Packets, &sight, &plan(None, "calico", &[])), Color::Green);
        let bridged = plan(Some("forwarding"), "calico", &[]);
        assert_eq!(color(ProbeGate::Packets, &sight, &bridged), Color::Red);
    }

    /// Rows are told apart by their answers.
    #[test]
    fn what_is_measured_is_what_the_gate_for_packets_goes_by() {
        let row = |class, counts| json!({"class": class, "counts": counts});
        let query = class(OLD, Target::Dns, Packet::Udp);
        let report: Report = serde_json::from_value(json!({
            "hub": "a", "interval": 1, "length": 5000, "agents": {}, "isFull": true, "unproven": [class(NEW, Target::Service, Packet::Udp)],
            "classes": [
                row(udp(OLD, OLD), counts(1, 7, 1)),
                row(udp(OLD, NEW), counts(2, 0, 0)),
                row(class(OLD, Target::Agent(OLD), Packet::DeniedUdp), counts(3, 0, 0)),
                row(class(NEW, Target::Service, Packet::Udp), counts(0, 60, 1)),
                row(query, counts(4, 0, 0)),
                row(udp(NEW, NEW), Counts { restarting: 9, ..Counts::default() }),
            ],
            "troubles": [], "moreTroubles": 0, "arrived": [], "departed": [],
        }))
        .expect("a report");
        let answered = |plan: &Plan| -> Vec<u64> {
            measured_rows(&report, plan).iter().map(|row| row.counts.answered).collect()
        };
        assert_eq!(answered(&plan(None, "calico", &[])), [1, 4]);
        assert_eq!(answered(&plan(Some("forwarding"), "calico", &[])), [1, 2, 4]);
    }

    #[test]
    fn forwarding_is_proven_both_ways_on_two_pairs_of_each_two_zones_over_each_family() {
        let plan = plan(Some("forwarding"), "calico", &[]);
        let both = [(udp(OLD, NEW), counts(60, 0, 0)), (udp(NEW, OLD), counts(60, 0, 0))];
        let verdict = |agents: &[(Kind, &[&str])], classes: &[(Class, Counts)], zones: &[(&str, &str)]| {
            let zones = zones.iter().map(|(node, zone)| ((*node).to_owned(), (*zone).to_owned())).collect();
            let sight = Sight { zones, ..sight(agents, classes) };
            color(ProbeGate::Forwarding, &sight, &plan)
        };
        let all: &[(Kind, &[&str])] = &[(OLD, &["a", "b"]), (NEW, &["a", "b"])];
        assert_eq!(verdict(all, &both, &[]), Color::Green);
        assert_eq!(verdict(&[(OLD, &["a", "b"])], &both, &[]), Color::Unknown, "no pod on the new network");
        assert_eq!(verdict(all, &both[..1], &[]), Color::Unknown, "one direction");
        let lost = [(udp(OLD, NEW), counts(0, 60, 2)), both[1]];
        assert_eq!(verdict(all, &lost, &[]), Color::Red);
        let ipv6 = Class { family: Family::IPv6, ..udp(OLD, OLD) };
        let dual = [both[0], both[1], (ipv6, counts(60, 0, 0))];
        assert_eq!(verdict(all, &dual, &[]), Color::Unknown, "IPv6 is not measured across");
        let apart = [("a", "x"), ("b", "y"), ("c", "y"), ("d", "x")];
        let spread: &[(Kind, &[&str])] = &[(OLD, &["a", "d", "b", "c"]), (NEW, &["a", "d", "b", "c"])];
        assert_eq!(verdict(spread, &both, &apart), Color::Green);
        let lonely: &[(Kind, &[&str])] = &[(OLD, &["a", "b", "c"]), (NEW, &["a"])];
        assert_eq!(verdict(lonely, &both, &apart), Color::Unknown, "from x to y no pair");
        // Two nodes of one zone each way are all that such a cluster has.
        let two: &[(Kind, &[&str])] = &[(OLD, &["a", "b"]), (NEW, &["a", "b"])];
        assert_eq!(verdict(two, &both, &[("a", "x"), ("b", "y")]), Color::Green);
    }

    #[test]
    fn queries_to_dns_are_those_of_every_kind() {
        let plan = plan(None, "calico", &[]);
        let query = |from| class(from, Target::Dns, Packet::Udp);
        let gate = |classes: &[(Class, Counts)]| color(ProbeGate::DnsQueries, &sight(&[], classes), &plan);
        assert_eq!(gate(&[(query(OLD), counts(60, 0, 0))]), Color::Green);
        assert_eq!(gate(&[(query(OLD), counts(60, 0, 0)), (query(NEW), counts(0, 60, 1))]), Color::Red);
        assert_eq!(gate(&[(udp(OLD, OLD), counts(60, 0, 0))]), Color::Unknown);
    }

    #[test]
    fn the_api_server_reaches_a_pod_of_each_kind_or_is_red() {
        let plan = plan(None, "calico", &[]);
        let gate = |agents: &[Kind], reached: &[(Kind, Result<(), String>)]| {
            let agents: Vec<(Kind, &[&str])> = agents.iter().map(|kind| (*kind, &["n1"][..])).collect();
            let sight = Sight { reached: reached.iter().cloned().collect(), ..sight(&agents, &[]) };
            color(ProbeGate::ApiServerToPods, &sight, &plan)
        };
        let failed = (NEW, Err("no route".to_owned()));
        assert_eq!(gate(&[], &[]), Color::Unknown);
        assert_eq!(gate(&[Kind::Host, OLD], &[(OLD, Ok(()))]), Color::Green);
        assert_eq!(gate(&[OLD, NEW], &[(OLD, Ok(())), failed]), Color::Red);
        assert_eq!(
            gate(&[OLD, NEW], &[(OLD, Ok(()))]),
            Color::Unknown,
            "the pod on the new network is restarted"
        );
    }

    #[test]
    fn what_a_policy_denies_counts_where_a_cni_enforces_it() {
        let denied = |to| class(OLD, Target::Agent(to), Packet::DeniedUdp);
        let gate = |from: &str, unenforced: &[&str], agents: &[Kind], classes: &[(Class, Counts)]| {
            let agents: Vec<(Kind, &[&str])> = agents.iter().map(|kind| (*kind, &["n1"][..])).collect();
            color(ProbeGate::Enforcement, &sight(&agents, classes), &plan(None, from, unenforced))
        };
        let (closed, open) = (counts(0, 60, 1), counts(3, 57, 1));
        let both = [OLD, NEW];
        assert_eq!(gate("calico", &[], &both, &[(denied(OLD), closed), (denied(NEW), closed)]), Color::Green);
        let leaks = [(denied(OLD), closed), (denied(NEW), open)];
        assert_eq!(gate("calico", &[], &both, &leaks), Color::Red);
        let accepted = &["NetworkPolicy"];
        assert_eq!(gate("calico", accepted, &both, &leaks), Color::Green, "the operator accepts it");
        assert_eq!(gate("calico", accepted, &both, &[]), Color::Unknown, "agents have not sent it yet");
        let classes = [(denied(OLD), open)];
        assert_eq!(gate("flannel", &[], &[OLD], &classes), Color::Green, "Flannel enforces nothing");
        assert_eq!(gate("flannel", &[], &both, &classes), Color::Unknown, "Cilium does");
        let classes = [(denied(OLD), closed), (udp(OLD, OLD), counts(60, 0, 0))];
        assert_eq!(
            color(ProbeGate::Packets, &sight(&[], &classes), &plan(None, "calico", &[])),
            Color::Green
        );
    }
}
