use migration::plan::Plan;
use migration::roll::run::{Run, RunRequest, State, Wish};
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::policy::Phase;

use super::*;
use crate::live::api::test_server::{Answer, Server, run};

const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";

fn a_run(id: &str) -> Run {
    let plan: Plan = serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old", "both-new", "new"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan");
    Run::new(id, "4be1".repeat(16), &plan)
}

fn stored(run: &Run, wishes: &[Wish], version: &str) -> Value {
    json!({"metadata": {"name": "crossfade-run", "resourceVersion": version},
        "data": {"run.json": serde_json::to_string(run).expect("JSON"), "wish.json": serde_json::to_string(wishes).expect("JSON")}})
}

fn written(version: &str) -> Answer {
    Answer::json(200, &json!({"metadata": {"resourceVersion": version}}))
}

fn missing() -> Answer {
    Answer::refusal(404, "NotFound", "configmaps \"crossfade-run\" not found")
}

fn conflict() -> Answer {
    Answer::refusal(409, "Conflict", "the object has been modified")
}

fn exists() -> Answer {
    Answer::refusal(409, "AlreadyExists", "configmaps already exists")
}

fn store(server: &Server) -> Store {
    Store::new(server.caller())
}

fn wish(seq: u64, what: RunRequest) -> Wish {
    Wish { seq, operator: "bob".into(), reason: "so".into(), what }
}

#[test]
fn a_run_begins_as_a_new_object_and_labels_its_plan() {
    run(async {
        let server = Server::new(vec![missing(), written("7"), written("8")]);
        let begun = store(&server).begin(&a_run("r-1")).await.expect("begun");
        assert_eq!((begun.version.as_str(), begun.wishes.len()), ("7", 0));
        assert_eq!(
            server.lines(),
            [
                format!("GET {MAPS}/crossfade-run"),
                format!("POST {MAPS}?fieldManager=crossfade"),
                format!("PATCH {MAPS}/crossfade-plan-4be14be14be1?fieldManager=crossfade"),
            ]
        );
        let requests = server.requests();
        let text = serde_json::to_string(&a_run("r-1")).expect("JSON");
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "crossfade-run", "namespace": "crossfade", "labels": {"crossfade/run": "r-1"}}, "data": {"run.json": text}});
        assert_eq!(requests[1].json(), body);
        assert_eq!(requests[2].json(), json!({"metadata": {"labels": {"crossfade/run": "r-1"}}}));
    });
}

#[test]
fn a_run_that_is_over_is_kept_under_its_own_id() {
    run(async {
        let done = Run { state: State::Done, ..a_run("r-1") };
        let server = Server::new(vec![
            Answer::json(200, &stored(&done, &[wish(1, RunRequest::Pause)], "5")),
            written("6"),
            written("7"),
            written("8"),
        ]);
        store(&server).begin(&a_run("r-2")).await.expect("begun");
        let requests = server.requests();
        assert_eq!(requests[1].json()["metadata"]["name"], "crossfade-run-r-1");
        assert_eq!(requests[1].json()["data"], stored(&done, &[wish(1, RunRequest::Pause)], "5")["data"]);
        let change = requests[2].json();
        assert_eq!(change["metadata"], json!({"resourceVersion": "5", "labels": {"crossfade/run": "r-2"}}));
        assert_eq!(change["data"]["wish.json"], Value::Null, "its wishes are not those of the next run");
    });
}

#[test]
fn a_run_that_goes_on_is_in_the_way_of_another() {
    run(async {
        let server = Server::new(vec![Answer::json(200, &stored(&a_run("r-1"), &[], "5"))]);
        let (exit, problem) = store(&server).begin(&a_run("r-2")).await.expect_err("one at a time");
        assert!(
            exit == Exit::No && problem.what.contains("r-1") && problem.fix.contains("--resume"),
            "{problem:?}"
        );
        assert_eq!(server.requests().len(), 1, "nothing is written");
        for id in ["", "-a", "a-", "A", "a b", &"x".repeat(33)] {
            assert!(store(&server).begin(&a_run(id)).await.is_err(), "{id}");
        }
    });
}

