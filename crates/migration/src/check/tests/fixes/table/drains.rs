//! Budgets, evictions and what else a drain waits for.

use serde_json::json;

use super::clusters::{apart, aws, budget, database, pod, webhook, workload, zonal};
use super::{Edit, Printed, PrintedThen, Row, Settings, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "pdb-blocked-now",
        |w| {
            database(w);
            w.at("pod", "db-1")["status"]["conditions"] = json!([]);
            budget(w, "b", "maxUnavailable: 1");
        },
        Edit("Repair the pods", database),
    ),
    row(
        "pdb-cannot-count",
        |w| {
            pod(w, "d-1", "DaemonSet/d", json!({}));
            budget(w, "b", "maxUnavailable: 1");
        },
        Printed,
    ),
    row(
        "pdb-never-yields",
        |w| {
            database(w);
            budget(w, "b", "minAvailable: 2");
        },
        Printed,
    ),
    row(
        "pdb-overlap",
        |w| {
            database(w);
            budget(w, "b", "maxUnavailable: 1");
            budget(w, "c", "maxUnavailable: 1");
        },
        Printed,
    ),
    row("pdb-selects-nothing", |w| budget(w, "b", "maxUnavailable: 1"), Printed),
    row(
        "job-running",
        |w| pod(w, "j-1", "Job/j", json!({})),
        Edit("Let them end", |w| w.remove("pod", "j-1")),
    ),
    row(
        "pod-empty-dir",
        |w| pod(w, "web", "ReplicaSet/web", json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}})),
        Edit("PersistentVolumeClaim", |w| {
            w.at("pod", "web")["spec"]["volumes"] =
                json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
        }),
    ),
    row(
        "pod-refuses-eviction",
        |w| pod(w, "web", "", json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}})),
        Printed,
    ),
    row(
        "pod-refuses-eviction",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}),
            )
        },
        Edit("remove the annotation", |w| w.merge("pod", "web", json!({"metadata": {"annotations": null}}))),
    ),
    row(
        "pod-static",
        |w| {
            pod(
                w,
                "s-n1",
                "Node/n1",
                json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "h"}}}),
            )
        },
        Edit("hostNetwork: true", |w| w.merge("pod", "s-n1", json!({"spec": {"hostNetwork": true}}))),
    ),
    row(
        "pod-stuck",
        |w| pod(w, "web", "ReplicaSet/web", json!({"status": {"phase": "Pending"}})),
        Edit("Find out why", |w| w.merge("pod", "web", json!({"status": {"phase": "Running"}}))),
    ),
    row("pod-without-owner", |w| pod(w, "web", "", json!({})), Printed),
    row(
        "workload-not-ready",
        |w| {
            workload(w, "Deployment", "web", 2);
            w.merge("deployment", "web", json!({"status": {"readyReplicas": 1}}));
        },
        Edit("Repair or scale", |w| workload(w, "Deployment", "web", 2)),
    ),
    row("workload-single", |w| workload(w, "Deployment", "web", 1), Printed),
    row(
        "machine-health-check",
        |w| {
            w.add("{apiVersion: cluster.x-k8s.io/v1beta1, kind: MachineHealthCheck, metadata: {name: m, namespace: x}, spec: {}}")
        },
        Printed,
    ),
    row(
        "machine-rollout",
        |w| {
            w.add("{apiVersion: cluster.x-k8s.io/v1beta1, kind: MachineDeployment, metadata: {name: m, namespace: x}, spec: {replicas: 3}, status: {replicas: 3, updatedReplicas: 1}}")
        },
        Edit("Wait until they are done", |w| {
            w.merge("machinedeployment", "m", json!({"status": {"updatedReplicas": 3}}))
        }),
    ),
    row("pod-anti-affinity", apart, Printed),
    row(
        "pod-anti-affinity",
        apart,
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "pod-grace-long",
        |w| pod(w, "web", "ReplicaSet/web", json!({"spec": {"terminationGracePeriodSeconds": 7200}})),
        Settings("roll: {limits: {moveSeconds: 7980}}", ""),
    ),
    row(
        "pod-grace-long",
        |w| pod(w, "web", "ReplicaSet/web", json!({"spec": {"terminationGracePeriodSeconds": i64::MAX}})),
        Edit("Set terminationGracePeriodSeconds of these pods to 1800 at most", |w| {
            w.merge("pod", "web", json!({"spec": {"terminationGracePeriodSeconds": 1800}}))
        }),
    ),
    row(
        "pod-zonal-volume",
        zonal,
        Edit("Add a node to the zone", |w| {
            w.merge("node", "n2", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}))
        }),
    ),
    row(
        "pod-zonal-volume",
        zonal,
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "webhook-few",
        webhook,
        PrintedThen(|w| pod(w, "hook-2", "StatefulSet/hook", json!({"spec": {"nodeName": "n2"}}))),
    ),
    row(
        "webhook-unreachable",
        |w| {
            webhook(w);
            aws(w, "OTHER");
        },
        PrintedThen(|w| w.merge("pod", "hook-1", json!({"spec": {"hostNetwork": true}}))),
    ),
];
