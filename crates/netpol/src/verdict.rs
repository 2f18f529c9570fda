//! Verdicts on packets, and the comparison of two sets of policies by them.
//!
//! Parties to which the same rules apply in the same way are judged once. For each of them the others fall into cells: those of one cell get
//! the same answers, so that packets are never counted one by one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use snapshot::model::Text;

use super::tier::{Action, Direction, End, Enforcement, Tier};
use super::traffic::{Kind, Traffic};
use super::world::World;
use crate::world::parties::Parties;

/// A packet of which two sets of policies say different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whether the pod sends or receives it.
    pub direction: Direction,
    /// The pod whose policies decide.
    pub subject: usize,
    /// The party at the other end.
    pub peer: usize,
    /// The traffic.
    pub kind: Kind,
    /// What the first set says.
    pub before: Verdict,
    /// What the second set says.
    pub after: Verdict,
}

/// What becomes of a packet, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is let through.
    pub allowed: bool,
    /// The rule that decides; none where no rule does.
    pub decided_by: Option<Text>,
}

/// The peers of a subject to whom the same traffic is allowed.
#[derive(Debug, Clone)]
struct Cell {
    peers: Parties,
    allowed: Traffic,
}

/// The rules that matter to a subject, by tier; and for each tier whether packets end there.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Signature(Vec<(Vec<usize>, bool)>);

/// A packet of which the two sets say different things; none if they say the same of every packet between the parties of the world.
#[must_use]
pub fn difference(world: &World, before: &Enforcement, after: &Enforcement) -> Option<Difference> {
    differences(world, before, after).next()
}

/// Packets of which the two sets say different things: at most one for each direction and each kind of subject.
pub fn differences<'w>(
    world: &'w World,
    before: &'w Enforcement,
    after: &'w Enforcement,
) -> impl Iterator<Item = Difference> + 'w {
    let real = [false, true].map(|is_v6| world.space.real_traffic(is_v6));
    differences_among(world, before, after, real)
}

/// The same among this traffic alone: between addresses of IPv4, and between those of IPv6.
pub fn differences_among<'w>(
    world: &'w World,
    before: &'w Enforcement,
    after: &'w Enforcement,
    traffic: [Traffic; 2],
) -> impl Iterator<Item = Difference> + 'w {
    Direction::ALL.into_iter().flat_map(move |direction| {
        let (old, new) = (before.tiers(direction), after.tiers(direction));
        let real = traffic.clone();
        subjects(world, old, new).into_iter().filter_map(move |(subjects, signatures)| {
            let peers = world.family_of(subjects.0);
            let real = &real[usize::from(world.v6().has(subjects.0))];
            let (cells, other) =
                (judge(old, &signatures.0, &peers, real), judge(new, &signatures.1, &peers, real));
            let (subject, peer, traffic) = unequal(world, subjects, &cells, &other)?;
            let kind = world.space.example(&traffic)?;
            let point = world.space.restrict_to_kind(&kind);
            let verdict_of = |tiers, signature| verdict(tiers, signature, peer, &point);
            Some(Difference {
                direction,
                subject,
                peer,
                before: verdict_of(old, &signatures.0),
                after: verdict_of(new, &signatures.1),
                kind,
            })
        })
    })
}

/// The rules of one direction that matter to one subject, for questions about single packets.
#[derive(Debug, Clone)]
pub struct Subject<'e> {
    tiers: &'e [Tier],
    signature: Signature,
}

impl<'e> Subject<'e> {
    /// The rules of a party of the world.
    #[must_use]
    pub fn new(enforcement: &'e Enforcement, direction: Direction, subject: usize) -> Self {
        let tiers = enforcement.tiers(direction);
        Self { tiers, signature: signature(tiers, subject) }
    }

    /// What becomes of one kind of traffic that the subject exchanges with a peer.
    #[must_use]
    pub fn verdict(&self, peer: usize, traffic: &Traffic) -> Verdict {
        verdict(self.tiers, &self.signature, peer, traffic)
    }
}