#[test]
fn a_run_is_recorded_once_and_on_the_version_that_was_read() {
    for (answer, recorded) in [
        (written("6"), Some(RecordOutcome::Written("6".into()))),
        (conflict(), Some(RecordOutcome::Changed)),
        (missing(), Some(RecordOutcome::Changed)),
        (Answer::lost(), None),
        (Answer::text(503, "overloaded"), None),
    ] {
        run(async {
            let server = Server::new(vec![answer]);
            let result = store(&server).record(&a_run("r-1"), "5").await;
            assert_eq!(result.ok(), recorded);
            let requests = server.requests();
            assert_eq!(
                (requests.len(), requests[0].line.clone()),
                (1, format!("PATCH {MAPS}/crossfade-run?fieldManager=crossfade"))
            );
            assert_eq!(requests[0].content, "application/merge-patch+json");
            let body = requests[0].json();
            assert_eq!(body["metadata"], json!({"resourceVersion": "5", "labels": {"crossfade/run": "r-1"}}));
            assert_eq!(
                body["data"].as_object().expect("data").keys().collect::<Vec<_>>(),
                ["run.json"],
                "wishes are left alone"
            );
        });
    }
}

#[test]
fn a_run_is_never_written_without_a_version() {
    run(async {
        let server = Server::new(vec![]);
        assert_eq!(store(&server).record(&a_run("r-1"), "").await.ok(), Some(RecordOutcome::Changed));
        assert!(server.requests().is_empty());
    });
}

#[test]
fn what_is_kept_is_read_and_what_another_version_wrote_is_refused() {
    let run_1 = Run { wish: 1, ..a_run("r-1") };
    let wishes = [wish(1, RunRequest::Pause), wish(2, RunRequest::Skip("b7".into()))];
    let read = StoredRun::read(&stored(&run_1, &wishes, "5").to_string()).expect("a run");
    assert_eq!((&read.run, read.version.as_str()), (&run_1, "5"));
    assert_eq!(read.new_wishes().collect::<Vec<_>>(), [&wishes[1]]);
    let newer = Run { version: 2, ..a_run("r-1") };
    for (object, words) in [
        (stored(&newer, &[], "5"), "version 2"),
        (json!({"metadata": {}, "data": {"run.json": "{}"}}), "run.json"),
        (json!({"metadata": {}, "data": {}}), "run.json"),
    ] {
        let (_, problem) = StoredRun::read(&object.to_string()).expect_err("no such run");
        assert!(problem.what.contains(words) && !problem.fix.is_empty(), "{problem:?}");
    }
}

/// Who may write ConfigMaps can write anything into the run. No command goes on with that, and the way out is one that works.
#[test]
fn a_run_that_nothing_can_read_is_replaced_as_the_error_says() {
    let garbage = |text: &str| json!({"metadata": {"name": "crossfade-run", "resourceVersion": "5"}, "data": {"run.json": text}});
    let long = serde_json::to_string(&Run { pass: u32::MAX, ..a_run("r-1") }).expect("JSON");
    for text in ["", "{", "[]", "{}", "\u{0}", &long] {
        run(async {
            let server =
                Server::new(vec![Answer::json(200, &garbage(text)), missing(), written("7"), written("8")]);
            let (exit, problem) = store(&server).begin(&a_run("r-2")).await.expect_err("nothing to read");
            assert_eq!(exit, Exit::Failed);
            for part in [
                "-o yaml > crossfade-run.yaml",
                "kubectl -n crossfade delete configmap crossfade-run",
                "plan --save",
                "roll --plan",
            ] {
                assert!(problem.fix.contains(part), "{part}: {}", problem.fix);
            }
            assert_eq!(server.lines().len(), 1, "nothing is written");
            store(&server).begin(&a_run("r-2")).await.expect("it is deleted now");
        });
    }
}

#[test]
fn a_wish_gets_the_next_number_and_is_written_by_its_own_manager() {
    run(async {
        let taken: Vec<Wish> = (1..=25).map(|seq| wish(seq, RunRequest::Pause)).collect();
        let before = Run { wish: 24, ..a_run("r-1") };
        let server = Server::new(vec![Answer::json(200, &stored(&before, &taken, "5")), written("6")]);
        let seq = store(&server).wish("alice", "dinner", &RunRequest::PauseNow).await.expect("asked for");
        assert_eq!(seq, 26);
        assert_eq!(server.lines()[1], format!("PATCH {MAPS}/crossfade-run?fieldManager=crossfade-wish"));
        let body = server.requests()[1].json();
        assert_eq!(body["metadata"], json!({"resourceVersion": "5"}));
        let list: Vec<Wish> =
            serde_json::from_str(body["data"]["wish.json"].as_str().expect("text")).expect("wishes");
        let numbers: Vec<u64> = list.iter().map(|wish| wish.seq).collect();
        assert_eq!(numbers, (5..=26).collect::<Vec<_>>(), "the oldest ones that were taken up are dropped");
        assert_eq!(
            list[21],
            Wish { seq: 26, operator: "alice".into(), reason: "dinner".into(), what: RunRequest::PauseNow }
        );
    });
}

