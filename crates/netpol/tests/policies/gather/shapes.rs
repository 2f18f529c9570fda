//! The three shapes of Calico's resources.

use netpol::gather::{Calico, Engine, EnginePolicies};
use serde_json::{Value, json};
use snapshot::model::{Labels, Text};

use super::{identified, names, object, policies, snapshot, unread_lines, within};

const STORED: &str = "crd.projectcalico.org/v1";
const V3: &str = "projectcalico.org/v3";
/// A UID, and the one that Calico makes of it since release 3.28.
const UIDS: [&str; 2] = ["a1b2c3d4-e5f6-4711-8899-aabbccddeeff", "854dc32b-a76f-4788-8899-55dd33bb77ff"];
const OTHER: &str = "00000000-0000-4000-8000-000000000001";

fn policy(api_version: &str, name: &str) -> Value {
    let spec = json!({"selector": "all()", "types": ["Ingress"]});
    within("shop", object(api_version, "NetworkPolicy", name, &spec))
}

fn in_tier(tier: &str, mut policy: Value) -> Value {
    policy["spec"]["tier"] = tier.into();
    policy
}

/// With the annotation in which Calico keeps metadata.
fn with(metadata: &Value, mut object: Value) -> Value {
    object["metadata"]["annotations"] = json!({"projectcalico.org/metadata": metadata.to_string()});
    object
}

fn read(objects: &[Value]) -> Calico {
    let all = policies(Engine::Calico, objects);
    assert_eq!(unread_lines(&all.unread), [""; 0]);
    let EnginePolicies::Calico(own) = all.engine_policies else { panic!("{all:?}") };
    *own
}

/// The names of the policies that are read, each with its own name and that of its object.
fn policies_of(objects: &[Value]) -> Vec<(Text, String, Text)> {
    let own = read(objects).policies;
    let all =
        own.iter().map(|(object, policy)| (policy.name.clone(), object.to_string(), object.uid.clone()));
    all.collect()
}

#[test]
fn a_policy_in_two_shapes_is_one() {
    let tier = object(V3, "Tier", "sec", &json!({"order": 10}));
    for (what, stored, own) in [
        (
            "a UID as it is made since 3.28",
            identified(UIDS[0], policy(STORED, "default.web")),
            identified(UIDS[1], policy(V3, "web")),
        ),
        (
            "the same UID",
            identified(UIDS[0], policy(STORED, "default.web")),
            identified(UIDS[0], policy(V3, "default.web")),
        ),
        (
            "a UID in the annotation, as before 3.28",
            with(&json!({"uid": OTHER}), identified(UIDS[0], policy(STORED, "default.web"))),
            identified(OTHER, policy(V3, "web")),
        ),
        ("no UID", policy(STORED, "default.web"), policy(V3, "web")),
        ("no UID, but a name with the tier", policy(STORED, "default.web"), policy(V3, "default.web")),
        (
            "definitions of its own, to which it was copied",
            identified(UIDS[0], policy(STORED, "default.web")),
            identified(OTHER, policy(V3, "web")),
        ),
        (
            "a name in the annotation, as since 3.30",
            with(&json!({"name": "web"}), policy(STORED, "other")),
            policy(V3, "web"),
        ),
        (
            "another tier",
            in_tier("sec", identified(UIDS[0], policy(STORED, "sec.web"))),
            in_tier("sec", identified(UIDS[1], policy(V3, "sec.web"))),
        ),
    ] {
        let expected = own["metadata"]["name"].as_str().expect("a name").to_owned();
        let uid: Text = own["metadata"]["uid"].as_str().unwrap_or_default().into();
        for objects in [[tier.clone(), stored.clone(), own.clone()], [own, stored, tier.clone()]] {
            let policies = policies_of(&objects);
            assert_eq!(
                policies,
                [("web".into(), format!("CalicoNetworkPolicy shop/{expected}"), uid.clone())],
                "{what}"
            );
        }
    }
}

