use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::live::api::test_server::{Answer, Server, run};

fn item(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version}})
}

fn page(names: &[&str], next: &str, version: &str) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| item(name, "1")).collect();
    Answer::json(200, &json!({"metadata": {"continue": next, "resourceVersion": version}, "items": items}))
}

fn event(what: &str, name: &str, version: &str) -> String {
    format!("{}\n", json!({"type": what, "object": item(name, version)}))
}

fn error(code: u16) -> String {
    format!(
        "{}\n",
        json!({"type": "ERROR", "object": {"kind": "Status", "code": code, "reason": "Expired", "message": "too old"}})
    )
}

/// The name of an object; those that begin with `x` are of no interest, and those that begin with `!` cannot be read.
fn read(json: &str) -> Result<Option<String>, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    if name.starts_with('!') {
        return Err("no name begins so".to_owned());
    }
    Ok((!name.starts_with('x')).then(|| name.to_owned()))
}

/// What becomes known within so many seconds, each change in a word, and what was asked.
fn watched(seconds: u64, answers: Vec<Answer>) -> (Vec<String>, Vec<String>) {
    let mut answers = std::collections::VecDeque::from(answers);
    run(async {
        let server = Server::by_rule(move |_| answers.pop_front().unwrap_or_else(|| Answer::stream(&[])));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&seen);
        let watch = Watch {
            caller: server.caller(),
            source: Source::new("/x"),
            read: Box::new(read),
            sink: Box::new(move |change: Change<String>| {
                let word = match change {
                    Change::All(names) => format!("= {}", names.join(" ")),
                    Change::Put(name) => format!("+ {name}"),
                    Change::Gone(name) => format!("- {name}"),
                    Change::InSync => "in sync".into(),
                    Change::Lost(why) => format!("lost: {why}"),
                    Change::Expired => "expired".into(),
                };
                sink.lock().expect("changes").push(word);
            }),
        };
        let _ended = tokio::time::timeout(Duration::from_secs(seconds), watch.run()).await;
        let seen = seen.lock().expect("changes").clone();
        let lines = server
            .lines()
            .into_iter()
            .map(|line| line.replace("&watch=true&allowWatchBookmarks=true", ""))
            .collect();
        (seen, lines)
    })
}

fn watch_of(version: &str) -> String {
    format!("GET /x?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=20")
}

#[test]
fn a_list_is_read_in_pages_and_then_watched_from_its_version() {
    let (put, gone) = (event("ADDED", "c", "8"), event("DELETED", "a", "9"));
    let (changed, other) = (event("MODIFIED", "b", "10"), event("ADDED", "xx", "11"));
    let (first, rest) = changed.split_at(20);
    let (seen, requests) = watched(
        10,
        vec![
            page(&["a", "xx"], "n", "7"),
            page(&["b"], "", "7"),
            Answer::stream(&[&put, &(gone + first), rest, &other]),
        ],
    );
    assert_eq!(seen, ["= a b", "+ c", "- a", "+ b", "in sync"]);
    assert_eq!(requests, ["GET /x?limit=500", "GET /x?limit=500&continue=n", &watch_of("7")]);
}

#[test]
fn a_watch_that_ends_goes_on_from_its_last_version_bookmarks_included() {
    let (put, mark) = (event("ADDED", "b", "8"), event("BOOKMARK", "", "20"));
    let answers = vec![page(&["a"], "", "7"), Answer::stream(&[&put, &mark]).ending(), Answer::stream(&[])];
    let (seen, requests) = watched(10, answers);
    assert_eq!(seen, ["= a", "+ b", "in sync"]);
    assert_eq!(requests[1..], [watch_of("7"), watch_of("20")]);
}

#[test]
fn a_version_that_is_too_old_is_listed_anew() {
    for expired in [Answer::stream(&[&error(410)]), Answer::refusal(410, "Expired", "too old")] {
        let (seen, requests) = watched(10, vec![page(&["a"], "", "7"), expired, page(&["b"], "", "30")]);
        assert_eq!(seen[..3], ["= a", "expired", "= b"]);
        assert_eq!(requests.last(), Some(&watch_of("30")));
    }
}

/// An API server that was away may not know what happened before, and says so when it is back.
#[test]
fn what_is_too_old_after_an_outage_is_listed_without_a_long_pause() {
    let outage = vec![Answer::lost(); 5];
    let back = vec![Answer::stream(&[&error(410)]), page(&["b"], "", "30")];
    // Pauses of 1, 2, 4, 8 and 16 s, and one of 1 s.
    let (seen, _) = watched(33, [vec![page(&["a"], "", "7")], outage, back].concat());
    assert_eq!(seen[seen.len() - 2..], ["expired", "= b"], "{seen:?}");
}

