//! HostEndpoints that policies of Calico protect.

use netpol::engines::calico::parse;
use snapshot::model::{CALICO_METADATA, Kind, Labels, Object};

use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::network::subject;

/// The HostEndpoints that users wrote, and those of Calico's controllers that a policy selects.
///
/// *Source*: projectcalico/calico: kube-controllers/pkg/controllers/node/hostendpoints.go: with `autoCreate: Enabled`, each node has one with the profile
/// `projectcalico-default-allow`, which lets everything pass that no policy is about.
pub(super) fn find_protected_hosts(scene: &Scene<'_>) -> Vec<Subject> {
    let all = scene.snapshot.objects(Kind::HOST_ENDPOINT).iter();
    let policies = scene.snapshot.objects(Kind::CALICO_GLOBAL_NETWORK_POLICY);
    let is_protected = |host: &&Object| {
        let labels = labels(host);
        let is_automatic =
            labels.get("projectcalico.org/created-by").map(AsRef::as_ref) == Some("calico-kube-controllers");
        !is_automatic || policies.iter().any(|policy| selects(policy, &labels))
    };
    all.filter(is_protected).map(|host| subject(Kind::HOST_ENDPOINT, host)).collect()
}

/// A policy that selects by namespaces or by service accounts is about pods alone. One that cannot be read may be about every host.
fn selects(policy: &Object, labels: &Labels) -> bool {
    let of_pods = ["/spec/namespaceSelector", "/spec/serviceAccountSelector"];
    if of_pods.iter().any(|key| policy.text(key).is_some_and(|text| !text.trim().is_empty())) {
        return false;
    }
    let selector = parse(policy.text("/spec/selector").unwrap_or_default());
    selector.map_or(true, |selector| selector.holds(labels, None))
}

/// The labels of a HostEndpoint. Those of one in `crd.projectcalico.org` stand in an annotation.
fn labels(host: &Object) -> Labels {
    let stored = host
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(CALICO_METADATA)?.as_str())
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let own = host.pointer("/metadata/labels");
    let of_resource = stored.as_ref().and_then(|stored| stored.get("labels"));
    let all = own.into_iter().chain(of_resource).filter_map(serde_json::Value::as_object).flatten();
    all.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into()))).collect()
}
