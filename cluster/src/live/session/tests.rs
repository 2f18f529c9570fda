mod machines;
mod node_claims;

use migration::roll::step::{Act, Change, Patch, PodId};
use migration::roll::world::Trait;
use serde_json::{Value, json};
use types::policy::Phase;

use super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, run};
use crate::live::session::calls::Outcome;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/crossfade/leases/crossfade-run";

fn plan() -> Plan {
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {"windows": [{"from": "00:00", "to": "06:00"}]}, "pods": {},
        "gates": [{"name": "server", "source": "apiServer", "everySeconds": 30, "freshSeconds": 60}, {"name": "names", "source": "dns", "everySeconds": 30, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}, "policies": [],
        "agents": [{"namespace": "kube-system", "name": "cilium", "uid": "u", "generation": 1}], "unenforced": [], "networks": {"old": [], "new": []}, "waivers": [],
    }))
    .expect("a plan")
}

/// A gate with a command that would end at once.
fn command(name: &str) -> Gate {
    let gate = json!({"name": name, "source": {"command": ["/bin/true", name]}, "everySeconds": 30, "freshSeconds": 60});
    serde_json::from_value(gate).expect("a gate")
}

fn a_run() -> Run {
    Run::new("r-1", "4be1".repeat(16), &plan())
}

fn node(name: &str, version: &str, step: Option<&str>) -> Value {
    let annotations = step.map_or(json!({}), |state| {
        let step =
            json!({"run": "r-1", "plan": "p", "epoch": 1, "claim": "c", "to": "both-old", "state": state});
        json!({"crossfade/step": step.to_string()})
    });
    json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": version, "labels": {"pool": "blue"},
        "annotations": annotations}, "spec": {"taints": [{"key": "x", "effect": "NoExecute", "timeAdded": "t"}]}})
}

fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "x", "uid": format!("uid-{name}"), "resourceVersion": "3"}, "spec": {"nodeName": node}})
}

fn list(items: &[Value]) -> Answer {
    Answer::json(200, &json!({"metadata": {"resourceVersion": "10"}, "items": items}))
}

fn stored(version: &str) -> Value {
    json!({"metadata": {"name": "crossfade-run", "resourceVersion": version},
        "data": {"run.json": serde_json::to_string(&a_run()).expect("JSON")}})
}

/// A cluster with two nodes; `b` is in transit. `more` answers first.
fn cluster(mut more: impl FnMut(&RecordedRequest) -> Option<Answer> + Send + 'static) -> Server {
    Server::by_rule(move |request| {
        if let Some(answer) = more(request) {
            return answer;
        }
        let line = request.line.as_str();
        if line.contains("watch=true") {
            return Answer::stream(&[]);
        }
        match line.split(['?', '&']).collect::<Vec<_>>().as_slice() {
            ["GET /api/v1", ..] => Answer::json(200, &json!({"resources": []})),
            ["GET /api/v1/nodes", ..] => list(&[node("a", "5", None), node("b", "6", Some("moving"))]),
            ["GET /api/v1/pods", "fieldSelector=spec.nodeName%3Db", ..] => list(&[pod("web", "b")]),
            ["GET /api/v1/pods", "fieldSelector=spec.nodeName%3Da", ..] => list(&[pod("db", "a")]),
            ["GET /api/v1/namespaces/crossfade/configmaps", ..] => list(&[stored("7")]),
            ["GET /apis/coordination.k8s.io/v1/namespaces/crossfade/leases/crossfade-run"] => Answer::json(
                200,
                &json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "", "leaseTransitions": 4}}),
            ),
            [put, ..] if put.starts_with(&format!("PUT {LEASE}")) => Answer::text(200, &request.body),
            _ => list(&[]),
        }
    })
}

fn version(stored: Option<&Result<StoredRun, UnreadableRun>>) -> Option<&str> {
    stored.map(|stored| stored.as_ref().expect("a run").version.as_str())
}

async fn session(server: &Server) -> Session {
    let (caller, settings) = (
        server.caller(),
        Settings { pool_labels: vec!["pool".into()], gates: vec![command("ours")], ..Settings::default() },
    );
    Session::open(caller.clone(), caller.with_client(server.client()), settings).await.expect("a session")
}

async fn holding(server: &Server) -> Session {
    let mut session = session(server).await;
    assert_eq!(
        session.take_lease(Patience::None, std::future::pending(), &mut |_, _| {}).await.expect("taken"),
        5
    );
    session
}

