//! The errors of a person's file, and what is read of a program's.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{from_slice, read_written};
use crate::json::raw::raw_string;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Outer {
    inner: Inner,
    #[serde(default)]
    list: Vec<Inner>,
    #[serde(default)]
    map: BTreeMap<String, String>,
    #[serde(default)]
    maybe: Option<bool>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Inner {
    word: Word,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    One,
    Two,
    Three,
}

fn wrong(text: &str) -> String {
    from_slice::<Outer>(text.as_bytes(), "file").map(|_| ()).expect_err(text)
}

#[test]
fn a_message_names_the_path_what_was_expected_and_what_was_found() {
    let inner = r#""inner": {"word": "one"}"#;
    from_slice::<Outer>(format!("{{{inner}}}").as_bytes(), "file").expect("valid");
    for (more, message) in [
        (r#""list": 5"#, "list: expected a list, found 5"),
        (r#""list": [7]"#, "list[0]: expected an object, found 7"),
        (r#""list": [{"word": "one"}, {}]"#, "list[1].word: missing; expected one, two or three"),
        (
            r#""list": [{"word": "one"}, {"word": "four"}]"#,
            "list[1].word: expected one, two or three, found \"four\"",
        ),
        (r#""list": [{"wrd": "one"}]"#, "list[0]: unknown key \"wrd\"; did you mean \"word\"?"),
        (r#""list": [{"zebra": "one"}]"#, "list[0]: unknown key \"zebra\"; expected one of word"),
        (r#""map": {"a": 1}"#, "map.a: expected a string, found 1"),
        (r#""map": ["a"]"#, "map: expected an object, found a list"),
        (r#""maybe": null"#, "maybe: expected true or false, found null"),
        (r#""maybe": "yes""#, "maybe: expected true or false, found \"yes\""),
        (r#""mapp": {}"#, "file: unknown key \"mapp\"; did you mean \"map\"?"),
        (r#""inner": {}"#, "file: key \"inner\" is written twice; expected it once"),
        (r#""headers": "canary""#, "headers: expected an object, found something else"),
        (r#""headers": {"a": ["canary"]}"#, "headers.a: expected a string, found something else"),
    ] {
        assert_eq!(wrong(&format!("{{{inner}, {more}}}")), message);
    }
    for (text, message) in [
        ("{}", "inner: missing; expected an object"),
        (r#"{"inner": {}}"#, "inner.word: missing; expected one, two or three"),
        ("[]", "expected a JSON object, found a list"),
    ] {
        assert_eq!(wrong(text), message);
    }
    assert!(wrong(r#"{"inner": "#).starts_with("invalid JSON: "));
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TestEvent {
    Nothing,
    Empty {},
    Some { count: u32, raw: Box<RawValue> },
}

#[test]
fn a_variant_is_a_word_or_an_object_with_one_key() {
    let read = |text: &str| read_written::<TestEvent>(text.as_bytes(), "line");
    assert!(matches!(read("\"nothing\""), Ok(TestEvent::Nothing)));
    assert!(matches!(read(r#"{"empty":{}}"#), Ok(TestEvent::Empty {})));
    assert!(matches!(read(r#" {"empty":{"later":null}} "#), Ok(TestEvent::Empty {})));
    match read(r#"{"some":{"raw":{"b":1.50,"a":[]},"count":7}}"#) {
        Ok(TestEvent::Some { count: 7, raw }) => assert_eq!(raw.get(), r#"{"b":1.50,"a":[]}"#),
        other => panic!("{other:?}"),
    }
    for (text, message) in [
        ("\"empty\"", "empty: missing; expected an object"),
        (r#"{"nothing":{}}"#, "line: expected nothing, empty or some, found something else"),
        (r#"{"empty":{},"nothing":{}}"#, "line: expected nothing, empty or some, found something else"),
        (r#"{"else":{}}"#, "line: expected nothing, empty or some, found something else"),
        (r#"{"empty":[]}"#, "empty: expected an object, found something else"),
        (r#"{"some":{"count":7}}"#, "some.raw: missing; expected any valid JSON value"),
        (r#"{"some":{"raw":1,"count":-1}}"#, "some.count: expected u32, found something else"),
        (r#"{"some":{"raw":1,"count":4294967296}}"#, "some.count: expected u32, found something else"),
    ] {
        assert_eq!(read(text).map(|_| ()).expect_err(text), message);
    }
    for torn in ["", "{", "{\"empty\":{}", "{\"empty\":{}}}", "7", "null", "\"nothing"] {
        assert!(read(torn).is_err(), "{torn}");
    }
}

#[test]
fn a_programs_object_may_have_more_keys_and_no_value_of_it_is_quoted() {
    read_written::<Outer>(br#"{"later":1,"inner":{"word":"one","more":{}},"later":2}"#, "file")
        .expect("readable");
    for (text, message) in [
        (r#"{"inner":{"word":"canary"}}"#, "inner.word: expected one, two or three, found something else"),
        (r#"{"inner":"canary"}"#, "inner: expected an object, found something else"),
        (
            r#"{"inner":{"word":"one","word":"two"}}"#,
            "inner: key \"word\" is written twice; expected it once",
        ),
        (r#"{"inner":{}}"#, "inner.word: missing; expected one, two or three"),
        ("[]", "file: expected an object, found something else"),
    ] {
        assert_eq!(read_written::<Outer>(text.as_bytes(), "file").map(|_| ()).expect_err(text), message);
    }
}

#[test]
fn a_string_with_an_escape_is_read_as_what_it_stands_for() {
    let text = r#"{"inner":{"word":"\u006fne"},"map":{"\u0061\"":"b\n"}}"#;
    let outer = from_slice::<Outer>(text.as_bytes(), "file").expect("valid");
    assert_eq!(outer.map, BTreeMap::from([("a\"".to_owned(), "b\n".to_owned())]));
    assert_eq!(
        read_written::<String>(raw_string("a\"\\é").get().as_bytes(), "text"),
        Ok("a\"\\é".to_owned())
    );
}
