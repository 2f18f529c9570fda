//! Collects the ranges of a scene: those of both networks, of Services, of nodes and of everything else that an address may mean.

mod pods;
mod surroundings;

use snapshot::model::{Kind, Node};

use super::{Claim, Usage};
use crate::check::Scene;
use crate::check::finding::Subject;
use snapshot::Range;

/// All ranges of a scene.
#[derive(Debug, Default)]
pub struct Claims {
    /// The ranges.
    pub all: Vec<Claim>,
    /// Objects whose ranges have host bits, or are none, with what they say.
    pub wrong: Vec<Subject>,
    /// Objects whose range of pods, of either network, cannot be read, so that no overlap with it is seen.
    pub unread: Vec<Subject>,
    /// Both CNIs take addresses from the cloud's network, which gives none twice.
    pub is_shared: bool,
}

/// The ranges of a scene.
#[must_use]
pub fn gather(scene: &Scene<'_>) -> Claims {
    let mut claims = Claims::default();
    scene.to.driver().add_new_claims(scene, &mut claims);
    scene.from.driver().add_old_claims(scene, &mut claims);
    surroundings::add_claims(scene, &mut claims);
    for (networks, used) in [
        (&scene.config.networks.old.cidrs, Usage::OldPool { is_closed: false }),
        (&scene.config.networks.new.cidrs, Usage::NewPool),
    ] {
        let setting = if used.is_new() { "networks.new.cidrs" } else { "networks.old.cidrs" };
        claims.all.extend(networks.iter().map(|range| new_claim(*range, used, setting)));
    }
    pods::add_old_claims(scene, &mut claims);
    claims
}

/// A range of the settings file.
fn new_claim(range: ipnetwork::IpNetwork, used: Usage, setting: &str) -> Claim {
    let source = Subject {
        kind: "Setting".into(),
        namespace: String::new(),
        name: setting.into(),
        detail: String::new(),
    };
    Claim::new(Range::from(range), used, source)
}

pub(in crate::cni) fn subject(node: &Node) -> Subject {
    Subject::from_meta(Kind::NODE, &node.metadata)
}

impl Claims {
    /// Adds the pod CIDRs of nodes.
    pub(in crate::cni) fn add_node_cidrs(&mut self, scene: &Scene<'_>, used: Usage) {
        for node in &scene.snapshot.nodes {
            for cidr in node.pod_cidrs() {
                self.add(cidr, used, Some(node.name()), subject(node));
            }
        }
    }

    /// Adds a range as an object writes it.
    pub(in crate::cni) fn add(
        &mut self,
        text: &str,
        used: Usage,
        node: Option<&str>,
        source: Subject,
    ) -> Option<&mut Claim> {
        match Range::read(text) {
            Ok((range, is_exact)) => {
                if !is_exact {
                    self.wrong
                        .push(source.clone().detail(format!("{text} has host bits; the range is {range}")));
                }
                let claim = Claim::new(range, used, source);
                self.all.push(match node {
                    Some(node) => claim.with_node(node),
                    None => claim,
                });
                self.all.last_mut()
            }
            Err(why) => {
                let subject = source.detail(format!("{text:?} is no range: {why}"));
                let unread = if used.is_pods() { &mut self.unread } else { &mut self.wrong };
                unread.push(subject);
                None
            }
        }
    }

    pub(in crate::cni) fn add_address(
        &mut self,
        text: &str,
        used: Usage,
        node: Option<&str>,
        source: Subject,
    ) {
        let address = text.split('/').next().unwrap_or(text);
        let length = if address.contains(':') { 128 } else { 32 };
        self.add(&format!("{address}/{length}"), used, node, source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use crate::cni::support::Cni;
    use serde_json::json;

    #[test]
    fn the_range_of_flannel_is_a_pool_unless_both_use_the_pod_cidrs_of_nodes() {
        let conf = json!({"data": {"net-conf.json": "{\"Network\": \"10.244.0.0/16\"}"}});
        let pools = |to: Cni| {
            let node = object(Kind::NODE, "a", json!({"spec": {"podCIDR": "10.244.0.0/24"}}));
            let case = Case::new(
                Cni::Flannel,
                to,
                vec![node, object(Kind::CONFIG_MAP, "kube-flannel-cfg", conf.clone())],
            );
            gather(&case.scene())
                .all
                .iter()
                .filter(|claim| matches!(claim.usage, Usage::OldPool { .. }))
                .count()
        };
        assert_eq!((pools(Cni::Cilium), pools(Cni::Antrea)), (1, 0));
    }
}