/// Each row: how the nodes of the only pool move, and whether a session looks at what pipelines ask for.
#[test]
fn what_pipelines_ask_for_is_watched_where_they_ask() {
    run(async {
        for (method, is_watched) in [("permit", true), ("karpenter", false), ("drain", false)] {
            let server = cluster(|request| {
                let request = request.line.contains("metadata.name%3Dcrossfade-permits");
                let map = json!({"metadata": {"name": "crossfade-permits", "resourceVersion": "9"},
                    "data": {"uid-a": json!({"node": "a", "run": "r-1", "to": "both-old", "at": "t"}).to_string(), "uid-b": "b"}});
                request.then(|| list(&[map]))
            });
            let pool = json!({"name": "blue", "nodes": 2, "zones": [""], "method": method});
            let pools = vec![serde_json::from_value(pool).expect("a pool")];
            let plan = Plan { image: Some(Phase::BothOld), pools, ..plan() };
            let mut session = holding(&server).await;
            let world = session.look(&a_run(), &plan, LONG).await.expect("a world").clone();
            let requested: Vec<&str> = world.permits.requested.keys().map(AsRef::as_ref).collect();
            let expected: &[&str] = if is_watched { &["uid-a"] } else { &[] };
            assert_eq!(
                (requested.as_slice(), world.permits.unreadable.len()),
                (expected, expected.len()),
                "{method}"
            );
        }
    });
}

const LONG: Duration = Duration::from_secs(20);

fn claim(name: &str, version: &str) -> Act {
    let step = serde_json::from_value(
        json!({"run": "r-1", "plan": "p", "epoch": 5, "claim": "c", "to": "both-old", "state": "claimed"}),
    );
    Act::Patch(Box::new(Patch {
        node: name.into(),
        uid: format!("uid-{name}").into(),
        version: version.into(),
        step: Change::Set(step.expect("a step")),
        desired: Some(Phase::BothOld),
        cordon: Some(true),
        fence: Some(true),
        lifts_readiness: false,
        undisturbed: None,
        lifecycle: std::collections::BTreeMap::new(),
    }))
}

