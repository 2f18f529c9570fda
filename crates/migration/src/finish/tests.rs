mod cleaning;
mod deletions;
mod nodes;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use snapshot::model::Kind;
use types::command::problem::Problem;
use types::policy::Phase;

use super::lines::{LineName, LineState, lines, next};
use super::plan::{ROLES, Rights, candidates, inventory};
use super::*;
use crate::backup::file::{Backup, ClusterId};
use crate::check::tests::{Case, object};
use crate::cni::footprint::{Part, Target};
use crate::cni::support::Cni;

/// Objects of Calico with their UIDs, as the API server has them.
fn targets(all: &[(&str, Part)]) -> Vec<(Target, Value)> {
    targets_of(Cni::Calico, all)
}

fn targets_of(cni: Cni, all: &[(&str, Part)]) -> Vec<(Target, Value)> {
    let known = cni.facts().footprint.targets(&["kube-system".to_owned()].into());
    let find = |(title, part): &(&str, Part)| {
        let target = known.iter().find(|target| target.to_string() == *title && target.part == *part);
        let target = target.unwrap_or_else(|| panic!("{title} is not in the footprint")).clone();
        let value = json!({"metadata": {"name": target.name, "namespace": target.namespace, "uid": format!("uid-{title}"),
            "annotations": {"a": "b", "deprecated.daemonset.template.generation": "1"}}, "spec": {"template": {"spec": {"serviceAccountName": "x"}}}});
        (target, value)
    };
    all.iter().map(find).collect()
}

const CALICO: [(&str, Part); 5] = [
    ("DaemonSet/kube-system/calico-node", Part::Agent),
    ("Deployment/kube-system/calico-kube-controllers", Part::PodNetwork),
    ("ClusterRole/calico-node", Part::Right),
    ("CustomResourceDefinition/ippools.crd.projectcalico.org", Part::Definition),
    ("CustomResourceDefinition/ipamblocks.crd.projectcalico.org", Part::Definition),
];

fn pool(name: &str) -> (Target, Value) {
    let target = Target {
        part: Part::Resource,
        api_version: "crd.projectcalico.org/v1".into(),
        kind: "IPPool".into(),
        plural: "ippools".into(),
        namespace: None,
        name: name.into(),
    };
    (
        target,
        json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {"cidr": "10.0.0.0/16"}}),
    )
}

fn present(all: Vec<(Target, Value)>) -> Inventory {
    Inventory {
        cluster: ClusterId { uid: "c".into(), api_server: "v1.30.0".into() },
        namespaces: ["kube-system".to_owned()].into(),
        objects: all.into_iter().collect(),
        rights: Some(Rights::default()),
        ..Inventory::default()
    }
}

fn whole() -> Inventory {
    present(targets(&CALICO).into_iter().chain([pool("default-ipv4-ippool")]).collect())
}

/// A node that is Ready and reports a phase.
fn node(name: &str, phase: &str) -> (Kind, Value) {
    let observed = json!({"bootId": "b", "phase": phase, "attached": {phase: 1, "others": []}}).to_string();
    let status = json!({"nodeInfo": {"bootID": "b"}, "conditions": [{"type": "Ready", "status": "True"}]});
    object(
        Kind::NODE,
        name,
        json!({"metadata": {"annotations": {"crossfade/observed": observed}}, "status": status}),
    )
}

/// A DaemonSet whose pods have this container, and are ready on some of three nodes.
fn agent(namespace: &str, name: &str, container: &str, ready: u32) -> (Kind, Value) {
    let spec = json!({"template": {"spec": {"containers": [{"name": container}]}}});
    let status = json!({"desiredNumberScheduled": 3, "numberReady": ready});
    object(
        Kind::DAEMON_SET,
        name,
        json!({"metadata": {"namespace": namespace}, "spec": spec, "status": status}),
    )
}

/// A cluster with both CNIs, and its one node in the new phase, with its pod.
fn moved(more: Option<(Kind, Value)>) -> Case {
    let pod = object(
        Kind::POD,
        "p",
        json!({"metadata": {"namespace": "x", "uid": "11111111"}, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}}),
    );
    let old = agent("kube-system", "calico-node", "calico-node", 3);
    let new = agent("kube-flannel", "kube-flannel-ds", "kube-flannel", 3);
    let objects = [node("a", "new"), pod, old, new].into_iter().chain(more);
    Case::new(Cni::Calico, Cni::Flannel, objects.collect())
}

/// What the lines are decided from, each of which a test changes.
struct World {
    case: Case,
    inventory: Inventory,
    plan: Option<FinishPlan>,
    record: Option<Record>,
    backup: Option<Backup>,
    policies: PolicyComparison,
    open_run: Option<&'static str>,
    now: &'static str,
}

impl World {
    fn new() -> Self {
        Self {
            case: moved(None),
            inventory: whole(),
            plan: None,
            record: None,
            backup: None,
            policies: PolicyComparison::default(),
            open_run: None,
            now: "2026-01-03T00:00:00Z",
        }
    }

    fn plan(&self) -> FinishPlan {
        self.plan.clone().unwrap_or_else(|| FinishPlan::new(&self.case.scene(), &self.inventory))
    }

    /// Approved, and with a backup.
    fn approved() -> Self {
        let world = Self::new();
        let backup = backup::backup(&world.inventory, None);
        let record = Record {
            version: 1,
            cluster: "c".into(),
            from: Cni::Calico,
            to: Cni::Flannel,
            plan: world.plan().hash(),
            approved_by: "alice".into(),
            approved_at: "2026-01-01T00:00:00Z".into(),
            backup: Some(crate::plan::canon::sha256(&backup.bytes())),
            fenced_at: None,
            agents: BTreeMap::new(),
            is_one_way: false,
        };
        Self { plan: Some(world.plan()), record: Some(record), backup: Some(backup), ..world }
    }

