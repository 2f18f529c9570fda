//! The name of Cilium's network, which follows from what Cilium is chained to.
//!
//! *Source*: cilium/cilium: daemon/cmd/cni/config.go: with `cni-chaining-mode: portmap` the configuration is that of a network called `portmap`, else of
//! `cilium`; documentation, "Per-node configuration": a CiliumNodeConfig counts before the ConfigMap.

use std::collections::BTreeSet;

use snapshot::model::{Kind, Object};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cilium;
use crate::cni::network::subject;
use crate::cni::support::Cni;
use crate::cni::values::command;

pub(in crate::check) const CHECK: Check = Check {
    name: "chaining",
    rules: &[&CILIUM_NETWORK_NAME],
    needs: &[Need::To(Cni::Cilium, Kind::CONFIG_MAP), Need::To(Cni::Cilium, Kind::CILIUM_NODE_CONFIG)],
    run,
};

const KEY: &str = "cni-chaining-mode";
const PORTMAP: &str = "portmap";

const CILIUM_NETWORK_NAME: Rule = Severity::Risk.rule(
    "cilium-network-name",
    "Cilium's network is called portmap on some nodes and cilium on others.\n\n\
     With `cni.chainingMode=portmap` Cilium's network is called `portmap`, else `cilium`. A CiliumNodeConfig says another mode than the ConfigMap.",
    "Crossfade knows by the name of its network which phase a pod is in. Where the name changes while pods run, those that were attached before count as pods of no network, and a run waits for them.",
    "Set the same mode in both.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(config) = cilium::config(scene.snapshot).filter(|_| scene.to == Cni::Cilium) else {
        return Vec::new();
    };
    let own = config.data(KEY).unwrap_or_default();
    let by_node: Vec<(&Object, &str)> = scene
        .snapshot
        .objects(Kind::CILIUM_NODE_CONFIG)
        .iter()
        .filter(|object| object.namespace() == config.namespace())
        .filter_map(|object| Some((object, object.pointer("/spec/defaults")?.get(KEY)?.as_str()?)))
        .collect();
    let names: BTreeSet<bool> =
        by_node.iter().map(|(_, mode)| *mode).chain([own]).map(|mode| mode == PORTMAP).collect();
    if names.len() < 2 {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if own != PORTMAP {
        steps.push(format!("Run: {}.", command(scene, &[("cni.chainingMode", PORTMAP)])));
    }
    for (object, _) in by_node.iter().filter(|(_, mode)| *mode != PORTMAP) {
        steps.push(format!(
            r#"Run: kubectl -n {} patch ciliumnodeconfigs.cilium.io {} --type merge -p '{{"spec":{{"defaults":{{"{KEY}":"{PORTMAP}"}}}}}}', then restart the agents of its nodes."#,
            object.namespace(),
            object.name()
        ));
    }
    let detail = |subject: Subject, mode: &str| {
        subject.detail(format!("{KEY}: {}", if mode.is_empty() { "none" } else { mode }))
    };
    let objects =
        by_node.iter().map(|(object, mode)| detail(subject(Kind::CILIUM_NODE_CONFIG, object), mode));
    let objects = objects.chain([detail(subject(Kind::CONFIG_MAP, config), own)]);
    vec![Finding::new(&CILIUM_NETWORK_NAME).fix(steps.join(" ")).with_objects(objects)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Case;

    #[test]
    fn the_name_of_the_network_is_the_same_on_all_nodes() {
        let cluster = |own: &str, moved: &str| {
            Case::from_yaml(&format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cilium-config, namespace: kube-system}}\ndata: {{{own}}}\n---\n\
                 apiVersion: cilium.io/v2\nkind: CiliumNodeConfig\nmetadata: {{name: moved, namespace: kube-system}}\nspec: {{defaults: {{{moved}}}}}\n"
            ))
        };
        let (none, portmap) = ("cni-chaining-mode: none", "cni-chaining-mode: portmap");
        for (own, moved, is_found) in [
            (portmap, none, true),
            (none, portmap, true),
            ("", portmap, true),
            (portmap, portmap, false),
            (portmap, "", false),
            ("", none, false),
        ] {
            let codes = cluster(own, moved).codes(&CHECK);
            assert_eq!(codes, &["cilium-network-name"][usize::from(!is_found)..], "{own} {moved}");
        }
        // As the fix says, both are the same then.
        let fix = cluster(portmap, none).finding(&CHECK, "cilium-network-name").fix;
        assert!(fix.contains("ciliumnodeconfigs.cilium.io moved") && !fix.contains("helm"), "{fix}");
        let fix = cluster(none, portmap).finding(&CHECK, "cilium-network-name").fix;
        assert!(
            fix.contains("--set cni.chainingMode=portmap") && !fix.contains("ciliumnodeconfigs"),
            "{fix}"
        );
    }
}
