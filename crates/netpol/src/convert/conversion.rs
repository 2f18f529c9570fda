//! A conversion: what is written, what became of every field, and whether both sides mean the same. The policies that the cluster has are compared without
//! what the conversion leaves out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;
use snapshot::model::{Kind, Text};

use super::fields::completed_entries;
use super::lowering::{CalicoPolicies, flatten};
use super::pod_addresses;
use super::report::{Entry, Omission, Refusal, Report};
use super::waiver::{StaleWaiver, Waivers};
use super::writers::Target;
use super::writers::cilium::note_named_ports;
use crate::compare::Effect;
use crate::compare::{Bound, Comparison, compare, compare_mixed};
use crate::convert::objects::ConvertedObjects;
use crate::convert::objects::names;
use crate::engines::calico::RuleAction;
use crate::engines::{calico, kubernetes};
use crate::gather::Reference;
use crate::gather::{Calico, Engine, EnginePolicies, Policies, UnreadObject};
use crate::tier::Direction;
use crate::verdict::Difference;
use crate::world::{Cluster, World};

/// How many packets are shown of a moment of the migration.
const EXAMPLES: usize = 3;

/// What is to be converted.
#[derive(Debug, Clone, Copy)]
pub struct ConversionInput<'a> {
    /// The policies as they are enforced now.
    pub before: &'a Policies,
    /// The objects of the policies, for the fields that they set.
    pub written: &'a [(Reference, &'a Value)],
    /// The objects of which those were read.
    pub present: &'a [&'a Value],
    pub cluster: &'a Cluster,
    /// The kind of policies to write.
    pub target: Target,
    /// Who enforces what is written.
    pub after: Engine,
    /// The kinds of policies that the old CNI enforces.
    pub enforced: &'a [Kind],
    /// The objects that the new CNI finds in the cluster already.
    pub existing: &'a [&'a Value],
    /// Losses that the operator accepts.
    pub waivers: &'a Waivers,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// The objects to apply.
    pub objects: Vec<Value>,
    /// What became of every field.
    pub entries: Vec<Entry>,
    /// Packets that are treated in another way.
    pub packets: Vec<Packet>,
    /// Waivers that count for no object as it is now.
    pub stale: Vec<StaleWaiver>,
    /// Packets that are treated in another way in the course of a migration.
    pub moments: Vec<Moment>,
    /// What both sides were compared in.
    pub bound: Bound,
}

/// A moment of a migration, and packets that are treated in another way than before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// Which moment it is.
    #[serde(rename = "when")]
    pub kind: MomentKind,
    /// Packets, at most a few, but for those that are treated in another way in the end, too; none if all others are treated alike.
    pub packets: Vec<Packet>,
    /// The first policy that is enforced at this moment and that the evaluator does not take, with the reason: how packets are treated is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// A moment of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "When"))]
#[serde(rename_all = "kebab-case")]
pub enum MomentKind {
    /// The old CNI enforces policies, and what was written is applied already.
    Applied,
    /// Pods of both networks are there: packets of those on the old one, where the old CNI enforces policies.
    OldNetwork,
    /// The same: packets of those on the new one, where the new CNI enforces policies.
    NewNetwork,
}

/// A packet that is treated in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Packet {
    /// The packet and both verdicts, as a person reads them; several lines.
    pub words: String,
    /// Whether packets are let through that were dropped, or the other way round.
    pub effect: Effect,
    /// The policy whose rule decided before, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Reference>,
}

/// Converts policies.
///
/// # Errors
/// As [`compared`].
pub fn convert_policies(input: &ConversionInput<'_>) -> Result<Conversion, String> {
    let mut accepted: BTreeMap<Omission, (Effect, String)> = BTreeMap::new();
    loop {
        let round = Round::run(input, &accepted)?;
        let more: Vec<_> =
            round.differences().filter_map(|difference| round.find_accepted(input, difference)).collect();
        if more.is_empty() {
            return round.into_conversion(input);
        }
        accepted.extend(more);
    }
}

