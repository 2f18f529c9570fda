//! What policies make of counted flows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::Serialize;
use snapshot::model::Text;

use super::tally::{Count, End, FlowKey, FlowTally};
use super::{FlowEnd, Unjudged};
use crate::gather::Policies;
use crate::tier::{Direction, Enforcement};
use crate::traffic::{Detail, ICMP, ICMPV6, Traffic};
use crate::verdict::Subject;
use crate::world::{AddressIndex, Cluster, Pod, World};

/// What became of a record.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Flows that would be denied, those with the most flows first.
    pub denied: Vec<DeniedFlow>,
    /// Flows that are not judged, by the reason.
    pub unjudged: Vec<UnjudgedFlows>,
    /// How many flows the record has.
    pub flows: u64,
    /// How many of them would be let through.
    pub allowed: u64,
    /// How many flows the record says that it lost.
    pub lost: u64,
    /// When the record begins, as far as it says so: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Text>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Text>,
}

/// Flows that would be denied: between pods of the same controllers, by the same rule.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeniedFlow {
    /// Who opened the connection, for people: `ReplicaSet shop/web-7d9f`.
    pub source: String,
    /// To whom.
    pub destination: String,
    /// The protocol and the port: `TCP 5432`.
    pub traffic: String,
    /// `Ingress` if the receiver's policies deny it, `Egress` if the sender's do.
    pub direction: &'static str,
    /// The rule that denies it; none where policies select the pod and no rule of theirs allows the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Text>,
    /// How many of the flows are like this one.
    pub flows: u64,
    /// When the first of them was seen, as far as the record says so: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Text>,
    /// When the last one was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Text>,
}

/// Flows that are not judged for one reason.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnjudgedFlows {
    pub why: Unjudged,
    pub flows: u64,
    /// One of them, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl UnjudgedFlows {
    pub(super) fn add(
        all: &mut BTreeMap<Unjudged, Self>,
        why: Unjudged,
        flows: u64,
        example: Option<&dyn Fn() -> String>,
    ) {
        let entry =
            all.entry(why).or_insert_with(|| Self { why, flows: 0, example: example.map(|words| words()) });
        entry.flows = entry.flows.saturating_add(flows);
    }
}

impl Judgement {
    /// How many flows the policies decide about, and the record says enough of.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.denied.iter().fold(self.allowed, |all, denied| all.saturating_add(denied.flows))
    }
}

impl FlowTally {
    /// What these policies make of the flows: those of [`FlowTally::new`].
    ///
    /// # Errors
    /// What the evaluator does not take of all policies together.
    pub fn judge(self, policies: &Policies) -> Result<Judgement, String> {
        let Self { cluster, present, mentions, counts, mut unjudged, lost, all, .. } = self;
        let world = World::new_bounded(&cluster, &mentions, false);
        let enforcement = policies.enforcement(&world)?;
        let mut judge = Judge {
            index: AddressIndex::new(&world, &cluster, &mentions),
            has_port_names: !mentions.port_names.is_empty(),
            cluster: &cluster,
            present,
            world: &world,
            enforcement: &enforcement,
            subjects: HashMap::new(),
        };
        let mut rows: BTreeMap<(String, String, String, Denial), Count> = BTreeMap::new();
        let mut allowed = 0_u64;
        let mut sorted: Vec<(FlowKey, Count)> = counts.into_iter().collect();
        sorted.sort_by(|(key, _), (other, _)| key.cmp(other));
        for (key, count) in sorted {
            let denial = judge.denial(&key);
            let ends =
                || (judge.describe(&key.source), judge.describe(&key.destination), key.kind.to_string());
            match denial {
                Ok(None) => allowed = allowed.saturating_add(count.flows),
                Ok(Some(denial)) => {
                    let (source, destination, traffic) = ends();
                    rows.entry((source, destination, traffic, denial)).or_default().add(&count);
                }
                Err(why) => {
                    let words = || {
                        let (source, destination, traffic) = ends();
                        format!("{source} to {destination}, {traffic}")
                    };
                    UnjudgedFlows::add(&mut unjudged, why, count.flows, Some(&words));
                }
            }
        }
        let denied =
            |((source, destination, traffic, denial), count): ((String, String, String, Denial), Count)| {
                DeniedFlow {
                    source,
                    destination,
                    traffic,
                    direction: denial.0.name(),
                    rule: denial.1,
                    flows: count.flows,
                    first: count.first,
                    last: count.last,
                }
            };
        let mut denied: Vec<DeniedFlow> = rows.into_iter().map(denied).collect();
        denied.sort_by_key(|row| Reverse(row.flows));
        let unjudged = unjudged.into_values().collect();
        Ok(Judgement { denied, unjudged, flows: all.flows, allowed, lost, first: all.first, last: all.last })
    }
}

/// Whose policies deny a flow, and by which rule.
type Denial = (Direction, Option<Text>);

struct Judge<'a> {
    cluster: &'a Cluster,
    present: usize,
    has_port_names: bool,
    world: &'a World,
    index: AddressIndex,
    enforcement: &'a Enforcement,
    subjects: HashMap<(Direction, usize), Subject<'a>>,
}

