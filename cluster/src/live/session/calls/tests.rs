use std::collections::BTreeMap;

use migration::roll::world::Hosts;
use migration::workload::capacity::Request;
use serde_json::{Value, json};
use snapshot::model::Text;
use types::api::eviction::Evictions;

use super::evict::{answer, delete, deletion, evict, eviction, version};
use super::*;
use crate::live::api::call::Reply;
use crate::live::api::test_server::{self, Server, run};
use crate::live::lease::{Patience, take};

/// A holder, and the server of what comes after it took the Lease.
async fn hand(mut then: Vec<test_server::Answer>) -> (LeasedCaller, Server) {
    let lease = |holder: &str| json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": holder, "leaseTransitions": 1}});
    then.insert(0, test_server::Answer::json(200, &lease("")));
    then.insert(1, test_server::Answer::json(200, &lease("alice")));
    let server = Server::new(then);
    let caller = server.caller();
    let held = take(&caller, "alice", 0, Patience::None, std::future::pending(), &mut |_, _| {})
        .await
        .expect("taken");
    (LeasedCaller::new(&caller, held), server)
}

fn answered(answer: Answer) -> Outcome {
    Outcome::Pod(Box::new(id()), answer)
}

fn id() -> PodId {
    PodId { namespace: "x".into(), name: "web-0".into(), uid: "1f2e".into(), node: "b7".into(), owner: None }
}

/// The bytes: what the API server does not know it drops in silence, and the UID with it.
#[test]
fn an_eviction_names_the_pod_and_its_uid() {
    for (api, bytes) in [
        (
            Evictions::V1,
            r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-0","namespace":"x"},"deleteOptions":{"preconditions":{"uid":"1f2e"}}}"#,
        ),
        (
            Evictions::V1Beta1,
            r#"{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"web-0","namespace":"x"},"deleteOptions":{"preconditions":{"uid":"1f2e"}}}"#,
        ),
    ] {
        run(async {
            let (hand, server) = hand(vec![test_server::Answer::text(201, "{}")]).await;
            assert_eq!(evict(api, &hand, Box::new(id())).await, answered(Answer::Accepted));
            let request = &server.requests()[2];
            assert_eq!(request.line, "POST /api/v1/namespaces/x/pods/web-0/eviction?timeout=27s");
            assert_eq!((request.body.as_str(), request.content.as_str()), (bytes, "application/json"));
        });
    }
}

#[test]
fn a_deletion_names_the_uid() {
    run(async {
        let (hand, server) = hand(vec![test_server::Answer::text(200, "{}")]).await;
        assert_eq!(delete(&hand, Box::new(id())).await, answered(Answer::Accepted));
        let request = &server.requests()[2];
        assert_eq!(request.line, "DELETE /api/v1/namespaces/x/pods/web-0?timeout=27s");
        assert_eq!(
            request.body,
            r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"1f2e"}}"#
        );
    });
}

#[test]
fn without_a_uid_nothing_is_asked_for() {
    let bare = PodId { uid: "".into(), ..id() };
    assert!(eviction(Evictions::V1, &bare).is_err() && deletion(&bare).is_err());
    run(async {
        let (hand, _) = hand(vec![]).await;
        let outcome = evict(Evictions::V1, &hand, Box::new(bare)).await;
        assert!(matches!(outcome, Outcome::Pod(_, Answer::Failed(why)) if why.contains("no UID")));
    });
}

/// A `Status` of the API server with details.
fn status(code: u16, reason: &str, message: &str, details: &Value) -> Reply {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": details});
    Reply { status: code, retry_after: None, warnings: Vec::new(), body: body.to_string().into_bytes() }
}

fn text(code: u16, retry_after: Option<u32>, body: &str) -> Reply {
    Reply { status: code, retry_after, warnings: Vec::new(), body: body.into() }
}

