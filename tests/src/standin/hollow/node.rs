//! One hollow node: its phase, what is attached to it, and what it says of itself.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use types::api::observed::{AttachmentCounts, NodeObservation};
use types::policy::{Phase, Side};

use super::fleet::{Boot, Member};

/// A hollow node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) member: Member,
    phase: Phase,
    echo: Option<String>,
    /// By the pods' UIDs.
    attached: BTreeMap<String, Attachment>,
    /// The last report to the API server: the phase, and the annotation.
    published: Option<(Phase, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Attachment {
    phase: Phase,
    slot: u32,
}

/// The next report to the API server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) phase: Phase,
    /// The value of the annotation.
    pub(super) observed: String,
    /// The condition changes, too.
    pub(super) is_flip: bool,
}

impl Node {
    /// A node that has registered.
    pub(super) fn new(member: Member) -> Self {
        let mut node =
            Self { member, phase: member.phase, echo: None, attached: BTreeMap::new(), published: None };
        node.published = (member.boot == Boot::Over).then(|| (node.phase, node.observed().to_text()));
        node
    }

    /// What its `watch` observes.
    pub(super) fn observed(&self) -> NodeObservation {
        let mut attached = AttachmentCounts::default();
        self.attached.values().for_each(|pod| attached.add(Some(pod.phase)));
        let is_other = |(_, pod): &(&String, &Attachment)| pod.phase != self.phase;
        attached.name(self.attached.iter().filter(is_other).map(|(uid, _)| uid.as_str()));
        NodeObservation {
            boot_id: self.member.boot(),
            phase: Some(self.phase),
            policy_sha256: Some(format!("{:064x}", self.phase as u8)),
            // That of all nodes: their policies differ in the phase alone.
            base: Some("b".repeat(64)),
            mints: vec![self.phase],
            follows: Phase::ALL.into(),
            joins: if self.member.joins { Side::BOTH.into() } else { Vec::new() },
            restarts: self.restarts(),
            attached: Some(attached),
            image: None,
            echo: self.echo.clone(),
        }
    }

    /// Takes up what its Node asks for; says whether anything of it is new.
    pub(super) fn ask(&mut self, desired: Option<&str>, step: Option<&str>) -> bool {
        if self.member.is_plain {
            return false;
        }
        let phase = desired.and_then(Phase::parse).unwrap_or(self.phase);
        let echo = step.and_then(types::api::step::echo);
        let is_new = (phase, &echo) != (self.phase, &self.echo);
        (self.phase, self.echo) = (phase, echo);
        is_new
    }

    /// How many pods only a restart brings to the phase; none while networks join or leave others.
    fn restarts(&self) -> Option<u32> {
        let others = || self.attached.values().filter(|pod| pod.phase != self.phase);
        let is_through = !others().any(|pod| keeps_primary(pod.phase, self.phase));
        (self.member.joins && is_through).then(|| u32::try_from(others().count()).unwrap_or(u32::MAX))
    }

    /// Networks join and leave the pods that keep their primary; says whether there were some.
    pub(super) fn join(&mut self) -> bool {
        let (to, joins) = (self.phase, self.member.joins);
        let attached = self.attached.values_mut();
        let joined = attached.filter(|pod| joins && pod.phase != to && keeps_primary(pod.phase, to));
        joined.map(|pod| pod.phase = to).count() > 0
    }

    /// Attaches a pod to the network of the phase, and gives its address; none if the node has no address left.
    pub(super) fn attach(&mut self, uid: &str) -> Option<Ipv4Addr> {
        let is_free = |slot: &u32| !self.attached.values().any(|pod| pod.slot == *slot);
        let slot = (0..super::fleet::ADDRESSES - 1).find(is_free)?;
        self.attached.insert(uid.to_owned(), Attachment { phase: self.phase, slot });
        Some(self.member.pod_address(self.phase, slot))
    }

    /// Detaches a pod; says whether it was attached.
    pub(super) fn detach(&mut self, uid: &str) -> bool {
        self.attached.remove(uid).is_some()
    }

    /// What the API server does not know yet. It counts as reported from now on.
    pub(super) fn news(&mut self) -> Option<News> {
        if self.is_silent() {
            return None;
        }
        let now = (self.phase, self.observed().to_text());
        if self.published.as_ref() == Some(&now) {
            return None;
        }
        let is_flip = self.published.as_ref().is_none_or(|(phase, _)| *phase != now.0);
        self.published = Some(now.clone());
        Some(News { phase: now.0, observed: now.1, is_flip })
    }

    /// Whether it has published nothing yet, and is going to.
    pub(super) fn is_unpublished(&self) -> bool {
        self.published.is_none() && !self.is_silent()
    }

    const fn is_silent(&self) -> bool {
        self.member.is_plain || matches!(self.member.boot, Boot::Stuck)
    }

    /// The report did not reach the API server after all.
    pub(super) fn untold(&mut self) {
        self.published = None;
    }
}

/// Whether a pod has the same primary network in both phases.
const fn keeps_primary(from: Phase, to: Phase) -> bool {
    matches!(from, Phase::Old | Phase::BothOld) == matches!(to, Phase::Old | Phase::BothOld)
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Fleet;
    use super::*;

    fn node() -> Node {
        Node::new(
            Fleet { nodes: 1, zones: 1, first: 1, joins: false, is_plain: false, image: Phase::New }
                .members()
                .next()
                .expect("a member"),
        )
    }

    #[test]
    fn a_pod_keeps_the_phase_that_it_was_attached_in() {
        let mut node = node();
        let uids = ["aaaaaaaa-1", "bbbbbbbb-2"];
        let first = node.attach(uids[0]).expect("an address");
        assert!(node.ask(Some("new"), None));
        let second = node.attach(uids[1]).expect("an address");
        assert_eq!((first, second), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 64, 0, 2)));
        let attached = node.observed().attached.expect("counts");
        assert_eq!(attached.by_phase, BTreeMap::from([(Phase::Old, 1), (Phase::New, 1)]));
        assert_eq!(attached.others, ["aaaaaaaa"]);
        assert!(node.detach(uids[0]) && !node.detach(uids[0]));
        assert_eq!(node.observed().attached.expect("counts").others, [""; 0]);
        // Its address is free again.
        assert_eq!(node.attach("c"), Some(Ipv4Addr::new(10, 64, 0, 1)));
    }

    #[test]
    fn the_api_server_is_told_what_is_new_and_nothing_twice() {
        let mut node = node();
        assert_eq!(node.news(), None, "it registered with this");
        node.attach("a");
        assert_eq!(node.news().map(|news| news.is_flip), Some(false));
        let step = r#"{"claim":"r.1.1"}"#;
        assert!(node.ask(None, Some(step)) && !node.ask(None, Some(step)));
        let news = node.news().expect("the echo");
        assert!(news.observed.contains(r#""echo":"r.1.1""#) && !news.is_flip, "{news:?}");
        assert!(node.ask(Some("both-old"), Some(step)));
        let news = node.news().expect("the flip");
        assert_eq!((news.phase, news.is_flip), (Phase::BothOld, true));
        assert_eq!(node.news(), None);
        node.untold();
        assert_eq!(node.news(), Some(news));
        assert!(!node.ask(Some("nowhere"), Some(step)), "no phase");
    }
}
