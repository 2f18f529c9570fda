//! Findings about pods that cannot be reached.

use crate::doctor::code::Code;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::node::policy::secondary;

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = routes(facts).into_iter().chain(host_ports(facts)).collect();
    findings.extend(find_second_network(facts));
    findings
}

fn routes(facts: &Facts) -> Option<Finding> {
    let what = facts.kernel.read()?.routes.as_ref()?;
    let cause = "the node's routes to addresses of pods on both networks are not those of the records: a pod is cut off, or an address leads to no pod";
    let finding = Finding::new(Code::HostRoutes, cause)
        .with_objects(["table 1003"])
        .with_evidence([format!("sweep would {what}")]);
    Some(
        finding.run(
            "crossfade-bootstrap unit sweep",
            "restores missing routes, and removes those of no attachment",
        ),
    )
}

/// What a route cannot mend for a second network; the words are those of `policy set`.
fn find_second_network(facts: &Facts) -> Option<Finding> {
    let warnings = secondary::warnings(facts.node.policy()?, &facts.node.profiles);
    if warnings.is_empty() {
        return None;
    }
    let cause = "a CNI that follows the Pod's status is the second network of pods; two of its effects cannot be mended on the node";
    let finding = Finding::new(Code::SecondNetwork, cause)
        .with_objects(["the policy's second network"])
        .with_evidence(warnings);
    Some(finding.run(
        "kubectl get kubecontrollersconfiguration default --output=jsonpath='{.spec.controllers.node.leakGracePeriod}'",
        "says for Calico whether its leak collection is off: 0s, until no pod is on both networks",
    ))
}

fn host_ports(facts: &Facts) -> Option<Finding> {
    if facts.unmapped.is_empty() {
        return None;
    }
    let cause = "pods asked for host ports, and no plugin of their network's conf maps them: unless its agent does, those ports are closed";
    let finding = Finding::new(Code::HostPorts, cause)
        .with_objects(facts.unmapped.iter().map(|name| format!("network {name}")));
    let finding = finding.with_evidence(
        facts
            .unmapped
            .iter()
            .map(|name| format!("network {name}: no plugin of its conf declares portMappings")),
    );
    Some(
        finding
            .with_manual_step("chain portmap in that network's conf, or give such pods the other network")
            .run(
                "journalctl --boot --identifier=crossfade --grep='host ports not mapped'",
                "names the containers",
            ),
    )
}