#[test]
fn policies_with_like_names_are_not_one() {
    let elsewhere = |mut policy: Value| {
        policy["metadata"]["namespace"] = "office".into();
        policy
    };
    for (what, objects) in [
        ("two namespaces", vec![policy(STORED, "default.web"), elsewhere(policy(V3, "web"))]),
        // Both names are possible since 3.30, and the UID tells which resource is stored where.
        (
            "a name that begins like a tier's",
            vec![
                with(&json!({"name": "default.web"}), identified(OTHER, policy(STORED, "default.web"))),
                identified(UIDS[0], policy(STORED, "web")),
                identified(UIDS[1], policy(V3, "web")),
            ],
        ),
        (
            "another tier",
            vec![
                in_tier("sec", policy(STORED, "default.web")),
                policy(V3, "web"),
                object(V3, "Tier", "sec", &json!({})),
            ],
        ),
        (
            "one shape",
            vec![identified(UIDS[0], policy(V3, "web")), identified(UIDS[1], policy(V3, "default.web"))],
        ),
    ] {
        assert_eq!(policies_of(&objects).len(), 2, "{what}");
    }
}

#[test]
fn each_shape_alone_is_read() {
    for (objects, expected) in [
        ([policy(STORED, "default.web"), policy(STORED, "knp")], ["default.web", "knp"]),
        ([policy(V3, "web"), policy(V3, "knp")], ["web", "knp"]),
    ] {
        let own = read(&objects);
        let names: Vec<&str> = own.policies.references.iter().map(|reference| &*reference.name).collect();
        assert_eq!(names, expected);
        let names: Vec<&str> = own.policies.entries.iter().map(|policy| &*policy.name).collect();
        assert_eq!(names, ["web", "knp"]);
    }
}

/// Of a cluster that serves both groups by definitions, objects do not say which of them Calico goes by.
#[test]
fn what_may_be_left_over_is_unread() {
    let definition =
        |name: &str| object("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, &json!({}));
    let objects = [
        policy(STORED, "default.gone"),
        policy(STORED, "default.web"),
        policy(V3, "web"),
        object(STORED, "GlobalNetworkPolicy", "default.all", &json!({"selector": "all()"})),
        definition("networkpolicies.crd.projectcalico.org"),
        definition("networkpolicies.projectcalico.org"),
    ];
    for all in [
        policies(Engine::Calico, &objects),
        netpol::gather::Policies::gather(Engine::Calico, &snapshot(&objects)),
    ] {
        let [unread] = &all.unread[..] else { panic!("{:?}", all.unread) };
        assert_eq!(unread.object.to_string(), "CalicoNetworkPolicy shop/default.gone");
        assert!(unread.why.contains("networkpolicies.projectcalico.org"), "{}", unread.why);
        let EnginePolicies::Calico(own) = all.engine_policies else { panic!("{all:?}") };
        assert_eq!(
            names(&own.policies.references),
            ["CalicoNetworkPolicy shop/web", "GlobalNetworkPolicy default.all"]
        );
    }
}

#[test]
fn labels_of_a_stored_resource_are_where_calico_keeps_them() {
    let set =
        |name: &str| within("shop", object(STORED, "NetworkSet", name, &json!({"nets": ["192.0.2.0/24"]})));
    let labelled = |labels: &Value, mut object: Value| {
        object["metadata"]["labels"] = labels.clone();
        object
    };
    let host =
        object(STORED, "HostEndpoint", "n1-eth0", &json!({"node": "n1", "expectedIPs": ["192.168.1.1"]}));
    let own = read(&[
        labelled(&json!({"role": "old", "zone": "a"}), with(&json!({"labels": {"role": "db"}}), set("both"))),
        labelled(&json!({"role": "web"}), set("own")),
        with(&json!({"name": ""}), set("none")),
        with(&json!({"labels": {"host": "yes"}}), host),
        with(
            &json!({"labels": {"global": "yes"}}),
            object(STORED, "GlobalNetworkSet", "g", &json!({"nets": ["192.0.2.7"]})),
        ),
    ]);
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| (Text::from(*key), Text::from(*value))).collect()
    };
    let sets: Vec<_> = own.sets.iter().map(|(object, set)| (&*object.name, set.labels.clone())).collect();
    assert_eq!(
        sets,
        [
            ("both", labels(&[("role", "db"), ("zone", "a")])),
            ("own", labels(&[("role", "web")])),
            ("none", labels(&[])),
            ("g", labels(&[("global", "yes")])),
        ]
    );
    assert_eq!(own.host_endpoints.entries[0].labels, labels(&[("host", "yes")]));
    assert_eq!(own.sets.entries[0].namespace.as_deref(), Some("shop"));
}
