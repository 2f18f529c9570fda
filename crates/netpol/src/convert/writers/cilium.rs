//! CiliumNetworkPolicies and CiliumClusterwideNetworkPolicies: one for each policy, with a set of rules for each way in which its selector can be
//! true. Cilium has neither order nor tiers, and what it denies it denies before all that is allowed.
//!
//! For the releases 1.15 to 1.18. *Source*: Cilium, "Layer 3 Policies", "Layer 4 Policies", "Deny Policies", "Policy Enforcement Modes";
//! cilium/cilium, `pkg/policy/api`. Cilium always lets a node reach the pods that run on it.

mod addresses;
mod order;
mod peers;
mod ports;
mod selector;

use serde_json::{Map, Value, json};

use self::order::{Form, Order, OrderedPolicy, reached_rules};
use self::peers::{Note, end, ways};
use self::ports::fields;
pub(crate) use self::ports::note_named_ports;
use self::selector::{filtered_keys, subject};
use crate::convert::intermediate::{Peer, PlainPolicies, PodSelection, Policy, Rule};
use crate::convert::objects::ConvertedObjects;
use crate::convert::objects::{Draft, name_drafts};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::engines::cilium::Settings;
use crate::tier::Direction;

/// The policies as Cilium's. [`Settings::has_port_ranges`] also says whether the release has the field `enableDefaultDeny`: 1.16 is the first one
/// with either.
#[must_use]
pub fn write(plain: &PlainPolicies, settings: Settings) -> ConvertedObjects {
    let mut report = Report::default();
    let writer = Writer { plain, settings };
    let mut reported = Vec::new();
    for (index, tier) in plain.tiers.iter().enumerate() {
        for policy in &tier.policies {
            match writer.draft_policy(policy, index, &mut report) {
                Ok(draft) => reported.push(draft),
                Err(refusal) => report.leave_policy(&policy.source, refusal),
            }
        }
    }
    let order = Order::new(plain, reported.iter().map(PolicyDraft::to_ordered).collect());
    let mut drafts = Vec::new();
    for (place, draft) in reported.iter().enumerate() {
        let mut notes = Report::default();
        match writer.specs(draft, &order, place, &mut notes) {
            Ok(specs) => {
                report.extend(notes);
                drafts.extend(draft.draft(plain, specs));
            }
            Err(refusal) => report.leave_policy(&draft.policy.source, refusal),
        }
    }
    ConvertedObjects { objects: name_drafts(drafts, &plain.taken_names), report }
}

struct Writer<'p> {
    plain: &'p PlainPolicies,
    settings: Settings,
}

/// A policy with what Cilium can express of it.
struct PolicyDraft<'p> {
    tier: usize,
    policy: &'p Policy,
    /// The selectors of its pods.
    selectors: Vec<Value>,
    rules: Vec<RuleDraft<'p>>,
}

/// A rule in Cilium's words.
struct RuleDraft<'p> {
    rule: &'p Rule,
    /// The selectors of its pods, where these are not all that the policy selects.
    selectors: Option<Vec<Value>>,
    /// Rules that are the rule together.
    bodies: Vec<Value>,
}

impl<'p> PolicyDraft<'p> {
    fn to_ordered(&self) -> OrderedPolicy<'p> {
        let policy = self.policy;
        let rules = reached_rules(policy.rules.iter().filter(|rule| self.rule(rule).is_some()));
        OrderedPolicy { tier: self.tier, policy, rules }
    }

    fn rule(&self, rule: &Rule) -> Option<&RuleDraft<'p>> {
        self.rules.iter().find(|draft| std::ptr::eq(draft.rule, rule))
    }

    fn draft(&self, plain: &PlainPolicies, mut specs: Vec<Value>) -> Option<Draft> {
        let Policy { source, name, namespace, .. } = self.policy;
        let spec = if specs.len() > 1 { Value::from(specs) } else { specs.pop()? };
        let kind = if namespace.is_some() { "CiliumNetworkPolicy" } else { "CiliumClusterwideNetworkPolicy" };
        Some(Draft {
            api_version: "cilium.io/v2",
            kind,
            namespace: namespace.clone(),
            preferred_name: name.to_string(),
            tier: plain.tiers[self.tier].name.clone(),
            source: source.clone(),
            part: 0,
            spec,
        })
    }
}

