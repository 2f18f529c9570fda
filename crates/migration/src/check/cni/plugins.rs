//! Programs that change the CNI configuration of nodes beside the two CNIs: plugins that append themselves, and Multus.
//!
//! *Source*: istio/istio: cni/README.md (the plugin is appended to the configuration that sorts first, and again whenever it is missing); linkerd/linkerd2:
//! cni-plugin; kumahq/kuma: deployments/charts/kuma (cni); hashicorp/consul-k8s: control-plane/cni; k8snetworkplumbingwg/multus-cni:
//! docs/configuration.md (`--multus-master-cni-file-name`).

use std::collections::BTreeMap;

use snapshot::model::{Kind, Object, Workload};
use types::profile::Profiles;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::owner;

pub(in crate::check) const CHECK: Check = Check {
    name: "plugins",
    rules: &[&MULTUS_ATTACHMENTS, &MULTUS_MASTER, &PLUGIN_APPENDED],
    needs: &[
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::POD),
        Need::Always(Kind::NETWORK_ATTACHMENT_DEFINITION),
    ],
    run,
};

/// Parts of the names of DaemonSets that append a plugin.
const APPENDING: [&str; 4] = ["istio-cni", "linkerd-cni", "kuma-cni", "consul-cni"];
/// Crossfade's own conf.
const OWN_CONF: &str = "01-crossfade.conflist";
/// The annotation by which a pod asks Multus for further networks.
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let daemon_sets = scene.snapshot.workloads(Kind::DAEMON_SET);
    let with = |parts: &[&str]| -> Vec<&Workload> {
        daemon_sets
            .iter()
            .filter(|workload| parts.iter().any(|part| workload.name().contains(part)))
            .collect()
    };
    let multus: Vec<&Workload> =
        with(&["multus"]).into_iter().filter(|workload| !delegates(workload)).collect();
    [find_appended(&with(&APPENDING)), master(&multus), attachments(scene)].into_iter().flatten().collect()
}

fn subjects<'a>(all: &'a [&Workload]) -> impl Iterator<Item = Subject> + use<'a> {
    all.iter().map(|workload| Subject::from_meta(Kind::DAEMON_SET, &workload.metadata))
}

const PLUGIN_APPENDED: Rule = Severity::Blocks.rule(
    "plugin-appended",
    "Programs append their own plugin to the CNI configuration that sorts first.\n\n\
     Such programs are istio-cni, linkerd-cni, kuma-cni and consul-cni.",
    "That is Crossfade's. Crossfade writes it anew without the plugin, the program appends it again, and Crossfade stops repairing a file that another program keeps changing. Pods that start in between have no redirection into their service mesh.",
    "Name the plugin in both networks' own configurations, after the CNI's plugins, and let the program leave the directory alone: istio-cni with the Helm value cniConfFileName of the old CNI's file, Linkerd without linkerd-cni (its init container, Helm cniEnabled=false). Start a pod of the mesh in each phase and look at its redirection. Then accept this finding with a waiver.",
);

fn find_appended(all: &[&Workload]) -> Option<Finding> {
    (!all.is_empty()).then(|| Finding::new(&PLUGIN_APPENDED).with_objects(subjects(all)))
}

/// The arguments of Multus name Crossfade's conf.
fn delegates(multus: &Workload) -> bool {
    let spec = &multus.spec.template.spec;
    let words = spec.containers.iter().flat_map(|container| container.command.iter().chain(&container.args));
    words.into_iter().any(|word| word.ends_with(OWN_CONF))
}

const MULTUS_MASTER: Rule = Severity::Risk.rule(
    "multus-master",
    "Multus is the first CNI configuration of the nodes, and nothing says that it delegates to Crossfade.",
    "If Multus calls the old CNI's configuration itself, Crossfade is never called: pods keep the old network whatever phase their node is in.",
    "Give Multus the argument --multus-master-cni-file-name=01-crossfade.conflist. Of the thick plugin, look at 00-multus.conf on a node, and accept the finding with a waiver.",
);

