//! The results of a time, as one hub reported them, and what they mean beside a baseline.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::class::{Class, Family, Packet, Target};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::peer::Kind;
use crate::report::{Counts, Report};

/// Probes without which a class says nothing.
const FEWEST: u64 = 5;
/// Of a thousand probes, so many may be lost.
const LOSSES: u64 = 1;
/// The most causes that are kept of a time.
const MAX_CAUSES: usize = 200;

/// What a hub reported of a time. Every agent reports to every hub, so that one of them speaks for all agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// How many reports it is made of.
    pub reports: u64,
    /// The nodes of the agents of the last report.
    pub agents: BTreeMap<Kind, Vec<String>>,
    /// Every agent probed every other one, as long as the time was.
    pub is_full: bool,
    pub classes: BTreeMap<Class, Counts>,
    /// Classes of which the hub has never seen a packet answered, by the last report.
    pub unproven: BTreeSet<Class>,
    /// What explains losses, and in how many reports.
    pub causes: BTreeMap<Diagnosis, u64>,
}

impl Measurement {
    /// The reports of one hub, in their order.
    #[must_use]
    pub fn of_reports<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        let mut measurement = Self::default();
        reports.into_iter().for_each(|report| measurement.add(report));
        measurement
    }

    /// Adds a report of the same time.
    pub fn add(&mut self, report: &Report) {
        self.is_full = report.is_full && (self.is_full || self.reports == 0);
        self.reports += 1;
        self.agents.clone_from(&report.agents);
        self.unproven = report.unproven.iter().copied().collect();
        for row in &report.classes {
            *self.classes.entry(row.class).or_default() += row.counts;
        }
        for cause in diagnose(&report.troubles, &report.departed) {
            if self.causes.contains_key(&cause) || self.causes.len() < MAX_CAUSES {
                *self.causes.entry(cause).or_default() += 1;
            }
        }
    }

    /// How many agents the last report has.
    #[must_use]
    pub fn count_agents(&self) -> usize {
        self.agents.values().map(Vec::len).sum()
    }

    /// The nodes with agents of the last report.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<&str> {
        self.agents.values().flatten().map(String::as_str).collect()
    }

    /// The families over which pods were probed.
    #[must_use]
    pub fn families(&self) -> BTreeSet<Family> {
        let of_pods = self.classes.keys().filter(|class| matches!(class.from, Kind::Pod(_)));
        of_pods.map(|class| class.family).collect()
    }
}

/// Follows the reports of several hubs. Each of them has what all agents report, so that one speaks for all as long as it reports.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    leader: Option<String>,
    /// The last interval of each hub.
    seen: BTreeMap<String, u64>,
}

impl Follower {
    /// The reports of one hub that are new since the last call, out of the last ones of each hub in their order.
    pub fn take(&mut self, hubs: BTreeMap<String, Vec<Report>>) -> Vec<Report> {
        let mut new: BTreeMap<String, Vec<Report>> = BTreeMap::new();
        for (hub, reports) in hubs {
            let Some(last) = reports.last().map(|report| report.interval) else { continue };
            // A hub that has begun anew counts from one.
            let seen = self.seen.insert(hub.clone(), last).filter(|seen| *seen <= last).unwrap_or_default();
            let reports: Vec<Report> = reports.into_iter().filter(|report| report.interval > seen).collect();
            if !reports.is_empty() {
                new.insert(hub, reports);
            }
        }
        if self.leader.as_ref().is_none_or(|leader| !new.contains_key(leader)) {
            let largest = new.iter().max_by_key(|(_, reports)| reports.last().map(Report::count_agents));
            self.leader = largest.map(|(hub, _)| hub.clone()).or(self.leader.take());
        }
        self.leader.as_ref().and_then(|leader| new.remove(leader)).unwrap_or_default()
    }
}

/// What the probes of a class say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Packets pass that shall pass, and no others.
    Clean,
    /// Too many packets are lost, for too long, or connections broke.
    Lossy,
    /// Packets arrive that a policy denies.
    Open,
    /// There were too few probes to say anything.
    NotMeasured,
}

/// The verdict on the probes of a class by themselves.
#[must_use]
pub fn judge(class: &Class, counts: &Counts) -> Verdict {
    let (is_denied, failures) = (class.packet == Packet::DeniedUdp, counts.failures(class.packet));
    match () {
        () if is_denied && failures > 0 => Verdict::Open,
        () if counts.judged() < FEWEST => Verdict::NotMeasured,
        () if is_denied => Verdict::Clean,
        () if counts.outages > 0 || counts.broken > 0 => Verdict::Lossy,
        () if failures * 1_000 > counts.judged() * LOSSES => Verdict::Lossy,
        () => Verdict::Clean,
    }
}

