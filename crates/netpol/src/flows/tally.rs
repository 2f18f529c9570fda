//! The count of flows that are alike, between ends that are known in the cluster.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use snapshot::Range;
use snapshot::model::Text;

use super::{Flow, FlowEnd, Record, RecordedPod, Unjudged, UnjudgedFlows};
use crate::gather::Policies;
use crate::traffic::{Kind, Space};
use crate::world::mention::Mentions;
use crate::world::{Cluster, Pod};

/// How many different flows are kept. *Source*: none; they need less than 100 MB.
const MAX_FLOWS: usize = 200_000;
/// How many pods are kept that are no longer there. *Source*: none; each of them can be a party of the world.
const MAX_GONE: usize = 10_000;
/// *Source*: RFC 1918.
const PRIVATE: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

/// The flows of a record, as far as they are known in a cluster.
#[derive(Debug)]
pub struct FlowTally {
    /// With pods that are no longer there, after those that are.
    pub(super) cluster: Cluster,
    /// How many pods are there now.
    pub(super) present: usize,
    pub(super) mentions: Mentions,
    pub(super) counts: HashMap<FlowKey, Count>,
    pub(super) unjudged: BTreeMap<Unjudged, UnjudgedFlows>,
    pub(super) lost: u64,
    /// All flows that the record has.
    pub(super) all: Count,
    holders: HashMap<IpAddr, Holder>,
    nodes: HashMap<Text, usize>,
    gone: HashMap<(IpAddr, Text, Text), usize>,
    services: Vec<Range>,
    space: Space,
}

/// Who has an address, by the place in the cluster's list.
#[derive(Debug, Clone, Copy)]
enum Holder {
    Pod(usize),
    Node(usize),
}

/// One end of flows, by the place in the cluster's lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Pod(usize, IpAddr),
    /// All pods of a namespace that a name stands for, as in [`FlowEnd::Pods`].
    Pods(Text, Text),
    /// A node at one address, or at any of its own.
    Node(usize, Option<IpAddr>),
    Outside(IpAddr),
    Network {
        is_private: bool,
    },
}

/// Flows that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowKey {
    pub(super) source: End,
    pub(super) destination: End,
    pub(super) kind: Kind,
}

/// How many flows, and from when to when, as far as the record says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    pub(super) flows: u64,
    pub(super) first: Option<Text>,
    pub(super) last: Option<Text>,
}

impl Count {
    pub(super) fn add(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        let first = self.first.iter().chain(&other.first).min().cloned();
        let last = self.last.iter().chain(&other.last).max().cloned();
        (self.first, self.last) = (first, last);
    }
}

impl FlowTally {
    /// A count that has begun. `services` are the ranges of the addresses of Services; the policies are those that are to judge.
    ///
    /// # Errors
    /// What the evaluator does not take of all policies together.
    pub fn new(cluster: Cluster, services: Vec<Range>, policies: &Policies) -> Result<Self, String> {
        let mut mentions = policies.mentions()?;
        // The record of Calico has no other word for an address outside, so that each party outside is of one sort.
        mentions
            .ranges
            .extend(PRIVATE.iter().filter_map(|range| Range::read(range).ok()).map(|(range, _)| range));
        let mut holders = HashMap::new();
        for (place, pod) in cluster.pods.iter().enumerate() {
            holders.extend(pod.addresses.iter().map(|address| (*address, Holder::Pod(place))));
        }
        for (place, node) in cluster.nodes.iter().enumerate() {
            for address in &node.addresses {
                holders.entry(*address).or_insert(Holder::Node(place));
            }
        }
        let nodes =
            cluster.nodes.iter().enumerate().map(|(place, node)| (node.name.clone(), place)).collect();
        let space = Space::new(mentions.sources.iter().cloned());
        Ok(Self {
            present: cluster.pods.len(),
            cluster,
            mentions,
            counts: HashMap::new(),
            unjudged: BTreeMap::new(),
            lost: 0,
            all: Count::default(),
            holders,
            nodes,
            gone: HashMap::new(),
            services,
            space,
        })
    }

