use std::future::pending;
use std::time::Duration;

use migration::drive::status::Holder;
use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, Server, run};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/crossfade/leases";

fn lease(version: &str, holder: &str, epoch: u64, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "crossfade-run", "namespace": "crossfade", "resourceVersion": version, "labels": {"x": "y"}},
        "spec": {"acquireTime": "2025-12-31T00:00:00.000000Z", "holderIdentity": holder, "leaseDurationSeconds": 60,
            "leaseTransitions": epoch, "renewTime": renewed},
    })
}

fn lease_answer(lease: &Value) -> Answer {
    Answer::json(200, lease)
}

fn missing() -> Answer {
    Answer::refusal(404, "NotFound", "leases.coordination.k8s.io \"crossfade-run\" not found")
}

fn conflict() -> Answer {
    Answer::refusal(409, "Conflict", "the object has been modified")
}

async fn taken(server: &Server, patience: Patience) -> Result<HeldLease, AcquireError> {
    take(&server.caller(), "alice", 0, patience, pending(), &mut |_, _| {}).await
}

/// A Lease that alice holds, and the server of what comes then.
async fn held(mut then: Vec<Answer>) -> (HeldLease, Server) {
    then.insert(0, lease_answer(&lease("1", "", 2, "x")));
    then.insert(1, lease_answer(&lease("2", "alice", 3, "x")));
    let server = Server::new(then);
    (taken(&server, Patience::None).await.expect("taken"), server)
}

#[test]
fn a_lease_that_is_not_there_is_created() {
    run(async {
        let server = Server::new(vec![missing(), Answer::json(201, &lease("1", "alice", 1, "x"))]);
        let held = taken(&server, Patience::None).await.expect("taken");
        assert_eq!((held.epoch(), held.standing()), (1, Standing::Fresh));
        assert_eq!(
            server.lines(),
            [format!("GET {PATH}/crossfade-run"), format!("POST {PATH}?fieldManager=crossfade")]
        );
        let time = "2026-01-01T00:00:00.000000Z";
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "crossfade-run", "namespace": "crossfade"},
            "spec": {"acquireTime": time, "holderIdentity": "alice", "leaseDurationSeconds": 60, "leaseTransitions": 1, "renewTime": time},
        });
        assert_eq!(
            (server.requests()[1].json(), server.requests()[1].content.as_str()),
            (body, "application/json")
        );
    });
}

#[test]
fn a_free_lease_is_taken_with_the_next_epoch_and_its_version() {
    run(async {
        let (held, server) = held(vec![]).await;
        assert_eq!(held.epoch(), 3);
        assert_eq!(server.lines()[1], format!("PUT {PATH}/crossfade-run?fieldManager=crossfade"));
        let body = server.requests()[1].json();
        assert_eq!(
            (&body["metadata"]["resourceVersion"], &body["metadata"]["labels"]),
            (&json!("1"), &json!({"x": "y"}))
        );
        assert_eq!(
            (&body["spec"]["holderIdentity"], &body["spec"]["leaseTransitions"]),
            (&json!("alice"), &json!(3))
        );
        assert_eq!(body["spec"]["acquireTime"], "2026-01-01T00:00:00.000000Z");
    });
}

#[test]
fn without_patience_the_holder_is_named() {
    run(async {
        let server = Server::new(vec![lease_answer(&lease("1", "bob", 2, "12:00"))]);
        let Err(AcquireError::Held(holder)) = taken(&server, Patience::None).await else {
            panic!("bob has it")
        };
        assert_eq!((holder.name.as_str(), holder.since.as_str()), ("bob", "2025-12-31T00:00:00.000000Z"));
    });
}

#[test]
fn a_lease_is_waited_for_by_looking_at_it_for_a_minute() {
    run(async {
        let server = Server::by_rule(|request| match request.line.as_str() {
            line if line.starts_with("GET") => lease_answer(&lease("1", "bob", 2, "12:00")),
            _ => lease_answer(&lease("2", "alice", 3, "x")),
        });
        let (mut looks, began) = (Vec::new(), tokio::time::Instant::now());
        let mut waiting = |_: &Holder, left: Duration| looks.push(left.as_secs());
        let held = take(&server.caller(), "alice", 0, Patience::UntilExpired, pending(), &mut waiting)
            .await
            .expect("taken");
        assert_eq!((held.epoch(), began.elapsed().as_secs()), (3, 60));
        assert_eq!(looks, [60, 55, 50, 45, 40, 35, 30, 25, 20, 15, 10, 5]);
    });
}

