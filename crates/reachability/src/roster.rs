//! The agents that are registered with a hub, whom each is to probe, and what they report.

use std::collections::{BTreeMap, BTreeSet};

use crate::class::Class;
use crate::peer::{Kind, Peer};
use crate::report::{ClassCounts, Departure, End, MAX_TROUBLES, Report, Targets, Totals, Trouble};
use crate::sample::{self, ROUND};

/// The time between two summaries of an agent, and between two reports of a hub; milliseconds.
pub const INTERVAL: u64 = 5_000;
/// An agent that says nothing for so long fell silent; milliseconds.
pub const SILENCE: u64 = 12_000;
/// A hub that has just begun gives agents this time to register before it hands out targets; milliseconds.
pub const WARM_UP: u64 = 10_000;
/// How long others look on an agent that has just come; milliseconds.
const NEWCOMER: u64 = 300_000;
/// The most agents of a hub: three on each node of a full sample, and those on nodes that a run moves.
const MAX_AGENTS: usize = 2_000;
/// The most rows of a summary: each kind, target, place, family and packet.
const MAX_CLASSES: usize = 1_000;

#[derive(Debug, Clone)]
struct Member {
    peer: Peer,
    arrived_at: u64,
    spoke_at: u64,
    /// The fingerprints of the targets that it was sent last.
    targets: BTreeSet<u64>,
}

/// See the module. Times are milliseconds since the hub began.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    hub: String,
    members: BTreeMap<u64, Member>,
    totals: Totals,
    arrived: Vec<End>,
    departed: Vec<Departure>,
    interval: u64,
    /// Classes of which a packet has been answered.
    proven: BTreeSet<Class>,
    /// The round of the last targets; `None` if agents have come or gone since.
    round: Option<u64>,
}

impl Roster {
    /// The roster of the hub of this name.
    #[must_use]
    pub fn new(hub: String) -> Self {
        Self { hub, ..Self::default() }
    }

    /// An agent registers, or says what has become of it.
    ///
    /// # Errors
    /// One line, where it is none that an agent sends, or there are too many.
    pub fn register(&mut self, peer: Peer, now: u64) -> Result<(), String> {
        peer.validate()?;
        if self.members.len() >= MAX_AGENTS && !self.members.contains_key(&peer.id) {
            return Err(format!("{} agents are registered, and no more are taken", self.members.len()));
        }
        match self.members.get_mut(&peer.id) {
            Some(member) => {
                if member.peer != peer {
                    member.peer = peer;
                    self.round = None;
                }
                member.spoke_at = now;
            }
            None => {
                self.arrived.push(End::from(&peer));
                let member = Member { peer, arrived_at: now, spoke_at: now, targets: BTreeSet::new() };
                self.members.insert(member.peer.id, member);
                self.round = None;
            }
        }
        Ok(())
    }

    /// The results of an agent since its last summary. Those of an agent that is not registered count for nothing.
    pub fn add(&mut self, id: u64, classes: &[ClassCounts], mut troubles: Vec<Trouble>, now: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.spoke_at = now;
        troubles.truncate(MAX_TROUBLES);
        self.totals.add(&classes[..classes.len().min(MAX_CLASSES)], troubles);
    }

    /// The agent took its leave, or its connection ended (`is_ended`), or it fell silent.
    pub fn remove(&mut self, id: u64, is_ended: bool) {
        let Some(member) = self.members.remove(&id) else { return };
        self.departed.push(Departure { agent: End::from(&member.peer), is_ended });
        self.round = None;
    }

    /// Agents that have said nothing for too long.
    #[must_use]
    pub fn silent(&self, now: u64) -> Vec<u64> {
        let is_silent = |member: &&Member| now.saturating_sub(member.spoke_at) >= SILENCE;
        self.members.values().filter(is_silent).map(|member| member.peer.id).collect()
    }

    /// Calls `send` with each agent whose targets are others than it was sent, and with these. One list is made at a time, since all of them together are larger
    /// than what a hub may take.
    pub fn draw(&mut self, now: u64, mut send: impl FnMut(u64, &Targets)) {
        let round = now / ROUND;
        if now < WARM_UP || self.round == Some(round) {
            return;
        }
        self.round = Some(round);
        let peers: Vec<&Peer> = self.members.values().map(|member| &member.peer).collect();
        let newcomers: BTreeSet<u64> = self
            .members
            .values()
            .filter(|member| now.saturating_sub(member.arrived_at) < NEWCOMER)
            .map(|member| member.peer.id)
            .collect();
        // When a hub begins, all have just come.
        let is_new = |peer: &Peer| newcomers.len() * 10 < peers.len() && newcomers.contains(&peer.id);
        let mut sent: Vec<(u64, BTreeSet<u64>)> = Vec::new();
        for member in self.members.values() {
            let targets = sample::targets(&member.peer, &peers, round, is_new);
            let fingerprints: BTreeSet<u64> = targets.iter().copied().map(fingerprint).collect();
            if fingerprints != member.targets {
                send(member.peer.id, &Targets { peers: targets.into_iter().cloned().collect() });
                sent.push((member.peer.id, fingerprints));
            }
        }
        for (id, fingerprints) in sent {
            self.members.entry(id).and_modify(|member| member.targets = fingerprints);
        }
    }