    /// Whether the record had nothing so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.flows == 0
    }

    pub fn add(&mut self, record: Record) {
        let mut flow = match record {
            Record::Flow(flow) => flow,
            Record::Unjudged(why) => {
                self.all.flows += 1;
                UnjudgedFlows::add(&mut self.unjudged, why, 1, None);
                return;
            }
            Record::Lost(flows) => {
                self.lost = self.lost.saturating_add(flows);
                return;
            }
        };
        // A source port that no policy tells from others makes no other flow.
        if flow.kind.source.is_some()
            && let Some(kind) = self.space.example(&self.space.restrict_to_kind(&flow.kind))
        {
            flow.kind = kind;
        }
        let count = Count { flows: 1, first: flow.time.clone(), last: flow.time.clone() };
        self.all.add(&count);
        match self.key(&flow) {
            Ok(key) => self.counts.entry(key).or_default().add(&count),
            Err(why) => UnjudgedFlows::add(&mut self.unjudged, why, 1, Some(&|| flow.to_string())),
        }
    }

    /// What the flow is alike to.
    fn key(&mut self, flow: &Flow) -> Result<FlowKey, Unjudged> {
        let (source, destination) = (self.find(&flow.source)?, self.find(&flow.destination)?);
        if !source.is_pod() && !destination.is_pod() {
            return Err(Unjudged::NoPod);
        }
        if let (End::Pod(sender, _), End::Pod(receiver, _)) = (&source, &destination)
            && sender == receiver
        {
            return Err(Unjudged::SamePod);
        }
        if self.is_own_node(&source, &destination) || self.is_own_node(&destination, &source) {
            return Err(Unjudged::OwnNode);
        }
        // The policies of a sender decide by its own address, those of a receiver by what it sees.
        if flow.has_translated_source && !source.is_pod() {
            return Err(Unjudged::TranslatedSource);
        }
        let key = FlowKey { source, destination, kind: flow.kind.clone() };
        if self.counts.len() >= MAX_FLOWS && !self.counts.contains_key(&key) {
            return Err(Unjudged::TooMany);
        }
        Ok(key)
    }

    fn is_own_node(&self, pod: &End, node: &End) -> bool {
        matches!((pod, node), (End::Pod(pod, _), End::Node(node, _))
            if self.cluster.pods[*pod].node == self.cluster.nodes[*node].name)
    }

    fn find(&mut self, end: &FlowEnd) -> Result<End, Unjudged> {
        let (address, recorded) = match end {
            FlowEnd::Address(address, recorded) => (*address, recorded),
            FlowEnd::Pods(namespace, name) => return Ok(End::Pods(namespace.clone(), name.clone())),
            FlowEnd::Network { is_private } => return Ok(End::Network { is_private: *is_private }),
            FlowEnd::Host(name) => {
                let node = self.nodes.get(name).ok_or(Unjudged::Incomplete)?;
                return Ok(End::Node(*node, None));
            }
        };
        let is_in =
            |ranges: &[Range]| ranges.iter().any(|range| range.contains(Range::from_address(address)));
        match (self.holders.get(&address).copied(), recorded) {
            (Some(Holder::Node(node)), _) => Ok(End::Node(node, Some(address))),
            (Some(Holder::Pod(place)), None) => Ok(End::Pod(place, address)),
            (Some(Holder::Pod(place)), Some(recorded)) => {
                let pod = &self.cluster.pods[place];
                let is_same = (&pod.namespace, &pod.name) == (&recorded.namespace, &recorded.name);
                if is_same { Ok(End::Pod(place, address)) } else { Err(Unjudged::OtherPod) }
            }
            (None, Some(recorded)) => Ok(End::Pod(self.gone_pod(address, recorded)?, address)),
            (None, None) if is_in(&self.services) => Err(Unjudged::Service),
            (None, None) if is_in(&self.cluster.pod_ranges) => Err(Unjudged::PodGone),
            (None, None) => Ok(End::Outside(address)),
        }
    }

    /// The place of a pod that is no longer there, or no longer at this address, as the record has it.
    fn gone_pod(&mut self, address: IpAddr, recorded: &RecordedPod) -> Result<usize, Unjudged> {
        let key = (address, recorded.namespace.clone(), recorded.name.clone());
        if let Some(place) = self.gone.get(&key) {
            return Ok(*place);
        }
        let labels = recorded.labels.clone().ok_or(Unjudged::PodGone)?;
        if !self.cluster.namespaces.iter().any(|namespace| namespace.name == recorded.namespace) {
            return Err(Unjudged::PodGone);
        }
        // Records have the names of accounts, and another pod of the same account has their labels.
        let of_account = |pod: &&Pod| {
            pod.namespace == recorded.namespace && Some(&pod.account) == recorded.account.as_ref()
        };
        let twin = self.cluster.pods[..self.present].iter().find(of_account);
        if twin.is_none() && self.mentions.has_accounts() {
            return Err(Unjudged::PodGone);
        }
        if self.gone.len() >= MAX_GONE {
            return Err(Unjudged::TooMany);
        }
        let pod = Pod {
            namespace: recorded.namespace.clone(),
            name: recorded.name.clone(),
            labels,
            account: twin.map(|twin| twin.account.clone()).unwrap_or_default(),
            account_labels: twin.map(|twin| twin.account_labels.clone()).unwrap_or_default(),
            addresses: vec![address],
            ..Pod::default()
        };
        let place = self.cluster.pods.len();
        self.cluster.pods.push(pod);
        self.gone.insert(key, place);
        Ok(place)
    }
}

impl End {
    pub(super) const fn is_pod(&self) -> bool {
        match self {
            Self::Pod(..) | Self::Pods(..) => true,
            Self::Node(..) | Self::Outside(_) | Self::Network { .. } => false,
        }
    }
}