    /// With the agents fenced off at the beginning of the year.
    fn fenced() -> Self {
        let mut world = Self::approved();
        world.close();
        if let Some(record) = &mut world.record {
            record.fenced_at = Some("2026-01-01T00:00:00Z".into());
            record.agents = world.inventory.agents();
        }
        world
    }

    fn close(&mut self) {
        for (target, object) in &mut self.inventory.objects {
            if target.part == Part::Agent {
                object["spec"]["template"]["spec"]["nodeSelector"] = json!({FENCE: CLOSED});
                object["metadata"]["generation"] = 2.into();
                object["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = "2".into();
                object["status"]["observedGeneration"] = 2.into();
            }
        }
    }

    fn lines(&self) -> Vec<Line> {
        self.decide(lines)
    }

    fn decide<T>(&self, decide: fn(&Facts<'_>) -> T) -> T {
        let plan = self.plan();
        decide(&Facts {
            scene: &self.case.scene(),
            inventory: &self.inventory,
            plan: &plan,
            record: self.record.as_ref(),
            backup: self.backup.as_ref(),
            policies: &self.policies,
            run_plan: None,
            open_run: self.open_run,
            now: self.now.parse().ok(),
        })
    }

    #[track_caller]
    fn line(&self, name: LineName) -> Line {
        self.lines().into_iter().find(|line| line.line == name).expect("a line")
    }

    #[track_caller]
    fn next(&self) -> (LineName, LineState) {
        let lines = self.lines();
        let line = next(&lines).expect("a line that is not done");
        (line.line, line.state)
    }
}

#[test]
fn lines_come_one_after_the_other() {
    let mut world = World::new();
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    world = World::approved();
    assert_eq!(world.next(), (LineName::Fence, LineState::Ready));
    world.close();
    assert_eq!(world.next(), (LineName::Soak, LineState::Ready));
    world = World::fenced();
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
    world.now = "2026-01-01T23:59:59Z";
    assert_eq!(world.next(), (LineName::Soak, LineState::Waits));
    assert!(world.line(LineName::Soak).evidence[0].contains("ends at 2026-01-02T00:00:00Z"));
}

/// The record is in a namespace of Crossfade's, and goes with it.
#[test]
fn a_cluster_with_nothing_of_both_has_nothing_left_to_do() {
    let removed = json!([{"type": "Ready", "status": "True"}, {"type": "CrossfadeReady", "status": "Unknown", "reason": "Removed"}]);
    let left = object(Kind::NODE, "a", json!({"status": {"conditions": removed}}));
    let new = agent("kube-flannel", "kube-flannel-ds", "kube-flannel", 3);
    let over = |more: Option<(Kind, Value)>| {
        let all = [left.clone(), new.clone()].into_iter().chain(more).collect();
        World { case: Case::new(Cni::Calico, Cni::Flannel, all), inventory: present(vec![]), ..World::new() }
    };
    let world = over(None);
    assert_eq!(next(&world.lines()), None, "{:?}", world.lines());
    let world = over(Some(object(Kind::NAMESPACE, "crossfade", json!({}))));
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready), "the record may be lost");
    let mut world = over(None);
    world.inventory.unread = vec!["not known".into()];
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    let world = World { inventory: whole(), ..over(None) };
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
}

/// Others can write ConfigMaps, and delete nothing.
#[test]
fn a_record_does_not_shorten_the_way() {
    let mut world = World::approved();
    let record = world.record.as_mut().expect("a record");
    record.is_one_way = true;
    assert_eq!(world.next(), (LineName::Fence, LineState::Ready), "nothing is gone yet");
    let (target, _) = targets(&CALICO[1..2]).remove(0);
    world.inventory.objects.remove(&target);
    assert_eq!(world.next(), (LineName::Removal, LineState::Ready));
    let mut world = World::fenced();
    for (target, object) in &mut world.inventory.objects {
        if target.part == Part::Agent {
            object["metadata"]["managedFields"] = json!([{"manager": "crossfade", "time": "2026-01-02T12:00:00Z"}, {"manager": "kubectl", "time": "2026-01-02T23:00:00Z"}]);
        }
    }
    assert_eq!(world.next(), (LineName::Soak, LineState::Waits));
    assert!(world.line(LineName::Soak).evidence[0].contains("since 2026-01-02T12:00:00Z"));
}

/// A cluster may be moved twice.
#[test]
fn the_record_of_another_migration_counts_as_none() {
    for change in [
        |record: &mut Record| record.cluster = "d".into(),
        |record: &mut Record| record.from = Cni::Canal,
        |record: &mut Record| record.to = Cni::Cilium,
    ] {
        let mut world = World::fenced();
        let record = world.record.as_mut().expect("a record");
        record.is_one_way = true;
        change(record);
        world.inventory.objects.retain(|target, _| target.part != Part::PodNetwork);
        assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
        assert_eq!(world.line(LineName::Soak).state, LineState::Ready);
    }
}

#[test]
fn what_is_not_moved_stops_everything() {
    let mut world = World::new();
    world.open_run = Some("r-1");
    assert_eq!(world.next(), (LineName::Moved, LineState::Waits));
    for kind in [Kind::POD, Kind::DAEMON_SET] {
        let mut world = World::new();
        world.case.snapshot.readings.remove(&kind);
        assert_eq!(world.next(), (LineName::Moved, LineState::Waits), "absent is not empty");
    }
}

