use serde_json::json;

use super::*;
use crate::live::api::test_server::{Answer, Server, run};

const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";

fn written(version: &str) -> Answer {
    Answer::json(200, &json!({"metadata": {"resourceVersion": version}}))
}

fn exists() -> Answer {
    Answer::refusal(409, "AlreadyExists", "configmaps already exists")
}

/// A journal of which nothing is there, or what the answers say.
async fn journal(server: &Server) -> Journal {
    let mut journal = Store::new(server.caller()).journal("r-1").await.expect("a journal");
    journal.mirror = Mirror::nowhere();
    journal
}

fn empty() -> Answer {
    // As the API server writes it.
    Answer::json(200, &json!({"kind": "PartialObjectMetadataList", "metadata": {}, "items": null}))
}

#[test]
fn a_journal_is_written_every_five_seconds_at_most() {
    run(async {
        let server = Server::new(vec![empty(), written("1"), written("2"), written("3")]);
        let mut journal = journal(&server).await;
        assert!(
            server.requests()[0]
                .line
                .ends_with("?labelSelector=crossfade%2Frun%3Dr-1%2Ccrossfade%2Fpart%3Djournal")
        );
        assert!(server.requests()[0].accept.contains("PartialObjectMetadataList"));
        journal.flush(false).await.expect("nothing to write");
        for index in 0..3 {
            journal.note(&json!({"at": index})).expect("noted");
            journal.flush(false).await.expect("flushed");
        }
        assert_eq!(server.requests().len(), 2);
        tokio::time::advance(Duration::from_secs(5)).await;
        journal.flush(false).await.expect("flushed");
        journal.note(&json!({"at": 3})).expect("noted");
        journal.flush(true).await.expect("the last one");
        journal.flush(true).await.expect("nothing is left");
        let requests = server.requests();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[1].json()["metadata"]["name"], "crossfade-journal-r-1-0001");
        assert_eq!(
            requests[1].json()["metadata"]["labels"],
            json!({"crossfade/run": "r-1", "crossfade/part": "journal"})
        );
        assert_eq!(
            requests[2].line,
            format!("PATCH {MAPS}/crossfade-journal-r-1-0001?fieldManager=crossfade")
        );
        let change = json!({"metadata": {"resourceVersion": "1"}, "data": {"journal.jsonl": "{\"at\":0}\n{\"at\":1}\n{\"at\":2}\n"}});
        assert_eq!(requests[2].json(), change);
    });
}

#[test]
fn a_full_part_is_written_before_the_next_one_begins() {
    run(async {
        let server =
            Server::by_rule(|request| if request.line.starts_with("GET") { empty() } else { written("1") });
        let mut journal = journal(&server).await;
        let line = "x".repeat(30_000);
        for _ in 0..5 {
            journal.note(&line).expect("noted");
        }
        journal.flush(false).await.expect("flushed");
        let parts: Vec<(String, usize)> = server.requests()[1..]
            .iter()
            .map(|request| {
                let body = request.json();
                let lines = body["data"]["journal.jsonl"].as_str().expect("lines").lines().count();
                (body["metadata"]["name"].as_str().expect("a name").to_owned(), lines)
            })
            .collect();
        let part = |number: u32, lines| (format!("crossfade-journal-r-1-{number:04}"), lines);
        assert_eq!(parts, [part(1, 2), part(2, 2), part(3, 1)]);
    });
}

#[test]
fn another_holder_goes_on_at_the_end() {
    run(async {
        let names = json!({"items": [{"metadata": {"name": "crossfade-journal-r-1-0002"}}, {"metadata": {"name": "crossfade-journal-r-1-0001"}}]});
        let last = json!({"metadata": {"resourceVersion": "9"}, "data": {"journal.jsonl": "{\"a\":1}\n"}});
        let server = Server::new(vec![Answer::json(200, &names), Answer::json(200, &last), written("10")]);
        let mut journal = journal(&server).await;
        journal.flush(true).await.expect("nothing new");
        journal.note(&json!({"a": 2})).expect("noted");
        journal.flush(false).await.expect("flushed");
        let requests = server.requests();
        assert_eq!(requests[1].line, format!("GET {MAPS}/crossfade-journal-r-1-0002"));
        assert_eq!(requests[2].json()["data"]["journal.jsonl"], "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(requests[2].json()["metadata"]["resourceVersion"], "9");
    });
}

/// Each row: what is in the cluster after a conflict, and whether the journal is this program's own.
#[test]
fn a_lost_answer_is_found_again_and_another_writer_is_told_of() {
    for (there, then, is_own) in
        [("{\"a\":1}\n", vec![], true), ("", vec![written("5")], true), ("{\"b\":1}\n", vec![], false)]
    {
        run(async {
            let map = json!({"metadata": {"resourceVersion": "4"}, "data": {"journal.jsonl": there}});
            let answers = [vec![empty(), exists(), Answer::json(200, &map)], then].concat();
            let server = Server::new(answers);
            let mut journal = journal(&server).await;
            journal.note(&json!({"a": 1})).expect("noted");
            let flushed = journal.flush(true).await;
            assert_eq!(flushed.is_ok(), is_own, "{there}: {flushed:?}");
        });
    }
}

/// What others wrote may be as long as the API server lets them; a line that no ConfigMap holds would end the journal.
#[test]
fn a_long_line_is_cut_and_the_next_ones_are_written() {
    run(async {
        let server =
            Server::by_rule(|request| if request.line.starts_with("GET") { empty() } else { written("1") });
        let mut journal = journal(&server).await;
        let long = "\u{1}".repeat(200_000);
        journal.note(&json!({"wait": {"what": long, "all": [long, long]}})).expect("noted");
        journal.note(&json!({"at": 1})).expect("noted");
        journal.flush(true).await.expect("flushed");
        for request in &server.requests()[1..] {
            assert!(request.body.len() < LARGEST, "{} bytes", request.body.len());
        }
        let last = server.requests().pop().expect("a write").json();
        let lines = last["data"]["journal.jsonl"].as_str().expect("lines");
        assert!(lines.ends_with("{\"at\":1}\n"), "{}", lines.len());
    });
}

/// The API server refuses every write of a run that goes on for days.
#[test]
fn lines_that_cannot_be_written_fill_no_memory() {
    run(async {
        let server = Server::new(vec![empty()]);
        let mut journal = journal(&server).await;
        let line = "x".repeat(LINE - 2);
        for _ in 0..(2 * MOST + 20) {
            journal.note(&line).expect("noted");
        }
        assert_eq!(journal.full.len(), MOST);
        assert!(
            journal.dropped > 0 && journal.describe_fallback().contains("KiB of the oldest are dropped"),
            "{}",
            journal.describe_fallback()
        );
        assert!(
            journal.describe_fallback().contains("no file on this machine"),
            "{}",
            journal.describe_fallback()
        );
    });
}

#[test]
fn a_journal_with_the_greatest_number_goes_on_in_it() {
    run(async {
        let list = json!({"metadata": {}, "items": [{"metadata": {"name": format!("crossfade-journal-r-1-{}", u32::MAX)}}]});
        let map =
            json!({"metadata": {"resourceVersion": "1"}, "data": {"journal.jsonl": "x".repeat(LARGEST)}});
        let server = Server::new(vec![Answer::json(200, &list), Answer::json(200, &map)]);
        let mut journal = journal(&server).await;
        journal.note(&1).expect("noted");
        assert_eq!(journal.open.number, u32::MAX);
    });
}