fn master(all: &[&Workload]) -> Option<Finding> {
    // The API server appends to no list that is not there.
    let add = |workload: &&Workload| {
        let first = workload.spec.template.spec.containers.first();
        // Of other containers, a snapshot does not keep the arguments.
        let has_some =
            first.is_none_or(|container| !container.args.is_empty() || !container.name.contains("multus"));
        let argument = format!(r#""--multus-master-cni-file-name={OWN_CONF}""#);
        let (end, value) = if has_some { ("/-", argument) } else { ("", format!("[{argument}]")) };
        format!(
            r#"kubectl -n {} patch daemonset {} --type json -p '[{{"op":"add","path":"/spec/template/spec/containers/0/args{end}","value":{value}}}]'"#,
            workload.namespace(),
            workload.name()
        )
    };
    let commands: Vec<String> = all.iter().map(add).collect();
    let fix = format!(
        "Name Crossfade's configuration as Multus' own master: {}. Of the thick plugin, whose settings are in ConfigMap multus-daemon-config, look at 00-multus.conf on a node: its first delegate must be Crossfade. Then accept this finding with a waiver.",
        commands.join("; ")
    );
    (!all.is_empty()).then(|| Finding::new(&MULTUS_MASTER).fix(fix).with_objects(subjects(all)))
}

const MULTUS_ATTACHMENTS: Rule = Severity::Note.rule(
    "multus-attachments",
    "Pods have further interfaces by Multus.\n\n\
     It blocks where a definition calls a plugin of the old CNI.",
    "Crossfade moves a pod's main network and leaves the others to Multus. An interface of a plugin of the old CNI ends with that CNI, and fixed addresses must be free when the pod starts elsewhere.",
    "Try one pod of each owner: evict it, and look at its interfaces. Replace definitions that call a plugin of the old CNI by others before the migration: kubectl get network-attachment-definitions -A.",
);

/// Owners of pods with further networks; those whose configuration calls the old CNI end with it.
fn attachments(scene: &Scene<'_>) -> Option<Finding> {
    let types = Profiles::built_in()
        .find(scene.from.into_str())
        .map(|profile| profile.types.as_slice())
        .unwrap_or_default();
    let definitions = scene.snapshot.objects(Kind::NETWORK_ATTACHMENT_DEFINITION);
    let is_old = |definition: &Object| {
        let config = definition.text("/spec/config").unwrap_or_default();
        types.iter().any(|name| config.contains(&format!("\"{name}\"")))
    };
    let mut attachments: BTreeMap<Subject, String> = BTreeMap::new();
    let mut calls_old = false;
    for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
        let Some(networks) = pod.metadata.annotation(NETWORKS).filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        let named = |definition: &&Object| {
            // A list of NAMESPACE/NAME@INTERFACE, or JSON with names.
            let mut words = networks.split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c)));
            words.any(|word| word == definition.name())
        };
        let old = definitions.iter().filter(named).any(is_old);
        calls_old |= old;
        let networks: String = networks.chars().take(80).collect();
        let detail = if old { format!("{networks}, by a plugin of {}", scene.from) } else { networks };
        attachments.entry(owner(pod).subject()).or_insert(detail);
    }
    let severity = if calls_old { Severity::Blocks } else { Severity::Note };
    (!attachments.is_empty()).then(|| {
        let subjects = attachments.into_iter().map(|(owner, detail)| owner.detail(detail));
        Finding::new(&MULTUS_ATTACHMENTS).severity(severity).with_objects(subjects)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object, objects};
    use crate::cni::support::Cni;
    use serde_json::{Value, json};

    fn daemon_set(name: &str, argument: &str) -> (Kind, Value) {
        let container = json!({"name": "c", "args": [argument]});
        let spec = json!({"template": {"spec": {"containers": [container]}}});
        object(Kind::DAEMON_SET, name, json!({"metadata": {"namespace": "kube-system"}, "spec": spec}))
    }

    fn codes(objects: Vec<(Kind, Value)>) -> Vec<&'static str> {
        Case::new(Cni::Calico, Cni::Cilium, objects).codes(&CHECK)
    }

    #[test]
    fn programs_that_change_the_configuration_are_seen() {
        for (name, argument, expected) in [
            ("istio-cni-node", "", Some("plugin-appended")),
            ("linkerd-cni", "", Some("plugin-appended")),
            ("istio-proxy", "", None),
            ("kube-multus-ds", "--multus-conf-file=auto", Some("multus-master")),
            ("kube-multus-ds", "--multus-master-cni-file-name=10-calico.conflist", Some("multus-master")),
            ("kube-multus-ds", "--multus-master-cni-file-name=01-crossfade.conflist", None),
        ] {
            assert_eq!(
                codes(vec![daemon_set(name, argument)]),
                Vec::from_iter(expected),
                "{name} {argument}"
            );
        }
    }

    #[test]
    fn further_interfaces_of_the_old_cni_end_with_it() {
        let pod = |networks: &str| {
            let metadata =
                json!({"namespace": "x", "annotations": {"k8s.v1.cni.cncf.io/networks": networks}});
            object(
                Kind::POD,
                "web",
                json!({"metadata": metadata, "spec": {}, "status": {"phase": "Running"}}),
            )
        };
        let definition = |kind: &str| {
            let config = json!({"cniVersion": "0.3.1", "type": kind}).to_string();
            object(
                Kind::NETWORK_ATTACHMENT_DEFINITION,
                "second",
                json!({"metadata": {"namespace": "x"}, "spec": {"config": config}}),
            )
        };
        let attachments = |networks: &str, kind: &str| {
            let case = Case::new(Cni::Calico, Cni::Cilium, vec![pod(networks), definition(kind)]);
            let findings =
                case.findings(&CHECK).into_iter().filter(|finding| finding.rule.code == "multus-attachments");
            findings.map(|finding| (finding.severity, objects(&finding))).next()
        };
        assert_eq!(
            attachments("second@net1", "macvlan"),
            Some((Severity::Note, vec!["Pod/x/web: second@net1".into()]))
        );
        let old = Some((Severity::Blocks, vec!["Pod/x/web: x/second, by a plugin of calico".into()]));
        assert_eq!(attachments("x/second", "calico"), old);
        assert_eq!(attachments("third", "calico").map(|entry| entry.0), Some(Severity::Note));
        assert_eq!(attachments("", "calico"), None);
    }
}