/// For each way in which the rules of both sets apply, the first subject to which they do, and a second one if there is one: each peer that can meet any of the
/// subjects can meet one of these.
type Subjects = (usize, Option<usize>);

/// The subjects, with the rules that apply to them.
fn subjects(world: &World, old: &[Tier], new: &[Tier]) -> Vec<(Subjects, (Signature, Signature))> {
    let mut by_signature: HashMap<(Signature, Signature, bool), Subjects> = HashMap::new();
    let (old_rules, new_rules) = (signatures_by_subject(world, old), signatures_by_subject(world, new));
    for subject in world.pods().numbers() {
        let both = (old_rules[subject].clone(), new_rules[subject].clone(), world.v6().has(subject));
        let subjects = by_signature.entry(both).or_insert((subject, None));
        let first = subjects.0;
        if subjects.1.is_none() && !world.are_alike(first, subject) && world.can_meet(first, subject) {
            subjects.1 = Some(subject);
        }
    }
    let mut subject_list: Vec<_> = by_signature
        .into_iter()
        .map(|((signature, other, _), subject)| (subject, (signature, other)))
        .collect();
    subject_list.sort_by_key(|(subjects, _)| *subjects);
    subject_list
}

/// The signature of every party.
fn signatures_by_subject(world: &World, tiers: &[Tier]) -> Vec<Signature> {
    let mut all = vec![Signature(vec![(Vec::new(), false); tiers.len()]); world.len()];
    for (place, tier) in tiers.iter().enumerate() {
        for (number, rule) in tier.rules.iter().enumerate() {
            for subject in rule.subjects.numbers() {
                all[subject].0[place].0.push(number);
            }
        }
        for subject in tier.ends.numbers() {
            all[subject].0[place].1 = true;
        }
    }
    all
}

fn signature(tiers: &[Tier], subject: usize) -> Signature {
    let parts_of = |tier: &Tier| {
        let rules = tier.rules.iter().enumerate().filter(|(_, rule)| rule.subjects.has(subject));
        (rules.map(|(number, _)| number).collect(), tier.ends.has(subject))
    };
    Signature(tiers.iter().map(parts_of).collect())
}

/// The cells of the peers, by what is allowed to them.
fn judge(tiers: &[Tier], signature: &Signature, peers: &Parties, real: &Traffic) -> Vec<Cell> {
    let mut open = vec![OpenCell {
        peers: peers.clone(),
        allowed: Traffic::none(),
        undecided: real.clone(),
        later: BTreeMap::new(),
    }];
    for (place, (tier, (rules, ends))) in tiers.iter().zip(&signature.0).enumerate() {
        for cell in &mut open {
            if let Some(arrived) = cell.later.remove(&place) {
                cell.undecided = cell.undecided.or(&arrived);
            }
        }
        for number in rules {
            let rule = &tier.rules[*number];
            open = open
                .into_iter()
                .flat_map(|cell| cell.meet(&rule.peers, &rule.traffic, rule.action))
                .collect();
        }
        for cell in open.iter_mut().filter(|_| *ends) {
            let ended = std::mem::take(&mut cell.undecided);
            if tier.end == End::Allow {
                cell.allowed = cell.allowed.or(&ended);
            }
        }
    }
    // What passes all tiers is allowed, whichever tier it was to go to.
    let closed = |cell: OpenCell| {
        let passed = cell.later.values().fold(cell.undecided, |all, traffic| all.or(traffic));
        Cell { peers: cell.peers, allowed: cell.allowed.or(&passed) }
    };
    open.into_iter().map(closed).collect()
}

/// A cell of which rules are still to decide.
#[derive(Debug, Clone)]
struct OpenCell {
    peers: Parties,
    allowed: Traffic,
    undecided: Traffic,
    /// What goes to a later tier, by its number.
    later: BTreeMap<usize, Traffic>,
}

