//! Ordered pairs, and what is none.

use super::*;

fn object(text: &str) -> RawObject {
    RawObject::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn values_keep_their_spelling_and_keys_their_order() {
    let text = r#"{"b":1.50,"a":{"x": [1e3]},"c":12345678901234567890123}"#;
    assert_eq!(object(text).to_raw().get(), text);
}

#[test]
fn lookup_takes_any_case_and_the_last_one() {
    let object = object(r#"{"NAME":"a","name":"b","Name":"c","ſtateDir":"/s","Key":1,"namE ":"d"}"#);
    for (key, value) in [("name", r#""c""#), ("stateDir", r#""/s""#), ("key", "1")] {
        assert_eq!(object.get(key).map(RawValue::get), Some(value), "{key}");
    }
}

#[test]
fn letters_that_go_folds_are_the_same_key() {
    let mut object = object("{\"cniVersion\":\"1.0.0\",\"cniVer\u{17f}ion\":\"0.3.1\"}");
    assert_eq!(object.get("cniVersion").map(RawValue::get), Some(r#""0.3.1""#));
    object.set_str("cniVersion", "0.4.0");
    assert_eq!(object.to_raw().get(), r#"{"cniVersion":"0.4.0"}"#);
    assert!(same_key("lin\u{212a}", "LINK") && !same_key("linq", "link") && !same_key("lin\u{212a}", "lin"));
}

#[test]
fn errors_quote_no_value() {
    let object = object(r#"{"a":"canary, expected \"x","b":["canary"],"c":-7}"#);
    let errors = [
        object.decode::<Vec<String>>("a").expect_err("a string").to_string(),
        object.decode::<Vec<RawObject>>("b").expect_err("a list of strings").to_string(),
        object.decode::<u32>("c").expect_err("negative").to_string(),
    ];
    assert!(errors.iter().all(|error| !error.contains("canary")), "{errors:?}");
    assert!(errors[0].starts_with("invalid type: string, expected a sequence"), "{errors:?}");
}

#[test]
fn set_replaces_every_spelling_in_place() {
    let mut object = object(r#"{"NAME":"a","k":1,"name":"b"}"#);
    object.set_str("name", "z");
    assert_eq!(object.to_raw().get(), r#"{"name":"z","k":1}"#);
}

#[test]
fn what_is_not_an_object_says_what_it_is() {
    for (text, kind) in [
        ("null", "null"),
        ("[]", "a list"),
        ("3", "a number"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
        ("", "invalid JSON"),
        ("{\"a\":", "invalid JSON"),
        ("{} x", "invalid JSON"),
        ("\u{feff}{}", "invalid JSON"),
    ] {
        let error = RawObject::parse(text.as_bytes()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(kind), "{text:?}: {error}");
    }
}
