use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, run};
use crate::live::lease::Patience;
use crate::live::session::Settings;
use migration::plan::Gate;

const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";

fn plan() -> Plan {
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "agents": [], "unenforced": [],
        "networks": {"old": [], "new": []}, "waivers": [],
    }))
    .expect("a plan")
}

/// A gate that goes by agents, which only the plan of one test has.
fn packets() -> Gate {
    let gate =
        json!({"name": "packets", "source": {"probe": "packets"}, "everySeconds": 15, "freshSeconds": 60});
    serde_json::from_value(gate).expect("a gate")
}

fn a_run() -> Run {
    Run::new("r-1", "4be1".repeat(16), &plan())
}

fn stored(version: &str) -> Value {
    json!({"metadata": {"name": "crossfade-run", "resourceVersion": version},
        "data": {"run.json": serde_json::to_string(&a_run()).expect("JSON")}})
}

/// A cluster without nodes whose run is watched: these events come after the list. `more` answers first.
fn cluster(
    events: &[Value],
    mut more: impl FnMut(&RecordedRequest) -> Option<Answer> + Send + 'static,
) -> Server {
    let mut events = Some(events.iter().map(|event| format!("{event}\n")).collect::<Vec<_>>());
    Server::by_rule(move |request| {
        if let Some(answer) = more(request) {
            return answer;
        }
        let list = |items: &[Value]| {
            Answer::json(200, &json!({"metadata": {"resourceVersion": "7"}, "items": items}))
        };
        let line = request.line.as_str();
        let is_of_run = line.starts_with(&format!("GET {MAPS}?fieldSelector"));
        match line {
            _ if line.contains("watch=true") => {
                let events = if is_of_run { events.take().unwrap_or_default() } else { Vec::new() };
                Answer::stream(&events.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ if line == format!("GET {MAPS}/crossfade-run") => {
                Answer::refusal(404, "NotFound", "configmaps \"crossfade-run\" not found")
            }
            "GET /api/v1" => Answer::json(200, &json!({"resources": []})),
            _ if is_of_run => list(&[stored("7")]),
            _ if line.starts_with("GET /apis/coordination.k8s.io") => Answer::json(
                200,
                &json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": ""}}),
            ),
            _ if line.starts_with("PUT ") => Answer::text(200, &request.body),
            _ => list(&[]),
        }
    })
}

/// What a holder of the Lease does with a run, and the events that its operator is told.
async fn with_hand<T>(server: &Server, act: impl AsyncFnOnce(&mut LiveCluster<'_>) -> T) -> (T, Vec<String>) {
    let caller = server.caller();
    let watcher = caller.with_client(server.client());
    let settings = Settings { gates: vec![packets()], ..Settings::default() };
    let mut session = Session::open(caller, watcher, settings).await.expect("a session");
    session.take_lease(Patience::None, std::future::pending(), &mut |_, _| {}).await.expect("taken");
    let journal = session.store().journal("r-1").await.expect("a journal").without_mirror();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let report = RefCell::new(|event: &Event| lines.lock().expect("events").push(format!("{event:?}")));
    let mut hand = LiveCluster {
        verdicts: session.store().verdicts_of("r-1"),
        session: &mut session,
        journal,
        interrupt: Interrupt::new(),
        is_unwritten: false,
        outage: Outage::default(),
        own_hashes: RefCell::new([identity(&a_run())].into()),
        has_seen_own: false,
        report: &report,
    };
    let result = act(&mut hand).await;
    drop(hand);
    let lines = lines.lock().expect("events").clone();
    (result, lines)
}

/// Looks until the run cannot go on, at most ten times.
async fn ends(server: &Server) -> Option<EndReason> {
    let looks = async |hand: &mut LiveCluster<'_>| {
        for _ in 0..10 {
            if let Err(why) = hand.look(&a_run(), &plan()).await {
                return Some(why);
            }
        }
        None
    };
    with_hand(server, looks).await.0
}

fn event(what: &str, object: &Value) -> Value {
    json!({"type": what, "object": object})
}

#[test]
fn a_run_whose_wishes_cannot_be_read_stops_and_says_so() {
    for wishes in [
        "[{",
        "{}",
        r#"[{"seq":18446744073709551615,"by":"eve","reason":"so","what":"pause"}]"#,
        r#"[{"seq":1,"by":"eve","reason":"so","what":"dance"}]"#,
    ] {
        run(async {
            let mut map = stored("8");
            map["data"]["wish.json"] = wishes.into();
            let Some(EndReason::Unreadable(why, fix)) =
                ends(&cluster(&[event("MODIFIED", &map)], |_| None)).await
            else {
                panic!("it goes on: {wishes}")
            };
            assert!(
                why.contains("wish.json") && fix.contains("kubectl -n crossfade patch configmap"),
                "{why}; {fix}"
            );
        });
    }
}

#[test]
fn a_run_that_cannot_be_read_stops_and_says_so() {
    run(async {
        let map = json!({"metadata": {"name": "crossfade-run", "resourceVersion": "8"}, "data": {"run.json": "{}"}});
        let why = ends(&cluster(&[event("MODIFIED", &map)], |_| None)).await;
        assert!(matches!(&why, Some(EndReason::Unreadable(why, _)) if why.contains("run.json")), "{why:?}");
    });
}

#[test]
fn a_run_whose_object_is_deleted_stops_and_says_so() {
    run(async {
        let Some(EndReason::Unreadable(why, fix)) =
            ends(&cluster(&[event("DELETED", &stored("8"))], |_| None)).await
        else {
            panic!("it goes on")
        };
        assert!(why.contains("r-1, was deleted") && fix.contains("roll --plan 4be14be14be1"), "{why}; {fix}");
    });
}

/// It was deleted before its watch told of it.
#[test]
fn a_run_that_was_never_seen_is_asked_for() {
    run(async {
        let server = cluster(&[], |request| match request.line.as_str() {
            line if line == format!("GET {MAPS}/crossfade-run") => {
                Some(Answer::refusal(404, "NotFound", "configmaps \"crossfade-run\" not found"))
            }
            line if line.starts_with(&format!("GET {MAPS}?fieldSelector"))
                && !line.contains("watch=true") =>
            {
                Some(Answer::json(200, &json!({"metadata": {"resourceVersion": "7"}, "items": []})))
            }
            _ => None,
        });
        let why = ends(&server).await;
        assert!(
            matches!(&why, Some(EndReason::Unreadable(why, _)) if why.contains("was deleted")),
            "{why:?}"
        );
    });
}

#[test]
fn a_run_that_is_as_it_was_goes_on() {
    run(async {
        assert_eq!(ends(&cluster(&[], |_| None)).await, None);
    });
}

/// The n-th report has n answers, the first one is from before the holder, and the operator interrupts when there is no third one.
#[test]
fn what_agents_measured_is_looked_at_once_and_at_the_latest_by_a_holder_that_is_interrupted() {
    for is_blind in [false, true] {
        run(async {
            let (interrupt, mut interval) = (Interrupt::new(), 0);
            let ctrl_c = interrupt.clone();
            let server = cluster(&[], move |request| match request.line.as_str() {
                line if line.contains("/pods/hub-a/log") => {
                    interval += 1;
                    if interval == 3 {
                        ctrl_c.set();
                        return Some(Answer::text(200, ""));
                    }
                    let class = json!({"from": "old", "to": "dns", "place": "any", "family": "IPv4", "packet": "udp"});
                    let report = json!({
                        "hub": "hub-a", "interval": interval, "length": 5000, "agents": {}, "isFull": true, "unproven": [], "troubles": [],
                        "classes": [{"class": class, "counts": {"answered": interval}}], "moreTroubles": 0, "arrived": [], "departed": [],
                    });
                    Some(Answer::text(200, &format!("{report}\n")))
                }
                line if line.contains("/namespaces/crossfade-probe/pods") => {
                    let hub = json!({"metadata": {"name": "hub-a"}, "status": {"phase": "Running"}});
                    Some(Answer::json(200, &json!({ "items": [hub] })))
                }
                line if is_blind && line.starts_with("GET /apis/apps/v1/deployments") => {
                    Some(Answer::refusal(503, "ServiceUnavailable", "so"))
                }
                _ => None,
            });
            let plan = Plan { gates: vec![packets()], ..plan() };
            let looks = async |hand: &mut LiveCluster<'_>| {
                hand.interrupt = interrupt;
                let mut looks: Vec<Vec<u64>> = Vec::new();
                loop {
                    let observation = hand.look(&a_run(), &plan).await.expect("a look");
                    looks.push(observation.measured.iter().map(|row| row.counts.answered).collect());
                    if observation.is_interrupted {
                        return looks;
                    }
                }
            };
            let (looks, _) = with_hand(&server, looks).await;
            assert_eq!((looks.concat(), looks.last() == Some(&vec![2])), (vec![2], is_blind), "{looks:?}");
        });
    }
}

/// The journal cannot be written, twice, and then it can.
#[test]
fn the_operator_hears_once_that_the_journal_fails_and_once_that_it_works_again() {
    run(async {
        let mut refused = 0;
        let server = cluster(&[], move |request| {
            let is_write = request.line.starts_with(&format!("POST {MAPS}"));
            is_write.then(|| {
                refused += 1;
                match refused {
                    1 | 2 => Answer::refusal(403, "Forbidden", "cannot create configmaps"),
                    _ => Answer::json(201, &json!({"metadata": {"resourceVersion": "9"}})),
                }
            })
        });
        let (lacking, lines) = with_hand(&server, async |hand| {
            hand.note(&Event::Waits(Wait::new("Node/a", migration::roll::wait::Reason::Settling, "so")))
                .await;
            let mut lacking = Vec::new();
            for _ in 0..4 {
                lacking.push(hand.flush(true).await.map(|problem| problem.to_string()));
            }
            lacking
        })
        .await;
        assert_eq!(lacking.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for part in [
            "cannot create configmaps",
            "the run goes on",
            "written with the next write that works",
            "rbac-operator.yaml",
        ] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
        assert!(lines[1].contains("again"), "{}", lines[1]);
    });
}

/// A file that cannot be written is told at once; it is not read in the cluster.
#[test]
fn the_operator_hears_of_a_mirror_that_cannot_be_written() {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("crossfade"), "a file").expect("written");
        let (_, lines) = with_hand(&cluster(&[], |_| None), async |hand| {
            let store = hand.session.store().clone();
            hand.journal = store
                .journal("r-1")
                .await
                .expect("a journal")
                .mirrored(dir.path().join("crossfade/r-1.jsonl"));
            for _ in 0..2 {
                hand.note(&Event::Waits(Wait::new("Node/a", migration::roll::wait::Reason::Settling, "so")))
                    .await;
            }
        })
        .await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("r-1.jsonl") && lines[0].contains("the run goes on"), "{}", lines[0]);
    });
}