/// One comparison: everything that is left out is left out on both sides.
struct Round {
    objects: Vec<Value>,
    report: Report,
    origins: HashMap<Text, RulePlace>,
    before: Policies,
    after: Policies,
    comparison: Comparison,
}

impl Round {
    fn run(
        input: &ConversionInput<'_>,
        accepted: &BTreeMap<Omission, (Effect, String)>,
    ) -> Result<Self, String> {
        let mut report = unread_report(input.before);
        pod_addresses::replace_in_kubernetes(input.before, &input.cluster.pod_ranges, &mut report);
        if !names_are_of_cluster(input.before.engine()) && names_are_of_cluster(input.after) {
            note_named_ports(input.before, &mut report);
        }
        for (omission, (effect, why)) in accepted {
            if let Omission::Rule(object, direction, number) = omission {
                let why = format!("a packet is treated in another way: {why}");
                report.leave_rule(object, (*direction, *number), *effect, Refusal::new("", why));
            }
        }
        let objects = match &input.before.engine_policies {
            EnginePolicies::Calico(own) => convert(input, own, &mut report)?,
            EnginePolicies::Kubernetes(..) | EnginePolicies::Antrea(_) | EnginePolicies::Cilium(..) => {
                Vec::new()
            }
        };
        let before = without_omissions(input.before, &report.omissions);
        let mut after = Policies::read(input.after, input.existing.iter().copied().chain(&objects));
        without_kubernetes(&mut after, &report.omissions);
        for unread_object in &after.unread {
            let why = format!("{}: {}", input.after.name(), unread_object.why);
            report.leave_policy(&unread_object.object, Refusal::new("spec", why));
        }
        let comparison = compare(input.cluster, &before, &after, !report.is_of_these_namespaces)?;
        Ok(Self { objects, report, origins: origins(&before), before, after, comparison })
    }

    fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.comparison.differences.iter()
    }

    /// The rule that decided before, if the operator accepts losses of its policy and it is not left out yet.
    fn find_accepted(
        &self,
        input: &ConversionInput<'_>,
        difference: &Difference,
    ) -> Option<(Omission, (Effect, String))> {
        let (object, direction, number) = self.origins.get(difference.before.decided_by.as_ref()?)?;
        let omission = Omission::Rule(object.clone(), *direction, *number);
        input.waivers.reason(object)?;
        let text = format!("{}: before {}, after {}", difference.kind, difference.before, difference.after);
        (!self.report.omissions.contains(&omission)).then(|| (omission, (difference.effect(), text)))
    }

    fn packet(&self, world: &World, difference: &Difference) -> Packet {
        let origin = difference.before.decided_by.as_ref().and_then(|origin| self.origins.get(origin));
        Packet {
            words: difference.words(world),
            effect: difference.effect(),
            object: origin.map(|(object, ..)| object.clone()),
        }
    }

    /// What happens in the course of a migration: with all policies that are there, also those that are left out.
    fn moments(&self, input: &ConversionInput<'_>) -> Result<Vec<Moment>, String> {
        let is_enforced = |object: &&Value| {
            let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
            Kind::find(text("apiVersion"), text("kind")).is_some_and(|kind| input.enforced.contains(&kind))
        };
        let objects = input.present.iter().copied().chain(self.objects.iter().filter(is_enforced));
        let applied = Policies::read(input.before.engine(), objects);
        let is_new = |unread_object: &&UnreadObject| {
            !input.before.unread.iter().any(|other| other.object == unread_object.object)
        };
        let unknown = applied
            .unread
            .iter()
            .find(is_new)
            .map(|unread_object| format!("{}: {}", unread_object.object, unread_object.why));
        let with_new_namespaces = self.comparison.bound.with_new_namespaces;
        // What cannot be read is the same on both sides; the rules beside it decide as ever.
        let unread = unread_report(input.before).omissions;
        let (now, applied) = (without_omissions(input.before, &unread), without_omissions(&applied, &unread));
        let applied = compare(input.cluster, &now, &applied, with_new_namespaces)?;
        let mixed = compare_mixed(&self.comparison, &self.before, &self.after)?;
        // A difference that stays when all pods have moved is reported by itself.
        let lasting: BTreeSet<_> = self.differences().map(Difference::rules).collect();
        let new: Vec<_> =
            mixed.new.iter().filter(|difference| !lasting.contains(&difference.rules())).cloned().collect();
        let moment = |when, world: &World, differences: &[Difference]| Moment {
            kind: when,
            packets: differences
                .iter()
                .take(EXAMPLES)
                .map(|difference| self.packet(world, difference))
                .collect(),
            unread: None,
        };
        let first = moment(MomentKind::Applied, &applied.world, &applied.differences);
        Ok(vec![
            Moment { unread: unknown, ..first },
            moment(MomentKind::OldNetwork, &mixed.world, &mixed.old),
            moment(MomentKind::NewNetwork, &mixed.world, &new),
        ])
    }

    fn into_conversion(mut self, input: &ConversionInput<'_>) -> Result<Conversion, String> {
        let packets =
            self.differences().map(|difference| self.packet(&self.comparison.world, difference)).collect();
        let moments = self.moments(input)?;
        for entry in self.report.entries.iter_mut().filter(|entry| entry.stops()) {
            entry.waived = input.waivers.reason(&entry.object).map(str::to_owned);
        }
        Ok(Conversion {
            entries: completed_entries(&self.report, input.written),
            packets,
            moments,
            stale: input.waivers.stale_waivers(input.written.iter().map(|(reference, _)| reference)),
            bound: self.comparison.bound,
            objects: self.objects,
        })
    }
}

