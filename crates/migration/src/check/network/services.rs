//! Services while the nodes of a cluster have two primary networks.

use snapshot::model::{Kind, Service};

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Strategy;

/// See the module.
pub(in crate::check) const CHECK: Check = Check {
    name: "services",
    codes: &[(
        "services-bridged",
        "Services need nodes that forward between both networks, although pods do not",
    )],
    needs: &[Need::Always(Kind::SERVICE)],
    run,
};

/// With the strategy `double`, each pod reaches every other pod by its address. kube-proxy translates a cluster IP on the client's node, when the packet
/// has already left the pod by the network that owns its default route.
///
/// *Source*: measured with kube-proxy 1.20 (docs/proof/kubernetes.md): between nodes in `both-old` and nodes in `both-new` that do not forward, no connection
/// to a Service is made.
fn run(scene: &Scene<'_>) -> Vec<Finding> {
    // The strategy `bridge` needs such nodes in any case; a rotation is a bridge, too.
    if scene.strategy != Strategy::Double {
        return Vec::new();
    }
    let objects: Vec<Subject> = scene
        .snapshot
        .services
        .iter()
        .filter(|service| is_translated(service))
        .map(|service| Subject::of(Kind::SERVICE, &service.metadata))
        .collect();
    if objects.is_empty() {
        return Vec::new();
    }
    let (from, to) = (scene.from, scene.to);
    let why = format!(
        "While some nodes are in phase both-old and others in both-new, a request to a Service may go to a pod whose primary network is the other one. \
         kube-proxy chooses that pod on the client's node, after the packet has left the client's pod by its default route. So the node must forward \
         between {from} and {to}; if it does not, such requests are lost, those to the cluster's DNS server among them."
    );
    let fix = "Prove before the migration that nodes forward: put one node into both-old and one into both-new, run a pod on each, and from each ask a \
               Service whose only endpoint is the other pod. If both get an answer, accept this finding with a waiver. If not, allow the forwarding \
               between the two pod ranges on every node, or plan a maintenance window for this pass.";
    vec![
        Finding::new(
            "services-bridged",
            Severity::Risk,
            "In the second pass, Services work only if nodes forward between both networks.",
            why,
            fix,
        )
        .about(objects),
    ]
}

/// kube-proxy translates its address to that of a pod: it has an address, and pods behind it.
fn is_translated(service: &Service) -> bool {
    let has_address = service.spec.cluster_ips.iter().any(|ip| !ip.is_empty() && ip.as_ref() != "None");
    has_address && !service.spec.selector.is_empty() && service.spec.kind.as_ref() != "ExternalName"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: dns, namespace: kube-system}\nspec: {clusterIPs: [10.96.0.10], selector: {k8s-app: dns}}\n";

    #[test]
    fn only_a_service_with_an_address_and_pods_is_translated() {
        let case = |text: &str| Case::of(text).strategy(Strategy::Double);
        let finding = case(SERVICE).finding(&CHECK, "services-bridged");
        assert_eq!(
            (objects(&finding), finding.severity),
            (vec!["Service/kube-system/dns".into()], Severity::Risk)
        );
        for other in [
            SERVICE.replace("10.96.0.10", "None"),
            SERVICE.replace("clusterIPs: [10.96.0.10], ", ""),
            SERVICE.replace(", selector: {k8s-app: dns}", ""),
            SERVICE.replace("selector:", "type: ExternalName, selector:"),
        ] {
            assert!(case(&other).codes(&CHECK).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_bridge_forwards_in_any_case() {
        for strategy in [Strategy::Bridge, Strategy::Rotation] {
            assert!(Case::of(SERVICE).strategy(strategy).codes(&CHECK).is_empty(), "{strategy:?}");
        }
    }
}