#[test]
fn a_wish_that_meets_another_is_written_after_it_and_never_twice() {
    run(async {
        let mine = Wish { operator: "alice".into(), ..wish(2, RunRequest::Pause) };
        let server = Server::new(vec![
            Answer::json(200, &stored(&a_run("r-1"), &[], "5")),
            conflict(),
            Answer::json(200, &stored(&a_run("r-1"), &[wish(1, RunRequest::Pause)], "6")),
            Answer::lost(),
            Answer::json(200, &stored(&a_run("r-1"), &[wish(1, RunRequest::Pause), mine], "7")),
        ]);
        let seq = store(&server).wish("alice", "so", &RunRequest::Pause).await.expect("asked for");
        assert_eq!((seq, server.requests().len()), (2, 5), "it is there: nothing more is written");
    });
}

#[test]
fn a_wish_needs_a_run_and_the_right_to_write_it() {
    for (answers, exit, words) in [
        (vec![missing()], Exit::No, "there is no run"),
        (
            vec![
                Answer::json(200, &stored(&a_run("r-1"), &[], "5")),
                Answer::refusal(403, "Forbidden", "no"),
            ],
            Exit::Failed,
            "403 Forbidden: no",
        ),
    ] {
        run(async {
            let (is, problem) = store(&Server::new(answers))
                .wish("alice", "so", &RunRequest::Pause)
                .await
                .expect_err("refused");
            assert!(is == exit && problem.what.contains(words), "{problem:?}");
        });
    }
}

const PLAN: &[u8] = br#"{"version":1}"#;
const PLAN_HASH: &str = "2430f1a2ad2982d0067885488a4c89e21ad1d7c83b115ba8f1b20acc88dfaea8";

/// Saves a plan, and gives what was written and its hash.
fn saved(canonical: &'static [u8]) -> (String, Value) {
    run(async {
        let server = Server::new(vec![written("1")]);
        let hash = store(&server).save_plan(canonical, "").await.expect("saved");
        assert_eq!(server.lines(), [format!("POST {MAPS}?fieldManager=crossfade")]);
        (hash, server.requests()[0].json())
    })
}

#[test]
fn a_plan_is_immutable_and_named_by_its_hash() {
    let (hash, body) = saved(PLAN);
    assert_eq!(hash, PLAN_HASH);
    assert_eq!(body["metadata"]["name"], format!("crossfade-plan-{}", &hash[..12]));
    assert_eq!(body["metadata"]["labels"], json!({"crossfade/plan": hash[..12]}));
    assert_eq!(body["immutable"], true);
    assert_eq!(saved(PLAN).1, body, "the same plan is the same bytes");
    // A gzip stream without a time in its header.
    assert!(
        body["binaryData"]["plan.json.gz"].as_str().expect("base64").starts_with("H4sIAAAAAAAC"),
        "{body}"
    );
}

#[test]
fn a_plan_is_read_by_the_beginning_of_its_hash_and_verified() {
    let (hash, object) = saved(PLAN);
    let mut other = object.clone();
    other["binaryData"] = saved(b"{}").1["binaryData"].clone();
    let (short, map) = (&hash[..12], Answer::json(200, &object));
    // Its first twelve characters are those of the name, and no more.
    let alike = format!("{short}{}", "0".repeat(52));
    for (prefix, answer, expected) in [
        (hash.as_str(), map.clone(), Ok(())),
        (short, map.clone(), Ok(())),
        (&hash[..20], map.clone(), Ok(())),
        (alike.as_str(), map, Err("its bytes have another hash")),
        (short, missing(), Err("no plan of this cluster")),
        (short, Answer::json(200, &other), Err("its bytes have another hash")),
        (short, Answer::json(200, &json!({"metadata": {}})), Err("its bytes have another hash")),
    ] {
        run(async {
            let read = store(&Server::new(vec![answer])).plan(&prefix.parse().expect("a hash")).await;
            match (read, expected) {
                (Ok(read), Ok(())) => assert_eq!(read, (hash.clone(), PLAN.to_vec())),
                (Err((_, problem)), Err(words)) => assert!(problem.what.contains(words), "{problem:?}"),
                (read, _) => panic!("{prefix}: {read:?}"),
            }
        });
    }
}