#[test]
fn agents_that_probe_the_old_network_are_taken_away_first() {
    for (namespace, name, state) in [
        ("crossfade-probe", "old", LineState::Waits),
        ("crossfade-probe", "pod", LineState::Done),
        ("x", "old", LineState::Done),
    ] {
        let mut world = World::new();
        world.case = moved(Some(agent(namespace, name, "probe", 3)));
        let line = world.line(LineName::Moved);
        assert_eq!(line.state, state, "{namespace}/{name}");
        assert_eq!(line.help.contains("probe --remove"), state == LineState::Waits, "{line:?}");
    }
}

#[test]
fn policies_that_differ_or_are_unknown_stop_the_fence() {
    for policies in [
        PolicyComparison { differences: vec!["x to y".into()], ..PolicyComparison::default() },
        PolicyComparison { unknown: vec![Problem::new("not read")], ..PolicyComparison::default() },
    ] {
        let world = World { policies, ..World::approved() };
        assert_eq!(world.next(), (LineName::Policies, LineState::Waits));
    }
}

#[test]
fn settings_of_the_last_stage_are_shown_as_a_change() {
    let mut world = World::approved();
    let data = json!({"custom-cni-conf": "true", "enable-policy": "never", "unmanaged-pod-watcher-interval": "0".repeat(1 << 20)});
    let config = object(
        Kind::CONFIG_MAP,
        "cilium-config",
        json!({"metadata": {"namespace": "kube-system"}, "data": data}),
    );
    world.case = Case::new(Cni::Calico, Cni::Cilium, vec![config]).config("transition: {phase: finish}");
    let line = world.line(LineName::Values);
    assert_eq!((line.state, line.evidence.len()), (LineState::Waits, 2), "{line:?}");
    for (index, shown) in [
        "cni.customConf=false (custom-cni-conf: true becomes false)",
        "operator.unmanagedPodWatcher.restart=true (unmanaged-pod-watcher-interval: 0",
    ]
    .iter()
    .enumerate()
    {
        assert!(line.evidence[index].starts_with(shown), "{line:?}");
    }
    assert!(line.evidence.iter().all(|what| what.len() < 350), "{line:?}");
    let steps: Vec<&str> = line.help.split("; ").filter(|step| step.contains(". helm upgrade")).collect();
    let sets: Vec<Vec<&str>> = steps
        .iter()
        .map(|step| step.split(" --set ").skip(1).filter_map(|set| set.split(' ').next()).collect())
        .collect();
    let each = ["cni.customConf=false", "operator.unmanagedPodWatcher.restart=true"];
    assert_eq!(sets, each.map(|set| vec![set]), "{line:?}");
    let changes = world.decide(super::lines::changes);
    let sets: Vec<(&str, &str)> = changes.iter().map(|change| (change.set, change.value)).collect();
    let file = crate::cni::values::file(&sets);
    assert_eq!(
        file,
        "cni:\n  customConf: false\noperator:\n  unmanagedPodWatcher:\n    restart: true\npolicyEnforcementMode: default\n"
    );
    world.case = Case::new(Cni::Calico, Cni::Cilium, vec![]);
    assert_eq!(
        world.line(LineName::Values).state,
        LineState::Waits,
        "settings that are not known are not right"
    );
}

/// Cilium before its last settings.
fn before_the_last_settings(from: Cni, data: Value, observation_hours: u32) -> World {
    let config = object(Kind::CONFIG_MAP, "cilium-config", json!({"data": data}));
    let spec =
        json!({"template": {"spec": {"containers": [{"name": "cilium-agent", "image": "cilium:v1.17.4"}]}}});
    let agent =
        object(Kind::DAEMON_SET, "cilium", json!({"metadata": {"namespace": "kube-system"}, "spec": spec}));
    let settings =
        format!("transition: {{phase: finish}}\nfinish: {{observationHours: {observation_hours}}}");
    World { case: Case::new(from, Cni::Cilium, vec![config, agent]).config(&settings), ..World::new() }
}

