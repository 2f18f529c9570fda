//! policy.json.

use serde_json::{Value, json};
use types::policy::Policy;

use super::compare;

/// How the parser's errors of rules beyond the schema begin or what they hold.
const BEYOND: [&str; 5] =
    ["names the network", "tolerate requires", "host bits", "is retired twice", "must not be"];

fn full() -> Value {
    json!({
        "version": 1,
        "networks": {
            "old": {"profile": "calico", "conf": ["/a.conflist", "/b.conf"], "cidrs": ["10.0.0.0/8", "fd00::/16"],
                    "ready": [{"file": "/ready"}], "secondary": "hostRoute"},
            "new": {"conf": ["/n.conflist"], "ready": [{"unix": "/s"}, {"http": "127.0.0.1:9879/healthz", "headers": {"brief": "true"}}]}
        },
        "attach": "both",
        "both": {"primary": "old", "secondaryIfname": "net1", "defaultRoute": "new", "secondaryFailure": "fail"},
        "rules": [{"namespace": "kube-system", "pod": "coredns-*", "attach": "new"}],
        "podAnnotation": {"key": "crossfade/attach", "allow": ["both"]},
        "unrecorded": "old",
        "retired": [{"network": "old", "forceAfterSeconds": 120}],
        "gc": {"graceSeconds": 600, "forward": true},
        "deadlines": {"addSeconds": 90, "delSeconds": 50, "checkSeconds": 20, "statusMillis": 800, "gcSeconds": 25}
    })
}

fn others() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(40_000_000),
        json!(""),
        json!("old"),
        json!("new"),
        json!("both"),
        json!("tolerate"),
        json!("/path"),
        json!("relative"),
        json!("10.0.0.1/8"),
        json!("10.0.0.0"),
        json!("a b"),
        json!("lo"),
        json!(".."),
        json!("1234567890123456"),
        json!("127.0.0.1:80"),
        json!("[::1]:80/x"),
        json!("example.org:80/"),
        json!([]),
        json!([{}]),
        json!(["/path"]),
        json!(["old"]),
        json!({}),
    ]
}

#[test]
fn schema_and_parser_agree_on_every_change_of_a_full_policy() {
    let agreement = compare(
        include_str!("../../policy.schema.json"),
        &full(),
        &others(),
        |bytes| Policy::parse(bytes).err(),
        |why| BEYOND.iter().any(|words| why.contains(words)),
    );
    let (agreed, beyond) = (agreement.valid + agreement.refused, agreement.beyond);
    assert!(agreed > 1000 && beyond >= 5, "{agreed} agreed, {beyond} beyond the schema");
}
