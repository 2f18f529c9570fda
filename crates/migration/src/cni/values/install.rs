//! The command or the file that gives the new CNI its settings.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{RequiredSetting, Row, State, Values};
use crate::check::Scene;
use crate::cni::support::{Cni, Stage};
use crate::workload;

/// Settings that are not as a stage wants them: `+ cni.customConf=true (now false)`, and the command that sets them. None if all are. The last stage's
/// setting that enforces policies is none of them: `finish` names it once nothing speaks against it.
#[must_use]
pub fn upgrade(scene: &Scene<'_>, rows: &[Row], stage: Stage) -> Option<(Vec<String>, String)> {
    let mut lines = Vec::new();
    let mut sets = Vec::new();
    for row in rows {
        if row.setting.waits_for_finish(stage) {
            continue;
        }
        let expectation = row.setting.for_stage(stage);
        // What is wrong now is corrected first.
        let corrected = row
            .setting
            .for_stage(scene.config.transition.phase)
            .first()
            .filter(|_| row.state == State::Wrong);
        let now = corrected.or(row.now.as_deref());
        let (Some(now), Some(value)) = (now, expectation.first()) else { continue };
        if expectation.accepts(now) {
            continue;
        }
        lines.push(format!("{}: {now} becomes {value}", row.key.trim_start_matches('/')));
        sets.push((row.set, row.setting.chart(value)));
    }
    (!sets.is_empty()).then(|| (lines, command(scene, &sets)))
}

/// The command that sets values of the new CNI, pairs of a name and a value, and restarts what reads them.
#[must_use]
pub fn command(scene: &Scene<'_>, sets: &[(&str, &str)]) -> String {
    let flags: String = sets.iter().map(|(key, value)| format!(" --set {key}={value}")).collect();
    let version = version(scene).map(|version| format!(" --version {version}")).unwrap_or_default();
    let restarts = readers(scene.to, sets).into_iter().collect::<Vec<_>>().join(" ");
    if let Some(chart) = scene.to.facts().chart {
        return format!(
            "helm upgrade {chart} {chart}/{chart} --namespace kube-system{version} --reuse-values{flags} && kubectl -n kube-system rollout restart {restarts}"
        );
    }
    let spec: Vec<String> = sets.iter().map(|(key, value)| format!(r#""{key}":{}"#, json(value))).collect();
    format!(
        r#"kubectl patch felixconfigurations.crd.projectcalico.org default --type merge -p '{{"spec":{{{}}}}}'"#,
        spec.join(",")
    )
}

/// The workloads that read any of these values. One that is no setting of the CNI, such as that of the socket load balancer, is read by the agents alone.
fn readers(to: Cni, sets: &[(&str, &str)]) -> BTreeSet<&'static str> {
    let agents = to.facts().readers;
    let setting = |set: &str| to.facts().settings.iter().find(|setting| setting.set == set);
    sets.iter().flat_map(|(set, _)| setting(set).map_or(agents, |setting| setting.readers)).copied().collect()
}

/// A value as JSON; Felix's enumerations begin with a capital letter.
fn json(value: &str) -> String {
    match value {
        "true" | "false" => value.to_owned(),
        _ => {
            let mut letters = value.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            format!("\"{}{}\"", first.map(String::from).unwrap_or_default(), letters.as_str())
        }
    }
}

/// The release that is installed, by the tag of the agent's image: the chart has the same number.
fn version(scene: &Scene<'_>) -> Option<String> {
    let tag = workload::tag(scene, scene.to).filter(|_| scene.to.facts().chart.is_some())?;
    let number = tag.strip_prefix('v')?;
    number
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| number.to_owned())
}

/// The Helm values to install the new CNI with, as a file. None for a CNI whose values Crossfade does not know.
#[must_use]
pub fn manifest(scene: &Scene<'_>) -> Option<String> {
    let facts = scene.to.facts();
    facts.chart?;
    let required = facts
        .settings
        .iter()
        .filter_map(|setting| Some((setting, required_value(scene, setting, Stage::Install)?)));
    let mut values: Values =
        required.map(|(setting, value)| (setting.set.to_owned(), quote(setting.chart(value)))).collect();
    scene.to.driver().add_install_values(scene, &mut values);
    values.sort();
    values.dedup();
    Some(nest(&values))
}