/// From this setting on, Cilium drops packets. Each row: what is known of the policies, the hours that are asked for, and what holds the setting back.
#[test]
fn enforcement_is_named_once_the_policies_are_alike_and_real_flows_pass() {
    let seen = |problems: &[&str], window: Option<(&str, &str)>| {
        let time = |text: &str| text.parse().expect("a time");
        let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        let window = window.map(|(first, last)| (time(first), time(last)));
        Some(Observation { problems, allowed: 7, open: 7, lost: 0, window })
    };
    let begins = "2026-01-01T00:00:00Z";
    let day = seen(&[], Some((begins, "2026-01-01T23:55:00Z")));
    let day_with = |open, lost| day.clone().map(|day| Observation { open, lost, ..day });
    let day_at = |first, last| seen(&[], Some((first, last)));
    let known =
        |policies, observation| PolicyComparison { policies, observation, ..PolicyComparison::default() };
    let different = PolicyComparison { differences: vec!["x to y".into()], ..known(2, day.clone()) };
    let unknown =
        PolicyComparison { unknown: vec![Problem::new("not read").fix("read it")], ..known(2, day.clone()) };
    for (policies, hours, held) in [
        (known(0, None), 24, None),
        (known(0, seen(&["no flow could be judged"], None)), 24, None),
        (known(2, None), 24, Some("2 policies would be enforced from then on")),
        (known(1, None), 1, Some("1 policy would be enforced from then on")),
        (known(2, None), 0, None),
        (known(2, day.clone()), 24, None),
        (known(2, day.clone()), 25, Some("25 hours are asked for")),
        (known(2, seen(&[], Some((begins, "2026-01-01T23:54:59Z")))), 24, Some("24 hours are asked for")),
        (known(2, seen(&[], None)), 24, Some("does not say when")),
        (known(2, day_with(8, 0)), 24, Some("let through, and 8 that may be denied")),
        (known(2, day_with(0, 1)), 24, Some("lost 1 flows")),
        (known(2, day_with(8, 1)), 0, None),
        (known(2, day_at("2026-01-02T00:00:00Z", "2026-01-03T00:05:00Z")), 24, None),
        (
            known(2, day_at("2026-01-02T00:00:00Z", "2026-01-03T00:05:01Z")),
            24,
            Some("2026-01-03T00:00:00Z now"),
        ),
        (known(2, day_at("2025-12-25T23:00:00Z", "2025-12-27T00:00:00Z")), 24, None),
        (known(2, day_at("2025-12-25T23:00:00Z", "2025-12-26T23:59:59Z")), 24, Some("more than 7 days ago")),
        (known(2, seen(&[], None)), 0, None),
        (
            known(2, seen(&["TCP 80 would be denied"], Some((begins, "2026-01-02T00:00:00Z")))),
            24,
            Some("TCP 80"),
        ),
        (known(2, seen(&["TCP 80 would be denied"], None)), 0, Some("TCP 80")),
        (different.clone(), 24, Some("x to y")),
        (unknown.clone(), 24, Some("not read")),
    ] {
        for from in [Cni::Flannel, Cni::Calico] {
            let data = json!({"custom-cni-conf": "false", "enable-policy": "never", "unmanaged-pod-watcher-interval": "15"});
            let world = World { policies: policies.clone(), ..before_the_last_settings(from, data, hours) };
            let values = world.line(LineName::Values);
            assert_eq!(values.state, LineState::Done, "{values:?}");
            assert!(values.evidence[0].contains("policyEnforcementMode: the line policies"), "{values:?}");
            let line = world.line(LineName::Policies);
            let row = format!("{hours} {policies:?}: {line:?}");
            assert_eq!(line.state, LineState::Waits, "{row}");
            let is_named = line.help.contains("--set policyEnforcementMode=default");
            assert_eq!(is_named, held.is_none(), "{row}");
            let changes = world.decide(super::lines::changes);
            assert_eq!(changes.len(), usize::from(held.is_none()), "{row}");
            if let Some(held) = held {
                assert!(line.evidence.iter().any(|what| what.contains(held)), "{row}");
            }
            let data = json!({"custom-cni-conf": "false", "unmanaged-pod-watcher-interval": "15"});
            let world = World { policies: policies.clone(), ..before_the_last_settings(from, data, hours) };
            let line = world.line(LineName::Policies);
            let is_alike = policies.differences.is_empty() && policies.unknown.is_empty();
            assert_eq!(line.state == LineState::Done, is_alike, "Cilium enforces them already: {row}");
            let problems = policies.observation.iter().flat_map(|observation| &observation.problems);
            for problem in problems.filter(|_| is_alike) {
                assert!(line.evidence.contains(problem), "what is denied already is not hidden: {line:?}");
            }
        }
    }
    let help = |policies| {
        let world = before_the_last_settings(Cni::Calico, json!({"enable-policy": "never"}), 24);
        World { policies, ..world }.line(LineName::Policies).help
    };
    for (policies, words) in [
        (known(1, None), "kubectl crossfade finish --from calico --to cilium --flows FILE"),
        (known(1, None), "observationHours: 0"),
        (known(1, None), "kubectl crossfade finish --confirm HASH"),
        (known(1, seen(&["TCP 80"], None)), "by a NetworkPolicy, which both CNIs enforce, and"),
        (different, "policies convert"),
    ] {
        assert!(help(policies.clone()).contains(words), "{policies:?}");
    }
    assert_eq!(help(unknown), "read it");
    // What the settings file says now is not what was approved.
    let mut world = before_the_last_settings(Cni::Calico, json!({"enable-policy": "never"}), 0);
    world.plan = Some(FinishPlan { observation_hours: 24, ..world.plan() });
    world.policies = known(1, None);
    let is_named = |change: &super::lines::Change| change.set == "policyEnforcementMode";
    assert!(!world.decide(super::lines::changes).iter().any(is_named));
}

/// No policy could ever be alike.
#[test]
fn a_cni_that_enforces_nothing_waits_until_no_policy_is_left() {
    for (policies, state) in [(0, LineState::Done), (2, LineState::Waits)] {
        let policies = PolicyComparison { policies, ..PolicyComparison::default() };
        let case = Case::new(Cni::Cilium, Cni::Flannel, vec![]);
        let line = World { policies, case, ..World::new() }.line(LineName::Policies);
        assert_eq!(line.state, state, "{line:?}");
        let is_named = line.evidence[0] == "flannel enforces none of 2 policies";
        assert_eq!(is_named && line.help.contains("delete them"), state == LineState::Waits, "{line:?}");
    }
}

/// What does not read a setting runs on.
#[test]
fn the_page_has_the_commands_of_the_last_settings_as_the_lines_print_them() {
    let data =
        json!({"custom-cni-conf": "true", "enable-policy": "never", "unmanaged-pod-watcher-interval": "0"});
    let world = before_the_last_settings(Cni::Flannel, data, 24);
    let help = [LineName::Values, LineName::Policies].map(|name| world.line(name).help).join("; ");
    let steps = help.split("; ").filter_map(|step| step.split_once(" helm "));
    let commands: Vec<String> =
        steps.map(|(_, step)| format!("helm {}", step.split(". --").next().unwrap_or(step))).collect();
    let page = include_str!("../../../../docs/finish.md");
    let printed: Vec<&str> = page.lines().filter(|line| line.starts_with("helm upgrade")).collect();
    assert_eq!(commands, printed, "{help}");
}

