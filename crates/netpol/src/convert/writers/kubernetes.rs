//! NetworkPolicies of Kubernetes: they have no order, no denials and no tiers, and each is of one namespace.

use serde_json::{Map, Value, json};
use snapshot::model::Text;

use crate::convert::intermediate::{Action, Peer, PlainPolicies, PodSelection, Policy, Rule, Traffic};
use crate::convert::objects::ConvertedObjects;
use crate::convert::objects::{Draft, ip_block, name_drafts, pods_as_peer, selector};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::convert::writers::ports::destination;
use crate::tier::Direction;

/// The policies as NetworkPolicies of Kubernetes.
#[must_use]
pub fn write(plain: &PlainPolicies) -> ConvertedObjects {
    let mut report = Report::default();
    let mut drafts = Vec::new();
    for tier in &plain.tiers {
        for policy in &tier.policies {
            match (Writer { plain, policy }).drafts(&tier.name, &mut report) {
                Ok(rule_drafts) => drafts.extend(rule_drafts),
                Err(refusal) => report.leave_policy(&policy.source, refusal),
            }
        }
    }
    ConvertedObjects { objects: name_drafts(drafts, &plain.taken_names), report }
}

struct Writer<'p> {
    plain: &'p PlainPolicies,
    policy: &'p Policy,
}

/// NetworkPolicies that isolate the pods of a policy in some directions and allow them what some of its rules say: rules that [`allows`] accepts.
///
/// # Errors
/// Pods that no NetworkPolicy can select.
pub(in crate::convert) fn isolating(
    plain: &PlainPolicies,
    policy: &Policy,
    tier: &Text,
    types: &[Direction],
    rules: &[&Rule],
    report: &mut Report,
) -> Result<Vec<Draft>, Refusal> {
    let writer = Writer { plain, policy };
    let (narrowed, common): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.subjects.is_some());
    let mut drafts = Vec::new();
    for chosen in &policy.subjects {
        writer.add(&mut drafts, tier, chosen, types, &common, report)?;
    }
    // The pods of such a rule are some of those above, so no pod is isolated that was not.
    for rule in narrowed {
        for chosen in rule.subjects.iter().flatten() {
            writer.add(&mut drafts, tier, chosen, &[rule.direction], &[rule], report)?;
        }
    }
    Ok(drafts)
}

/// Whether a NetworkPolicy can allow what a rule is about.
///
/// # Errors
/// What it cannot say.
pub(crate) fn check_rule(rule: &Rule) -> Result<(), Refusal> {
    for peer in rule.peers.iter().flatten() {
        if let Peer::Pods(chosen) = peer
            && !chosen.accounts.is_empty()
        {
            return Err(Refusal::new("", "a peer by its service account, which NetworkPolicies do not know"));
        }
    }
    for traffic in rule.traffic.iter().flatten() {
        port(traffic)?;
    }
    Ok(())
}

