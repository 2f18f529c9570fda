//! Against an API server of tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reachability::manifests::{DAEMON_SETS, NAMESPACE};
use reachability::{Kind, Phase};
use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, run};
use crate::live::session::state::Event;

/// A line of a hub's log.
fn line(interval: u64, answered: u64, lost: u64) -> String {
    let class = json!({"from": "old", "to": {"agent": "old"}, "place": "other-node", "family": "IPv4", "packet": "udp"});
    let report = json!({
        "hub": "hub-a", "interval": interval, "length": 5000, "agents": {"old": ["n1", "n2"], "host": ["n1", "n2"]}, "isFull": true,
        "classes": [{"class": class, "counts": {"answered": answered, "lost": lost, "outages": u64::from(lost > 2)}}],
        "unproven": [], "troubles": [], "moreTroubles": 0, "arrived": [], "departed": [],
    });
    report.to_string()
}

fn pod(name: &str, role: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"crossfade-probe/role": role}}, "spec": {"nodeName": node}, "status": {"phase": "Running"}})
}

/// A cluster whose one hub prints one more report at each look; `counts` has the packets that were answered and lost by its number.
fn cluster(counts: impl Fn(u64) -> (u64, u64) + Send + 'static, has_agents: bool) -> Server {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let objects = Mutex::new(BTreeMap::<String, Value>::new());
    let looks_left = Mutex::new(u32::MAX);
    Server::by_rule(move |request| {
        let (verb, path) = request.line.split_once(' ').unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let mut objects = objects.lock().expect("objects");
        match verb {
            "POST" if path.contains("selfsubjectaccessreviews") => {
                Answer::json(201, &json!({"spec": {}, "status": {"allowed": true}}))
            }
            "POST" => Answer::json(201, &json!({})),
            "PATCH" => {
                let mut object = request.json();
                object["spec"]["clusterIPs"] = json!(["10.96.0.7"]);
                objects.insert(path.to_owned(), object.clone());
                Answer::json(200, &object)
            }
            "DELETE" => {
                // Pods take a moment to end.
                *looks_left.lock().expect("looks") = 2;
                Answer::json(200, &json!({}))
            }
            _ if path.ends_with("/daemonsets") => {
                let is_there = has_agents || objects.keys().any(|path| path.contains("/daemonsets/"));
                let set = |name: &&str| json!({"metadata": {"name": name, "generation": 1}, "status": {"observedGeneration": 1, "desiredNumberScheduled": if *name == "pod" { 4 } else { 0 }}});
                let items: Vec<Value> = DAEMON_SETS.iter().filter(|_| is_there).map(set).collect();
                Answer::json(200, &json!({ "items": items }))
            }
            _ if path.ends_with("/pods") => {
                let mut looks_left = looks_left.lock().expect("looks");
                if *looks_left != u32::MAX {
                    *looks_left = looks_left.saturating_sub(1);
                }
                if *looks_left == 0 {
                    return Answer::json(200, &json!({"items": []}));
                }
                let agents = [pod("hub-a", "hub", "n1"), pod("pod-a", "pod", "n1")];
                let is_selected = |pod: &&Value| {
                    !request.line.contains("role%3Dhub")
                        || pod["metadata"]["labels"]["crossfade-probe/role"] == "hub"
                };
                Answer::json(200, &json!({"items": agents.iter().filter(is_selected).collect::<Vec<_>>()}))
            }
            _ if path.ends_with("/log") => {
                let mut printed = printed.lock().expect("lines");
                let number = u64::try_from(printed.len()).unwrap_or_default() + 1;
                let (answered, lost) = counts(number);
                printed.push(line(number, answered, lost));
                Answer::text(
                    200,
                    &format!("crossfade-probe: an agent is not taken\n{}\n", printed.join("\n")),
                )
            }
            _ => Answer::refusal(404, "NotFound", "not found"),
        }
    })
}

fn options(occasion: Occasion, keeps: bool) -> ProbeOptions {
    let node = |name: &str| Node {
        name: name.to_owned(),
        zone: "a".to_owned(),
        addresses: vec![[192, 0, 2, 1].into()],
    };
    let agents = Agents {
        image: "localhost/crossfade:0".to_owned(),
        pull_secret: None,
        port: 9797,
        networks: "old=10.244.0.0/16".to_owned(),
        dns: Vec::new(),
        asks_denied: false,
    };
    let baseline = Duration::from_secs(60);
    ProbeOptions { agents, nodes: vec![node("n1"), node("n2")], baseline, occasion, keeps }
}

