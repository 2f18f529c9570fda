//! NetworkPolicies of Kubernetes in Cilium's form.
//!
//! *Source*: cilium/cilium, `pkg/k8s/network_policy.go`.

use super::object::{End, Kind, Policy, Rule, Side};
use crate::engines::kubernetes::{self, LabelSelector, Peer};
use crate::expression::{Expression, LabelOwner, NAMESPACE_NAME};
use crate::tier::Direction;

impl Policy {
    /// A NetworkPolicy.
    ///
    /// # Errors
    /// A selector that the API does not have.
    pub(super) fn from_kubernetes(policy: &kubernetes::Policy) -> Result<Self, String> {
        let side = |direction: Direction, rules: &[kubernetes::Rule]| {
            if !policy.types.contains(&direction) {
                return Ok(Side::default());
            }
            let way = direction.name().to_lowercase();
            let to_rule = |(place, rule): (usize, &kubernetes::Rule)| {
                Ok::<_, String>(Rule {
                    denies: false,
                    ends: ends(rule, policy)?,
                    kinds: (!rule.ports.is_empty())
                        .then(|| rule.ports.iter().cloned().map(Kind::Port).collect()),
                    place: format!("spec.{way}[{place}]").into(),
                })
            };
            let rules = rules.iter().enumerate().map(to_rule).collect::<Result<_, _>>()?;
            Ok::<_, String>(Side { denies_by_default: true, rules })
        };
        Ok(Self {
            name: format!("NetworkPolicy {}/{}", policy.namespace, policy.name).into(),
            pods: Expression::Within(policy.namespace.clone()).and(policy.pods.expression(LabelOwner::Pod)?),
            ingress: side(Direction::Ingress, &policy.ingress)?,
            egress: side(Direction::Egress, &policy.egress)?,
        })
    }
}

fn ends(rule: &kubernetes::Rule, policy: &kubernetes::Policy) -> Result<Vec<End>, String> {
    if rule.peers.is_empty() {
        return Ok(vec![End::All]);
    }
    let to_end = |peer: &Peer| {
        let (pods, namespaces) = match peer {
            Peer::Block(block) => return Ok(End::Block(block.clone())),
            Peer::Pods(pods, namespaces) => (pods, namespaces),
        };
        let place = match namespaces {
            None => Expression::Within(policy.namespace.clone()),
            Some(all) if *all == LabelSelector::default() => {
                Expression::Has(LabelOwner::Namespace, NAMESPACE_NAME.into())
            }
            // With nothing but negations, this is also true of those who are in no namespace.
            Some(namespaces) => namespaces.expression(LabelOwner::Namespace)?,
        };
        let own = pods.as_ref().map_or(Ok(Expression::Always), |pods| pods.expression(LabelOwner::Pod))?;
        Ok(End::Labelled(place.and(own)))
    };
    rule.peers.iter().map(to_end).collect()
}
