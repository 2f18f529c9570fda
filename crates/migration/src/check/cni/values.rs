//! The settings of the new CNI, compared with what the stage of the migration needs.

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::network::{host_ports, services};
use crate::check::{Check, Need};
use crate::cni::support::{Cni, Stage, Strategy};
use crate::cni::values::{self, Row, State, command, manifest, rows, upgrade};
use crate::cni::{antrea, calico, cilium};

pub(in crate::check) const CHECK: Check = Check {
    name: "values",
    rules: &[
        &antrea::settings::ANTREA_BRIDGING,
        &antrea::settings::ANTREA_ENCAP_MODE,
        &ANTREA_MIGRATOR,
        &antrea::settings::ANTREA_NO_ENCAP,
        &antrea::settings::ANTREA_NODE_POLICIES,
        &antrea::settings::ANTREA_PROXY_ALL,
        &calico::settings::CALICO_CHAIN_INSERT,
        &calico::settings::CALICO_EBPF,
        &cilium::settings::CILIUM_CHAINING,
        &cilium::settings::CILIUM_CUSTOM_CONF,
        &cilium::settings::CILIUM_EXCLUSIVE,
        &cilium::settings::CILIUM_HOST_FIREWALL,
        &cilium::settings::CILIUM_HOST_ROUTING,
        &cilium::settings::CILIUM_IPAM,
        &cilium::settings::CILIUM_KUBE_PROXY,
        &cilium::settings::CILIUM_NATIVE_ROUTING,
        &cilium::settings::CILIUM_POLICY_MODE,
        &cilium::settings::CILIUM_UNINSTALL,
        &cilium::settings::CILIUM_UNMANAGED_PODS,
        &VALUES_NEXT,
        &VALUES_NOT_INSTALLED,
    ],
    needs: &[
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::DAEMON_SET),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE_CONFIG),
        Need::To(Cni::Cilium, Kind::NODE),
        Need::To(Cni::Cilium, Kind::POD),
        Need::To(Cni::Calico, Kind::FELIX_CONFIGURATION),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let rows = rows(scene);
    let stage = scene.config.transition.phase;
    let mut findings: Vec<Finding> = rows
        .iter()
        .filter(|row| row.state == State::Wrong)
        .map(|row| wrong_value_finding(scene, row, stage))
        .collect();
    findings.extend(migrator(scene));
    if scene.to.driver().has_settings(scene.snapshot) {
        let later = Stage::ALL.into_iter().filter(|later| *later > stage);
        findings.extend(later.filter_map(|next| change(scene, &rows, next)).next());
    } else {
        findings.extend(find_not_installed(scene, stage));
    }
    findings
}

fn wrong_value_finding(scene: &Scene<'_>, row: &Row, stage: Stage) -> Finding {
    let setting = row.setting;
    let expectation = setting.for_stage(stage);
    let key = setting.key.trim_start_matches('/');
    let now = row.now.as_deref().unwrap_or_default();
    let what = format!(
        "{}'s setting {key} is {now:?}, and the stage {stage} needs {}.",
        scene.to.facts().title,
        expectation.words()
    );
    let value = setting.chart(values::required_value(scene, setting, stage).unwrap_or(setting.absent));
    let (nodes, cluster): (Vec<_>, Vec<_>) =
        row.subjects.iter().partition(|subject| subject.kind == Kind::CILIUM_NODE_CONFIG.name());
    let mut sets: Vec<(&str, &str)> = cluster.iter().take(1).map(|_| (setting.set, value)).collect();
    // Once Cilium replaces kube-proxy nowhere, portmap must serve the ports of nodes, or the next check blocks on these.
    let ports = if setting.rule == &cilium::settings::CILIUM_KUBE_PROXY {
        host_ports::find_unserved(scene, false)
    } else {
        None
    };
    sets.extend(ports.as_ref().filter(|ports| ports.is_cluster).map(|_| (values::CHAINING, "portmap")));
    let mut steps: Vec<String> = ports.iter().flat_map(|ports| &ports.patches).cloned().collect();
    // Its socket load balancer stays beside kube-proxy where pods of both networks need it.
    let needs_sockets = services::has_two_primaries(scene) && scene.config.roll.bridge.is_none();
    let gap = || services::socket_gap(scene, false);
    if let Some(gap) =
        (setting.rule == &cilium::settings::CILIUM_KUBE_PROXY && needs_sockets).then(gap).flatten()
    {
        sets.extend(gap.sets);
        steps.extend(gap.patches);
    }
    if setting.waits_for_finish(stage) {
        steps.push(format!("{FINISH_NAMES_ENFORCEMENT}."));
        sets.clear();
    }
    if !sets.is_empty() {
        steps.push(format!("Run: {}.", command(scene, &sets)));
    }
    for node_config in nodes {
        steps.push(format!(
            r#"Run: kubectl -n {} patch ciliumnodeconfigs.cilium.io {} --type json -p '[{{"op":"remove","path":"/spec/defaults/{key}"}}]', then restart the agents of its nodes."#,
            node_config.namespace, node_config.name
        ));
    }
    steps.extend(ports.map(|_| format!("Pods use ports of their node. {}", host_ports::PLUGIN)));
    Finding::new(setting.rule)
        .severity(severity(scene, row, stage))
        .what(what)
        .fix(steps.join(" "))
        .with_objects(row.subjects.clone())
}