impl Writer<'_> {
    fn drafts(&self, tier: &Text, report: &mut Report) -> Result<Vec<Draft>, Refusal> {
        let mut rules = Vec::new();
        let mut notes = Report::default();
        for rule in &self.policy.rules {
            match self.is_written(rule, &mut notes) {
                Ok(true) => rules.push(rule),
                Ok(false) => {}
                Err(refusal) => notes.leave_out(self.policy, rule, refusal),
            }
        }
        let drafts = isolating(self.plain, self.policy, tier, &self.policy.types, &rules, &mut notes)?;
        report.extend(notes);
        Ok(drafts)
    }

    /// Whether a rule is written at all.
    fn is_written(&self, rule: &Rule, report: &mut Report) -> Result<bool, Refusal> {
        match rule.action {
            Action::Allow => {}
            Action::Deny => {
                let why = "a NetworkPolicy drops whatever no rule allows, and this rule is left to that";
                report.note(&self.policy.source, format!("{}.action", rule.place()), Outcome::Expanded, why);
                return Ok(false);
            }
            Action::Pass => {
                let why = "NetworkPolicies have no tiers: what those of the next tier allow is allowed";
                report.note(&self.policy.source, format!("{}.action", rule.place()), Outcome::Expanded, why);
                return Ok(false);
            }
        }
        check_rule(rule).map(|()| true)
    }

    fn add(
        &self,
        drafts: &mut Vec<Draft>,
        tier: &Text,
        chosen: &PodSelection,
        types: &[Direction],
        rules: &[&Rule],
        report: &mut Report,
    ) -> Result<(), Refusal> {
        if !chosen.accounts.is_empty() {
            let why = "pods by their service account, which NetworkPolicies do not know";
            return Err(Refusal::new("spec.serviceAccountSelector", why));
        }
        let part = drafts.iter().map(|draft| draft.part + 1).max().unwrap_or_default();
        let draft_name = if part == 0 {
            self.policy.name.to_string()
        } else {
            format!("{}-{}", self.policy.name, part + 1)
        };
        for namespace in self.namespaces(chosen, report) {
            drafts.push(Draft {
                api_version: "networking.k8s.io/v1",
                kind: "NetworkPolicy",
                preferred_name: draft_name.clone(),
                tier: tier.clone(),
                source: self.policy.source.clone(),
                part,
                spec: spec(chosen, types, rules, &namespace),
                namespace: Some(namespace),
            });
        }
        Ok(())
    }

    /// The namespaces in which such pods can be.
    fn namespaces(&self, chosen: &PodSelection, report: &mut Report) -> Vec<Text> {
        let there = self.plain.namespaces.iter().filter(|candidate| chosen.may_be_in(candidate));
        let there = there.map(|candidate| candidate.name.clone());
        match chosen.namespace_names() {
            // A name stays what it is, also of a namespace that does not exist yet.
            Some(names) if chosen.is_by_namespace_name_only() => names,
            _ => {
                let why = "a NetworkPolicy is of one namespace: there is one in each that is there, and none in those to come or in those whose labels change";
                report.note(&self.policy.source, self.namespace_word(), Outcome::Snapshot, why);
                report.is_of_these_namespaces = true;
                there.collect()
            }
        }
    }

    fn namespace_word(&self) -> &'static str {
        if self.policy.namespace.is_some() { "spec.selector" } else { "spec.namespaceSelector" }
    }
}

fn spec(chosen: &PodSelection, types: &[Direction], rules: &[&Rule], namespace: &Text) -> Value {
    let mut spec = Map::new();
    spec.insert("podSelector".into(), selector(&chosen.pods));
    spec.insert("policyTypes".into(), types.iter().map(|item| item.name()).collect());
    for direction in Direction::ALL {
        let own: Vec<Value> = rules
            .iter()
            .filter(|rule| rule.direction == direction)
            .map(|rule| rule_value(rule, namespace))
            .collect();
        if !own.is_empty() {
            spec.insert(direction.name().to_lowercase(), own.into());
        }
    }
    Value::Object(spec)
}

fn rule_value(rule: &Rule, namespace: &Text) -> Value {
    let mut written = Map::new();
    if let Some(peers) = &rule.peers {
        let to_value = |peer: &Peer| match peer {
            Peer::Pods(chosen) => Value::Object(pods_as_peer(chosen, Some(namespace))),
            Peer::Block(block) => json!({ "ipBlock": ip_block(block) }),
        };
        let key = if rule.direction == Direction::Ingress { "from" } else { "to" };
        written.insert(key.into(), peers.iter().map(to_value).collect());
    }
    if let Some(traffic) = &rule.traffic {
        // All of them have been written once before.
        let ports = traffic.iter().filter_map(|candidate| port(candidate).ok());
        written.insert("ports".into(), ports.collect());
    }
    Value::Object(written)
}

fn port(traffic: &Traffic) -> Result<Value, Refusal> {
    let written = destination(traffic, "NetworkPolicies know TCP, UDP and SCTP")?;
    if traffic.from.is_some() {
        return Err(Refusal::new("source.ports", "NetworkPolicies know no source ports"));
    }
    if traffic.message.is_some() {
        return Err(Refusal::new("icmp", "NetworkPolicies know no messages"));
    }
    Ok(Value::Object(written))
}