/// What a holder writes is what `report` reads.
#[test]
fn every_event_of_the_journal_is_read_again() {
    use migration::drive::event::ActRecord;
    use migration::report::measure::MeasuredClass;
    use migration::report::{Figures, Piece, Sources, report};
    use migration::roll::run::{RunRequest, Wish};
    use migration::roll::wait::Reason;
    use types::api::step::State;
    use types::policy::Phase;

    let patch = |state| ActRecord::Patch {
        node: "a".into(),
        state: Some(state),
        to: Some(Phase::BothOld),
        desired: None,
        why: None,
        cordon: Some(true),
        fence: None,
        undisturbed: None,
        lifecycle: std::collections::BTreeMap::new(),
    };
    let evict = ActRecord::Evict {
        pod: "shop/db-0".into(),
        uid: "u".into(),
        node: "a".into(),
        owner: Some("StatefulSet/shop/db".into()),
    };
    let acted = |act, outcome| Event::Acted { act, outcome };
    let budget = Outcome::Answered(types::api::eviction::Answer::Budget(Some(10)));
    let class = MeasuredClass {
        from: "old".into(),
        to: "dns".into(),
        sent: 7,
        lost: 1,
        longest_gap_millis: Some(900),
    };
    let attached = [(Phase::Old, 3)].into();
    let count = Count { pass: 1, to: Some(Phase::BothOld), attached, silent: 1, measured: vec![class] };
    let wish =
        Wish { seq: 1, operator: "bob".into(), reason: "so".into(), what: RunRequest::Skip("b".into()) };
    let broken = migration::roll::invariant::Violation { name: "R1", why: "so".into() };
    let events = [
        Event::Holds { holder: "alice@laptop:1:f".into(), plan: "4be1".into(), is_approved: true },
        Event::Replanned { before: "4be0".into(), plan: "4be1".into() },
        acted(patch(State::Claimed), Outcome::Done),
        acted(evict, budget),
        acted(ActRecord::Record { pass: 2, to: None }, Outcome::Done),
        Event::Waits(Wait::new("Node/a", Reason::Settling, "so")),
        Event::Over { object: "Node/a".into(), reason: Reason::Settling },
        Event::Counted(count),
        Event::Wished { wish, refused: Some("no".into()) },
        Event::Broken { act: patch(State::Done), broken },
    ];
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("crossfade/r-1.jsonl");
        with_hand(&cluster(&[], |_| None), async |hand| {
            let store = hand.session.store().clone();
            hand.journal = store.journal("r-1").await.expect("a journal").mirrored(file.clone());
            for event in &events {
                hand.note(event).await;
            }
        })
        .await;
        let lines = std::fs::read_to_string(file).expect("a journal");
        assert_eq!(lines.lines().count(), events.len());
        let journal = vec![Piece { number: None, lines }];
        let made = report(Sources { id: "r-1".into(), journal, ..Sources::default() });
        assert_eq!(made.missing, [], "each line is read");
        assert!(made.holders[0].is_approved);
        let refused = made.evictions.map(|sums| sums.refused_by_budgets);
        assert_eq!((made.nodes.len(), refused, made.attached.len()), (1, Some(1), 1));
        assert_eq!((made.waits[0].until.is_some(), made.wishes.len(), made.broken.len()), (true, 1, 1));
        assert_eq!(made.nodes[0].spans[0].to, Some(Phase::BothOld));
        let measured = Figures { sent: 7, lost: 1, longest_gap_millis: Some(900) };
        assert_eq!((made.probes[0].gates, made.probes[0].measured), (Some(measured), None));
    });
}