/// The whole way, by this server.
async fn probed(server: &Server, options: &ProbeOptions) -> (Result<Probed, Failure>, Vec<String>) {
    let (interrupt, mut lines) = (Interrupt::new(), Vec::new());
    let outcome =
        conduct(&server.caller(), options, &interrupt, &mut |text| lines.push(text.to_owned())).await;
    (outcome, lines)
}

fn deleted(requests: &[RecordedRequest]) -> usize {
    requests.iter().filter(|request| request.line.starts_with("DELETE")).count()
}

#[test]
fn agents_come_measure_and_go() {
    run(async {
        let server = cluster(|number| if number > 14 { (50, 10) } else { (60, 0) }, false);
        let (outcome, lines) =
            probed(&server, &options(Occasion::Time(Duration::from_secs(60)), false)).await;
        let Probed { baseline, measured, expected, command } = outcome.expect("measured");
        assert_eq!((expected, command), (4, None));
        let sum = |measurement: &Measurement| {
            measurement
                .classes
                .values()
                .map(|counts| (counts.answered > 0, counts.lost > 0))
                .collect::<Vec<_>>()
        };
        assert_eq!((sum(&baseline), sum(&measured)), (vec![(true, false)], vec![(true, true)]));
        assert!(
            baseline.reports >= 11 && measured.reports >= 11,
            "{} {}",
            baseline.reports,
            measured.reports
        );
        assert_eq!(lines.last().map(String::as_str), Some("taking the agents away"));
        let requests = server.requests();
        assert_eq!(deleted(&requests), DAEMON_SETS.len() + 4);
        let last = requests.iter().rev().take_while(|request| !request.line.starts_with("DELETE")).count();
        assert_eq!(last, 2, "it waits for the end of the pods");
        let key = requests.iter().find(|request| request.line.ends_with("/secrets")).expect("a key");
        assert_eq!(key.json()["stringData"]["key"].as_str().map(str::len), Some(32));
        let set = requests.iter().find(|request| request.line.contains("/daemonsets/pod?")).expect("agents");
        assert_eq!(set.content, "application/apply-patch+yaml");
        assert!(set.body.contains("10.96.0.7"), "agents know the Service: {}", set.body);
        let names = |line: &str| line.contains("networkpolicies");
        assert!(!requests.iter().any(|request| request.line.starts_with("PATCH") && names(&request.line)));
    });
}

#[test]
fn agents_that_were_there_before_or_are_kept_stay() {
    run(async {
        for (has_agents, keeps) in [(true, false), (false, true)] {
            let server = cluster(|_| (60, 0), has_agents);
            let options = options(Occasion::Time(Duration::from_secs(10)), keeps);
            probed(&server, &options).await.0.expect("measured");
            assert_eq!(deleted(&server.requests()), 0, "there: {has_agents}, kept: {keeps}");
        }
    });
}

#[test]
fn the_network_is_watched_while_a_command_runs() {
    run(async {
        for (script, end) in [("exit 0", Ok(0)), ("exit 7", Ok(7))] {
            let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            let server = cluster(|_| (60, 0), false);
            let probed =
                probed(&server, &options(Occasion::Command(words), false)).await.0.expect("measured");
            assert_eq!(probed.command, Some(end));
            assert!(probed.measured.reports >= 11, "a minute more: {}", probed.measured.reports);
        }
        let missing = vec!["/nonexistent/helm".to_owned()];
        let server = cluster(|_| (60, 0), false);
        let probed = probed(&server, &options(Occasion::Command(missing), false)).await.0.expect("measured");
        assert!(matches!(&probed.command, Some(Err(why)) if why.contains("/nonexistent/helm")), "{probed:?}");
    });
}