/// Where both CNIs give addresses of the Nodes' pod CIDRs, no waiver of a risk may let pods get the same address. In the last stage, the setting
/// that enforces policies waits for `finish`.
fn severity(scene: &Scene<'_>, row: &Row, stage: Stage) -> Severity {
    if row.setting.waits_for_finish(stage) {
        return Severity::Note;
    }
    let is_same =
        row.setting.rule == &cilium::settings::CILIUM_IPAM && row.now.as_deref() == Some("kubernetes");
    let is_given_twice = is_same
        && scene.from.driver().has_node_cidrs(scene.snapshot)
        && scene.network_strategy() != Strategy::Rotation;
    if is_given_twice { Severity::Blocks } else { row.setting.rule.grade }
}

const VALUES_NEXT: Rule = Severity::Note.rule(
    "values-next",
    "The settings that the next stage changes, with the command.",
    "Each stage needs settings of its own. Set too early, they cut pods of the old network off; forgotten, they leave the cluster without policies or with a slower data plane.",
    "Run the command when the stage begins, not before.",
);

/// How people learn when the new CNI may enforce policies.
const FINISH_NAMES_ENFORCEMENT: &str =
    "kubectl crossfade finish names policyEnforcementMode, with its command, in the line policies";

/// What the next stage that needs other settings changes.
fn change(scene: &Scene<'_>, rows: &[Row], next: Stage) -> Option<Finding> {
    let (lines, command) = upgrade(scene, rows, next)?;
    let what =
        format!("For the stage {next}, settings of {} change: {}.", scene.to.facts().title, lines.join("; "));
    let enforcement = if rows.iter().any(|row| row.setting.waits_for_finish(next)) {
        format!(" {FINISH_NAMES_ENFORCEMENT}.")
    } else {
        String::new()
    };
    let fix = format!(
        "When the stage {next} begins, and not before: {command}.{enforcement} Then set transition.phase to {next} in the settings file and check again."
    );
    Some(Finding::new(&VALUES_NEXT).what(what).fix(fix))
}

pub(crate) const VALUES_NOT_INSTALLED: Rule = Severity::Note.rule(
    "values-not-installed",
    "The new CNI is not installed. The finding has the file of values to install it with.\n\n\
     From the stage `migrate` on, it blocks.",
    "The installation is the riskiest moment of a migration.",
    "Install it with these values.",
);

fn find_not_installed(scene: &Scene<'_>, stage: Stage) -> Option<Finding> {
    let to = scene.to.facts().title;
    let severity = if stage == Stage::Install { Severity::Note } else { Severity::Blocks };
    let what = format!("{to} is not installed, so its settings were not checked.");
    let why = "The moment of its installation is the riskiest one of the whole migration. The settings below let the new CNI do nothing to pods until Crossfade asks it to.";
    let fix = match manifest(scene) {
        Some(values) => {
            let chart = if scene.to == Cni::Cilium { "cilium cilium/cilium" } else { "antrea antrea/antrea" };
            let range = if scene.config.networks.new.cidrs.is_empty() && scene.to == Cni::Cilium {
                " Choose a range for its pods first: name it as networks.new.cidrs in the settings file, and this file will have it."
            } else {
                ""
            };
            format!(
                "Write these Helm values to values.yaml, then: helm install {chart} --namespace kube-system --values values.yaml.{range}\n```\n{values}```"
            )
        }
        None => format!(
            "Install {to} with an IPPool in a range of its own, and check again before any pod uses it."
        ),
    };
    Some(Finding::new(&VALUES_NOT_INSTALLED).severity(severity).what(what).why(why).fix(fix))
}

