use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, Server, run};

fn plan() -> Plan {
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old", "both-new", "new"], "leftOut": [], "limits": {}, "pods": {},
        "waves": [{"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0, "nodes": [{"name": "a", "uid": "uid-a", "why": "so"}]}],
        "pools": [{"name": "", "nodes": 1, "zones": [""], "method": "drain"}],
        "gates": [{"name": "smoke", "source": {"command": ["/bin/true"]}, "everySeconds": 30, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
        "agents": [], "unenforced": [], "networks": {"old": [], "new": []}, "waivers": [],
    }))
    .expect("a plan")
}

/// A cluster with this run. One workload misses one pod.
fn cluster(stored: Run, verdicts: Option<Value>) -> Server {
    with_record(stored, verdicts, None)
}

/// The same with what `finish` recorded.
fn with_record(stored: Run, verdicts: Option<Value>, record: Option<Value>) -> Server {
    Server::by_rule(move |request| {
        let map = json!({"metadata": {"name": "crossfade-run", "resourceVersion": "7"},
            "data": {"run.json": serde_json::to_string(&stored).expect("JSON")}});
        let list = |items: &[Value]| {
            Answer::json(200, &json!({"metadata": {"resourceVersion": "10"}, "items": items}))
        };
        let workload = json!({"metadata": {"name": "web", "namespace": "x", "uid": "u"},
            "spec": {"replicas": 3}, "status": {"readyReplicas": 2, "replicas": 3}});
        let maps = "/api/v1/namespaces/crossfade/configmaps";
        match request.line.as_str() {
            line if line.contains("watch=true") => Answer::stream(&[]),
            "GET /api/v1" => Answer::json(200, &json!({"resources": []})),
            line if line == format!("GET {maps}/crossfade-run") => Answer::json(200, &map),
            line if line.starts_with(&format!("GET {maps}/crossfade-gates-")) => match &verdicts {
                Some(verdicts) => Answer::json(
                    200,
                    &json!({"metadata": {}, "data": {"verdicts.json": verdicts.to_string()}}),
                ),
                None => Answer::refusal(404, "NotFound", "not found"),
            },
            line if line == format!("GET {maps}/crossfade-finish") => match &record {
                Some(record) => Answer::json(
                    200,
                    &json!({"metadata": {"resourceVersion": "1"}, "data": {"finish.json": record.to_string()}}),
                ),
                None => Answer::refusal(404, "NotFound", "not found"),
            },
            line if line.starts_with("PATCH") => Answer::json(200, &map),
            line if line.starts_with("GET /api/v1/nodes") => list(&[json!({
                "metadata": {"name": "a", "uid": "uid-a", "resourceVersion": "5", "labels": {"crossfade/phase": "old"}},
            })]),
            line if line.starts_with("GET /apis/apps/v1/deployments") => list(&[workload]),
            line if line.starts_with(&format!("GET {maps}?")) => list(&[map]),
            _ => list(&[]),
        }
    })
}

async fn session(server: &Server) -> Session {
    let caller = server.caller();
    let watcher = caller.with_client(server.client());
    Session::open(caller, watcher, Settings::default()).await.expect("a session")
}

fn resumed(plan: SavedPlan, delete: &[&str]) -> RunOptions {
    let delete = delete.iter().map(|pod| (*pod).to_owned()).collect();
    RunOptions {
        plan,
        is_resumed: true,
        bounds: Bounds::default(),
        delete,
        patience: Patience::None,
        unenforced: Vec::new(),
        management: None,
    }
}

fn saved(plan: &Plan) -> SavedPlan {
    SavedPlan { plan: plan.clone(), hash: canon::hash(plan) }
}

#[test]
fn what_others_wrote_into_a_run_deletes_no_pod_and_excuses_no_workload() {
    run(async {
        let SavedPlan { plan, hash } = saved(&plan());
        let mut stored = Run::new("r-1", hash.clone(), &plan);
        stored.delete = ["kube-system/etcd".to_owned()].into();
        stored.short = [("Deployment/x/web".to_owned(), 100), ("Deployment/x/db".to_owned(), 100)].into();
        let server = cluster(stored, None);
        let mut session = session(&server).await;
        let titles = ["NetworkPolicy/x/p".to_owned()].into_iter();
        let unenforced = vec![UnenforcedPolicies::new("NetworkPolicy", vec!["both-old"], titles)];
        let options =
            RunOptions { unenforced: unenforced.clone(), ..resumed(SavedPlan { plan, hash }, &["x/debug"]) };
        let loaded = take_up_run(&mut session, &options, &Interrupt::new()).await.expect("taken up");
        assert_eq!(loaded.run.delete, ["x/debug".to_owned()].into());
        assert_eq!(loaded.run.short, [("Deployment/x/web".to_owned(), 1)].into());
        assert_eq!(loaded.run.unenforced, unenforced, "status and report name them, too");
        let patch = server
            .requests()
            .into_iter()
            .find(|request| request.line.starts_with("PATCH"))
            .expect("a record");
        let written: Run =
            serde_json::from_str(patch.json()["data"]["run.json"].as_str().expect("text")).expect("a run");
        assert_eq!(written, loaded.run, "and so it is recorded");
    });
}

/// A pipeline has no right to make the ConfigMap of its requests.
#[test]
fn a_run_that_answers_pipelines_makes_the_object_of_their_requests() {
    for (image, method, is_made) in [
        (Some(Phase::BothOld), "permit", true),
        (Some(Phase::BothOld), "follow", false),
        (None, "permit", false),
    ] {
        let mut plan = Plan { image, ..plan() };
        plan.pools[0].method = serde_json::from_value(json!(method)).expect("a method");
        let saved = saved(&plan);
        run(async {
            let server = cluster(Run::new("r-1", saved.hash.clone(), &plan), None);
            let mut session = session(&server).await;
            load_run(&mut session, &resumed(saved, &[]), &Interrupt::new())
                .await
                .map(drop)
                .expect("taken up");
            let posts = server.lines().into_iter().filter(|line| line.starts_with("POST"));
            let expected = "POST /api/v1/namespaces/crossfade/configmaps?fieldManager=crossfade";
            assert_eq!(posts.collect::<Vec<_>>(), vec![expected; usize::from(is_made)], "{method}");
        });
    }
}

#[test]
fn a_run_whose_plan_was_exchanged_after_it_was_compared_is_not_resumed() {
    run(async {
        let compared = saved(&plan());
        let other = saved(&Plan { gates: Vec::new(), ..plan() });
        let server = cluster(Run::new("r-1", other.hash, &other.plan), None);
        let mut session = session(&server).await;
        let (exit, problem) = take_up_run(&mut session, &resumed(compared, &[]), &Interrupt::new())
            .await
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(exit, Exit::TryLater);
        assert!(problem.what.contains("goes by plan"), "{problem:?}");
        let writes = server.lines().into_iter().filter(|line| !line.starts_with("GET"));
        assert_eq!(writes.collect::<Vec<_>>(), [""; 0]);
    });
}

/// Each row: what `finish` recorded, where the run leads, and what the refusal names.
#[test]
fn no_run_leads_to_a_network_that_is_fenced_off_or_removed() {
    let fenced = json!({"fencedAt": "2026-01-01T00:00:00Z"});
    for (recorded, target, help) in [
        (fenced.clone(), Phase::Old, Some("finish --undo lets them run again")),
        (json!({"isOneWay": true}), Phase::BothOld, Some("go on with kubectl crossfade finish")),
        (fenced.clone(), Phase::New, None),
        (json!({}), Phase::Old, None),
        (json!({"fencedAt": "2026-01-01T00:00:00Z", "cluster": "d"}), Phase::Old, None),
    ] {
        let mut record = json!({"version": 1, "cluster": "c", "from": "calico", "to": "cilium", "plan": "p", "approvedBy": "a", "approvedAt": "t"});
        record.as_object_mut().expect("a map").extend(recorded.as_object().expect("a map").clone());
        let plan = Plan { start: Phase::BothNew, passes: vec![target], ..plan() };
        let saved = saved(&plan);
        for is_resumed in [true, false] {
            run(async {
                let mut stored = Run::new("r-1", saved.hash.clone(), &plan);
                if !is_resumed {
                    stored.state = State::Done;
                }
                let server = with_record(stored, None, Some(record.clone()));
                let mut session = session(&server).await;
                let options = RunOptions { is_resumed, ..resumed(saved.clone(), &[]) };
                let ended = load_run(&mut session, &options, &Interrupt::new()).await.map(drop);
                let writes = server.lines().into_iter().filter(|line| !line.starts_with("GET")).count();
                match (ended, help) {
                    (Err((Exit::No, problem)), Some(help)) => {
                        assert!(problem.fix.contains(help) && writes == 0, "{problem:?}");
                    }
                    (ended, help) => {
                        let is_barred =
                            ended.as_ref().is_err_and(|(_, problem)| problem.what.contains("network of"));
                        assert!(help.is_none() && !is_barred, "{recorded} {target}: {ended:?}");
                    }
                }
            });
        }
    }
}

#[test]
fn no_abort_leads_back_to_a_network_that_is_fenced_off() {
    run(async {
        let plan = plan();
        let saving = Server::by_rule(|request| Answer::json(201, &request.json()));
        let hash = crate::live::store::Store::new(saving.caller()).save_plan(&canon::bytes(&plan), "").await;
        let (hash, map) = (hash.expect("saved"), saving.requests()[0].json());
        let record = json!({"version": 1, "cluster": "c", "from": "calico", "to": "cilium", "plan": "p", "approvedBy": "a", "approvedAt": "t",
            "fencedAt": "2026-01-01T00:00:00Z"});
        let others = with_record(Run::new("r-1", hash, &plan), None, Some(record));
        let server = Server::by_rule(move |request| {
            let is_plan = request.line.contains("/crossfade-plan-");
            if is_plan { Answer::json(200, &map) } else { others.answer(request) }
        });
        let session = session(&server).await;
        let ended = send_request(&session, "so", &RunRequest::Abort(Phase::Old)).await;
        assert!(ended.is_err_and(|(exit, problem)| exit == Exit::No && problem.fix.contains("--undo")));
        assert!(!server.lines().iter().any(|line| line.starts_with("PATCH")));
        let ended = send_request(&session, "so", &RunRequest::Pause).await;
        assert!(ended.is_ok() && server.lines().iter().any(|line| line.starts_with("PATCH")));
    });
}

/// A plan as far as `both-old`. An abort may take nodes back to `old`, and no run takes them further than the plan.
#[test]
fn a_run_that_leads_further_than_its_plan_is_refused() {
    let short = saved(&Plan { passes: vec![Phase::BothOld], ..plan() });
    let planned = Run::new("r-1", short.hash.clone(), &short.plan);
    for (from, targets, refused) in [
        (Phase::Old, vec![Phase::BothOld], ""),
        (Phase::BothOld, vec![Phase::Old], ""),
        (Phase::Old, vec![Phase::BothOld, Phase::New], "phase new"),
        (Phase::BothNew, vec![Phase::BothOld], "phase both-new"),
    ] {
        let stored = Run { from, targets: targets.clone(), ..planned.clone() };
        run(async {
            let server = cluster(stored.clone(), None);
            let mut session = session(&server).await;
            let resumed =
                take_up_run(&mut session, &resumed(short.clone(), &[]), &Interrupt::new()).await.map(drop);
            let shown = load_by_plan(&session, &stored, Some(short.clone())).await.map(drop);
            let writes = server.lines().into_iter().filter(|line| !line.starts_with("GET")).count();
            match resumed {
                Ok(()) => assert_eq!((refused, shown.is_ok()), ("", true), "{from} {targets:?}"),
                Err((exit, problem)) => {
                    assert_eq!((exit, writes), (Exit::Failed, 0));
                    assert!(!refused.is_empty() && problem.what.contains(refused), "{problem:?}");
                    assert!(problem.what.contains("run.json"), "{problem:?}");
                }
            }
        });
    }
}

/// Each row: what the holder recorded; how the gate is, and whether the run waits for it, in a status and in a preview.
#[test]
fn status_and_preview_tell_the_verdict_that_the_holder_recorded() {
    let verdict = |is: &str, time: &str| json!({"smoke": {"is": is, "at": time, "why": "so"}});
    for (recorded, is, status_waits, preview_waits) in [
        (Some(verdict("red", "2026-01-01T00:00:00Z")), "red", true, true),
        (Some(verdict("green", "2026-01-01T00:00:00Z")), "green", false, false),
        (Some(verdict("green", "2025-01-01T00:00:00Z")), "unknown", true, false),
        (None, "unknown", true, false),
    ] {
        run(async {
            let plan = plan();
            let going = Run::new("r-1", canon::hash(&plan), &plan);
            let server = cluster(going.clone(), recorded.clone());
            let mut session = session(&server).await;
            for (unasked, waits) in [(Color::Unknown, status_waits), (Color::Green, preview_waits)] {
                let world = session.look(&going, &plan, LOOK).await.expect("a world");
                let (status, _) =
                    preview_decision(&session, world, &going, &plan, unasked).await.expect("a status");
                assert_eq!(
                    status.gates.iter().map(|gate| gate.color).collect::<Vec<_>>(),
                    [is],
                    "{recorded:?}"
                );
                let waits_for_gate = status.waits.iter().any(|wait| wait.object == "Gate/smoke".into());
                assert_eq!(waits_for_gate, waits, "{recorded:?} {unasked:?}: {:?}", status.waits);
            }
        });
    }
}

#[test]
fn a_wait_and_a_refusal_name_the_holder_as_status_does() {
    let bob = "bob@desk:7:0123456789abcdef";
    let holder = Holder { name: bob.into(), since: "12:00".into(), renewed_at: "12:01".into() };
    let wait = waits_for(&holder, Duration::from_secs(60));
    assert_eq!((wait.reason, wait.is_held), (Reason::LeaseHeld, false));
    let held_by = format!("{bob} since 12:00, renewed last at 12:01");
    assert_eq!(
        wait.what,
        format!("the run is held by {held_by}; it is taken over if the Lease is not renewed within 60 s")
    );
    let (exit, problem) = untaken(AcquireError::Held(holder.clone()));
    assert_eq!((exit, problem.what), (Exit::TryLater, format!("the run is held by {held_by}")));
    assert_eq!(holder.to_string(), held_by);
}

/// Each row: the request during which the operator interrupts, and whether the run has begun by then.
#[test]
fn an_interrupt_leaves_no_run_half_begun_and_says_what_is_true() {
    for (during, has_begun) in [("GET /api/v1/nodes", false), ("POST ", true), ("PATCH ", true)] {
        run(async {
            let interrupt = Interrupt::new();
            let signal = interrupt.clone();
            let rest = cluster(Run::new("r-0", "", &plan()), None);
            let server = Server::by_rule(move |request| {
                if request.line.starts_with(during) {
                    signal.set();
                }
                match request.line.as_str() {
                    "GET /api/v1/namespaces/crossfade/configmaps/crossfade-run" => {
                        Answer::refusal(404, "NotFound", "configmaps \"crossfade-run\" not found")
                    }
                    // The cluster does not become known before the interrupt.
                    line if line.starts_with("GET /api/v1/nodes") && !has_begun => Answer::stream(&[]),
                    line if line.starts_with("POST ") || line.starts_with("PATCH ") => {
                        Answer::json(200, &json!({"metadata": {"resourceVersion": "8"}}))
                    }
                    _ => rest.answer(request),
                }
            });
            let mut session = session(&server).await;
            let options = RunOptions { is_resumed: false, ..resumed(saved(&plan()), &[]) };
            let loaded = load_run(&mut session, &options, &interrupt).await;
            let writes = server.lines().into_iter().filter(|line| !line.starts_with("GET")).count();
            match loaded {
                Ok(loaded) => {
                    assert!(has_begun && writes == 2 && loaded.run.id.starts_with("r-"), "{during}")
                }
                Err((exit, problem)) => {
                    assert_eq!(
                        (exit, writes, has_begun),
                        (Exit::TryLater, 0, false),
                        "{during}: {problem:?}"
                    );
                    assert!(problem.what.contains("as they were"), "{problem:?}");
                }
            }
        });
    }
}