/// The value that a setting must have in the cluster in a stage; none if any will do, or only some will not. While kube-proxy is not replaced, the plugin
/// portmap serves the ports of nodes that pods use.
#[must_use]
pub fn required_value(scene: &Scene<'_>, setting: &RequiredSetting, stage: Stage) -> Option<&'static str> {
    let value = setting.for_stage(stage).first()?;
    Some(if setting.set == CHAINING && has_host_ports(scene) { "portmap" } else { value })
}

/// Helm's value for what Cilium is chained to.
pub const CHAINING: &str = "cni.chainingMode";

/// Whether a pod with pod network uses a port of its node.
#[must_use]
pub fn has_host_ports(scene: &Scene<'_>) -> bool {
    scene.snapshot.pods.iter().any(|pod| pod.host_ports().next().is_some())
}

/// Helm's value for the load balancer that translates the address of a Service when a pod connects.
pub const SOCKET_LB: &str = "socketLB.enabled";

/// YAML would read `never` as text and `true` as a boolean: both are what the charts expect.
fn quote(value: &str) -> String {
    if value.is_empty() { "\"\"".into() } else { value.to_owned() }
}

/// Values of the chart as a file: pairs of a name and a value.
#[must_use]
pub fn file(sets: &[(&str, &str)]) -> String {
    let mut values: Vec<(String, String)> =
        sets.iter().map(|(key, value)| ((*key).to_owned(), quote(value))).collect();
    values.sort();
    values.dedup();
    nest(&values)
}

/// Dotted keys, sorted, as a YAML mapping.
fn nest(values: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (key, value) in values {
        let parts: Vec<&str> = key.split('.').collect();
        let (last, parents) = parts.split_last().unwrap_or((&"", &[]));
        let common = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
        open.truncate(common);
        for parent in &parents[common..] {
            let _ = writeln!(text, "{}{parent}:", "  ".repeat(open.len()));
            open.push(parent);
        }
        let _ = writeln!(text, "{}{last}: {value}", "  ".repeat(parents.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_become_a_file() {
        let values = [("a.b.c", "1"), ("a.b.d", "x"), ("a.e", "true"), ("f", "[]")];
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = nest(&values);
        assert_eq!(text, "a:\n  b:\n    c: 1\n    d: x\n  e: true\nf: []\n");
        let read: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(read["a"]["b"]["d"], "x");
    }

    /// An agent that restarts without need breaks connections that it proxies.
    #[test]
    fn only_what_reads_a_value_restarts() {
        let (agents, operator) = ("daemonset/cilium", "deployment/cilium-operator");
        let watcher = "operator.unmanagedPodWatcher.restart";
        for (to, sets, expected) in [
            (Cni::Cilium, &["cni.customConf"][..], &[agents][..]),
            (Cni::Cilium, &[watcher], &[operator]),
            (Cni::Cilium, &[SOCKET_LB], &[agents]),
            (Cni::Cilium, &["kubeProxyReplacement"], &[agents, operator]),
            (Cni::Cilium, &[watcher, "cni.customConf", "cni.exclusive"], &[agents, operator]),
            (Cni::Antrea, &["trafficEncapMode"], &["daemonset/antrea-agent"]),
            (Cni::Calico, &["bpfEnabled"], &[]),
        ] {
            let sets: Vec<(&str, &str)> = sets.iter().map(|set| (*set, "")).collect();
            assert_eq!(readers(to, &sets).into_iter().collect::<Vec<_>>(), expected, "{to} {sets:?}");
        }
    }

    #[test]
    fn felix_reads_words_with_a_capital() {
        assert_eq!((json("append").as_str(), json("false").as_str()), ("\"Append\"", "false"));
    }
}