/// A class before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub class: Class,
    pub baseline: Counts,
    pub counts: Counts,
    /// [`Verdict::NotMeasured`] without a clean baseline; what a CNI must deny needs none.
    pub verdict: Verdict,
}

/// Every class of both times. A class that was not clean before says nothing of what happened since, unless it is of packets to pods whose CNI enforces policies.
#[must_use]
pub fn compare(
    baseline: &Measurement,
    measured: &Measurement,
    is_enforced: impl Fn(Kind) -> bool,
) -> Vec<Comparison> {
    let classes: BTreeSet<Class> = baseline.classes.keys().chain(measured.classes.keys()).copied().collect();
    let comparison = |class: Class| {
        let [before, after] = [baseline, measured]
            .map(|measurement| measurement.classes.get(&class).copied().unwrap_or_default());
        let must_be_denied =
            class.packet == Packet::DeniedUdp && matches!(class.to, Target::Agent(kind) if is_enforced(kind));
        let is_comparable = must_be_denied || judge(&class, &before) == Verdict::Clean;
        let verdict = if is_comparable { judge(&class, &after) } else { Verdict::NotMeasured };
        Comparison { class, baseline: before, counts: after, verdict }
    };
    classes.into_iter().map(comparison).collect()
}

/// The worst verdict of each kind on each target: the table that a person looks at first.
#[must_use]
pub fn matrix(comparisons: &[Comparison]) -> BTreeMap<(Kind, Target), Verdict> {
    let mut cells: BTreeMap<(Kind, Target), Verdict> = BTreeMap::new();
    let rank = |verdict: Verdict| match verdict {
        Verdict::NotMeasured => 0,
        Verdict::Clean => 1,
        Verdict::Lossy => 2,
        Verdict::Open => 3,
    };
    for Comparison { class, verdict, .. } in comparisons {
        let cell = cells.entry((class.from, class.to)).or_insert(*verdict);
        if rank(*verdict) > rank(*cell) {
            *cell = *verdict;
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Place;
    use crate::report::ClassCounts;
    use types::policy::Phase;

    fn class(packet: Packet) -> Class {
        let old = Kind::Pod(Phase::Old);
        let (place, family) = (Place::OtherNode, Family::IPv4);
        Class { from: old, to: Target::Agent(old), place, family, packet }
    }

    fn report(hub: &str, interval: u64, agents: usize) -> Report {
        let counts = Counts { answered: 1, ..Counts::default() };
        Report {
            hub: hub.to_owned(),
            interval,
            length: 5_000,
            agents: BTreeMap::from([(Kind::Host, vec!["n".to_owned(); agents])]),
            is_full: true,
            classes: vec![ClassCounts { class: class(Packet::Udp), counts }],
            unproven: Vec::new(),
            troubles: Vec::new(),
            more_troubles: 0,
            arrived: Vec::new(),
            departed: Vec::new(),
        }
    }

    fn hubs(all: &[(&str, &[u64], usize)]) -> BTreeMap<String, Vec<Report>> {
        let reports = |(hub, intervals, agents): &(&str, &[u64], usize)| {
            let reports = intervals.iter().map(|interval| report(hub, *interval, *agents)).collect();
            ((*hub).to_owned(), reports)
        };
        all.iter().map(reports).collect()
    }

    fn new_intervals(follower: &mut Follower, all: &[(&str, &[u64], usize)]) -> Vec<(String, u64)> {
        follower.take(hubs(all)).into_iter().map(|report| (report.hub, report.interval)).collect()
    }

    #[test]
    fn each_report_of_one_hub_counts_once() {
        let mut follower = Follower::default();
        let named = |hub: &str, intervals: &[u64]| {
            intervals.iter().map(|interval| (hub.to_owned(), *interval)).collect::<Vec<_>>()
        };
        assert_eq!(new_intervals(&mut follower, &[("a", &[1, 2], 3), ("b", &[7], 9)]), named("b", &[7]));
        assert_eq!(
            new_intervals(&mut follower, &[("a", &[1, 2, 3], 9), ("b", &[7, 8, 9], 3)]),
            named("b", &[8, 9])
        );
        assert_eq!(
            new_intervals(&mut follower, &[("a", &[3, 4], 9), ("b", &[9], 9)]),
            named("a", &[4]),
            "b is silent"
        );
        assert_eq!(new_intervals(&mut follower, &[("a", &[4], 9)]), []);
        assert_eq!(new_intervals(&mut follower, &[("a", &[1, 2], 9)]), named("a", &[1, 2]), "a began anew");
        assert_eq!(new_intervals(&mut follower, &[]), []);
    }

    #[test]
    fn a_time_is_the_sum_of_its_reports() {
        let measurement = Measurement::of_reports(&[report("a", 1, 3), report("a", 2, 4)]);
        assert_eq!((measurement.reports, measurement.count_agents(), measurement.is_full), (2, 4, true));
        assert_eq!(measurement.classes[&class(Packet::Udp)].answered, 2);
        let sampled = Report { is_full: false, ..report("a", 1, 3) };
        assert!(!Measurement::of_reports(&[sampled, report("a", 2, 3)]).is_full);
    }

    #[test]
    fn one_packet_in_a_thousand_may_be_lost() {
        let counts = |answered, lost| Counts { answered, lost, ..Counts::default() };
        let outage = Counts { outages: 1, ..counts(10_000, 3) };
        let broken = Counts { broken: 1, ..counts(10_000, 0) };
        for (packet, counts, verdict) in [
            (Packet::Udp, counts(4, 0), Verdict::NotMeasured),
            (Packet::Udp, counts(5, 0), Verdict::Clean),
            (Packet::Udp, counts(999, 1), Verdict::Clean),
            (Packet::Udp, counts(998, 1), Verdict::Lossy),
            (Packet::Udp, outage, Verdict::Lossy),
            (Packet::HeldTcp, broken, Verdict::Lossy),
            (Packet::DeniedUdp, counts(0, 60), Verdict::Clean),
            (Packet::DeniedUdp, counts(0, 4), Verdict::NotMeasured),
            (Packet::DeniedUdp, counts(1, 60), Verdict::Open),
        ] {
            assert_eq!(judge(&class(packet), &counts), verdict, "{packet} {counts:?}");
        }
    }

    #[test]
    fn a_class_that_was_not_clean_before_says_nothing() {
        let measured = |packet: Packet, answered, lost| Measurement {
            classes: BTreeMap::from([(class(packet), Counts { answered, lost, ..Counts::default() })]),
            ..Measurement::default()
        };
        let compared = |before: &Measurement, after: &Measurement, is_enforced: bool| {
            compare(before, after, |_| is_enforced)[0].verdict
        };
        let verdict = |before: &Measurement, after: &Measurement| compared(before, after, false);
        let (clean, lossy, none) =
            (measured(Packet::Udp, 60, 0), measured(Packet::Udp, 30, 30), Measurement::default());
        assert_eq!(verdict(&clean, &lossy), Verdict::Lossy);
        assert_eq!(verdict(&clean, &clean), Verdict::Clean);
        assert_eq!(verdict(&clean, &none), Verdict::NotMeasured);
        assert_eq!(verdict(&lossy, &lossy), Verdict::NotMeasured);
        assert_eq!(verdict(&none, &lossy), Verdict::NotMeasured);
        let (denied, open) = (measured(Packet::DeniedUdp, 0, 60), measured(Packet::DeniedUdp, 60, 0));
        assert_eq!(verdict(&denied, &open), Verdict::Open);
        assert_eq!(verdict(&open, &open), Verdict::NotMeasured, "no CNI enforces the policy");
        assert_eq!(compared(&open, &open, true), Verdict::Open, "the CNI has to");
        assert_eq!(compared(&open, &denied, true), Verdict::Clean);
        assert_eq!(compared(&lossy, &lossy, true), Verdict::NotMeasured, "no policy denies it");
    }

    #[test]
    fn a_cell_has_the_worst_of_its_classes() {
        let comparison = |packet, verdict| Comparison {
            class: class(packet),
            baseline: Counts::default(),
            counts: Counts::default(),
            verdict,
        };
        let cell = |verdicts: [Verdict; 2]| {
            let [udp, tcp] = verdicts;
            matrix(&[comparison(Packet::Udp, udp), comparison(Packet::Connect, tcp)])
                .into_values()
                .collect::<Vec<_>>()
        };
        use Verdict::{Clean, Lossy, NotMeasured, Open};
        assert_eq!(cell([NotMeasured, Clean]), [Clean]);
        assert_eq!(cell([Lossy, Clean]), [Lossy]);
        assert_eq!(cell([Lossy, Open]), [Open]);
        assert_eq!(cell([NotMeasured, NotMeasured]), [NotMeasured]);
    }
}