/// Whether a port's name is one number in the whole cluster for what pods send.
const fn names_are_of_cluster(engine: Engine) -> bool {
    match engine {
        Engine::Cilium(_) => true,
        Engine::Kubernetes(blocks) => blocks.names_of_cluster,
        Engine::Calico | Engine::Antrea => false,
    }
}

/// What no evaluator reads is left out, and with it what it means.
fn unread_report(before: &Policies) -> Report {
    let mut report = Report::default();
    let partly: Vec<_> = match &before.engine_policies {
        EnginePolicies::Calico(own) => own.partial.iter().collect(),
        EnginePolicies::Kubernetes(..) | EnginePolicies::Antrea(_) | EnginePolicies::Cilium(..) => Vec::new(),
    };
    for unread_object in &before.unread {
        if !partly.iter().any(|other| other.object == unread_object.object) {
            report.leave_policy(&unread_object.object, refusal("spec", &unread_object.why));
        }
    }
    for partial in partly {
        for refused in &partial.refused {
            let place = (refused.direction, refused.number);
            report.leave_rule(&partial.object, place, Effect::Unknown, refusal("", &refused.why));
        }
    }
    report
}

/// What a reader says, with the field that it names first: `source.services: the endpoints of ..`.
fn refusal(part: &str, why: &str) -> Refusal {
    match why.split_once(": ") {
        Some((field, rest)) if field.starts_with(part) && !field.contains(char::is_whitespace) => {
            Refusal::new(field, rest)
        }
        _ => Refusal::new(part, why),
    }
}

fn convert(
    conversion_input: &ConversionInput<'_>,
    own: &Calico,
    report: &mut Report,
) -> Result<Vec<Value>, String> {
    let (policies, references) = calico_objects(own);
    let input = crate::engines::calico::Input {
        policies: &policies,
        ..own.input(&conversion_input.before.kubernetes.entries)
    };
    let nodes: Vec<_> =
        conversion_input.cluster.nodes.iter().flat_map(|node| node.addresses.iter().copied()).collect();
    let source = CalicoPolicies {
        input,
        references: &references,
        pod_ranges: &conversion_input.cluster.pod_ranges,
        node_addresses: &nodes,
        taken_names: &names(conversion_input.present.iter().chain(conversion_input.existing).copied()),
    };
    let plain = flatten(&source, report)?;
    let ConvertedObjects { objects, report: more } = conversion_input.target.write(&plain);
    report.extend(more);
    Ok(objects)
}