#[test]
fn a_holder_that_renews_is_left_alone_but_for_force() {
    for (patience, is_taken) in [(Patience::UntilExpired, false), (Patience::Force, true)] {
        run(async {
            let mut looks = 0;
            let server = Server::by_rule(move |request| {
                looks += u32::from(request.line.starts_with("GET"));
                lease_answer(&lease("1", "bob", 2, if looks > 1 { "12:01" } else { "12:00" }))
            });
            assert_eq!(taken(&server, patience).await.is_ok(), is_taken, "{patience:?}");
        });
    }
}

#[test]
fn who_is_faster_has_it() {
    run(async {
        let server = Server::new(vec![
            lease_answer(&lease("1", "", 2, "x")),
            conflict(),
            lease_answer(&lease("2", "bob", 3, "12:00")),
        ]);
        assert!(
            matches!(taken(&server, Patience::None).await, Err(AcquireError::Held(holder)) if holder.name == "bob")
        );
    });
}

#[test]
fn a_missing_namespace_is_an_error_that_names_the_manifest() {
    run(async {
        let body = json!({"kind": "Status", "reason": "NotFound", "message": "namespaces \"crossfade\" not found", "details": {"kind": "namespaces"}});
        let server = Server::new(vec![missing(), Answer::json(404, &body)]);
        let Err(AcquireError::Failed(_, problem)) = taken(&server, Patience::None).await else {
            panic!("no namespace")
        };
        assert!(problem.fix.contains("kubectl apply -f deploy/cluster/rbac-operator.yaml"), "{problem:?}");
    });
}

#[test]
fn it_is_renewed_every_ten_seconds_each_time_on_the_last_version() {
    run(async {
        let (held, server) =
            held((3..6).map(|version| lease_answer(&lease(&version.to_string(), "alice", 3, "x"))).collect())
                .await;
        let _ended = tokio::time::timeout(Duration::from_secs(35), held.keep()).await;
        let writes: Vec<Value> =
            server.requests()[2..].iter().map(crate::live::api::test_server::RecordedRequest::json).collect();
        let versions: Vec<&Value> = writes.iter().map(|body| &body["metadata"]["resourceVersion"]).collect();
        assert_eq!(versions, ["2", "3", "4"]);
        let times: Vec<&Value> = writes.iter().map(|body| &body["spec"]["renewTime"]).collect();
        assert_eq!(
            times,
            ["2026-01-01T00:00:10.000000Z", "2026-01-01T00:00:20.000000Z", "2026-01-01T00:00:30.000000Z"]
        );
        assert_eq!(writes[2]["spec"]["leaseTransitions"], 3);
    });
}

#[test]
fn a_holder_that_cannot_renew_stops_acting_after_forty_seconds_and_goes_on_when_it_can() {
    run(async {
        let (held, _) = held(vec![Answer::lost(), lease_answer(&lease("3", "alice", 3, "x"))]).await;
        tokio::time::advance(Duration::from_secs(39)).await;
        assert!(held.renew().await.is_err());
        assert_eq!(held.standing(), Standing::Fresh);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(held.standing(), Standing::Stale(Duration::from_secs(40)));
        held.renew().await.expect("renewed");
        assert_eq!(held.standing(), Standing::Fresh);
    });
}

/// Each row: what is read after a conflict, and why the Lease is lost.
#[test]
fn in_other_hands_it_is_lost_for_ever() {
    for (answer, why) in [
        (lease_answer(&lease("9", "bob", 4, "x")), "bob holds it since 2025-12-31T00:00:00.000000Z"),
        (lease_answer(&lease("9", "alice", 4, "x")), "alice holds it since 2025-12-31T00:00:00.000000Z"),
        (lease_answer(&lease("9", "", 3, "x")), "another process released it"),
        (missing(), "another client deleted it"),
    ] {
        run(async {
            let (held, server) = held(vec![conflict(), answer]).await;
            assert!(held.renew().await.is_err());
            assert_eq!(held.standing(), Standing::Lost(why.into()));
            assert!(held.renew().await.is_err(), "it does not come back");
            held.release().await.expect("nothing to release");
            held.keep().await;
            assert_eq!(server.requests().len(), 4, "and nothing is asked any more");
        });
    }
}

#[test]
fn an_own_write_whose_answer_was_lost_is_no_loss() {
    run(async {
        let (held, server) = held(vec![
            Answer::lost(),
            conflict(),
            lease_answer(&lease("7", "alice", 3, "x")),
            lease_answer(&lease("8", "alice", 3, "x")),
        ])
        .await;
        assert!(held.renew().await.is_err());
        assert!(held.renew().await.is_err(), "the conflict itself renews nothing");
        held.renew().await.expect("renewed");
        assert_eq!(server.requests()[5].json()["metadata"]["resourceVersion"], "7");
    });
}