#[test]
fn what_breaks_is_told_of_and_tried_again() {
    let broken = "{\"type\":\n";
    for (answer, why) in [
        (Answer::lost(), "lost: no answer: "),
        (Answer::refusal(403, "Forbidden", "no"), "lost: 403 Forbidden: no"),
        (Answer::stream(&[&error(500)]), "lost: 500 Expired: too old"),
        (Answer::stream(&[broken]), "lost: an event that cannot be read"),
        (Answer::stream(&[&event("ADDED", "!a", "9")]), "lost: !a cannot be read"),
    ] {
        let (seen, requests) = watched(10, vec![page(&[], "", "7"), answer]);
        assert!(seen.last().is_some_and(|word| word.starts_with(why)), "{seen:?}");
        assert_eq!(requests.last(), Some(&watch_of("7")), "{why}");
    }
    let (seen, _) = watched(10, vec![page(&["!a"], "", "7")]);
    assert_eq!(
        seen[0], "lost: !a cannot be read: no name begins so",
        "a list that cannot be read is no list"
    );
}

#[test]
fn a_connection_that_died_is_noticed() {
    let (seen, _) = watched(29, vec![page(&[], "", "7")]);
    assert_eq!(seen, ["= "]);
    let (seen, _) = watched(35, vec![page(&[], "", "7")]);
    assert_eq!(seen, ["= ", "lost: nothing arrived for 30 s"]);
}

#[test]
fn a_server_that_is_away_is_asked_less_and_less_often() {
    // Five tries of a page take 7.5 s, and pauses of 1, 2, 4, 8, 16 and 30 s lie between them.
    let (_, requests) = watched(600, vec![Answer::lost(); 2_000]);
    assert!((40..120).contains(&requests.len()), "{}", requests.len());
}

#[test]
fn a_watch_that_ends_at_once_again_and_again_is_not_asked_for_without_a_pause() {
    let ending = || Answer::stream(&[]).ending();
    let answers = [vec![page(&[], "", "7")], (0..2_000).map(|_| ending()).collect()].concat();
    let (_, requests) = watched(60, answers);
    assert!(requests.len() < 20, "{}", requests.len());
}

/// A proxy may answer a watch and pass nothing on.
#[test]
fn an_answer_without_a_word_proves_nothing() {
    let (seen, _) = watched(25, vec![page(&["a"], "", "7"), Answer::lost(), Answer::stream(&[])]);
    assert_eq!(seen.iter().filter(|word| *word == "in sync").count(), 0, "{seen:?}");
    let other = event("ADDED", "xx", "9");
    for word in [event("BOOKMARK", "", "9"), other] {
        let (seen, _) = watched(25, vec![page(&["a"], "", "7"), Answer::lost(), Answer::stream(&[&word])]);
        assert_eq!(seen.last().map(String::as_str), Some("in sync"), "{seen:?}");
    }
}

/// Nothing proves that such a watch told of all that happened. API servers without bookmarks end like that, too.
#[test]
fn what_a_watch_said_nothing_of_is_listed_anew() {
    let (seen, requests) =
        watched(5, vec![page(&["a"], "", "7"), Answer::stream(&[]).ending(), page(&["b"], "", "9")]);
    assert_eq!(seen, ["= a", "lost: the watch ended without an event or a bookmark", "= b"]);
    assert_eq!(requests[1..], [watch_of("7"), "GET /x?limit=500".into(), watch_of("9")]);
}

#[test]
fn a_line_without_an_end_is_bounded() {
    let piece = "x".repeat(1 << 20);
    let pieces = vec![piece.as_str(); 20];
    let (seen, _) = watched(5, vec![page(&[], "", "7"), Answer::stream(&pieces)]);
    assert!(seen.iter().any(|word| word.starts_with("lost: ") && word.contains("16 MiB")), "{seen:?}");
}

#[test]
fn a_list_with_a_page_that_is_too_long_begins_anew_with_smaller_pages() {
    let (seen, requests) =
        watched(1, vec![page(&["a"], "c", "1"), Answer::endless(), page(&["a", "b"], "", "7")]);
    assert_eq!(seen[0], "= a b", "{seen:?}");
    let start = ["GET /x?limit=500", "GET /x?limit=500&continue=c", "GET /x?limit=50"];
    assert!(requests.iter().zip(start).all(|(request, start)| request.starts_with(start)), "{requests:?}");
}