impl Judge<'_> {
    /// By what flows would be denied; none if they would be let through. Where the record leaves out something, the answer must be the same whatever
    /// that was.
    fn denial(&mut self, key: &FlowKey) -> Result<Option<Denial>, Unjudged> {
        if matches!((key.kind.protocol, key.kind.detail), (ICMP | ICMPV6, Detail::None)) {
            return Err(Unjudged::Incomplete);
        }
        if let End::Pod(place, _) = key.destination
            && place >= self.present
            && self.has_port_names
        {
            return Err(Unjudged::PodGone);
        }
        let traffics = self.world.space.restrict_by_source(&key.kind);
        let (sources, destinations) = (self.parties(&key.source)?, self.parties(&key.destination)?);
        let mut answer: Option<Option<Denial>> = None;
        for source in &sources {
            for destination in &destinations {
                if self.world.v6().has(*source) != self.world.v6().has(*destination) {
                    continue;
                }
                for traffic in &traffics {
                    let denial = self.denial_between(*source, *destination, traffic);
                    match &answer {
                        Some(other) if other.is_some() != denial.is_some() => {
                            return Err(Unjudged::Incomplete);
                        }
                        Some(_) => {}
                        None => answer = Some(denial),
                    }
                }
            }
        }
        match answer {
            Some(Some(_)) if self.may_be_own_node(&key.source, &key.destination) => Err(Unjudged::Incomplete),
            Some(answer) => Ok(answer),
            None => Err(Unjudged::Incomplete),
        }
    }

    fn denial_between(&mut self, source: usize, destination: usize, traffic: &Traffic) -> Option<Denial> {
        let sides = [(Direction::Egress, source, destination), (Direction::Ingress, destination, source)];
        sides.into_iter().filter(|(_, subject, _)| self.world.pods().has(*subject)).find_map(
            |(direction, subject, peer)| {
                let enforcement = self.enforcement;
                let rules = self.subjects.entry((direction, subject));
                let rules = rules.or_insert_with(|| Subject::new(enforcement, direction, subject));
                let verdict = rules.verdict(peer, traffic);
                (!verdict.allowed).then_some((direction, verdict.decided_by))
            },
        )
    }

    /// The parties that an end may be.
    fn parties(&self, end: &End) -> Result<Vec<usize>, Unjudged> {
        let party_at = |pod: &Pod, address: IpAddr| self.world.stands_for(&pod.namespace, &pod.name, address);
        let mut parties: Vec<usize> = match end {
            End::Pod(place, address) => party_at(&self.cluster.pods[*place], *address).into_iter().collect(),
            End::Pods(namespace, name) => {
                let pods = self.cluster.pods[..self.present].iter();
                let pods = pods.filter(|pod| pod.namespace == *namespace && is_named(&pod.name, name));
                pods.flat_map(|pod| pod.addresses.iter().filter_map(move |address| party_at(pod, *address)))
                    .collect()
            }
            End::Node(_, Some(address)) => self.index.node(*address).into_iter().collect(),
            End::Node(place, None) => self.cluster.nodes[*place]
                .addresses
                .iter()
                .filter_map(|address| self.index.node(*address))
                .collect(),
            End::Outside(address) => self.index.outside(*address).into_iter().collect(),
            End::Network { is_private } => {
                let all = self.world.nodes().clone().or(self.world.outside_parties());
                let is_of = |number: &usize| {
                    self.world
                        .party(*number)
                        .is_some_and(|party| is_private_network(party.address) == *is_private)
                };
                all.numbers().filter(is_of).collect()
            }
        };
        parties.sort_unstable();
        parties.dedup();
        if parties.is_empty() { Err(Unjudged::PodGone) } else { Ok(parties) }
    }

    /// Whether one end may be the node of the pod at the other, which no policy keeps away.
    fn may_be_own_node(&self, source: &End, destination: &End) -> bool {
        let may_be = |pod: &End, node: &End| {
            let is_unknown_node = match pod {
                End::Pod(place, _) => self.cluster.pods[*place].node.is_empty(),
                End::Pods(..) => true,
                End::Node(..) | End::Outside(_) | End::Network { .. } => return false,
            };
            match node {
                End::Node(..) => is_unknown_node,
                End::Network { is_private } => {
                    let mut addresses = self.cluster.nodes.iter().flat_map(|node| &node.addresses);
                    addresses.any(|address| is_private_network(*address) == *is_private)
                }
                End::Pod(..) | End::Pods(..) | End::Outside(_) => false,
            }
        };
        may_be(source, destination) || may_be(destination, source)
    }

    /// An end, for people: pods of one controller are one.
    fn describe(&self, end: &End) -> String {
        match end {
            End::Pod(place, address) => {
                let pod = &self.cluster.pods[*place];
                if *place >= self.present {
                    format!("pod {}/{} ({address}), no longer there", pod.namespace, pod.name)
                } else if pod.owner.is_empty() {
                    format!("pod {}/{}", pod.namespace, pod.name)
                } else {
                    pod.owner.to_string()
                }
            }
            End::Pods(namespace, name) => FlowEnd::Pods(namespace.clone(), name.clone()).to_string(),
            End::Node(place, _) => format!("node {}", self.cluster.nodes[*place].name),
            End::Outside(address) => format!("{address}, outside of the cluster"),
            End::Network { is_private } => FlowEnd::Network { is_private: *is_private }.to_string(),
        }
    }
}

/// Whether the name of a record stands for a pod. What the API server adds to a `generateName` has no dash.
fn is_named(pod: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(begin) => pod.strip_prefix(begin).is_some_and(|rest| !rest.is_empty() && !rest.contains('-')),
        None => pod == name,
    }
}

fn is_private_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(_) => false,
    }
}
