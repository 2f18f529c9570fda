//! The form into which the policies of every CNI are read: tiers of rules, in order.

use snapshot::model::Text;

use super::traffic::Traffic;
use crate::world::parties::Parties;

/// All policies of a cluster as one CNI enforces them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforcement {
    /// The tiers for packets that a pod receives.
    pub ingress: Vec<Tier>,
    /// The tiers for packets that a pod sends.
    pub egress: Vec<Tier>,
}

/// Which packets a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Those that a pod receives.
    Ingress,
    /// Those that a pod sends.
    Egress,
}

/// Rules of which the first one that a packet meets decides. What passes all tiers is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The rules, the first one first.
    pub rules: Vec<Rule>,
    /// The parties whose packets end here if no rule decides; those of others go to the next tier.
    pub ends: Parties,
    /// What becomes of the packets that end here.
    pub end: End,
}

/// What becomes of packets of which no rule of a tier decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// They are dropped.
    Deny,
    /// They are let through.
    Allow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The parties whose packets the rule is about.
    pub subjects: Parties,
    /// The parties at the other end.
    pub peers: Parties,
    pub traffic: Traffic,
    pub action: Action,
    /// The policy and the rule in it, for people: `NetworkPolicy shop/web spec.ingress[0]`.
    pub origin: Text,
}

/// What becomes of the packets that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They are let through.
    Allow,
    /// They are dropped.
    Deny,
    /// The tier of this number, which comes later, decides; a number that no tier has lets them through.
    GoTo(usize),
}

impl Enforcement {
    /// The tiers of a direction.
    #[must_use]
    pub fn tiers(&self, direction: Direction) -> &[Tier] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

impl Rule {
    /// The same rule for this traffic alone, and for these receivers alone if some are given.
    #[must_use]
    pub fn restrict(&self, direction: Direction, receivers: Option<&Parties>, traffic: Traffic) -> Self {
        let (mut subjects, mut peers) = (self.subjects.clone(), self.peers.clone());
        if let Some(receivers) = receivers {
            match direction {
                Direction::Ingress => subjects = subjects.and(receivers),
                Direction::Egress => peers = peers.and(receivers),
            }
        }
        Self { subjects, peers, traffic, action: self.action, origin: self.origin.clone() }
    }
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// As policies spell it in a list of types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }
}
