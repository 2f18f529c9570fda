//! What becomes of objects as `kubectl` writes them.

use super::*;
use serde::de::DeserializeSeed as _;

fn read(text: &str) -> Result<Snapshot, String> {
    let mut collector = Collector::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Document::new(&mut collector).deserialize(&mut deserializer).map_err(|e| e.to_string())?;
    Ok(collector.finish(&[]))
}

#[test]
fn a_list_of_kubectl_says_its_kinds_in_the_items() {
    let text = r#"{"apiVersion":"v1","items":[
        {"apiVersion":"v1","kind":"Node","metadata":{"name":"b"}},
        {"apiVersion":"v1","kind":"Node","metadata":{"name":"a"},"spec":{"podCIDRs":["10.0.0.0/24"]}},
        {"apiVersion":"crd.projectcalico.org/v1","kind":"IPPool","metadata":{"name":"p"},"spec":{"cidr":"10.0.0.0/16"}}],
        "kind":"List","metadata":{"resourceVersion":""}}"#;
    let snapshot = read(text).expect("a list");
    assert_eq!(snapshot.nodes.iter().map(crate::model::Node::name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(snapshot.nodes[0].pod_cidrs(), ["10.0.0.0/24"]);
    assert_eq!(snapshot.objects(Kind::IP_POOL)[0].text("/spec/cidr"), Some("10.0.0.0/16"));
    assert!(snapshot.knows(Kind::NODE) && !snapshot.knows(Kind::POD));
}

#[test]
fn a_list_of_the_api_server_says_its_kind_once() {
    let text = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},
        "items":[{"metadata":{"name":"a","namespace":"x"}}]}"#;
    assert_eq!(read(text).expect("a list").pods[0].name(), "a");
    // Empty, but all of it.
    let empty = read(r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#).expect("a list");
    assert!(empty.knows(Kind::POD));
    let null = read(r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}"#).expect("a list");
    assert!(null.knows(Kind::POD));
}

#[test]
fn what_an_object_is_may_come_last() {
    let text = r#"{"addressType":"IPv4","endpoints":null,"metadata":{"name":"s"},"kind":"EndpointSlice",
        "apiVersion":"discovery.k8s.io/v1"}"#;
    assert_eq!(read(text).expect("an object").endpoint_slices.len(), 1);
}

#[test]
fn a_secret_is_dropped_wherever_it_stands() {
    let secret =
        r#"{"apiVersion":"v1","data":{"password":"czNjcmV0"},"kind":"Secret","metadata":{"name":"s"}}"#;
    for text in [secret.to_owned(), format!(r#"{{"apiVersion":"v1","kind":"List","items":[{secret}]}}"#)] {
        let snapshot = read(&text).expect("read");
        assert!(!format!("{snapshot:?}").contains("czNjcmV0"));
    }
}

#[test]
fn where_the_definitions_were_dumped_other_custom_kinds_are_not_served() {
    let text = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"apiextensions.k8s.io/v1",
        "kind":"CustomResourceDefinition","metadata":{"name":"ippools.crd.projectcalico.org"}}]}"#;
    let snapshot = read(text).expect("a list");
    assert!(snapshot.knows(Kind::CILIUM_NODE), "no such definition");
    assert!(!snapshot.knows(Kind::IP_POOL), "defined, but not dumped");
    assert!(!snapshot.knows(Kind::NODE), "not a custom kind");
}

#[test]
fn the_answer_of_kubectl_version_is_understood() {
    let text = r#"{"clientVersion":{"gitVersion":"v1.30.0"},"serverVersion":{"gitVersion":"v1.31.2"}}"#;
    assert_eq!(read(text).expect("read").cluster.version.as_deref(), Some("v1.31.2"));
}

#[test]
fn what_is_wrong_is_named() {
    let why =
        read(r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"status":{"podIPs":[{"ip":"x"}]}}"#);
    assert!(why.as_ref().is_err_and(|why| why.contains("IP")), "{why:?}");
    let why = read(r#"{"metadata":{"name":"a"}}"#);
    assert!(why.as_ref().is_err_and(|why| why.contains("apiVersion")), "{why:?}");
}

#[test]
fn a_part_of_a_list_is_not_the_list() {
    let pods = r#""items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"}}]"#;
    let is_known = |text: &str| {
        let mut collector = Collector::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Document::new(&mut collector).deserialize(&mut deserializer).expect(text);
        let snapshot = collector.finish(&[Kind::POD]);
        assert!(snapshot.knows(Kind::POD) || format!("{:?}", snapshot.readings).contains("continue"));
        snapshot.knows(Kind::POD)
    };
    for (meta, whole) in [
        (r#"{"resourceVersion":"1"}"#, true),
        ("null", true),
        (r#"{"continue":"","remainingItemCount":0}"#, true),
        (r#"{"continue":"eyJ2"}"#, false),
        (r#"{"remainingItemCount":7}"#, false),
    ] {
        for text in [
            format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{meta},{pods}}}"#),
            format!(r#"{{"apiVersion":"v1",{pods},"kind":"List","metadata":{meta}}}"#),
            format!(r#"{{"metadata":{meta},{pods},"kind":"List","apiVersion":"v1"}}"#),
        ] {
            assert_eq!(is_known(&text), whole, "{text}");
        }
    }
    assert!(read(r#"{"apiVersion":"v1","items":[],"kind":"List","metadata":{"continue":"x"}}"#).is_err());
    let status = r#"{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Failure","message":"no"}"#;
    assert!(read(status).is_err());
}

#[test]
fn an_object_that_is_there_twice_makes_its_kind_unknown() {
    let node = |rest: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"a"}},"spec":{{{rest}}}}}"#)
    };
    let pool = |api: &str, cidr: &str| {
        format!(
            r#"{{"apiVersion":"{api}","kind":"IPPool","metadata":{{"name":"p"}},"spec":{{"cidr":"{cidr}"}}}}"#
        )
    };
    let taken = |objects: &[String], kind: Kind| {
        let text = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, objects.join(","));
        let snapshot = read(&text).expect("read");
        let why = format!("{:?}", snapshot.readings.get(&kind));
        (snapshot.knows(kind), why)
    };
    assert!(taken(&[node(""), node("")], Kind::NODE).0);
    let (is_known, why) = taken(&[node(""), node(r#""unschedulable":true"#)], Kind::NODE);
    assert!(!is_known && why.contains("a is in the files twice"), "{why}");
    let (stored, own) = ("crd.projectcalico.org/v1", "projectcalico.org/v3");
    assert!(taken(&[pool(stored, "10.0.0.0/16"), pool(own, "10.1.0.0/16")], Kind::IP_POOL).0);
    assert!(!taken(&[pool(own, "10.0.0.0/16"), pool(own, "10.1.0.0/16")], Kind::IP_POOL).0);
}