/// Each row: an answer as the API server gives it, and what it means.
#[test]
fn what_answers_to_an_eviction_mean() {
    let cause = |reason: &str, after: u32| json!({"causes": [{"reason": reason, "message": "m"}], "retryAfterSeconds": after});
    let conflict = |message: &str| status(409, "Conflict", message, &json!({"kind": "pods"}));
    let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
    let two =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    for (reply, means) in [
        (text(201, None, "{}"), Answer::Accepted),
        (text(200, None, "{}"), Answer::Accepted),
        (status(404, "NotFound", "pods \"web-0\" not found", &json!({"kind": "pods"})), Answer::Gone),
        (
            conflict(
                "Operation cannot be fulfilled on Pod \"web-0\": the UID in the precondition (1f2e) does not match the UID in record (9a). The object might have been deleted and then recreated",
            ),
            Answer::Gone,
        ),
        (conflict("Precondition failed: UID in precondition: 1f2e, UID in object meta: 9a"), Answer::Gone),
        (status(429, "TooManyRequests", budget, &cause("DisruptionBudget", 0)), Answer::Budget(None)),
        (status(429, "TooManyRequests", budget, &cause("DisruptionBudget", 10)), Answer::Budget(Some(10))),
        (text(429, Some(1), "Too many requests, please try again later."), Answer::Busy(Some(1))),
        (status(429, "TooManyRequests", "x", &json!({"retryAfterSeconds": 3})), Answer::Busy(Some(3))),
        (status(500, "", two, &Value::Null), Answer::TwoBudgets),
        (
            status(403, "Forbidden", "unable to create new content", &cause("NamespaceTerminating", 0)),
            Answer::NamespaceGoes,
        ),
    ] {
        assert_eq!(answer(&reply), means, "{reply:?}");
    }
    for (reply, words) in [
        (text(404, None, "<html>no such host"), "404: <html>no such host"),
        (
            conflict("the ResourceVersion in the precondition (1) does not match"),
            "409 Conflict: the ResourceVersion",
        ),
        (status(403, "Forbidden", "pods is forbidden", &Value::Null), "403 Forbidden: pods is forbidden"),
        (
            status(500, "InternalError", "etcdserver: no leader", &Value::Null),
            "500 InternalError: etcdserver",
        ),
        (
            status(504, "Timeout", "couldn't update PodDisruptionBudget", &Value::Null),
            "504 Timeout: couldn't",
        ),
        (text(503, Some(1), "overloaded"), "503: overloaded"),
    ] {
        assert!(matches!(answer(&reply), Answer::Failed(why) if why.starts_with(words)), "{reply:?}");
    }
}

#[test]
fn a_lost_answer_is_a_failure_and_nothing_is_asked_twice() {
    run(async {
        let (hand, server) = hand(vec![test_server::Answer::lost()]).await;
        let outcome = evict(Evictions::V1, &hand, Box::new(id())).await;
        assert!(matches!(outcome, Outcome::Pod(_, Answer::Failed(why)) if why.starts_with("no answer")));
        assert_eq!(server.requests().len(), 3);
    });
}

/// Forty seconds after the last renewal nothing is asked for, whatever the act is.
#[test]
fn a_holder_whose_lease_is_not_fresh_is_barred() {
    run(async {
        let (hand, server) = hand(vec![]).await;
        tokio::time::advance(std::time::Duration::from_secs(40)).await;
        let outcomes = [
            evict(Evictions::V1, &hand, Box::new(id())).await,
            delete(&hand, Box::new(id())).await,
            change(&hand, &ApiRequest::merge("/api/v1/nodes/b7", b"{}".to_vec())).await.expect_err("barred"),
        ];
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Barred(why) if why.contains("40 s ago"))),
            "{outcomes:?}"
        );
        assert_eq!(server.requests().len(), 2);
    });
}

#[test]
fn the_api_of_evictions_is_the_servers() {
    let v1 = json!({"name": "pods/eviction", "group": "policy", "version": "v1", "kind": "Eviction"});
    let v1beta1 =
        json!({"name": "pods/eviction", "group": "policy", "version": "v1beta1", "kind": "Eviction"});
    for (resource, api) in
        [(v1, Evictions::V1), (v1beta1, Evictions::V1Beta1), (json!({"name": "pods"}), Evictions::V1)]
    {
        run(async {
            let server = Server::new(vec![test_server::Answer::json(
                200,
                &json!({"resources": [{"name": "pods/binding"}, resource]}),
            )]);
            assert_eq!(version(&server.caller()).await.ok(), Some(api), "{resource}");
            assert_eq!(server.lines(), ["GET /api/v1"]);
        });
    }
}

