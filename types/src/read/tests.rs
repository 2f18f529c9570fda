//! What a person reads whose file is wrong.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::from_slice;

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
