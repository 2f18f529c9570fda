mod cleaning;
mod deletions;
mod fence;
mod footprints;
mod leave;
mod nodes;
mod order;
mod refusals;
mod settings;

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
