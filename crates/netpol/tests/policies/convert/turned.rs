//! A conversion of generated policies, and the comparison of both sides.

use netpol::convert::intermediate::PlainPolicies;
use netpol::convert::report::{Outcome, Report};
use netpol::convert::{CalicoPolicies, ConvertedObjects, flatten, kept_calico_policies};
use netpol::engines::calico::{self, Input};
use netpol::gather::Reference;
use netpol::tier::Enforcement;
use netpol::verdict::{Difference, difference};
use netpol::world::mention::Mentions;
use netpol::world::{Cluster, World};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use snapshot::model::{Kind, Text};

use crate::calico::{CalicoObjects as Old, generators};

/// What the objects of a target mean in a world.
pub(super) type Evaluate = Box<dyn Fn(&World) -> Enforcement>;

/// What a conversion made, and what was compared.
pub(super) struct ConversionResult {
    pub(super) objects: Vec<Value>,
    pub(super) report: Report,
    pub(super) world: World,
    /// The policies without what is left out.
    pub(super) before: Enforcement,
    pub(super) after: Enforcement,
}

pub(super) fn reference(object: &Value) -> Reference {
    let text = |key: &str| Text::from(object["metadata"][key].as_str().unwrap_or_default());
    let (namespace, name) = (text("namespace"), text("name"));
    let kind =
        if namespace.is_empty() { Kind::CALICO_GLOBAL_NETWORK_POLICY } else { Kind::CALICO_NETWORK_POLICY };
    Reference { kind, namespace, uid: format!("uid-{name}").into(), name, generation: 1 }
}

/// Converts policies by a writer, and reads what it wrote by `read`.
pub(super) fn turned(
    old: &Old,
    cluster: &Cluster,
    write: impl Fn(&PlainPolicies) -> ConvertedObjects,
    read: impl Fn(&[Value]) -> (Mentions, Evaluate),
) -> ConversionResult {
    let references: Vec<Reference> = old.policies.iter().map(reference).collect();
    let nodes: Vec<_> = cluster.nodes.iter().flat_map(|node| node.addresses.clone()).collect();
    let all = old.read(cluster, |input| {
        let names = input.kubernetes.iter();
        let names =
            names.map(|policy| (Kind::NETWORK_POLICY, Some(policy.namespace.clone()), policy.name.clone()));
        let taken = names.collect();
        let source = CalicoPolicies {
            input: *input,
            references: &references,
            pod_ranges: &cluster.pod_ranges,
            node_addresses: &nodes,
            taken_names: &taken,
        };
        let mut report = Report::default();
        let plain = flatten(&source, &mut report).expect("tiers");
        let ConvertedObjects { objects, report: more } = write(&plain);
        report.extend(more);
        let (kept, _) = kept_calico_policies(input.policies.to_vec(), references.clone(), &report.omissions);
        let rest = Input { policies: &kept, ..*input };
        let (mentions, evaluate) = read(&objects);
        let mentions = calico::mentions(&rest).expect("selectors").with(mentions);
        let world = World::new_bounded(cluster, &mentions, !report.is_of_these_namespaces);
        let (before, after) = (calico::enforcement(&rest, &world).expect("tiers"), evaluate(&world));
        ConversionResult { objects, report, world, before, after }
    });
    all.expect("what the API accepts")
}

impl ConversionResult {
    pub(super) fn difference(&self) -> Option<Difference> {
        difference(&self.world, &self.before, &self.after)
    }

    /// The packet of which both sides say different things, with everything that a person needs to see why.
    pub(super) fn explanation(&self) -> Option<String> {
        let difference = self.difference()?;
        let objects = serde_json::to_string_pretty(&self.objects).expect("JSON");
        Some(format!("{}\n{objects}\n{:#?}", difference.words(&self.world), self.report.entries))
    }
}

/// How many rules some objects have, the ends of tiers left out.
pub(super) fn rules(objects: &[Value]) -> usize {
    let options_of =
        |object: &Value| ["ingress", "egress"].map(|way| object["spec"][way].as_array().cloned());
    let all = objects.iter().flat_map(options_of).flatten().flatten();
    all.filter(|rule| rule["name"] != "end").count()
}

/// How many rules of 128 generated sets a writer writes, and how many the sets have. Properties say something only of what is written.
pub(super) fn share(converted: impl Fn(&Old) -> ConversionResult) -> (usize, usize) {
    let mut runner = TestRunner::deterministic();
    (0..128).fold((0, 0), |(reported, all), _| {
        let old = generators::written().new_tree(&mut runner).expect("policies").current().possible();
        (reported + rules(&converted(&old).objects), all + rules(&old.policies))
    })
}

/// Only policies whose order does not matter: those of one tier that allow.
pub(super) fn allowing(mut written: Old) -> Old {
    written.tiers.clear();
    for policy in &mut written.policies {
        policy["spec"].as_object_mut().expect("a spec").remove("tier");
        for way in ["ingress", "egress"] {
            for rule in policy["spec"][way].as_array_mut().into_iter().flatten() {
                rule["action"] = json!("Allow");
            }
        }
    }
    written.possible()
}

/// A policy of Calico, of a namespace or global.
pub(super) fn policy(namespace: Option<&str>, name: &str, spec: Value) -> Value {
    match namespace {
        Some(namespace) => json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec}),
        None => json!({"metadata": {"name": name}, "spec": spec}),
    }
}

/// A tier of Calico.
pub(super) fn tier(name: &str, order: u32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"order": order}})
}

/// A NetworkPolicy of Kubernetes that lets everybody send its pods TCP to a port.
pub(super) fn network_policy(namespace: &str, role: &str, port: u16) -> Value {
    let metadata = json!({"name": "k", "namespace": namespace});
    let spec =
        json!({"podSelector": {"matchLabels": {"role": role}}, "ingress": [{"ports": [{"port": port}]}]});
    json!({"metadata": metadata, "spec": spec})
}

/// The rules and the policies that are left out, each with its field.
pub(super) fn left(turned: &ConversionResult) -> Vec<String> {
    let entries = turned.report.entries.iter().filter(|entry| entry.outcome == Outcome::Impossible);
    entries.map(|entry| format!("{} {}", entry.object.name, entry.field)).collect()
}