impl<'p> Writer<'p> {
    fn draft_policy(
        &self,
        policy: &'p Policy,
        tier: usize,
        report: &mut Report,
    ) -> Result<PolicyDraft<'p>, Refusal> {
        let of_policy = |why| Refusal::new("spec.selector", why);
        let selectors = selectors(&policy.subjects, policy).map_err(of_policy)?;
        for chosen in &policy.subjects {
            note_filtered(chosen, policy, "spec.selector", report);
        }
        let mut rules = Vec::new();
        for rule in &policy.rules {
            let mut notes = Vec::new();
            match self.draft_rule(rule, policy, &mut notes) {
                Ok(draft) => {
                    rules.push(draft);
                    for (field, outcome, why) in notes {
                        report.note(&policy.source, format!("{}.{field}", rule.place()), outcome, why);
                    }
                    note_rule(rule, policy, report);
                }
                Err(refusal) => report.leave_out(policy, rule, refusal),
            }
        }
        Ok(PolicyDraft { tier, policy, selectors, rules })
    }

    fn draft_rule(
        &self,
        rule: &'p Rule,
        policy: &Policy,
        notes: &mut Vec<Note>,
    ) -> Result<RuleDraft<'p>, Refusal> {
        let own = if rule.direction == Direction::Ingress { "destination" } else { "source" };
        let selectors = rule.subjects.as_ref().map(|subjects| selectors(subjects, policy)).transpose();
        let selectors = selectors.map_err(|why| Refusal::new(own, why))?;
        let ways = ways(rule, self.plain, self.settings, notes)?;
        let fields = fields(rule, &ways, self.settings, notes)?;
        let prefix = if rule.direction == Direction::Ingress { "from" } else { "to" };
        let mut bodies = Vec::new();
        for (key, value) in ways {
            let mut body = Map::new();
            body.insert(format!("{prefix}{key}"), value);
            let Some(fields) = &fields else {
                bodies.push(Value::Object(body));
                continue;
            };
            for (field, traffic) in fields {
                let mut body = body.clone();
                body.insert((*field).to_owned(), traffic.clone());
                bodies.push(Value::Object(body));
            }
        }
        Ok(RuleDraft { rule, selectors, bodies })
    }

    /// The sets of rules of a policy.
    fn specs(
        &self,
        draft: &PolicyDraft<'_>,
        order: &Order<'_>,
        place: usize,
        report: &mut Report,
    ) -> Result<Vec<Value>, Refusal> {
        let policy = draft.policy;
        let isolated: Vec<Direction> =
            policy.types.iter().copied().filter(|candidate| order.isolates(place, *candidate)).collect();
        if isolated.iter().any(|direction| order.is_before_others(place, *direction)) {
            let why = "Cilium has no tiers: what a policy of a later tier allows is allowed, also where this tier drops it";
            report.note(&policy.source, "spec.tier", Outcome::Expanded, why);
        }
        let (mut common, mut narrowed) = (Vec::new(), Vec::new());
        for (number, rule) in order.policies()[place].rules.iter().enumerate() {
            let (form, why) = order.form(place, number);
            if let Some(why) = why {
                report.note(&policy.source, format!("{}.action", rule.place()), Outcome::Expanded, why);
            }
            let Some(rule_draft) = draft.rule(rule).filter(|_| form != Form::Nothing) else { continue };
            if rule_draft.selectors.is_some() { &mut narrowed } else { &mut common }.push((rule_draft, form));
        }
        let mut specs = Vec::new();
        for selector in &draft.selectors {
            specs.extend(self.spec(selector, &policy.types, &isolated, &common)?);
        }
        for (rule_draft, form) in narrowed {
            // The pods of such a rule are some of those above, so no pod is isolated that was not.
            for selector in rule_draft.selectors.iter().flatten() {
                specs.extend(self.spec(
                    selector,
                    &[rule_draft.rule.direction],
                    &isolated,
                    &[(rule_draft, form)],
                )?);
            }
        }
        if specs.is_empty() {
            report.note(
                &policy.source,
                "spec",
                Outcome::Exact,
                "it decides nothing, so nothing is written for it",
            );
        }
        Ok(specs)
    }

    /// One set of rules; none if it says nothing.
    fn spec(
        &self,
        selector: &Value,
        types: &[Direction],
        isolated: &[Direction],
        rules: &[(&RuleDraft<'_>, Form)],
    ) -> Result<Option<Value>, Refusal> {
        let mut spec = Map::new();
        let mut open = Map::new();
        for direction in types {
            let way = direction.name().to_lowercase();
            let values_of = |api_form: Form| -> Vec<Value> {
                let own = rules
                    .iter()
                    .filter(|(draft, form)| draft.rule.direction == *direction && *form == api_form);
                own.flat_map(|(draft, _)| draft.bodies.clone()).collect()
            };
            let (mut allowed, denied) = (values_of(Form::Allow), values_of(Form::Deny));
            if isolated.contains(direction) {
                if allowed.is_empty() {
                    // A rule that says nothing allows nothing, and with it everything is denied by default.
                    allowed.push(json!({}));
                }
            } else if !allowed.is_empty() || !denied.is_empty() {
                open.insert(way.clone(), false.into());
            }
            if !denied.is_empty() {
                spec.insert(format!("{way}Deny"), denied.into());
            }
            if !allowed.is_empty() {
                spec.insert(way, allowed.into());
            }
        }
        if spec.is_empty() {
            return Ok(None);
        }
        if !open.is_empty() {
            if !self.settings.has_port_ranges {
                let why =
                    "policies that deny nothing by default: this release of Cilium has no enableDefaultDeny";
                return Err(Refusal::new("spec.tier", why));
            }
            spec.insert("enableDefaultDeny".into(), open.into());
        }
        spec.insert("endpointSelector".into(), selector.clone());
        Ok(Some(spec.into()))
    }
}

/// The selectors of these pods in a policy.
fn selectors(subjects: &[PodSelection], policy: &Policy) -> Result<Vec<Value>, String> {
    let all: Result<Vec<_>, String> =
        subjects.iter().map(|selection| subject(selection, policy.namespace.as_ref())).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// Notes labels of a rule's ends that Cilium may not know.
fn note_rule(rule: &Rule, policy: &Policy, report: &mut Report) {
    let place = rule.place();
    for chosen in rule.subjects.iter().flatten() {
        let own = if rule.direction == Direction::Ingress { "destination" } else { "source" };
        note_filtered(chosen, policy, &format!("{place}.{own}"), report);
    }
    for peer in rule.peers.iter().flatten() {
        if let Peer::Pods(chosen) = peer {
            note_filtered(chosen, policy, &format!("{place}.{}", end(rule.direction)), report);
        }
    }
}

fn note_filtered(chosen: &PodSelection, policy: &Policy, field: &str, report: &mut Report) {
    for key in filtered_keys(chosen) {
        let why = format!(
            "{key}: Cilium leaves this label out of the identities of pods, so the selector judges all pods as if they had none, unless Cilium's setting `labels` has the key"
        );
        report.note(&policy.source, field, Outcome::Snapshot, why);
    }
}