    /// The results since the last report.
    pub fn report(&mut self) -> Report {
        self.interval += 1;
        let mut agents: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        for Member { peer, .. } in self.members.values() {
            agents.entry(peer.kind).or_default().push(peer.node.clone());
        }
        agents.values_mut().for_each(|nodes| nodes.sort());
        let totals = std::mem::take(&mut self.totals);
        let classes = totals.rows();
        let answered = classes.iter().filter(|row| row.counts.answered > 0).map(|row| row.class);
        self.proven.extend(answered);
        let unproven =
            classes.iter().map(|row| row.class).filter(|class| !self.proven.contains(class)).collect();
        let (troubles, more_troubles) = totals.worst_troubles();
        Report {
            hub: self.hub.clone(),
            interval: self.interval,
            length: INTERVAL,
            is_full: self.members.len() <= sample::FULL,
            agents,
            classes,
            unproven,
            troubles,
            more_troubles,
            arrived: std::mem::take(&mut self.arrived),
            departed: std::mem::take(&mut self.departed),
        }
    }
}

/// Tells a peer from another one, and from itself with other networks.
fn fingerprint(peer: &Peer) -> u64 {
    let place = Kind::ALL.iter().position(|kind| *kind == peer.kind).unwrap_or_default();
    peer.id.rotate_left(3) ^ u64::try_from(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use types::policy::Phase;

    use super::*;

    fn peer(id: u64, kind: Kind) -> Peer {
        Peer {
            name: format!("agent-{id}"),
            node: format!("n{id}"),
            zone: String::new(),
            kind,
            id,
            addresses: vec![[192, 0, 2, 1].into()],
            mtu: 1500,
        }
    }

    fn roster(agents: u64) -> Roster {
        let mut roster = Roster::new("hub".to_owned());
        (1..=agents).for_each(|id| roster.register(peer(id, Kind::Host), 0).expect("registered"));
        roster
    }

    fn draw(roster: &mut Roster, now: u64) -> Vec<(u64, Vec<u64>)> {
        let mut drawn = Vec::new();
        roster.draw(now, |id, targets| {
            drawn.push((id, targets.peers.iter().map(|peer| peer.id).collect()));
        });
        drawn
    }

    #[test]
    fn targets_are_sent_once_and_again_if_agents_come_or_change() {
        let mut roster = roster(3);
        assert!(draw(&mut roster, WARM_UP - 1).is_empty(), "others may still register");
        assert_eq!(draw(&mut roster, WARM_UP), [(1, vec![2, 3]), (2, vec![1, 3]), (3, vec![1, 2])]);
        assert!(draw(&mut roster, WARM_UP + 1).is_empty());
        assert!(draw(&mut roster, WARM_UP + ROUND).is_empty(), "a new round with the same targets");
        roster.remove(3, true);
        assert_eq!(draw(&mut roster, 30_000), [(1, vec![2]), (2, vec![1])]);
        roster.register(peer(2, Kind::Pod(Phase::BothOld)), 30_000).expect("a network joined");
        assert_eq!(draw(&mut roster, 30_001), [(1, vec![2])]);
    }

    #[test]
    fn who_says_nothing_for_long_is_silent() {
        let mut roster = roster(2);
        roster.add(1, &[], Vec::new(), 5_000);
        assert_eq!(roster.silent(SILENCE - 1), Vec::<u64>::new());
        assert_eq!(roster.silent(SILENCE), [2]);
        roster.remove(2, false);
        let report = roster.report();
        assert_eq!(
            report.departed.iter().map(|gone| (gone.agent.name.as_str(), gone.is_ended)).collect::<Vec<_>>(),
            [("agent-2", false)]
        );
        assert_eq!(report.agents, BTreeMap::from([(Kind::Host, vec!["n1".to_owned()])]));
        assert!(roster.report().departed.is_empty(), "each departure is in one report");
    }

    #[test]
    fn a_report_names_the_node_of_each_agent() {
        let mut roster = roster(0);
        let (old, new) = (Kind::Pod(Phase::Old), Kind::Pod(Phase::New));
        for (id, kind, node) in [(1, old, "b"), (2, new, "a"), (3, old, "a"), (4, old, "b")] {
            let peer = Peer { node: node.to_owned(), ..peer(id, kind) };
            roster.register(peer, 0).expect("registered");
        }
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            roster.report().agents,
            BTreeMap::from([(old, nodes(&["a", "b", "b"])), (new, nodes(&["a"]))])
        );
    }

    #[test]
    fn a_class_is_unproven_until_a_packet_of_it_is_answered() {
        use crate::class::{Family, Packet, Place, Target};
        use crate::report::Counts;
        let mut roster = roster(1);
        let (to, place, family) = (Target::Service, Place::Any, Family::IPv4);
        let class = Class { from: Kind::Host, to, place, family, packet: Packet::Udp };
        let mut unproven = |answered, lost| {
            let counts = Counts { answered, lost, ..Counts::default() };
            roster.add(1, &[ClassCounts { class, counts }], Vec::new(), 0);
            roster.report().unproven
        };
        assert_eq!(unproven(0, 5), [class]);
        assert_eq!(unproven(1, 4), []);
        assert_eq!(unproven(0, 5), [], "it passed once");
    }

    #[test]
    fn a_hub_takes_so_many_agents() {
        let mut roster = roster(u64::try_from(MAX_AGENTS).unwrap_or_default());
        assert!(roster.register(peer(1, Kind::Host), 1).is_ok());
        assert!(roster.register(peer(1_000_000, Kind::Host), 1).is_err());
    }
}
