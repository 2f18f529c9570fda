//! The Machines of the run's nodes, in a management cluster.

use migration::drive::objects::HOOK;
use migration::roll::step::Hook;

use super::*;
use crate::live::api::test_server::RecordedRequest;
use crate::live::session::machines::Management;

const MACHINES: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/fleets/machines";

/// A node of Cluster API's Cluster `fleets/NAME`.
fn of_cluster(name: &str, cluster: &str) -> Value {
    let mut node = node(name, "5", None);
    node["metadata"]["annotations"] = json!({"cluster.x-k8s.io/machine": format!("m-{name}"),
        "cluster.x-k8s.io/cluster-namespace": "fleets", "cluster.x-k8s.io/cluster-name": cluster});
    node
}

fn machine(node: &str, version: &str, hook: Option<&str>) -> Value {
    json!({"metadata": {"namespace": "fleets", "name": format!("m-{node}"), "uid": format!("uid-m-{node}"),
        "resourceVersion": version, "annotations": {HOOK: hook.unwrap_or("r-0")}}, "status": {"nodeRef": {"name": node}}})
}

/// A plan that replaces the nodes `a` and `b` by Cluster API.
fn rotation() -> Plan {
    let node = |name: &str| json!({"name": name, "uid": format!("uid-{name}"), "pool": "blue", "why": ""});
    let wave = json!({"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0, "nodes": [node("a"), node("b"), node("gone")]});
    let pool = json!({"name": "blue", "nodes": 2, "zones": [""], "method": "cluster-api"});
    Plan {
        image: Some(Phase::BothOld),
        waves: vec![serde_json::from_value(wave).expect("a wave")],
        pools: vec![serde_json::from_value(pool).expect("a pool")],
        ..plan()
    }
}

/// The cluster with these nodes.
fn workload(nodes: Vec<Value>) -> Server {
    cluster(move |request| request.line.starts_with("GET /api/v1/nodes?limit").then(|| list(&nodes)))
}

/// A management cluster that has Machines of these nodes. `more` answers first.
fn management(
    nodes: &'static [&'static str],
    mut more: impl FnMut(&RecordedRequest) -> Option<Answer> + Send + 'static,
) -> Server {
    Server::by_rule(move |request| {
        if let Some(answer) = more(request) {
            return answer;
        }
        let line = request.line.as_str();
        if line.contains("watch=true") {
            return Answer::stream(&[]);
        }
        if line == "GET /apis" {
            let versions = json!([{"groupVersion": "cluster.x-k8s.io/v1beta1"}, {"groupVersion": "cluster.x-k8s.io/v1beta2"}]);
            return Answer::json(
                200,
                &json!({"groups": [{"name": "cluster.x-k8s.io", "versions": versions}]}),
            );
        }
        if line.starts_with("POST") {
            return Answer::json(201, &json!({"spec": {}, "status": {"allowed": true}}));
        }
        if line.starts_with("PATCH") {
            return Answer::json(200, &machine("a", "9", Some("r-1")));
        }
        let machines: Vec<Value> = nodes.iter().map(|node| machine(node, "3", None)).collect();
        list(&machines)
    })
}

/// A session that holds the Lease, with the nodes known and a management cluster named.
async fn managed(workload: &Server, management: &Server) -> Session {
    let mut session = holding(workload).await;
    let caller = management.caller();
    let watcher = caller.with_client(management.client());
    session.management = Some(Management { caller, watcher, machines: None });
    session.look(&a_run(), &rotation(), LONG).await.expect("a world");
    session
}

#[test]
fn machines_are_found_watched_and_patched_by_their_nodes() {
    run(async {
        let server = workload(vec![of_cluster("a", "blue"), of_cluster("b", "blue")]);
        let managing = management(&["a", "b"], |_| None);
        let mut session = managed(&server, &managing).await;
        assert!(session.cluster.world.machines.is_none());
        assert!(session.find_machines(&a_run(), &rotation()).await.expect("found"));
        assert!(!session.find_machines(&a_run(), &rotation()).await.expect("found before"));
        let world = session.look(&a_run(), &rotation(), LONG).await.expect("a world");
        let machine = world.machine("a").expect("a Machine").clone();
        assert_eq!((&*machine.name, machine.hook.as_deref()), ("m-a", Some("r-0")));
        let query = "labelSelector=cluster.x-k8s.io%2Fcluster-name%3Dblue";
        assert!(
            managing.lines().contains(&format!("GET {MACHINES}?{query}&limit=500")),
            "{:?}",
            managing.lines()
        );
        let hook = |run: Option<&str>| {
            let run = run.map(Into::into);
            Act::Hook(Box::new(Hook { node: "a".into(), machine: machine.clone(), run }))
        };
        for (run, value) in [(Some("r-1"), json!("r-1")), (None, Value::Null)] {
            assert_eq!(session.act(&hook(run)).await, Outcome::Done);
            let request = managing
                .requests()
                .into_iter()
                .rfind(|request| request.line.starts_with("PATCH"))
                .expect("a patch");
            let line = format!("PATCH {MACHINES}/m-a?fieldManager=crossfade&timeout=");
            assert!(request.line.starts_with(&line), "{}", request.line);
            let meta = json!({"resourceVersion": "3", "uid": "uid-m-a", "annotations": {HOOK: value}});
            assert_eq!(request.json(), json!({"metadata": meta}), "nothing else of the Machine");
        }
        let world = session.look(&a_run(), &rotation(), LONG).await.expect("a world");
        assert_eq!(
            world.machine("a").expect("a Machine").hook.as_deref(),
            Some("r-1"),
            "as the answer shows it"
        );
    });
}

/// Each row: nodes with their Clusters, nodes with Machines, what the management cluster answers otherwise, and the error with its fix.
#[test]
fn what_is_wrong_is_said_before_anything_is_changed() {
    type More = fn(&RecordedRequest) -> Option<Answer>;
    /// Nodes and their Clusters, Machines, what else the management cluster answers, and what the error says and advises.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'static [&'static str], More, &'a str, &'a str);
    let none: More = |_| None;
    let no_group: More =
        |request| (request.line == "GET /apis").then(|| Answer::json(200, &json!({"groups": []})));
    let no_patch: More = |request| {
        let is_patch = request.line.starts_with("POST")
            && request.json()["spec"]["resourceAttributes"]["verb"] == "patch";
        is_patch.then(|| Answer::json(201, &json!({"spec": {}, "status": {"allowed": false}})))
    };
    let unreadable: More = |request| {
        request
            .line
            .contains("labelSelector")
            .then(|| Answer::refusal(403, "Forbidden", "machines is forbidden"))
    };
    let both = [("a", "blue"), ("b", "blue")];
    let rows: [Row<'_>; 7] = [
        (&both, &["a", "b"], no_group, "serves no Machines", "kubectl get machines -A"),
        (
            &both,
            &["a", "b"],
            no_patch,
            "patch machines.cluster.x-k8s.io in namespace fleets",
            "rbac-management.yaml",
        ),
        (&both, &["a", "b"], unreadable, "cannot be read", "kubectl get machines"),
        (
            &both,
            &[],
            none,
            "no Machine of Cluster fleets/blue has one of these Nodes: a, b (2 in all)",
            "--management-context and --context",
        ),
        (
            &both,
            &["other"],
            none,
            "one of these Nodes: a, b (2 in all)",
            "--management-context and --context",
        ),
        (&[("a", "blue"), ("b", "green")], &["a", "b"], none, "as many nodes are of Cluster", "one Cluster"),
        (&[], &["a", "b"], none, "names its Cluster", "leave the option out"),
    ];
    for (nodes, machines, more, what, fix) in rows {
        run(async move {
            let nodes = nodes.iter().map(|(name, cluster)| of_cluster(name, cluster)).collect();
            let (server, managing) = (workload(nodes), management(machines, more));
            let mut session = managed(&server, &managing).await;
            let (_, problem) = session.find_machines(&a_run(), &rotation()).await.expect_err(what);
            assert!(problem.what.contains(what) && problem.fix.contains(fix), "{what}: {problem:?}");
            assert!(!managing.lines().iter().any(|line| line.starts_with("PATCH")));
        });
    }
}

/// A node that names another Cluster, or has no Machine, keeps no other one from being held.
#[test]
fn one_node_does_not_keep_the_run_from_the_machines_of_the_others() {
    run(async {
        let server =
            workload(vec![of_cluster("a", "blue"), of_cluster("b", "blue"), of_cluster("c", "another")]);
        let managing = management(&["a", "c"], |_| None);
        let mut session = managed(&server, &managing).await;
        assert!(session.find_machines(&a_run(), &rotation()).await.expect("found"));
        let world = session.look(&a_run(), &rotation(), LONG).await.expect("a world");
        let known = ["a", "b", "c"].map(|node| world.machine(node).is_some());
        assert_eq!(known, [true, false, true], "the management cluster says which Node a Machine has");
    });
}