const ANTREA_MIGRATOR: Rule = Severity::Blocks.rule(
    "antrea-migrator",
    "Antrea's migration program, antrea-migrator, is in the cluster.",
    "On every node and at once, it renames every other CNI configuration, Crossfade's included, and stops the sandboxes of all pods.",
    "Delete the DaemonSet `antrea-migrator`.",
);

/// *Source*: antrea-io/antrea: build/images/scripts/migrate_cni.
fn migrator(scene: &Scene<'_>) -> Option<Finding> {
    let daemon_set = scene.snapshot.daemon_set("antrea-migrator").filter(|_| scene.to == Cni::Antrea)?;
    let subject = crate::check::finding::Subject::from_meta(Kind::DAEMON_SET, &daemon_set.metadata);
    let fix = format!("Run: kubectl -n {} delete daemonset antrea-migrator.", daemon_set.namespace());
    Some(Finding::new(&ANTREA_MIGRATOR).fix(fix).with_objects([subject]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use clap::ValueEnum as _;
    use serde_json::{Value, json};

    /// What Cilium's guide installs it with.
    fn guide() -> Value {
        json!({"custom-cni-conf": "true", "cni-uninstall": "false", "unmanaged-pod-watcher-interval": "0", "enable-policy": "never",
            "enable-host-legacy-routing": "true", "ipam": "cluster-pool", "kube-proxy-replacement": "false", "tunnel-port": "8473"})
    }

    fn cilium(data: Value) -> Case {
        let config = object(
            Kind::CONFIG_MAP,
            "cilium-config",
            json!({"metadata": {"namespace": "kube-system"}, "data": data}),
        );
        Case::new(Cni::Calico, Cni::Cilium, vec![config])
    }

    fn with(key: &str, value: &str) -> Case {
        let mut data = guide();
        data[key] = value.into();
        cilium(data)
    }

    #[test]
    fn the_rule_of_every_setting_is_declared() {
        let mut seen = 0;
        for setting in Cni::value_variants().iter().flat_map(|cni| cni.facts().settings) {
            seen += 1;
            assert!(CHECK.rules.contains(&setting.rule), "{}", setting.rule.code);
        }
        assert!(seen > 15);
    }

    #[test]
    fn the_settings_of_the_guide_are_right() {
        assert_eq!(cilium(guide()).codes(&CHECK), ["values-next"]);
    }

    /// The settings of the guide with one changed.
    #[test]
    fn each_wrong_setting_is_one_finding() {
        for (key, value, code) in [
            ("custom-cni-conf", "false", "cilium-custom-conf"),
            ("cni-exclusive", "true", "cilium-exclusive"),
            ("cni-uninstall", "true", "cilium-uninstall"),
            ("unmanaged-pod-watcher-interval", "15", "cilium-unmanaged-pods"),
            ("unmanaged-pod-watcher-interval", "15s", "cilium-unmanaged-pods"),
            ("enable-policy", "default", "cilium-policy-mode"),
            ("enable-host-legacy-routing", "false", "cilium-host-routing"),
            ("ipam", "kubernetes", "cilium-ipam"),
            ("kube-proxy-replacement", "strict", "cilium-kube-proxy"),
            ("cni-chaining-mode", "aws-cni", "cilium-chaining"),
            ("routing-mode", "native", "cilium-native-routing"),
            ("enable-host-firewall", "true", "cilium-host-firewall"),
        ] {
            let findings = with(key, value).findings(&CHECK);
            let wrong: Vec<_> =
                findings.iter().filter(|finding| finding.rule.code != "values-next").collect();
            assert!(wrong.len() == 1 && wrong[0].rule.code == code, "{key}: {findings:?}");
            assert!(wrong[0].what.contains(key) && wrong[0].fix.contains("helm upgrade"), "{wrong:?}");
        }
        for (key, value) in [
            ("unmanaged-pod-watcher-interval", "0s"),
            ("kube-proxy-replacement", "disabled"),
            ("cni-chaining-mode", "none"),
        ] {
            assert_eq!(with(key, value).codes(&CHECK), ["values-next"], "{key}");
        }
    }

    /// Where the old CNI gives the pod CIDRs of Nodes, too, a waiver of a risk would let two pods have one address.
    #[test]
    fn the_pod_cidrs_of_nodes_are_given_once() {
        use crate::check::finding::Severity::{Blocks, Risk};
        for (from, strategy, severity) in [
            (Cni::Calico, Strategy::Bridge, Risk),
            (Cni::Flannel, Strategy::Bridge, Blocks),
            (Cni::Flannel, Strategy::Rotation, Risk),
        ] {
            let case = with("ipam", "kubernetes").pair(from, Cni::Cilium).strategy(strategy);
            assert_eq!(case.finding(&CHECK, "cilium-ipam").severity, severity, "{from} {strategy}");
        }
    }

    /// A fix that takes the ports of nodes away would be followed by `host-port-lost`.
    #[test]
    fn the_fix_of_kube_proxy_serves_the_ports_of_nodes() {
        let fix = |key: &str, value: &str, ports: Value| {
            let mut data = guide();
            data[key] = value.into();
            let config = object(
                Kind::CONFIG_MAP,
                "cilium-config",
                json!({"metadata": {"namespace": "kube-system"}, "data": data}),
            );
            let pod = object(
                Kind::POD,
                "web",
                json!({"metadata": {"namespace": "x"}, "spec": {"containers": [{"name": "c", "ports": [ports]}]}}),
            );
            let node = object(Kind::NODE, "n1", json!({}));
            let case = Case::new(Cni::Calico, Cni::Cilium, vec![config, pod, node]);
            case.findings(&CHECK)[0].fix.clone()
        };
        let (host, own) = (json!({"containerPort": 80, "hostPort": 80}), json!({"containerPort": 80}));
        let replaced = fix("kube-proxy-replacement", "true", host.clone());
        let (both, alone) = (
            "--set kubeProxyReplacement=false --set cni.chainingMode=portmap --set socketLB.enabled=true &&",
            "--set kubeProxyReplacement=false --set socketLB.enabled=true &&",
        );
        assert!(replaced.contains(both) && replaced.contains("plugin portmap"), "{replaced}");
        assert!(fix("kube-proxy-replacement", "true", own.clone()).contains(alone));
        assert!(fix("cni-chaining-mode", "aws-cni", host).contains("--set cni.chainingMode=portmap"));
        assert!(fix("cni-chaining-mode", "aws-cni", own).contains("--set cni.chainingMode=none"));
    }

    #[test]
    fn what_is_absent_is_the_default() {
        let codes = cilium(json!({})).codes(&CHECK);
        for code in
            ["cilium-custom-conf", "cilium-host-routing", "cilium-policy-mode", "cilium-unmanaged-pods"]
        {
            assert!(codes.contains(&code), "{codes:?}");
        }
        assert!(!codes.contains(&"cilium-exclusive"));
    }

    #[test]
    fn the_next_stage_is_told_exactly() {
        let mut case = cilium(guide());
        assert!(case.findings(&CHECK).is_empty() || case.codes(&CHECK) == ["values-next"]);
        case.config.transition.phase = Stage::Migrate;
        let findings = case.findings(&CHECK);
        let next =
            findings.iter().find(|finding| finding.rule.code == "values-next").expect("the next stage");
        for words in [
            "--set cni.customConf=false",
            "--set operator.unmanagedPodWatcher.restart=true",
            "kubectl crossfade finish names policyEnforcementMode",
        ] {
            assert!(next.fix.contains(words), "{words}: {}", next.fix);
        }
        assert!(!next.fix.contains("uninstall") && !next.fix.contains("--set policy"), "{}", next.fix);
        case.config.transition.phase = Stage::Finish;
        assert_eq!(case.codes(&CHECK), ["cilium-custom-conf", "cilium-unmanaged-pods", "cilium-policy-mode"]);
        let fix = case.finding(&CHECK, "cilium-policy-mode").fix;
        assert!(fix.contains("kubectl crossfade finish") && !fix.contains("--set"), "{fix}");
    }

    /// Whether Cilium enforces policies for all pods or only for those that policies select is for people to decide.
    #[test]
    fn a_cilium_that_enforces_more_is_not_weakened_at_the_end() {
        for (mode, is_right) in [("default", true), ("always", true), ("never", false)] {
            let mut case = with("enable-policy", mode);
            case.config.transition.phase = Stage::Finish;
            assert_eq!(!case.codes(&CHECK).contains(&"cilium-policy-mode"), is_right, "{mode}");
        }
    }

    #[test]
    fn settings_of_some_nodes_count_too() {
        let config = object(Kind::CONFIG_MAP, "cilium-config", json!({"data": guide()}));
        let nodes = |defaults: Value| {
            object(
                Kind::CILIUM_NODE_CONFIG,
                "moved",
                json!({"metadata": {"namespace": "kube-system"}, "spec": {"defaults": defaults}}),
            )
        };
        let case = Case::new(
            Cni::Calico,
            Cni::Cilium,
            vec![config.clone(), nodes(json!({"cni-exclusive": "true", "custom-cni-conf": "false"}))],
        );
        let findings = case.findings(&CHECK);
        let exclusive =
            findings.iter().find(|finding| finding.rule.code == "cilium-exclusive").expect("found");
        assert_eq!(exclusive.objects[0].to_string(), "CiliumNodeConfig/kube-system/moved");
        assert!(
            exclusive.fix.contains("/spec/defaults/cni-exclusive") && !exclusive.fix.contains("helm"),
            "{}",
            exclusive.fix
        );
        let case = Case::new(
            Cni::Calico,
            Cni::Cilium,
            vec![config, nodes(json!({"cni-exclusive": "false", "custom-cni-conf": "false"}))],
        );
        assert_eq!(case.codes(&CHECK), ["values-next"]);
    }

    #[test]
    fn a_cni_that_is_not_installed_is_told_with_its_values() {
        let mut case = Case::new(Cni::Flannel, Cni::Cilium, vec![]);
        case.config.networks.new.cidrs = vec!["10.20.0.0/16".parse().expect("a range")];
        let findings = case.findings(&CHECK);
        assert_eq!((findings[0].rule.code, findings[0].severity), ("values-not-installed", Severity::Note));
        for words in [
            "tunnelPort: 8473",
            "clusterPoolIPv4PodCIDRList: [\"10.20.0.0/16\"]",
            "customConf: true",
            "hostLegacyRouting: true",
        ] {
            assert!(findings[0].fix.contains(words), "{words}: {}", findings[0].fix);
        }
        case.config.transition.phase = Stage::Migrate;
        assert_eq!(case.findings(&CHECK)[0].severity, Severity::Blocks);
    }

    #[test]
    fn antrea_and_calico_have_rules_of_their_own() {
        let antrea = |settings: &str, more: Vec<(Kind, Value)>| {
            let config =
                object(Kind::CONFIG_MAP, "antrea-config", json!({"data": {"antrea-agent.conf": settings}}));
            Case::new(Cni::Calico, Cni::Antrea, [vec![config], more].concat()).codes(&CHECK)
        };
        assert_eq!(antrea("trafficEncapMode: encap", vec![]), [""; 0]);
        assert_eq!(antrea("trafficEncapMode: networkPolicyOnly", vec![]), ["antrea-encap-mode"]);
        assert_eq!(antrea("trafficEncapMode: noEncap", vec![]), ["antrea-no-encap"]);
        assert_eq!(antrea("antreaProxy: {proxyAll: true}", vec![]), ["antrea-proxy-all"]);
        assert_eq!(antrea("enableBridgingMode: true", vec![]), ["antrea-bridging"]);
        assert_eq!(antrea("featureGates: {NodeNetworkPolicy: true}", vec![]), ["antrea-node-policies"]);
        assert_eq!(
            antrea("", vec![object(Kind::DAEMON_SET, "antrea-migrator", json!({}))]),
            ["antrea-migrator"]
        );
        let calico = |spec: Value| {
            let node = object(Kind::DAEMON_SET, "calico-node", json!({}));
            let felix = object(Kind::FELIX_CONFIGURATION, "default", json!({"spec": spec}));
            Case::new(Cni::Flannel, Cni::Calico, vec![node, felix]).codes(&CHECK)
        };
        assert_eq!(calico(json!({"chainInsertMode": "Append"})), [""; 0]);
        assert_eq!(calico(json!({"chainInsertMode": "Insert"})), ["calico-chain-insert"]);
        assert_eq!(calico(json!({"chainInsertMode": "Append", "bpfEnabled": true})), ["calico-ebpf"]);
    }
}