impl OpenCell {
    /// The cell after a rule: cut in two where the rule is about some of its peers only.
    fn meet(mut self, peers: &Parties, traffic: &Traffic, action: Action) -> impl Iterator<Item = Self> {
        let mut rest = None;
        if self.undecided.is_empty() || !self.peers.meets(peers) || traffic.is_empty() {
            return std::iter::once(self).chain(rest);
        }
        let others = self.peers.clone().without(peers);
        if !others.is_empty() {
            rest = Some(Self { peers: others, ..self.clone() });
            self.peers = self.peers.and(peers);
        }
        let met = self.undecided.and(traffic);
        self.undecided = self.undecided.without(traffic);
        match action {
            Action::Allow => self.allowed = self.allowed.or(&met),
            Action::Deny => {}
            Action::GoTo(tier) => {
                let before = self.later.remove(&tier).unwrap_or_default();
                self.later.insert(tier, before.or(&met));
            }
        }
        std::iter::once(self).chain(rest)
    }
}

/// A subject, a peer and the traffic that one of both sets allows to it and the other does not: two different pods if some are, and never a pod and
/// itself.
fn unequal(
    world: &World,
    (first, second): Subjects,
    cells: &[Cell],
    other: &[Cell],
) -> Option<(usize, usize, Traffic)> {
    let both = || cells.iter().flat_map(|cell| other.iter().map(move |also| (cell, also)));
    let differing =
        || both().filter(|(cell, also)| cell.allowed != also.allowed && cell.peers.meets(&also.peers));
    let find_pair = |is_fit: &dyn Fn(usize, usize) -> bool| {
        differing().find_map(|(cell, also)| {
            let peers = cell.peers.clone().and(&also.peers);
            let pair = |peer: usize| {
                let subject =
                    [Some(first), second].into_iter().flatten().find(|number| is_fit(*number, peer))?;
                Some((subject, peer))
            };
            let (subject, peer) = peers.numbers().find_map(pair)?;
            let traffic = cell.allowed.without(&also.allowed).or(&also.allowed.without(&cell.allowed));
            Some((subject, peer, traffic))
        })
    };
    let is_another = |subject, peer| !world.are_alike(subject, peer) && world.can_meet(subject, peer);
    find_pair(&is_another).or_else(|| find_pair(&|subject, peer| world.can_meet(subject, peer)))
}

/// What becomes of one kind of traffic, rule by rule.
fn verdict(tiers: &[Tier], signature: &Signature, peer: usize, traffic: &Traffic) -> Verdict {
    let mut from = 0;
    for (place, (tier, (rules, ends))) in tiers.iter().zip(&signature.0).enumerate() {
        if place < from {
            continue;
        }
        let mut rules = rules.iter().map(|number| &tier.rules[*number]);
        let met = rules.find(|rule| rule.peers.has(peer) && !rule.traffic.and(traffic).is_empty());
        let origin = met.map(|rule| rule.origin.clone());
        match met.map(|rule| rule.action) {
            Some(Action::Allow) => return Verdict { allowed: true, decided_by: origin },
            Some(Action::Deny) => return Verdict { allowed: false, decided_by: origin },
            Some(Action::GoTo(later)) => from = later,
            None if *ends => return Verdict { allowed: tier.end == End::Allow, decided_by: None },
            None => {}
        }
    }
    Verdict { allowed: true, decided_by: None }
}

impl Difference {
    /// The packet and both answers, as a person reads them.
    #[must_use]
    pub fn words(&self, world: &World) -> String {
        let name = |party: usize| world.party(party).map_or_else(String::new, ToString::to_string);
        let (from, to) = match self.direction {
            Direction::Ingress => (self.peer, self.subject),
            Direction::Egress => (self.subject, self.peer),
        };
        // The party is then one of several pods, or of several that may be there.
        let receiver = if world.are_alike(from, to) { world.describe_another(to) } else { name(to) };
        let side = match self.direction {
            Direction::Ingress => "as the receiver's policies decide",
            Direction::Egress => "as the sender's policies decide",
        };
        format!(
            "{}\n  from {}\n  to   {}\n  {side}: before {}, after {}",
            self.kind,
            name(from),
            receiver,
            self.before,
            self.after
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "denied" })?;
        match &self.decided_by {
            Some(origin) => write!(f, " by {origin}"),
            None => f.write_str(" because no rule says otherwise"),
        }
    }
}