#[test]
fn at_an_orderly_end_it_is_free_and_keeps_its_epoch() {
    run(async {
        let (held, server) = held(vec![lease_answer(&lease("3", "", 3, "x"))]).await;
        held.release().await.expect("released");
        let body = server.requests()[2].json();
        assert_eq!(
            (&body["spec"]["holderIdentity"], &body["spec"]["leaseTransitions"]),
            (&json!(""), &json!(3))
        );
        assert_eq!(body["metadata"]["resourceVersion"], "2");
        assert!(matches!(held.standing(), Standing::Lost(_)), "and this holder acts no more");
    });
}

#[test]
fn a_renewal_under_way_does_not_keep_it_from_being_released() {
    run(async {
        let then = vec![
            conflict(),
            lease_answer(&lease("3", "alice", 3, "y")),
            lease_answer(&lease("4", "", 3, "x")),
        ];
        let (held, server) = held(then).await;
        held.release().await.expect("released");
        assert_eq!(server.requests()[4].json()["metadata"]["resourceVersion"], "3");
    });
}

#[test]
fn a_renewal_without_an_answer_is_made_again_before_the_lease_is_stale() {
    run(async {
        let silent = Answer::stream(&[]);
        let then = vec![
            silent,
            conflict(),
            lease_answer(&lease("3", "alice", 3, "y")),
            lease_answer(&lease("4", "alice", 3, "x")),
        ];
        let (held, server) = held(then).await;
        let _ended = tokio::time::timeout(Duration::from_secs(30), held.keep()).await;
        assert_eq!((server.requests().len(), held.standing()), (6, Standing::Fresh));
        assert!(
            held.renewed_at() >= Duration::from_secs(crate::live::api::test_server::START + 24),
            "ten seconds, ten more, and twice two"
        );
    });
}

/// Each row: when its holder renewed it last, whether it renews it once more, and what becomes of the Lease. The test begins at midnight.
#[test]
fn a_lease_whose_holder_is_gone_is_taken_without_being_asked_for_and_that_of_a_living_one_is_not() {
    for (renewed, renews, requests) in [
        ("2025-12-31T23:59:50.000000Z", false, Err(1)),
        ("2026-01-01T00:00:50.000000Z", false, Err(1)),
        ("2025-12-31T23:59:00.000000Z", false, Ok(14)),
        ("2025-12-31T00:00:00.000000Z", true, Err(2)),
        ("2031-01-01T00:00:00.000000Z", false, Ok(14)),
        ("nonsense", false, Ok(14)),
    ] {
        run(async {
            let mut looks = 0;
            let server = Server::by_rule(move |request| {
                looks += u32::from(request.line.starts_with("GET"));
                let renewed = if renews && looks > 1 { "2025-12-31T00:00:10.000000Z" } else { renewed };
                lease_answer(&lease("1", "bob", 2, renewed))
            });
            let taken = taken(&server, Patience::IfExpired).await;
            let count = server.lines().len();
            assert_eq!(if taken.is_ok() { Ok(count) } else { Err(count) }, requests, "{renewed}");
        });
    }
}

#[test]
fn a_wait_for_the_lease_ends_when_the_operator_ends_it() {
    run(async {
        let server = Server::by_rule(|_| lease_answer(&lease("1", "bob", 2, "12:00")));
        let stop = tokio::time::sleep(Duration::from_secs(7));
        let taken = take(&server.caller(), "alice", 0, Patience::UntilExpired, stop, &mut |_, _| {}).await;
        assert!(matches!(taken, Err(AcquireError::Interrupted)), "{taken:?}");
        assert!(server.lines().iter().all(|line| line.starts_with("GET")), "nothing is written");
    });
}

/// The Lease was deleted, and Nodes bear steps of its holders.
#[test]
fn a_new_lease_begins_above_the_steps_of_nodes() {
    run(async {
        let server = Server::new(vec![missing(), Answer::json(201, &lease("1", "alice", 8, "x"))]);
        let held = take(&server.caller(), "alice", 7, Patience::None, pending(), &mut |_, _| {}).await;
        assert_eq!(held.expect("taken").epoch(), 8);
        assert_eq!(server.requests()[1].json()["spec"]["leaseTransitions"], 8);
    });
}

#[test]
fn a_lease_without_an_epoch_left_is_named_with_what_helps() {
    run(async {
        let server = Server::new(vec![lease_answer(&lease("1", "", u64::from(u32::MAX), "x"))]);
        let Err(AcquireError::Failed(_, problem)) = taken(&server, Patience::None).await else {
            panic!("there is no next epoch")
        };
        assert!(problem.fix.contains("kubectl -n crossfade delete lease crossfade-run"), "{problem:?}");
    });
}