#[test]
fn a_plan_that_is_there_already_is_fine_and_one_that_is_too_large_is_refused() {
    let object = saved(PLAN).1;
    run(async {
        let server = Server::new(vec![exists(), Answer::json(200, &object)]);
        assert_eq!(store(&server).save_plan(PLAN, "").await.expect("there"), PLAN_HASH);
        // Bytes that do not shrink.
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..1_000_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let server = Server::new(vec![]);
        let (_, problem) =
            store(&server).save_plan(&noise, "plan one pool at a time").await.expect_err("too large");
        assert_eq!(problem.fix, "plan one pool at a time");
        assert!(problem.what.contains("900000") && server.requests().is_empty(), "{problem:?}");
    });
}

#[test]
fn phases_of_a_run_are_written_in_words() {
    // The ConfigMap is read by other versions of this program.
    let text = serde_json::to_string(&a_run("r-1")).expect("JSON");
    assert!(text.contains(r#""from":"old","targets":["both-old","both-new","new"]"#), "{text}");
    assert_eq!(a_run("r-1").target(), Some(Phase::BothOld));
}

/// Each row: the wish that the run took up last, the numbers of the wishes that are there, and in which order they are heard; or why none is.
#[test]
fn wishes_are_heard_in_the_order_of_their_numbers_or_not_read_at_all() {
    for (taken, numbers, heard) in [
        (0, vec![1, 2, 3], Ok(vec![1, 2, 3])),
        (1, vec![3, 2, 1], Ok(vec![2, 3])),
        (5, vec![5, 5, 6], Ok(vec![6])),
        (5, vec![6, 6], Err("have the number 6")),
        (5, vec![u64::MAX], Err("expected at most")),
        (5, vec![6, 5 + (1 << 20) + 1], Err("expected at most")),
        ((1 << 53) + 1, vec![], Err("wish is")),
        (u64::MAX, vec![], Err("wish is")),
    ] {
        let run = Run { wish: taken, ..a_run("r-1") };
        let wishes: Vec<Wish> = numbers.iter().map(|seq| wish(*seq, RunRequest::PauseNow)).collect();
        let read = StoredRun::read(&stored(&run, &wishes, "7").to_string());
        match heard {
            Ok(heard) => {
                let read = read.expect("a run");
                assert_eq!(read.new_wishes().map(|wish| wish.seq).collect::<Vec<_>>(), heard, "{numbers:?}");
            }
            Err(why) => {
                let (_, problem) = read.expect_err("no run");
                assert!(problem.what.contains(why) && !problem.fix.is_empty(), "{numbers:?}: {problem:?}");
            }
        }
    }
}

/// A pause that could never be heard is refused aloud.
#[test]
fn a_pause_after_the_greatest_number_is_an_error_and_not_the_number_zero() {
    run(async {
        for (taken, numbers) in [(1 << 53, vec![]), (0, vec![u64::MAX])] {
            let run = Run { wish: taken, ..a_run("r-1") };
            let wishes: Vec<Wish> = numbers.into_iter().map(|seq| wish(seq, RunRequest::Pause)).collect();
            let server = Server::new(vec![Answer::json(200, &stored(&run, &wishes, "7"))]);
            let (_, problem) =
                store(&server).wish("alice", "dinner", &RunRequest::PauseNow).await.expect_err("refused");
            assert!(!problem.fix.is_empty(), "{problem:?}");
            assert_eq!(server.lines().len(), 1, "nothing is written");
        }
    });
}

#[test]
fn a_pass_that_no_run_reaches_is_not_read() {
    let run = Run { pass: u32::MAX, ..a_run("r-1") };
    let (_, problem) = StoredRun::read(&stored(&run, &[], "7").to_string()).expect_err("no run");
    assert!(problem.what.contains("pass is 4294967295"), "{problem:?}");
}

#[test]
fn what_cannot_be_read_has_its_version_all_the_same() {
    let mut map = stored(&a_run("r-1"), &[], "9");
    map["data"]["wish.json"] = "[{".into();
    let unreadable = StoredRun::parse(&map.to_string()).expect_err("no wishes");
    assert_eq!(unreadable.version, "9");
    assert!(
        unreadable.problem.what.contains("wish.json")
            && unreadable.problem.fix.contains("kubectl -n crossfade patch")
    );
}
