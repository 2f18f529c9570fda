use migration::roll::world::Verdict;
use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, run};

const MAP: &str = "/api/v1/namespaces/crossfade/configmaps";

fn plan() -> Plan {
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {},
        "gates": [{"name": "dns", "source": "dns", "everySeconds": 15, "freshSeconds": 60},
            {"name": "smoke", "source": {"command": ["./smoke.sh"]}, "everySeconds": 30, "freshSeconds": 120}],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
        "agents": [], "unenforced": [], "networks": {"old": [], "new": []}, "waivers": [],
    }))
    .expect("a plan")
}

fn world(server_now: Duration, color: Color, why: &str) -> World {
    let verdict = |color, why: &str| Verdict { color, checked_at: server_now, why: why.into() };
    let mut world = World::default();
    world.verdicts.insert("dns".into(), verdict(Color::Green, ""));
    world.verdicts.insert("smoke".into(), verdict(color, why));
    world
}

/// What the writes bear.
fn written(server: &Server) -> Vec<(String, Value)> {
    let requests = server.requests().into_iter();
    let data = |request: &RecordedRequest| {
        serde_json::from_str(request.json()["data"][KEY].as_str().expect("verdicts")).expect("JSON")
    };
    requests.map(|request| (request.line.clone(), data(&request))).collect()
}

#[test]
fn the_verdicts_of_commands_are_written_when_they_change_and_then_every_minute() {
    run(async {
        let mut is_there = false;
        let server = Server::by_rule(move |request| {
            let is_post = request.line.starts_with("POST");
            if is_there || is_post {
                is_there = true;
                return Answer::json(200, &json!({}));
            }
            Answer::refusal(404, "NotFound", "not found")
        });
        let caller = server.caller();
        let now = || caller.clock().now();
        let mut verdicts = Store::new(caller.clone()).verdicts_of("r-1");
        let plan = plan();
        let smoke =
            |is: &str, timestamp: &str, why: &str| json!({"smoke": {"is": is, "at": timestamp, "why": why}});
        verdicts.flush(&plan, &world(now(), Color::Green, "")).await;
        let first = smoke("green", "2026-01-01T00:00:00Z", "");
        let lines = written(&server);
        assert_eq!(
            lines,
            [
                (format!("PATCH {MAP}/crossfade-gates-r-1?fieldManager=crossfade"), first.clone()),
                (format!("POST {MAP}?fieldManager=crossfade"), first)
            ],
            "the first write creates it, and gates without a command are not in it"
        );
        tokio::time::sleep(Duration::from_secs(30)).await;
        verdicts.flush(&plan, &world(now(), Color::Green, "")).await;
        assert_eq!(server.requests().len(), 2, "nothing but the time has changed");
        verdicts.flush(&plan, &world(now(), Color::Red, "it fails")).await;
        assert_eq!(written(&server)[2].1, smoke("red", "2026-01-01T00:00:30Z", "it fails"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        verdicts.flush(&plan, &world(now(), Color::Red, "it fails")).await;
        assert_eq!(written(&server)[3].1, smoke("red", "2026-01-01T00:01:30Z", "it fails"));
    });
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    run(async {
        let map = |text: &str| Answer::json(200, &json!({"metadata": {}, "data": {KEY: text}}));
        let good = r#"{"smoke":{"is":"red","at":"2026-01-01T00:00:00Z","why":"it fails"}}"#;
        for (answer, count) in [
            (map(good), 1),
            (map("[]"), 0),
            (map(r#"{"smoke":{"is":"blue","at":""}}"#), 0),
            (Answer::refusal(403, "Forbidden", "no"), 0),
            (Answer::refusal(404, "NotFound", "no"), 0),
        ] {
            let server = Server::new(vec![answer]);
            assert_eq!(Store::new(server.caller()).verdicts("r-1").await.len(), count);
            assert_eq!(server.lines(), [format!("GET {MAP}/crossfade-gates-r-1")]);
        }
        let server = Server::new(vec![]);
        assert_eq!(Store::new(server.caller()).verdicts("../r").await.len(), 0, "no id of a run");
    });
}

#[test]
fn a_verdict_counts_as_long_as_its_holder_would_have_written_it_again() {
    let plan = plan();
    let timestamp_at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let record = |time: &str, why: String| RecordedVerdict { color: Color::Green, time: time.into(), why };
    let fine = record("2026-01-01T00:00:00Z", "fine".into());
    let verdict =
        |record: &RecordedVerdict, wall: &str| last_verdict(Some(record), &plan.gates[1], timestamp_at(wall));
    let line = "green at 2026-01-01T00:00:00Z: fine";
    for wall in ["2026-01-01T00:05:00Z", "2025-12-31T23:55:00Z"] {
        assert_eq!(verdict(&fine, wall), (Some(Color::Green), line.into()), "{wall}");
    }
    for wall in ["2026-01-01T00:05:01Z", "2025-12-31T23:54:59Z"] {
        assert_eq!(
            verdict(&fine, wall),
            (None, format!("no holder has recorded a verdict since {line}")),
            "{wall}"
        );
    }
    let long = verdict(&record("2026-01-01T00:00:00Z", "x".repeat(1 << 16)), "2026-01-01T00:00:00Z").1;
    assert!(long.len() < 300, "{}", long.len());
    assert_eq!(verdict(&record("yesterday", String::new()), "2026-01-01T00:00:00Z").0, None);
    assert_eq!(last_verdict(None, &plan.gates[1], timestamp_at("2026-01-01T00:00:00Z")).0, None);
}
