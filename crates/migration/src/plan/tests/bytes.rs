//! A plan as bytes, and back.

use serde_json::{Value, json};

use super::case::{cluster, dns, node, planned, with};
use crate::plan::Plan;
use crate::plan::canon::{Prefix, bytes, hash, read, sha256};

fn plan() -> Plan {
    let settings = "roll: {limits: {windows: [{from: '22:00', to: '06:00'}]}, gates: [{name: a, command: [./a]}], leaveOut: [{node: c, reason: why}]}";
    planned(&with(cluster([node("a", "z1"), node("b", "z1"), node("c", "z1"), dns("b")]), settings))
}

#[test]
fn canonical_bytes_are_sorted_and_have_no_white_space() {
    for (value, text) in [
        (
            json!({"b": 1, "a": [true, null, {"d": -2, "c": "x y"}]}),
            r#"{"a":[true,null,{"c":"x y","d":-2}],"b":1}"#,
        ),
        (json!({"é": "\u{1}\"", "z": {}, "B": []}), "{\"B\":[],\"z\":{},\"é\":\"\\u0001\\\"\"}"),
    ] {
        assert_eq!(String::from_utf8(bytes(&value)).expect("UTF-8"), text);
    }
    // *Source*: FIPS 180-2, B.1.
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_plan_is_read_as_it_was_written_and_has_no_fraction() {
    fn is_whole(value: &Value) -> bool {
        match value {
            Value::Number(number) => !number.is_f64(),
            Value::Array(items) => items.iter().all(is_whole),
            Value::Object(map) => map.values().all(is_whole),
            _ => true,
        }
    }
    let plan = plan();
    let written = bytes(&plan);
    assert_eq!(read(&written), Ok(plan.clone()));
    assert_eq!(hash(&plan), sha256(&written));
    let value: Value = serde_json::from_slice(&written).expect("JSON");
    assert!(is_whole(&value));
    // A file that an editor has reformatted is the same plan.
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON");
    assert_eq!(read(&pretty).map(|read| hash(&read)), Ok(hash(&plan)));
}

type Change = fn(&mut Value);

/// Each row changes one thing of a plan, and says why it is refused.
#[test]
fn a_plan_that_was_changed_is_refused() {
    let changes: [(&str, Change, &str); 14] = [
        ("version", |p| p["version"] = 2.into(), "version 2, this program reads version 1"),
        (
            "no version",
            |p| drop(p.as_object_mut().map(|p| p.remove("version"))),
            "version: expected 1, found nothing",
        ),
        ("unknown key", |p| p["extra"] = 1.into(), "extra"),
        ("no limits", |p| drop(p.as_object_mut().map(|p| p.remove("limits"))), "limits"),
        (
            "a limit less",
            |p| drop(p["limits"].as_object_mut().map(|p| p.remove("inTransit"))),
            "does not say everything",
        ),
        ("unknown phase", |p| p["start"] = "begin".into(), "begin"),
        ("unknown method", |p| p["pools"][0]["method"] = "surge".into(), "surge"),
        ("no pass", |p| p["passes"] = json!([]), "passes: expected a phase"),
        ("none at once", |p| p["waves"][0]["atOnce"] = 0.into(), "atOnce: expected at least 1"),
        ("a wave twice", |p| p["waves"][1]["name"] = p["waves"][0]["name"].clone(), "scouts is there twice"),
        (
            "a node twice",
            |p| p["waves"][1]["nodes"][0]["name"] = p["waves"][0]["nodes"][0]["name"].clone(),
            "twice",
        ),
        (
            "a node in and out",
            |p| p["leftOut"][0]["name"] = "a".into(),
            "leftOut: node a is in the plan twice",
        ),
        ("a gate twice", |p| p["gates"][3]["name"] = "dns".into(), "gates: dns is there twice"),
        (
            "an unknown gate",
            |p| p["bridge"] = json!({"gate": "x"}),
            "bridge.gate: expected a gate of the plan",
        ),
    ];
    for (what, change, words) in changes {
        let mut value = serde_json::to_value(plan()).expect("JSON");
        change(&mut value);
        let why = read(value.to_string().as_bytes()).expect_err(what);
        assert!(why.contains(words), "{what}: {why}");
    }
    assert!(read(b"[").is_err_and(|why| why.contains("this is no plan")));
}

#[test]
fn a_plan_is_named_by_the_beginning_of_its_hash() {
    let hash = sha256(b"abc");
    for (text, matches) in [
        ("ba7816bf8f01", Some(true)),
        ("BA7816BF8F01CF", Some(true)),
        (hash.as_str(), Some(true)),
        ("ba7816bf8f02", Some(false)),
        // As few digits as another plan is found with in no time.
        ("ba78", None),
        ("ba7816bf8f0", None),
        ("", None),
        ("ba7816bf8f0x", None),
    ] {
        let prefix = text.parse::<Prefix>();
        assert_eq!(prefix.as_ref().ok().map(|prefix| prefix.is_of(&hash)), matches, "{text}: {prefix:?}");
    }
    assert!(format!("{hash}0").parse::<Prefix>().is_err_and(|why| why.contains("12 hex digits")));
    let upper = "BA7816BF8F01CF".parse::<Prefix>();
    assert_eq!(upper.as_ref().map(ToString::to_string), Ok("ba7816bf8f01cf".to_owned()));
    assert_eq!(upper.as_ref().map(Prefix::shorten_hash), Ok("ba7816bf8f01"));
}