/// What a person sets is a key of the resource itself, and no chart has a file of it.
#[test]
fn settings_without_a_chart_are_named_as_the_resource_has_them() {
    let mut world = World::approved();
    let felix = object(
        Kind::FELIX_CONFIGURATION,
        "default",
        json!({"metadata": {"name": "default"}, "spec": {"bpfEnabled": true}}),
    );
    let agent = agent("kube-system", "calico-node", "calico-node", 3);
    world.case =
        Case::new(Cni::Flannel, Cni::Calico, vec![felix, agent]).config("transition: {phase: finish}");
    let help = world.line(LineName::Values).help;
    assert!(!help.is_empty(), "a setting changes");
    assert_eq!(world.line(LineName::Policies).state, LineState::Done, "no setting enforces policies");
    let line = world.line(LineName::Values);
    assert_eq!(line.evidence, ["bpfEnabled: true becomes false"]);
    assert!(line.help.contains(r#"'{"spec":{"bpfEnabled":false}}'"#), "{line:?}");
    assert!(!line.help.contains("--values"), "{line:?}");
}

#[test]
fn an_agent_is_fenced_off_once_no_node_is_selected_and_no_pod_is_left() {
    let agent = |world: &mut World, object: Value| {
        for (target, value) in &mut world.inventory.objects {
            if target.part == Part::Agent {
                value["spec"] = object["spec"].clone();
                value["status"] = object["status"].clone();
            }
        }
    };
    let selector = |pairs: Value| json!({"template": {"spec": {"nodeSelector": pairs}}});
    for (spec, status, state) in [
        (selector(json!({FENCE: CLOSED})), json!({}), LineState::Done),
        // An operator of the cluster may have fenced it off in another way.
        (selector(json!({"io.cilium/aws-node-enabled": "true"})), json!({}), LineState::Done),
        (selector(json!({})), json!({}), LineState::Ready),
        (selector(json!({"kubernetes.io/os": "linux"})), json!({}), LineState::Ready),
        (selector(json!({FENCE: CLOSED})), json!({"currentNumberScheduled": 2}), LineState::Waits),
        (selector(json!({FENCE: CLOSED})), json!({"numberMisscheduled": 1}), LineState::Waits),
    ] {
        let mut world = World::approved();
        world.case.snapshot.nodes[0].metadata.labels =
            std::sync::Arc::new([("kubernetes.io/os".into(), "linux".into())].into());
        agent(&mut world, json!({"spec": spec, "status": status}));
        assert_eq!(world.line(LineName::Fence).state, state, "{spec} {status}");
    }
}

/// A line is read by people: one object selects, and two select.
#[test]
fn a_closed_fence_is_worded_for_as_many_agents_as_there_are() {
    let mut world = World::fenced();
    let words = |world: &World| world.line(LineName::Fence).evidence.join("; ");
    assert_eq!(words(&world), "DaemonSet/kube-system/calico-node selects no node, and has no pod");
    let agent = world.inventory.in_part(Part::Agent).next();
    let (target, object) = agent.map(|(target, object)| (target.clone(), object.clone())).expect("an agent");
    world.inventory.objects.insert(Target { name: "calico-node-two".into(), ..target }, object);
    assert!(words(&world).ends_with("calico-node-two select no node, and have no pod"), "{}", words(&world));
}

#[test]
fn the_backup_has_what_is_removed_as_it_was_before_the_fence() {
    let world = World::approved();
    let fenced = World::fenced();
    let backup = world.backup.clone().expect("a backup");
    assert_eq!(backup::lacking(&fenced.inventory, &backup), [""; 0], "the fence is not a change");
    let mut changed = World::approved();
    let (target, _) = pool("default-ipv4-ippool");
    changed.inventory.objects.get_mut(&target).expect("a pool")["spec"]["cidr"] = "10.1.0.0/16".into();
    let line = changed.line(LineName::Backup);
    assert_eq!(
        (line.state, line.evidence[1].as_str()),
        (LineState::Ready, "IPPool.crd.projectcalico.org/default-ipv4-ippool")
    );
    // What was deleted since stays in the file.
    let mut left = whole();
    left.objects.retain(|target, _| target.part == Part::Definition);
    let later = backup::backup(&left, Some(&backup));
    assert_eq!(later.objects.len(), backup.objects.len());
    let bytes = backup.bytes();
    let hash = crate::plan::canon::sha256(&bytes);
    assert_eq!(backup::read(&bytes, &hash, &backup.cluster), Ok(backup.clone()));
    assert!(backup::read(&bytes, "0", &backup.cluster).is_err_and(|why| why.contains("was changed")));
    let other = ClusterId { uid: "d".into(), ..ClusterId::default() };
    assert!(backup::read(&bytes, &hash, &other).is_err_and(|why| why.contains("another cluster")));
}

/// While all of it is there, a new file has as much as the lost one.
#[test]
fn a_backup_that_is_not_at_hand_is_written_anew_until_something_is_deleted() {
    let mut world = World { backup: None, ..World::fenced() };
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready));
    world.record.as_mut().expect("a record").is_one_way = true;
    assert_eq!(world.next(), (LineName::Backup, LineState::Ready), "the first deletion failed");
    let (target, _) = targets(&CALICO[2..3]).remove(0);
    let role = world.inventory.objects.get_mut(&target).expect("a role");
    role["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
    assert_eq!(world.next(), (LineName::Backup, LineState::Waits), "what is going is begun");
    world.inventory.objects.remove(&target);
    assert_eq!(world.next(), (LineName::Backup, LineState::Waits), "nor is anything deleted without it");
}

/// An agent that was opened for an hour, or was made anew, may have run.
#[test]
fn the_soak_begins_anew_with_agents_that_were_changed() {
    for (key, value) in [("generation", json!(4)), ("uid", json!("another"))] {
        let mut world = World::fenced();
        world.plan = None;
        assert_eq!(world.line(LineName::Soak).state, LineState::Done);
        for (target, object) in &mut world.inventory.objects {
            if target.part == Part::Agent {
                object["metadata"][key] = value.clone();
            }
        }
        let line = world.line(LineName::Soak);
        assert_eq!(line.state, LineState::Ready, "{key}");
        assert!(line.evidence[0].contains("begin anew"), "{line:?}");
    }
}

/// Another program may have closed the agents later than the record says.
#[test]
fn the_soak_counts_from_the_last_change_of_the_selector_by_any_manager() {
    let mut world = World::fenced();
    for (target, object) in &mut world.inventory.objects {
        if target.part == Part::Agent {
            let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {}}}}});
            object["metadata"]["managedFields"] =
                json!([{"manager": "operator", "time": "2026-01-02T13:00:00Z", "fieldsV1": fields}]);
        }
    }
    assert!(world.line(LineName::Soak).evidence[0].contains("since 2026-01-02T13:00:00Z"));
}

