//! The cluster of a snapshot, as policies see it.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;
use snapshot::Range;
use snapshot::model::{Kind, Labels, Object, Pod, Snapshot, Text};

use super::node::addresses;
use super::reference::{Reference, UnreadObject};
use crate::engines::manifest::protocol;
use crate::world::{self, Cluster, Namespace, Node, Port};

/// The kinds of which a snapshot must have all objects for its [`cluster`]. A snapshot file of a release that did not read service accounts does not know
/// them, and its pods do not say which ones they have.
pub const CLUSTER_KINDS: [Kind; 4] = [Kind::NAMESPACE, Kind::NODE, Kind::POD, Kind::SERVICE_ACCOUNT];

/// The cluster of a snapshot, and the objects that could not be read, with the nodes of which some address is none. `pod_ranges` are those of all networks in which pods are compared: a pod
/// that has no address yet is in each of them.
#[must_use]
pub fn cluster(snapshot: &Snapshot, pod_ranges: &[Range]) -> (Cluster, Vec<UnreadObject>) {
    let accounts: HashMap<(&str, &str), Labels> = snapshot
        .objects(Kind::SERVICE_ACCOUNT)
        .iter()
        .map(|object| ((object.namespace(), object.name()), labels(object.value())))
        .collect();
    let of_cilium: HashMap<&str, &Object> =
        snapshot.objects(Kind::CILIUM_NODE).iter().map(|object| (object.name(), object)).collect();
    let own = |pod: &&Pod| !pod.spec.host_network && !pod.is_finished();
    let illegible = snapshot.illegible.iter().filter(|object| CLUSTER_KINDS.contains(&object.kind));
    let mut unread: Vec<UnreadObject> = illegible.map(Reference::illegible_object).collect();
    let nodes = snapshot.nodes.iter().map(|node| {
        let (addresses, wrong) = addresses(node, of_cilium.get(node.name()).copied());
        unread.extend(wrong);
        Node { name: node.metadata.name.clone(), addresses }
    });
    let cluster = Cluster {
        nodes: nodes.collect(),
        namespaces: snapshot.objects(Kind::NAMESPACE).iter().map(Object::value).map(namespace).collect(),
        pods: snapshot.pods.iter().filter(own).map(|candidate| pod(candidate, &accounts)).collect(),
        pod_ranges: pod_ranges.to_vec(),
    };
    (cluster, unread)
}

/// A namespace, of the API's JSON.
pub(super) fn namespace(object: &Value) -> Namespace {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    Namespace { name: name.into(), labels: labels(object) }
}

fn labels(object: &Value) -> Labels {
    let all = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into()))).collect()
}

fn pod(pod: &Pod, accounts: &HashMap<(&str, &str), Labels>) -> world::Pod {
    let account: Text = pod.service_account().into();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in pod.network_ips() {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let owner = pod.metadata.controller();
    world::Pod {
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        labels: pod.metadata.labels.as_ref().clone(),
        account_labels: accounts.get(&(pod.namespace(), &*account)).cloned().unwrap_or_default(),
        account,
        addresses,
        ports: ports(pod),
        node: pod.spec.node_name.clone(),
        owner: owner
            .map(|owner| format!("{} {}/{}", owner.kind, pod.namespace(), owner.name).into())
            .unwrap_or_default(),
    }
}

/// The ports that have names, each once. The API has no other protocols than those of [`protocol`].
fn ports(pod: &Pod) -> Vec<Port> {
    let named = pod.lasting_containers().flat_map(|container| &container.ports).filter_map(|port| {
        let written = Some(&*port.protocol).filter(|name| !name.is_empty());
        let protocol = protocol(written).ok().filter(|_| !port.name.is_empty())?;
        Some(Port { protocol, name: port.name.clone(), number: port.container_port })
    });
    let mut all: Vec<Port> = named.collect();
    all.sort_unstable();
    all.dedup();
    all
}
