//! Findings about pods that cannot be reached.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::policy::secondary;

pub const RULES: &[&Rule] = &[&HOST_ROUTES, &SECOND_NETWORK, &HOST_PORTS];

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = routes(facts).into_iter().chain(host_ports(facts)).collect();
    findings.extend(find_second_network(facts));
    findings
}

const HOST_ROUTES: Rule = Severity::Error.rule(
    Symptom::Unreachable,
    "host-routes",
    "The [host routes](policy.md#host-routes) of the table 1003 are not those of the attachments.\n\n\
     An interface that was down for a moment has lost its routes.",
    "the node's routes to addresses of pods on both networks are not those of the records: a pod is cut off, or an address leads to no pod",
    "`crossfade-bootstrap unit sweep --dry-run` prints the changes, and `sweep` makes them.",
);

fn routes(facts: &Facts) -> Option<Finding> {
    let what = facts.kernel.read()?.routes.as_ref()?;
    let finding = Finding::new(&HOST_ROUTES)
        .with_objects(["table 1003"])
        .with_evidence([format!("sweep would {what}")]);
    Some(
        finding.run(
            "crossfade-bootstrap unit sweep",
            "restores missing routes, and removes those of no attachment",
        ),
    )
}

const SECOND_NETWORK: Rule = Severity::Note.rule(
    Symptom::Unreachable,
    "second-network",
    "The policy gives pods a second network whose CNI follows the Pod's status, as Calico does.\n\n\
     Nothing on the node shows whether the two effects are taken care of.",
    "a CNI that follows the Pod's status is the second network of pods; two of its effects cannot be mended on the node",
    "Turn the collection of leaked addresses off, and do not rely on Calico's policies for the second address. [Before Calico is the second network](policy.md#before-calico-is-the-second-network) has the commands.",
);

/// What a route cannot mend for a second network; the words are those of `policy set`.
fn find_second_network(facts: &Facts) -> Option<Finding> {
    let warnings = secondary::warnings(facts.node.policy()?, &facts.node.profiles);
    if warnings.is_empty() {
        return None;
    }
    let finding =
        Finding::new(&SECOND_NETWORK).with_objects(["the policy's second network"]).with_evidence(warnings);
    Some(finding.run(
        "kubectl get kubecontrollersconfiguration default --output=jsonpath='{.spec.controllers.node.leakGracePeriod}'",
        "says for Calico whether its leak collection is off: 0s, until no pod is on both networks",
    ))
}

const HOST_PORTS: Rule = Severity::Warning.rule(
    Symptom::Unreachable,
    "host-ports",
    "Pods asked for host ports, and no plugin of their network's conf declares `portMappings` ([Host ports that no plugin maps](watch.md#host-ports-that-no-plugin-maps)).",
    "pods asked for host ports, and no plugin of their network's conf maps them: unless its agent does, those ports are closed",
    "Chain portmap in that network's conf, or give such pods the other network. Ignore this finding if the network's agent maps host ports itself.",
);

fn host_ports(facts: &Facts) -> Option<Finding> {
    if facts.unmapped.is_empty() {
        return None;
    }
    let finding =
        Finding::new(&HOST_PORTS).with_objects(facts.unmapped.iter().map(|name| format!("network {name}")));
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
