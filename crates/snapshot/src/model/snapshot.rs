//! The whole snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Budget, EndpointSlice, Kind, Node, Object, Pod, Service, Workload};

/// What is known of the cluster itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Cluster {
    /// The UID of the namespace kube-system: another cluster has another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The API server's version: `v1.31.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the snapshot was taken, in RFC 3339, by the API server's clock.
    #[serde(rename = "taken", skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
}

/// How the objects of a kind came into the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Reading {
    /// All objects of the cluster are in it.
    Read,
    /// The cluster does not serve this kind, so there is no such object.
    NotServed,
    /// The API server refused to list them; its words.
    Forbidden(String),
    /// Not all objects of the cluster are in it, or not as they were at one moment; why.
    Incomplete(String),
}

/// An object that could not be read, so that no check knows what is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Illegible"))]
#[serde(deny_unknown_fields)]
pub struct IllegibleObject {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a kind without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why it could not be read.
    pub why: String,
}

/// The namespaces in which CNIs and distributions run their agents. Tenants have no rights there: the name `kube-` is Kubernetes' own.
///
/// *Source*: Kubernetes, "Namespaces"; the manifests and charts of Calico 3.30 (`calico-system`, `tigera-operator`, `kube-system`), Flannel 0.27
/// (`kube-flannel`), Cilium 1.18 (`kube-system`; `cilium` on OpenShift and in many guides, `cilium-system`), Antrea 2.4 and the Amazon VPC CNI 1.20
/// (`kube-system`).
const SYSTEM: [&str; 4] = ["calico-system", "cilium", "cilium-system", "tigera-operator"];

/// Whether tenants have no rights in a namespace.
#[must_use]
pub fn is_system(namespace: &str) -> bool {
    namespace.starts_with("kube-") || SYSTEM.contains(&namespace)
}

/// A cluster at one moment.
#[derive(Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The cluster itself.
    pub cluster: Cluster,
    /// How each kind was read. A kind that is not here was not asked for, and nothing is known about its objects.
    pub readings: BTreeMap<Kind, Reading>,
    /// Nodes by name.
    pub nodes: Vec<Node>,
    /// Pods by namespace and name.
    pub pods: Vec<Pod>,
    /// Deployments, DaemonSets and so on, each kind by namespace and name.
    pub workloads: BTreeMap<Kind, Vec<Workload>>,
    /// PodDisruptionBudgets by namespace and name.
    pub budgets: Vec<Budget>,
    /// Services by namespace and name.
    pub services: Vec<Service>,
    /// EndpointSlices by namespace and name.
    pub endpoint_slices: Vec<EndpointSlice>,
    /// Objects of all other kinds, each kind by namespace and name.
    pub objects: BTreeMap<Kind, Vec<Object>>,
    /// The objects that could not be read. All others of their kinds are there.
    pub illegible: Vec<IllegibleObject>,
}

impl Snapshot {
    /// The snapshot has all objects of this kind: it was read, or the cluster does not serve it.
    #[must_use]
    pub fn knows(&self, kind: Kind) -> bool {
        matches!(self.readings.get(&kind), Some(Reading::Read | Reading::NotServed))
    }