/// Each row: whether anything is fenced off, whether there is no way back, the migration of a run, its last phase, and whether it is barred.
#[test]
fn a_record_bars_runs_to_the_network_that_it_closed() {
    let (calico, flannel) = (Cni::Calico, Cni::Flannel);
    for (is_fenced, is_one_way, cluster, from, to, phase, is_barred) in [
        (true, false, "c", calico, flannel, Phase::Old, true),
        (true, false, "c", calico, flannel, Phase::BothNew, true),
        (false, true, "c", calico, flannel, Phase::Old, true),
        (false, false, "c", calico, flannel, Phase::Old, false),
        (true, false, "c", calico, flannel, Phase::New, false),
        (true, false, "d", calico, flannel, Phase::Old, false),
        (true, false, "c", Cni::Canal, flannel, Phase::Old, false),
        (true, false, "c", flannel, calico, Phase::New, true),
        (true, true, "c", flannel, calico, Phase::New, false),
        (true, true, "c", flannel, Cni::Cilium, Phase::Old, false),
    ] {
        let mut record = World::approved().record.expect("a record");
        record.fenced_at = is_fenced.then(|| "2026-01-01T00:00:00Z".into());
        record.is_one_way = is_one_way;
        let row = (is_fenced, is_one_way, cluster, from, to, phase);
        assert_eq!(record.bars(cluster, from, to, phase), is_barred, "{row:?}");
    }
}

#[test]
fn what_goes_with_another_object_is_not_deleted_by_itself() {
    let mut inventory = whole();
    let (finalized, mut value) = pool("kept");
    value["metadata"]["finalizers"] = json!(["projectcalico.org/ippool-finalizer"]);
    inventory.objects.insert(finalized, value);
    inventory.objects.extend(targets(&[("Installation.operator.tigera.io/default", Part::Managed)]));
    let installation =
        json!({"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default"});
    for (part, owners) in [
        (Part::PodNetwork, json!([installation])),
        // An owner that stays, alone or beside one that goes, keeps what it owns.
        (Part::Agent, json!([installation, {"apiVersion": "x.io/v1", "kind": "X", "name": "x"}])),
        (Part::Right, json!([{"apiVersion": "x.io/v1", "kind": "Installation", "name": "default"}])),
    ] {
        for (_, object) in inventory.objects.iter_mut().filter(|(target, _)| target.part == part) {
            object["metadata"]["ownerReferences"] = owners.clone();
        }
    }
    let case = moved(None);
    let plan = FinishPlan::new(&case.scene(), &inventory);
    let names = |pins: &[Pin]| pins.iter().map(|pin| pin.target.name.clone()).collect::<BTreeSet<_>>();
    assert!(names(&plan.delete).contains("kept") && !names(&plan.delete).contains("default-ipv4-ippool"));
    let own: Vec<String> = plan.delete.iter().map(|pin| pin.target.to_string()).collect();
    for title in ["DaemonSet/kube-system/calico-node", "ClusterRole/calico-node"] {
        assert!(own.contains(&title.to_owned()), "{own:?}");
    }
    assert!(
        names(&plan.vanish)
            .is_superset(&["default-ipv4-ippool".to_owned(), "calico-kube-controllers".to_owned()].into())
    );
    assert_eq!(plan.delete[1].target.name, "kept", "while its controller lives");
    assert_eq!(FinishPlan::read(&plan.bytes()), Ok(plan));
}

/// Others can write ConfigMaps: a stored plan deletes nothing that is not the CNI's.
#[test]
fn a_plan_that_names_objects_of_others_is_refused() {
    let case = moved(None);
    let plan = FinishPlan::new(&case.scene(), &whole());
    for change in [
        |plan: &mut FinishPlan| plan.delete[0].target.name = "coredns".into(),
        |plan: &mut FinishPlan| plan.delete.reverse(),
        |plan: &mut FinishPlan| plan.delete[0].uid = String::new(),
        |plan: &mut FinishPlan| plan.version = 2,
    ] {
        let mut forged = plan.clone();
        change(&mut forged);
        assert!(FinishPlan::read(&forged.bytes()).is_err(), "{forged:?}");
    }
}

