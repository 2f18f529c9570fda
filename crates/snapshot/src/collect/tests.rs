//! Objects as `kubectl` writes them, and the model that is made of them.

use super::*;
use crate::document::Document;
use serde_json::json;
use serde_json::value::RawValue;

fn read(text: &str) -> Result<Snapshot, String> {
    let mut collector = Collector::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Document::<Box<RawValue>>::new(&mut collector)
        .deserialize(&mut deserializer)
        .map_err(|e| e.to_string())?;
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

/// As deep as an object of the API may be, and no reader goes.
fn deep(levels: usize) -> String {
    format!("{}1{}", "{\"f:a\":".repeat(levels), "}".repeat(levels))
}

#[test]
fn what_no_check_reads_may_be_as_deep_as_it_likes() {
    let fields = deep(20_000);
    for (kind, version) in [
        ("NetworkPolicy", "networking.k8s.io/v1"),
        ("Pod", "v1"),
        ("Node", "v1"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
    ] {
        let object = format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"name":"a","managedFields":[{{"fieldsV1":{fields}}}]}}}}"#
        );
        let list = format!(r#"{{"apiVersion":"v1","items":[{object}],"kind":"List"}}"#);
        for text in [&object, &list] {
            let snapshot = read(text).unwrap_or_else(|why| panic!("{kind}: {why}"));
            // One that cannot be read would be left out and named.
            assert_eq!(snapshot.illegible, [], "{kind}");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let why =
        read(r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":""},"status":{"podIPs":[{"ip":"x"}]}}"#);
    assert!(why.as_ref().is_err_and(|why| why.contains("IP") && why.contains("Pod")), "{why:?}");
    let why = read(r#"{"metadata":{"name":"a"}}"#);
    assert!(why.as_ref().is_err_and(|why| why.contains("apiVersion")), "{why:?}");
}

#[test]
fn what_cannot_be_read_is_named_and_all_others_are_read() {
    let pod = |name: &str, ip: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"x"}},"status":{{"podIPs":[{{"ip":"{ip}"}}]}}}}"#
        )
    };
    let pods = [pod("a", "10.0.0.1"), pod("b", "010.0.0.1"), pod("c", "10.0.0.2")].join(",");
    let list = format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{pods}]}}"#);
    let policy = format!(
        r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{{"name":"p","namespace":"x"}},"spec":{}}}"#,
        deep(200)
    );
    let values = |text: &str| {
        let mut collector = Collector::new();
        collector.value(serde_json::from_str(text).expect("JSON")).map(|()| collector.finish(&[]))
    };
    for snapshot in [read(&list), values(&list)] {
        let snapshot = snapshot.expect("a list");
        assert_eq!(snapshot.pods.iter().map(crate::model::Pod::name).collect::<Vec<_>>(), ["a", "c"]);
        let illegible = &snapshot.illegible[0];
        assert_eq!((illegible.kind, &*illegible.namespace, &*illegible.name), (Kind::POD, "x", "b"));
        assert!(illegible.why.contains("IP address") && snapshot.knows(Kind::POD), "{illegible:?}");
    }
    let snapshot = read(&policy).expect("an object");
    assert_eq!((snapshot.illegible[0].kind, &*snapshot.illegible[0].name), (Kind::NETWORK_POLICY, "p"));
    let mut file = Vec::new();
    crate::write(&snapshot, &mut file).expect("written");
    let header: Value =
        serde_json::from_slice(file.split(|byte| *byte == b'\n').next().expect("a line")).expect("JSON");
    let mut again = Collector::new();
    again.value(header).expect("a header");
    assert_eq!(again.finish(&[]), snapshot);
}

#[test]
fn no_object_brings_a_name_that_means_something_to_a_shell() {
    let hostile = ["x; rm -rf ~", "$(id)", "a'b", "-n", "a\nfix: b", "\u{202e}a", "a b", ""];
    let node =
        |value: Value| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": value});
    for text in hostile.into_iter().filter(|text| !text.is_empty()) {
        for (object, name) in [
            (json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": text}}), text),
            (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": text}}), "p"),
            (
                json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": text, "namespace": "x"}}),
                text,
            ),
            (
                json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": {"name": text}}),
                text,
            ),
            (
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"a": text}}}),
                "n",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {(text): ""}}}),
                "n",
            ),
            (node(json!({"taints": [{"key": text, "effect": "NoSchedule"}]})), "n"),
        ] {
            let snapshot = read(&object.to_string()).expect("read");
            assert_eq!(
                snapshot.illegible.iter().map(|illegible| &*illegible.name).collect::<Vec<_>>(),
                [name],
                "{object}"
            );
            assert!(snapshot.nodes.is_empty() && snapshot.pods.is_empty(), "{object}");
            assert!(snapshot.workloads.is_empty() && snapshot.objects.is_empty(), "{object}");
        }
    }
    // An owner is not looked up by the API server: any tenant may name one that cannot be.
    for text in hostile {
        for owner in [json!({"kind": text, "name": "a"}), json!({"kind": "ReplicaSet", "name": text})] {
            let pod = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "x", "ownerReferences": [owner, {"kind": "Job", "name": "j"}]}});
            let snapshot = read(&pod.to_string()).expect("read");
            let owners = &snapshot.pods[0].metadata.owner_references;
            assert_eq!(owners.iter().map(|owner| &*owner.name).collect::<Vec<_>>(), ["j"], "{pod}");
        }
    }
}

#[test]
fn a_part_of_a_list_is_not_the_list() {
    let pods = r#""items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"}}]"#;
    let is_known = |text: &str| {
        let mut collector = Collector::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Document::<Box<RawValue>>::new(&mut collector).deserialize(&mut deserializer).expect(text);
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