impl Conversion {
    /// The entries that stop the conversion.
    pub fn stops(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.stops())
    }

    /// Everything is converted but what the operator accepted, and means the same.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.stops().next().is_none() && self.packets.is_empty() && self.stale.is_empty()
    }
}

/// A rule of an object.
pub(super) type RulePlace = (Reference, Direction, usize);

/// Calico's policies, those among them of which only some rules could be read, with their objects.
pub(super) fn calico_objects(own: &Calico) -> (Vec<calico::Policy>, Vec<Reference>) {
    let partly = own.partial.iter().map(|partial| (partial.policy.clone(), partial.object.clone()));
    own.policies.iter().map(|(reference, policy)| (policy.clone(), reference.clone())).chain(partly).unzip()
}

/// The policies without what is left out.
pub(super) fn without_omissions(policies: &Policies, omissions: &BTreeSet<Omission>) -> Policies {
    let mut remaining = policies.clone();
    if let EnginePolicies::Calico(own) = &mut remaining.engine_policies {
        let (all, references) = calico_objects(own);
        own.partial.clear();
        (own.policies.entries, own.policies.references) = kept_calico_policies(all, references, omissions);
    }
    without_kubernetes(&mut remaining, omissions);
    remaining
}

/// Calico's policies without what is left out, with their objects. A rule that is left out decides nothing, and the numbers of the others stay.
#[must_use]
pub fn kept_calico_policies(
    policies: Vec<calico::Policy>,
    objects: Vec<Reference>,
    omissions: &BTreeSet<Omission>,
) -> (Vec<calico::Policy>, Vec<Reference>) {
    let pairs = policies.into_iter().zip(objects);
    let pairs_left = pairs.filter(|(_, object)| !omissions.contains(&Omission::Policy(object.clone())));
    let to_policy = |(mut policy, object): (calico::Policy, Reference)| {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if omissions.contains(&Omission::Rule(object.clone(), direction, number)) {
                    rule.action = RuleAction::Log;
                }
            }
        }
        (policy, object)
    };
    pairs_left.map(to_policy).unzip()
}

/// The same of NetworkPolicies of Kubernetes alone, which are there before and after.
pub(super) fn without_kubernetes(policies: &mut Policies, omissions: &BTreeSet<Omission>) {
    for (policy, object) in policies.kubernetes.entries.iter_mut().zip(&policies.kubernetes.references) {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            for (number, rule) in rules.iter_mut().enumerate() {
                if omissions.contains(&Omission::Rule(object.clone(), direction, number)) {
                    *rule = kubernetes::Rule::new_empty();
                }
            }
        }
    }
}

/// The rules of all objects by how verdicts name them, and what happens without each.
pub(super) fn origins(policies: &Policies) -> HashMap<Text, RulePlace> {
    let mut all = HashMap::new();
    let mut add = |name: String, object: &Reference, numbers: [usize; 2]| {
        for (direction, count) in Direction::ALL.into_iter().zip(numbers) {
            for number in 0..count {
                let origin = format!("{name} {}", crate::convert::intermediate::place(direction, number));
                all.insert(origin.into(), (object.clone(), direction, number));
            }
        }
    };
    if let EnginePolicies::Calico(own) = &policies.engine_policies {
        for (object, policy) in own.policies.iter() {
            add(calico::name_policy(policy), object, [policy.ingress.len(), policy.egress.len()]);
        }
    }
    for (object, policy) in policies.kubernetes.iter() {
        let name = format!("NetworkPolicy {}/{}", policy.namespace, policy.name);
        add(name, object, [policy.ingress.len(), policy.egress.len()]);
    }
    all
}