    /// Workloads of a kind; none for another kind.
    #[must_use]
    pub fn workloads(&self, kind: Kind) -> &[Workload] {
        self.workloads.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Objects of a rare kind.
    #[must_use]
    pub fn objects(&self, kind: Kind) -> &[Object] {
        self.objects.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The object of a rare kind with this name, rather in a namespace of the system than in any other.
    #[must_use]
    pub fn object(&self, kind: Kind, name: &str) -> Option<&Object> {
        let named = self.objects(kind).iter().filter(|object| object.name() == name);
        named.min_by_key(|object| !is_system(object.namespace()))
    }

    /// The DaemonSet with this name, rather in a namespace of the system than in any other. RKE2 writes its own name before that of a CNI's.
    #[must_use]
    pub fn daemon_set(&self, name: &str) -> Option<&Workload> {
        let is_named =
            |workload: &&Workload| workload.name().strip_prefix("rke2-").unwrap_or(workload.name()) == name;
        let named = self.workloads(Kind::DAEMON_SET).iter().filter(is_named);
        named.min_by_key(|workload| (!is_system(workload.namespace()), workload.name() != name))
    }

    /// Sorts all objects by namespace and name, and drops all but the last of several with one name. A resource of Calico stays rather than the object
    /// in which it is stored. Of each kind of which two objects have one name and one version of the API, and say different things, the first name is
    /// returned: `shop/web`.
    pub fn sort(&mut self) -> BTreeMap<Kind, String> {
        self.illegible.sort();
        self.illegible.dedup();
        let mut twice = BTreeMap::new();
        let mut add = |kind: Kind, name: Option<String>| {
            name.map(|name| twice.entry(kind).or_insert(name));
        };
        add(
            Kind::NODE,
            sort_by_name(&mut self.nodes, |node| (&node.metadata.namespace, &node.metadata.name)),
        );
        add(Kind::POD, sort_by_name(&mut self.pods, |pod| (&pod.metadata.namespace, &pod.metadata.name)));
        add(
            Kind::POD_DISRUPTION_BUDGET,
            sort_by_name(&mut self.budgets, |budget| (&budget.metadata.namespace, &budget.metadata.name)),
        );
        add(
            Kind::SERVICE,
            sort_by_name(&mut self.services, |service| (&service.metadata.namespace, &service.metadata.name)),
        );
        add(
            Kind::ENDPOINT_SLICE,
            sort_by_name(&mut self.endpoint_slices, |slice| {
                (&slice.metadata.namespace, &slice.metadata.name)
            }),
        );
        for (kind, workloads) in &mut self.workloads {
            add(
                *kind,
                sort_by_name(workloads, |workload| (&workload.metadata.namespace, &workload.metadata.name)),
            );
        }
        for (kind, objects) in &mut self.objects {
            objects.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
            objects.dedup_by(|later, first| {
                let is_same = is_same(later, first);
                if is_same && later.text("/apiVersion") == first.text("/apiVersion") && later != first {
                    add(*kind, Some(path(later.namespace(), later.name())));
                }
                if is_same && (!later.is_backing() || first.is_backing()) {
                    std::mem::swap(later, first);
                }
                is_same
            });
        }
        twice
    }
}

fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

fn is_same(a: &Object, b: &Object) -> bool {
    (a.namespace(), a.name()) == (b.namespace(), b.name())
}

/// The first name that two of them have which say different things.
fn sort_by_name<T: PartialEq>(
    all: &mut Vec<T>,
    name: impl for<'a> Fn(&'a T) -> (&'a super::Text, &'a super::Text),
) -> Option<String> {
    let mut twice = None;
    all.sort_by(|a, b| name(a).cmp(&name(b)));
    all.dedup_by(|later, first| {
        let is_same = name(later) == name(first);
        if is_same {
            if later != first {
                let (namespace, name) = name(later);
                twice.get_or_insert_with(|| path(namespace, name));
            }
            std::mem::swap(later, first);
        }
        is_same
    });
    twice
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_of_several_objects_with_one_name_stays() {
        let node = |name: &str, cordoned: bool| {
            let mut node = Node::default();
            node.metadata.name = name.into();
            node.spec.unschedulable = cordoned;
            node
        };
        let mut snapshot = Snapshot {
            nodes: vec![node("b", false), node("a", false), node("b", true)],
            ..Snapshot::default()
        };
        snapshot.sort();
        let nodes: Vec<_> =
            snapshot.nodes.iter().map(|node| (node.name(), node.spec.unschedulable)).collect();
        assert_eq!(nodes, [("a", false), ("b", true)]);
    }

    #[test]
    fn a_resource_of_calico_stays_rather_than_what_it_is_stored_in() {
        let pool = |api: &str, number: u8| {
            let value = json!({"apiVersion": api, "metadata": {"name": "p"}, "spec": {"number": number}});
            Object::new(Kind::IP_POOL, value).expect("kept")
        };
        let (stored, own) = ("crd.projectcalico.org/v1", "projectcalico.org/v3");
        for (all, stays) in [
            ([stored, own, stored], 1),
            ([own, stored, stored], 0),
            ([stored, stored, stored], 2),
            ([own, stored, own], 2),
        ] {
            let pools = (0..).zip(all).map(|(number, api)| pool(api, number)).collect();
            let mut snapshot = Snapshot { objects: [(Kind::IP_POOL, pools)].into(), ..Snapshot::default() };
            snapshot.sort();
            let numbers: Vec<_> =
                snapshot.objects(Kind::IP_POOL).iter().map(|object| object.pointer("/spec/number")).collect();
            assert_eq!(numbers, [Some(&json!(stays))], "{all:?}");
        }
    }

    #[test]
    fn an_object_of_a_tenant_does_not_stand_for_that_of_the_system() {
        let map = |namespace: &str| {
            let value = json!({"metadata": {"name": "cilium-config", "namespace": namespace}, "data": {"a": namespace}});
            Object::new(Kind::CONFIG_MAP, value).expect("kept")
        };
        let set = |namespace: &str, name: &str| -> Workload {
            let volumes = json!([{"name": "a", "configMap": {"name": "cilium-config"}}]);
            let value = json!({"metadata": {"name": name, "namespace": namespace},
                "spec": {"template": {"spec": {"volumes": volumes}}}});
            serde_json::from_value(value).expect("a DaemonSet")
        };
        let mut snapshot = Snapshot::default();
        snapshot.objects.insert(Kind::CONFIG_MAP, ["a-tenant", "kube-system", "z"].map(map).into());
        let sets = vec![set("a-tenant", "calico-node"), set("kube-system", "rke2-calico-node")];
        snapshot.workloads.insert(Kind::DAEMON_SET, sets);
        let namespace = |object: Option<&Object>| object.map(|item| item.namespace().to_owned());
        let system = Some("kube-system".to_owned());
        assert_eq!(namespace(snapshot.object(Kind::CONFIG_MAP, "cilium-config")), system);
        assert_eq!(namespace(snapshot.config_map("cilium-config")), system);
        assert_eq!(
            snapshot.daemon_set("calico-node").map(|workload| workload.namespace().to_owned()),
            system
        );
    }

    #[test]
    fn absent_is_not_empty() {
        let mut snapshot = Snapshot::default();
        assert!(!snapshot.knows(Kind::POD));
        snapshot.readings.insert(Kind::POD, Reading::Forbidden("no".into()));
        assert!(!snapshot.knows(Kind::POD));
        snapshot.readings.insert(Kind::POD, Reading::NotServed);
        assert!(snapshot.knows(Kind::POD));
    }
}