#[test]
fn a_first_look_sees_all_of_it_pods_of_nodes_in_transit_included() {
    run(async {
        let server = cluster(|_| None);
        let mut session = holding(&server).await;
        let world = session.look(&a_run(), &plan(), LONG).await.expect("a world").clone();
        assert_eq!(world.nodes.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(&*world.nodes["a"].pool, "blue");
        assert_eq!(
            world.pods.values().map(|pod| &*pod.name).collect::<Vec<_>>(),
            ["web"],
            "those of node a are not asked for"
        );
        assert_eq!((world.epoch, world.verdicts.len(), world.is_open), (5, 2, true), "it is midnight");
        assert!(world.renewed_at >= Duration::from_secs(crate::live::api::test_server::START));
        assert_eq!(version(session.stored_run()), Some("7"));
        let lines = server.lines();
        for path in [
            "/api/v1/pods?fieldSelector=spec.nodeName%3D&limit=500",
            "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns&limit=500",
            "/apis/apps/v1/deployments?limit=500",
            "/apis/apps/v1/statefulsets?limit=500",
            "/apis/apps/v1/daemonsets?limit=500",
            "/apis/apps/v1/replicasets?limit=500",
            "/api/v1/namespaces/crossfade/configmaps?fieldSelector=metadata.name%3Dcrossfade-run&limit=500",
        ] {
            assert!(lines.contains(&format!("GET {path}")), "{path}: {lines:#?}");
        }
        let watches: Vec<&RecordedRequest> =
            server.requests().leak().iter().filter(|request| request.line.contains("watch=true")).collect();
        assert!(
            watches.len() == 9 && watches.iter().all(|request| request.encoding == "identity"),
            "{watches:?}"
        );
    });
}

/// The commands that run now.
fn commands(session: &Session) -> Vec<&str> {
    session.gates.iter().map(|gate| gate.name.as_str()).collect()
}

#[test]
fn a_session_without_the_lease_starts_no_command() {
    run(async {
        let server = cluster(|_| None);
        let mut session = session(&server).await;
        let plan = Plan { gates: vec![command("ours")], ..plan() };
        let world = session.look(&a_run(), &plan, LONG).await.expect("a world");
        assert_eq!(commands(&session), [""; 0]);
        assert_eq!(world.verdicts.len(), 0, "and so has no verdict");
    });
}

#[test]
fn a_holder_starts_no_command_but_those_of_its_own_settings_word_for_word() {
    run(async {
        let server = cluster(|_| None);
        let mut session = holding(&server).await;
        let mut evil = command("evil");
        evil.name = "ours".into();
        let often = Gate { every_seconds: 1, ..command("ours") };
        for (gates, started) in [
            (vec![command("ours")], &["ours"][..]),
            (vec![evil.clone()], &[]),
            (vec![often], &[]),
            (vec![evil, command("ours"), command("other")], &["ours"]),
        ] {
            let plan = Plan { gates, ..plan() };
            session.look(&a_run(), &plan, LONG).await.expect("a world");
            assert_eq!(commands(&session), started, "{:?}", plan.gates);
        }
    });
}

#[test]
fn a_look_waits_for_a_change_or_for_its_time() {
    run(async {
        let later = json!({"type": "MODIFIED", "object": node("a", "11", Some("claimed"))});
        let mut watches = 0;
        let server = cluster(move |request| {
            let is_nodes = request.line.starts_with("GET /api/v1/nodes?watch=true");
            watches += u32::from(is_nodes);
            // The first watch says nothing, so that all is listed anew after thirty seconds; the second one brings a change.
            match (is_nodes, watches) {
                (true, 2) => Some(Answer::stream(&[&format!("{later}\n")])),
                _ => None,
            }
        });
        let mut session = session(&server).await;
        let (run, plan) = (a_run(), plan());
        session.look(&run, &plan, LONG).await.expect("a world");
        let began = tokio::time::Instant::now();
        session.look(&run, &plan, LONG).await.expect("the same world");
        assert_eq!(began.elapsed(), LONG, "nothing changed");
        let world = session.look(&run, &plan, Duration::from_secs(600)).await.expect("another world");
        assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
        assert!(world.nodes["a"].step.is_some());
        let pods: Vec<&str> = world.pods.values().map(|pod| &*pod.name).collect();
        assert_eq!(pods, ["db", "web"], "its pods are watched from then on");
    });
}

#[test]
fn what_cannot_be_watched_is_named() {
    run(async {
        let server = cluster(|request| {
            request
                .line
                .starts_with("GET /apis/apps/v1/statefulsets")
                .then(|| Answer::refusal(403, "Forbidden", "no"))
        });
        let mut session = session(&server).await;
        let blind = session.look(&a_run(), &plan(), LONG).await.expect_err("blind");
        assert_eq!(blind.to_string(), "StatefulSets cannot be watched: 403 Forbidden: no");
    });
}

#[test]
fn other_agents_mean_other_pods() {
    run(async {
        let server = cluster(|request| {
            let mut agent = pod("agent", "b");
            agent["metadata"]["namespace"] = "kube-system".into();
            agent["metadata"]["ownerReferences"] =
                json!([{"kind": "DaemonSet", "name": "calico-node", "controller": true}]);
            request.line.contains("spec.nodeName%3Db&limit").then(|| list(&[agent]))
        });
        let (mut session, mut other) = (session(&server).await, plan());
        let is_agent =
            |world: &World| world.pods.get("uid-agent").is_some_and(|pod| pod.has_trait(Trait::Agent));
        assert!(!is_agent(&session.look(&a_run(), &other, LONG).await.expect("a world")));
        other.agents[0].name = "calico-node".into();
        assert!(is_agent(&session.look(&a_run(), &other, LONG).await.expect("a world")));
    });
}

#[test]
fn a_patch_is_made_on_what_is_known_and_known_at_once() {
    run(async {
        let server = cluster(|request| {
            request.line.starts_with("PATCH").then(|| Answer::json(200, &node("a", "20", Some("claimed"))))
        });
        let mut session = holding(&server).await;
        let (run, plan) = (a_run(), plan());
        session.look(&run, &plan, LONG).await.expect("a world");
        assert_eq!(session.act(&claim("a", "4")).await, Outcome::Changed, "it is of version 5 meanwhile");
        assert!(!server.lines().iter().any(|line| line.starts_with("PATCH")), "and nothing is asked for");
        assert_eq!(session.act(&claim("a", "5")).await, Outcome::Done);
        let request =
            server.requests().into_iter().find(|request| request.line.starts_with("PATCH")).expect("a patch");
        assert_eq!(request.line, "PATCH /api/v1/nodes/a?fieldManager=crossfade&timeout=27s");
        let body = request.json();
        assert_eq!(
            (&body["metadata"]["resourceVersion"], &body["metadata"]["uid"]),
            (&json!("5"), &json!("uid-a"))
        );
        let fence = json!({"key": "crossfade/earlier", "effect": "PreferNoSchedule"});
        assert_eq!(
            body["spec"]["taints"],
            json!([{"key": "x", "effect": "NoExecute", "timeAdded": "t"}, fence])
        );
        let world = session.look(&run, &plan, LONG).await.expect("a world");
        assert_eq!(&*world.nodes["a"].version, "20", "before any watch tells of it");
    });
}

#[test]
fn nothing_is_done_without_the_lease_or_after_it_was_given_back() {
    run(async {
        let server = cluster(|_| None);
        let mut session = session(&server).await;
        let id = PodId {
            namespace: "x".into(),
            name: "web".into(),
            uid: "u".into(),
            node: "b".into(),
            owner: None,
        };
        let acts = [
            claim("a", "5"),
            Act::Evict(id.clone()),
            Act::Delete(id.clone()),
            Act::Record(Box::new(a_run())),
        ];
        let (run, plan) = (a_run(), plan());
        session.look(&run, &plan, LONG).await.expect("a world");
        session.take_up();
        for act in &acts {
            assert!(matches!(session.act(act).await, Outcome::Barred(_)), "{act:?}");
        }
        session.take_lease(Patience::None, std::future::pending(), &mut |_, _| {}).await.expect("taken");
        session.release().await.expect("released");
        for act in &acts {
            assert!(matches!(session.act(act).await, Outcome::Barred(_)), "{act:?}");
        }
        let writes = ["POST", "PATCH", "DELETE"];
        let wrote =
            server.lines().into_iter().filter(|line| writes.iter().any(|write| line.starts_with(write)));
        let wrote = wrote.filter(|line| !line.ends_with("/selfsubjectreviews"));
        assert_eq!(wrote.collect::<Vec<_>>(), [""; 0]);
        assert!(matches!(session.act(&Act::Census).await, Outcome::Counted(_)), "to count needs no Lease");
    });
}

#[test]
fn the_lease_is_renewed_while_the_session_lives() {
    run(async {
        let server = cluster(|_| None);
        let session = holding(&server).await;
        let renewals = || server.lines().iter().filter(|line| line.starts_with("PUT")).count();
        tokio::time::sleep(Duration::from_secs(35)).await;
        assert_eq!(
            (renewals(), session.lease().map(HeldLease::standing)),
            (4, Some(crate::live::lease::Standing::Fresh))
        );
        drop(session);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(renewals(), 4, "and not after it");
    });
}

#[test]
fn a_run_is_recorded_on_what_the_driver_has_taken_up() {
    run(async {
        let server = cluster(|request| {
            let version = |version: &str| request.json()["metadata"]["resourceVersion"] == version;
            request.line.starts_with("PATCH").then(|| match () {
                () if version("7") => Answer::json(200, &stored("8")),
                () => Answer::refusal(409, "Conflict", "the object has been modified"),
            })
        });
        let mut session = holding(&server).await;
        let record = Act::Record(Box::new(a_run()));
        session.look(&a_run(), &plan(), LONG).await.expect("a world");
        assert_eq!(session.act(&record).await, Outcome::Changed, "what was never read cannot be written");
        assert!(!server.lines().iter().any(|line| line.starts_with("PATCH")), "and nothing is asked for");
        assert_eq!(version(session.take_up().as_ref()), Some("7"));
        assert_eq!(session.act(&record).await, Outcome::Done);
        assert_eq!(
            session.act(&record).await,
            Outcome::Changed,
            "on version 8, which this server does not like"
        );
        session.look(&a_run(), &plan(), LONG).await.expect("a world");
        assert_eq!(version(session.stored_run()), Some("8"));
    });
}

#[test]
fn a_census_is_in_the_next_world() {
    run(async {
        let server = cluster(|request| {
            let running = json!({"spec": {"nodeName": "a"}, "status": {"phase": "Running"}});
            (request.line == "GET /api/v1/pods?limit=500").then(|| list(&[running.clone(), running]))
        });
        let mut session = session(&server).await;
        assert!(session.look(&a_run(), &plan(), LONG).await.expect("a world").census.is_none());
        let Outcome::Counted(census) = session.act(&Act::Census).await else { panic!("no census") };
        let world = session.look(&a_run(), &plan(), LONG).await.expect("a world");
        assert_eq!((world.census.as_ref(), census.running["a"]), (Some(&census), 2));
    });
}

#[test]
fn windows_are_of_their_own_time_zone() {
    run(async {
        // 2026-01-01 00:00 UTC is a Thursday.
        let clock = crate::live::api::test_server::clock();
        assert_eq!(local(&clock, None), Some(LocalTime { day: 3, minute: 0 }));
        assert_eq!(
            local(&clock, Some("America/New_York")).map(|time| (time.day, time.minute / 60)),
            Some((2, 19))
        );
        assert_eq!(local(&clock, Some("Mars/Phobos")), None);
    });
}

#[test]
fn settings_name_pools_and_workloads() {
    let config: Config = serde_json::from_value(json!({"version": 1, "nodes": {"poolLabels": ["p"]},
        "watchedResources": {"daemonSets": {"x": ["log"]}}}))
    .expect("settings");
    let watched = vec![Owner { kind: "DaemonSet".into(), namespace: "x".into(), name: "log".into() }];
    assert_eq!(
        Settings::from_config(&config),
        Settings { pool_labels: vec!["p".into()], watched, gates: gates(&config), probe_port: 9797 }
    );
}