#[test]
fn agents_that_do_not_report_are_named_with_the_reason_and_taken_away() {
    run(async {
        let started = cluster(|_| (60, 0), false);
        let server = Server::by_rule(move |request| {
            let waiting = json!({"metadata": {"name": "hub-a", "labels": {}}, "spec": {"nodeName": "n1"},
                "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
            let is_list = request.line.contains(&format!("/namespaces/{NAMESPACE}/pods"));
            match is_list && !request.line.contains("/log") {
                true => Answer::json(200, &json!({ "items": [waiting] })),
                false => started.answer(request),
            }
        });
        let (outcome, _) = probed(&server, &options(Occasion::Time(Duration::from_secs(10)), false)).await;
        let (exit, problem) = outcome.expect_err("no agents");
        assert_eq!(exit, Exit::Failed);
        assert!(problem.what.contains("1 pods: ImagePullBackOff, such as that of node n1"), "{problem:?}");
        assert!(problem.fix.contains("probe: {image: IMAGE}"), "{problem:?}");
        assert_eq!(deleted(&server.requests()), DAEMON_SETS.len() + 4);
    });
}

#[test]
fn a_missing_namespace_names_the_manifest() {
    run(async {
        let server = Server::by_rule(|request| match request.line.starts_with("POST") {
            true => Answer::refusal(404, "NotFound", "namespaces \"crossfade-probe\" not found"),
            false => Answer::json(200, &json!({"items": []})),
        });
        let (outcome, _) = probed(&server, &options(Occasion::Time(Duration::from_secs(10)), false)).await;
        let (_, problem) = outcome.expect_err("no namespace");
        assert!(problem.what.ends_with("the namespace crossfade-probe does not exist"), "{problem:?}");
        assert!(problem.fix.ends_with("deploy/cluster/rbac-probe.yaml"), "{problem:?}");
    });
}

#[test]
fn lines_that_are_no_reports_are_passed_over() {
    let log = format!("noise\n{}\n{{\"hub\": \"cut\n{}\n{{}}\n", line(1, 1, 0), line(2, 1, 0));
    let intervals: Vec<u64> =
        reports::parse(log.as_bytes()).into_iter().map(|report| report.interval).collect();
    assert_eq!(intervals, [1, 2]);
}

/// What the gates of a holder count within four looks; the n-th report has 2^n answers.
async fn counted(server: &Server) -> (u64, usize) {
    let plan = json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "agents": [], "unenforced": [],
        "networks": {"old": [], "new": []}, "waivers": [],
    });
    let gate =
        json!({"name": "packets", "source": {"probe": "packets"}, "everySeconds": 15, "freshSeconds": 60});
    let (plan, gate) = (serde_json::from_value(plan), serde_json::from_value(gate));
    let events = Mutex::new(Vec::new());
    let send = |event| events.lock().expect("events").push(event);
    let gates = watch_gates(vec![gate.expect("a gate")], plan.expect("a plan"), 9797, server.caller(), send);
    assert!(tokio::time::timeout(Duration::from_secs(50), gates).await.is_err(), "gates watch on");
    let (mut answered, mut verdicts) = (0, 0);
    for event in events.into_inner().expect("events") {
        match event {
            Event::Measured(rows) => answered += rows.iter().map(|row| row.counts.answered).sum::<u64>(),
            Event::Verdict(..) => verdicts += 1,
            other => panic!("{other:?}"),
        }
    }
    (answered, verdicts)
}

#[test]
fn the_gates_of_a_run_count_each_report_once_and_none_from_before_their_holder() {
    run(async {
        let server = cluster(|number| (1 << number, 0), true);
        assert_eq!(counted(&server).await, (4 + 8 + 16, 4));
        assert_eq!(counted(&server).await, (64 + 128 + 256, 4), "the next holder");
    });
}

#[test]
fn the_api_server_is_asked_for_a_pod_of_each_kind_that_runs() {
    let (old, new) = (Kind::Pod(Phase::Old), Kind::Pod(Phase::New));
    let agents = [(old, "n1"), (new, "n2")].map(|(kind, node)| (kind, [node.to_owned()].into()));
    let measurement = Measurement { agents: agents.into(), ..Measurement::default() };
    let reached = |pods: Vec<Value>, answers: fn(&str) -> Answer| {
        let server = Server::by_rule(move |request| {
            if request.line.contains("/proxy/") {
                return answers(&request.line);
            }
            Answer::json(200, &json!({ "items": pods }))
        });
        run(async { gates::reach(&server.caller(), 9797, &measurement).await.expect("pods") })
    };
    let both = || vec![pod("hub-a", "hub", "n1"), pod("a", "pod", "n1"), pod("b", "new", "n2")];
    let by_name = |line: &str| match line.contains("/pods/a:9797/") {
        true => Answer::json(200, &json!({"kind": "old"})),
        false => Answer::json(200, &json!({"kind": "new"})),
    };
    assert_eq!(reached(both(), by_name), BTreeMap::from([(old, Ok(())), (new, Ok(()))]));
    // The other pod is restarted.
    assert_eq!(reached(both()[..2].to_vec(), by_name), BTreeMap::from([(old, Ok(()))]));
    let failing = reached(both(), |line| match line.contains("/pods/a:9797/") {
        true => Answer::json(200, &json!({"kind": "old"})),
        false => Answer::refusal(503, "ServiceUnavailable", "no route to host"),
    });
    assert_eq!(failing[&old], Ok(()));
    assert!(failing[&new].as_ref().is_err_and(|why| why.starts_with("b: ") && why.contains("no route")));
}