#[test]
fn installations_of_others_are_refused() {
    let definition = |name: &str| {
        (Kind::CUSTOM_RESOURCE_DEFINITION, vec![object(Kind::CUSTOM_RESOURCE_DEFINITION, name, json!({}))])
    };
    let set = |namespace: &str, name: &str, container: &str, selector: Value| {
        let spec =
            json!({"template": {"spec": {"containers": [{"name": container}], "nodeSelector": selector}}});
        (
            Kind::DAEMON_SET,
            vec![object(Kind::DAEMON_SET, name, json!({"metadata": {"namespace": namespace}, "spec": spec}))],
        )
    };
    for ((_, objects), says) in [
        (definition("x.usage.tigera.io"), "is of a product"),
        (definition("datastoremigrations.migration.projectcalico.org"), "migration of Calico's data"),
        (
            set("kube-system", "calico-node-old", "calico-node", json!({})),
            "no published installation calls it so",
        ),
        (set("kube-system", "aws-node", "aws-node", json!({})), "beside another network"),
        (
            set(
                "kube-system",
                "kube-proxy",
                "kube-proxy",
                json!({"operator.tigera.io/disable-kube-proxy": "true"}),
            ),
            "is kept off every node",
        ),
    ] {
        let mut world = World::approved();
        world.case = Case::new(Cni::Calico, Cni::Antrea, objects);
        // The fence would take away what the removal must not.
        for name in [LineName::Fence, LineName::Removal] {
            let line = world.line(name);
            assert_eq!(line.state, LineState::Refused, "{says}");
            assert!(line.evidence.iter().any(|what| what.contains(says)), "{line:?}");
        }
    }
}

/// A kind that a snapshot has without such an object is known to have none; one that it does not have is not.
#[test]
fn a_snapshot_says_what_is_there_and_what_is_not_known() {
    let set = object(
        Kind::DAEMON_SET,
        "calico-node",
        json!({"metadata": {"namespace": "kube-system", "uid": "u"}, "spec": {"template": {"spec": {"containers": [{"name": "calico-node"}]}}}}),
    );
    let near =
        object(Kind::DAEMON_SET, "calico-node-exporter", json!({"metadata": {"namespace": "kube-system"}}));
    let case = Case::new(Cni::Calico, Cni::Antrea, vec![set, near]);
    let inventory = inventory(&case.scene());
    let titles: Vec<String> = inventory.objects.keys().map(ToString::to_string).collect();
    assert_eq!(titles, ["DaemonSet/kube-system/calico-node"]);
    assert!(
        inventory.unread.iter().any(|what| what.starts_with("clusterroles.rbac.authorization.k8s.io: ")),
        "{:?}",
        inventory.unread
    );
    let world = World { case, inventory, ..World::new() };
    assert_eq!(world.line(LineName::Removal).state, LineState::Refused);
}