#[test]
fn a_node_is_changed_once_and_a_conflict_means_to_look_again() {
    let refusal = test_server::Answer::refusal;
    for (reply, outcome) in [
        (test_server::Answer::json(200, &json!({"metadata": {"name": "b7"}})), None),
        (refusal(409, "Conflict", "the object has been modified"), Some(Outcome::Changed)),
        (refusal(404, "NotFound", "nodes \"b7\" not found"), Some(Outcome::Gone)),
        (refusal(403, "Forbidden", "no"), Some(Outcome::Failed("403 Forbidden: no".into()))),
        (
            refusal(503, "ServiceUnavailable", "no"),
            Some(Outcome::Failed("503 ServiceUnavailable: no".into())),
        ),
    ] {
        run(async {
            let (hand, server) = hand(vec![reply]).await;
            let result = change(&hand, &ApiRequest::merge("/api/v1/nodes/b7", b"{}".to_vec())).await;
            assert_eq!(result.err(), outcome);
            assert_eq!(server.requests().len(), 3);
        });
    }
}

#[test]
fn a_census_counts_page_by_page_and_begins_anew_when_its_list_expires() {
    let page = |pods: &[(&str, &str)], next: &str| {
        let items: Vec<Value> = pods
            .iter()
            .map(|(node, phase)| {
                let asks = json!([{"resources": {"requests": {"cpu": "250m"}}}]);
                json!({"spec": {"nodeName": node, "containers": asks}, "status": {"phase": phase}})
            })
            .collect();
        test_server::Answer::json(
            200,
            &json!({"metadata": {"continue": next, "resourceVersion": "5"}, "items": items}),
        )
    };
    run(async {
        let server = Server::new(vec![
            page(&[("a", "Running")], "c1"),
            test_server::Answer::refusal(410, "Expired", "too old"),
            page(&[("a", "Running"), ("b", "Running"), ("b", "Pending")], "c2"),
            page(&[("b", "Running")], ""),
        ]);
        let hosts = Hosts { names: ["a".into(), "b".into()].into(), largest: Request::default() };
        let census = census(&server.caller(), &hosts).await.expect("a census");
        assert_eq!(census.running, BTreeMap::from([(Text::from("a"), 1), (Text::from("b"), 2)]));
        let cpu = |node: &str| census.requests[node].moves.cpu;
        assert_eq!((cpu("a"), cpu("b")), (250, 750), "pods that are about to run request something too");
        assert_eq!(
            census.started_at.as_secs(),
            test_server::START,
            "it is of the moment when its list began"
        );
        assert_eq!(
            server.lines()[2..],
            ["GET /api/v1/pods?limit=500", "GET /api/v1/pods?limit=500&continue=c2"]
        );
    });
}

/// The API server is silent for a minute and more after it was asked.
#[test]
fn no_call_outlives_the_lease_under_which_it_was_made() {
    run(async {
        for age in [0, 39] {
            let (hand, server) = hand(vec![test_server::Answer::stream(&[])]).await;
            let renewed = hand.lease.renewed_at();
            tokio::time::advance(std::time::Duration::from_secs(age)).await;
            let outcome = evict(Evictions::V1, &hand, Box::new(id())).await;
            assert!(matches!(outcome, Outcome::Pod(_, Answer::Failed(_))), "{outcome:?}");
            let took = hand.caller.clock().now().saturating_sub(renewed);
            assert!(
                took < std::time::Duration::from_secs(60),
                "{took:?}: then another holder may have the Lease"
            );
            let line = &server.lines()[2];
            assert!(line.ends_with(&format!("/eviction?timeout={}s", (55 - age) / 2)), "{line}");
        }
    });
}

/// It may be carried out after the holder has ended: the next one must not be there by then.
#[test]
fn a_lease_is_left_to_expire_while_a_call_without_an_answer_may_take_effect() {
    run(async {
        for (age, is_released) in [(0, false), (54, false), (56, true)] {
            let answers = vec![test_server::Answer::lost(), test_server::Answer::text(200, "{}")];
            let (hand, server) = hand(answers).await;
            let outcome = evict(Evictions::V1, &hand, Box::new(id())).await;
            assert!(matches!(outcome, Outcome::Pod(_, Answer::Failed(_))), "{outcome:?}");
            let before = server.lines().len();
            tokio::time::advance(std::time::Duration::from_secs(age)).await;
            hand.lease.release().await.expect("released or left");
            assert_eq!(server.lines().len() > before, is_released, "{age}: {:?}", server.lines());
            assert!(
                matches!(hand.lease.standing(), crate::live::lease::Standing::Lost(_)),
                "it acts no more"
            );
        }
    });
}