#[test]
fn what_the_new_cni_has_too_stays() {
    let set = object(
        Kind::DAEMON_SET,
        "canal",
        json!({"metadata": {"namespace": "kube-system"}, "spec": {"template": {"spec": {"containers": [{"name": "calico-node"}, {"name": "kube-flannel"}]}}}}),
    );
    let names = |from, to| -> BTreeSet<String> {
        let case = Case::new(from, to, vec![set.clone()]);
        candidates(&case.scene(), &["kube-system".to_owned()].into())
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let role = "ClusterRole/calico-node";
    assert!(names(Cni::Canal, Cni::Antrea).contains(role) && !names(Cni::Canal, Cni::Calico).contains(role));
}

/// Whatever the policies are, their finalizers need the controller.
#[test]
fn the_settings_of_a_controller_of_users_policies_stay() {
    let settings = Cni::AwsVpcCni.facts().footprint.targets(&BTreeSet::new()).into_iter();
    let settings = settings.filter(|target| target.to_string() == "ConfigMap/kube-system/amazon-vpc-cni");
    let settings: Vec<Target> = settings.collect();
    for (value, stays) in [("true", true), ("false", false)] {
        let object = json!({"metadata": {"uid": "u"}, "data": {"enable-network-policy-controller": value}});
        let mut world = World::new();
        world.case = Case::new(Cni::AwsVpcCni, Cni::Cilium, vec![]);
        world.inventory = present(settings.iter().map(|target| (target.clone(), object.clone())).collect());
        assert_eq!(world.plan().delete.is_empty(), stays, "{value}");
        assert_eq!(removal::remaining(&world.inventory).is_empty(), stays, "{value}");
        let line = world.line(LineName::Removal);
        let names_it = line.evidence.iter().any(|what| what.contains("amazon-vpc-cni stays"));
        assert_eq!(names_it, stays, "{line:?}");
    }
}

/// Each row: an object of Crossfade's, what the line says of it, and the command that takes it away.
#[test]
fn what_is_left_of_crossfade_is_named_with_the_command_that_takes_it_away() {
    let step = |more: &str| {
        let step = r#"{"run":"r-1","plan":"p","epoch":1,"claim":"c","to":"new","state":"moving""#;
        node_of(json!({"metadata": {"annotations": {"crossfade/step": format!("{step}{more}}}")}}}))
    };
    let condition = |kind: &str, reason: &str| {
        let condition = json!({"type": kind, "status": "True", "reason": reason});
        node_of(json!({"status": {"conditions": [condition]}}))
    };
    let taint = |key: &str| node_of(json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}));
    let config = |key: &str| {
        let spec = json!({"nodeSelector": {"matchLabels": {key: "new"}}});
        object(Kind::CILIUM_NODE_CONFIG, "d", json!({"metadata": {"namespace": "kube-system"}, "spec": spec}))
    };
    for (left, words, help) in [
        (
            node("a", "new"),
            "1 Nodes have labels or annotations of Crossfade, such as Node/a",
            "kubectl apply -f deploy/graduate.yaml",
        ),
        (step(""), "Node/a has a step of a run", "kubectl annotate node a crossfade/step- ("),
        (
            step(r#","cordon":"theirs""#),
            "Node/a has a step of a run",
            "the run; or: kubectl annotate node a crossfade/step- (",
        ),
        (
            step(r#","cordon":"ours","undisturbed":true"#),
            "Node/a has a step of a run",
            "kubectl uncordon a && kubectl annotate node a crossfade/step- karpenter.sh/do-not-disrupt-",
        ),
        (
            taint("crossfade/earlier"),
            "Nodes have the taint crossfade/earlier",
            "kubectl taint nodes --all crossfade/earlier-",
        ),
        (
            condition("Drained", "CrossfadeRoll"),
            "Node/a has the condition Drained of a run",
            r#"kubectl patch node a --subresource=status --type strategic -p '{"status":{"conditions":[{"type":"Drained","$patch":"delete"}]}}'"#,
        ),
        (
            config("crossfade/phase"),
            "CiliumNodeConfig/kube-system/d selects nodes",
            "kubectl -n kube-system delete ciliumnodeconfig d",
        ),
        (
            object(Kind::NAMESPACE, "crossfade", json!({})),
            "Namespace/crossfade is there",
            "kubectl delete namespace crossfade",
        ),
    ] {
        let line = World { case: Case::new(Cni::Calico, Cni::Antrea, vec![left]), ..World::new() }
            .line(LineName::Leave);
        assert_eq!((line.state, line.evidence.len()), (LineState::Waits, 1), "{line:?}");
        assert!(line.evidence[0].starts_with(words), "{line:?}");
        assert!(line.help.contains(help), "{line:?}");
    }
    let named = |name: &str, (kind, mut node): (Kind, Value)| {
        node["metadata"]["name"] = name.into();
        (kind, node)
    };
    let steps = vec![named("a", step(r#","cordon":"theirs""#)), named("b", step(r#","cordon":"ours""#))];
    let line =
        World { case: Case::new(Cni::Calico, Cni::Antrea, steps), ..World::new() }.line(LineName::Leave);
    let commands = "or: kubectl annotate node a crossfade/step-; kubectl uncordon b && kubectl annotate node b crossfade/step- (";
    assert!(line.help.contains(commands), "{line:?}");
    for near in [
        node_of(json!({})),
        node_of(
            json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}, "spec": {"unschedulable": true}}),
        ),
        taint("karpenter.sh/disrupted"),
        condition("Drained", "OtherTool"),
        condition("CrossfadeReady", "CrossfadeRemoved"),
        config("kubernetes.io/os"),
        object(Kind::NAMESPACE, "crossfades", json!({})),
    ] {
        let line = World { case: Case::new(Cni::Calico, Cni::Antrea, vec![near]), ..World::new() }
            .line(LineName::Leave);
        assert_eq!((line.state, line.help.as_str()), (LineState::Done, ""), "{line:?}");
        assert!(
            line.evidence[1].starts_with("not looked for: a cordon or karpenter.sh/do-not-disrupt"),
            "{line:?}"
        );
    }
}

fn node_of(more: Value) -> (Kind, Value) {
    object(Kind::NODE, "a", more)
}

#[test]
fn roles_of_crossfade_and_whatever_gives_them_are_left() {
    let role = |name: &str| json!({"metadata": {"name": name}});
    let binding = |name: &str, role: &str| json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": role}});
    let roles = [role("admin"), role("crossfade-viewer"), role("crossfade-viewers")];
    let bindings = [binding("crossfade-viewer", "admin"), binding("pipelines", "crossfade-permit")];
    let rights = Rights::new(&roles, &bindings);
    assert_eq!(rights, Rights { roles: vec!["crossfade-viewer".into()], bindings: vec!["pipelines".into()] });
    let bare = || World { case: Case::new(Cni::Calico, Cni::Antrea, vec![]), ..World::new() };
    let mut world = bare();
    world.inventory.rights = Some(rights);
    let line = world.line(LineName::Leave);
    assert_eq!(
        (line.state, line.evidence),
        (
            LineState::Waits,
            vec![
                "ClusterRoleBinding/pipelines is there".into(),
                "ClusterRole/crossfade-viewer is there".to_owned()
            ]
        )
    );
    assert!(
        line.help.starts_with(
            "kubectl delete clusterrolebinding pipelines; kubectl delete clusterrole crossfade-viewer"
        ),
        "{}",
        line.help
    );
    world.inventory.rights = None;
    let line = world.line(LineName::Leave);
    assert_eq!(line.state, LineState::Waits, "what was not read may be there");
    assert!(line.evidence[0].contains("are not known") && line.help.contains("rbac-finish.yaml"), "{line:?}");
    world.now = "";
    let line = world.line(LineName::Leave);
    assert!(line.evidence[0].ends_with("a snapshot does not have them"), "{line:?}");
    assert!(line.help.starts_with("leave --snapshot out"), "{line:?}");
    assert!(ROLES.is_sorted() && bare().line(LineName::Leave).state == LineState::Done);
}

#[test]
fn annotations_and_namespaces_of_the_old_cni_are_named_after_the_removal() {
    let node = object(
        Kind::NODE,
        "a",
        json!({"metadata": {"annotations": {"projectcalico.org/IPv4Address": "10.0.0.1", "projectcalico.org/ASNumber": "1"}}}),
    );
    let namespace = object(Kind::NAMESPACE, "calico-apiserver", json!({}));
    let mut world = World::fenced();
    world.case = Case::new(Cni::Calico, Cni::Antrea, vec![node, namespace]);
    world.inventory.objects.clear();
    world.record.as_mut().expect("a record").is_one_way = true;
    let line = world.line(LineName::Absence);
    assert_eq!(line.state, LineState::Waits);
    assert!(
        line.help.contains("kubectl annotate nodes --all projectcalico.org/IPv4Address-")
            && !line.help.contains("ASNumber"),
        "{line:?}"
    );
    assert!(line.help.contains("kubectl delete namespace calico-apiserver"), "{line:?}");
}
