//! `policies check` and `convert`, on a small cluster with Calico.

mod comparison;
pub(crate) mod conversions;
mod flows;
pub(crate) mod matrix;
pub(crate) mod policies_backup;
pub(crate) mod published;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::policies::conversions::{TARGETS, Target, conversions, policies};
use crate::run::{run_in, stderr, stdout};

const KUBERNETES: &Target = &TARGETS[0];

/// A policy with a rule that lets pods in, and another rule.
fn web(more: Value) -> Value {
    let mut rules = vec![
        json!({"action": "Allow", "protocol": "TCP", "source": {"selector": "app == 'cart'"}, "destination": {"ports": [80]}}),
    ];
    rules.extend(Some(more).filter(|more| !more.is_null()));
    json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "default.web", "namespace": "shop", "uid": "uid-web", "generation": 4},
        "spec": {"selector": "app == 'web'", "types": ["Ingress"], "ingress": rules}})
}

fn logging() -> Value {
    web(json!({"action": "Log"}))
}

/// With a rule that no target has.
fn other_protocols() -> Value {
    web(json!({"action": "Allow", "notProtocol": "TCP", "source": {"selector": "app == 'db'"}}))
}

/// A directory with these objects in a file.
fn dir(objects: &[Value]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), "input.json", objects);
    dir
}

fn write(dir: &Path, file: &str, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    fs::write(dir.join(file), list.to_string()).expect("written");
}

fn run(dir: &Path, command: &str, more: &[&str]) -> Output {
    policies(dir, command, KUBERNETES, &[&["--snapshot", "input.json"], more].concat())
}

fn waiver(generation: u64) -> String {
    format!(
        "version: 1\npolicies:\n  waivers:\n    - object: CalicoNetworkPolicy/shop/default.web\n      uid: uid-web\n      generation: {generation}\n      reason: tried by hand\n"
    )
}

/// Calico enforces the policies of pods that the Amazon VPC CNI attaches: its own kinds are among them.
#[test]
fn policies_of_the_engine_beside_amazons_network_are_compared() {
    let agent = |backend: &str| {
        let variable = json!({"name": "CALICO_NETWORKING_BACKEND", "value": backend});
        let container = json!({"name": "calico-node", "env": [variable]});
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "calico-system"},
            "spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let check = |backend: &str| {
        let dir = dir(&[agent(backend), web(Value::Null)]);
        let cluster = conversions().join("cluster.yaml");
        let snapshots = ["--snapshot", "input.json", "--snapshot", cluster.to_str().expect("a path")];
        let arguments =
            ["policies", "check", "--from", "aws-vpc", "--to", "antrea", "-o", "json", "--dumped", "all"];
        let output = run_in(dir.path(), &[&arguments[..], &snapshots].concat());
        format!("{}{}", stdout(&output), stderr(&output))
    };
    assert!(check("none").contains("default.web"), "{}", check("none"));
    assert!(!check("bird").contains("default.web"), "Calico's network is another CNI");
}

#[test]
fn policies_that_mean_the_same_are_written_twice_alike() {
    let dir = dir(&[web(Value::Null)]);
    for file in ["one.yaml", "two.yaml"] {
        let output = run(dir.path(), "convert", &["--out", file]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{}", stdout(&output));
        let text = format!("1 policy is in {file}, and means the same.");
        assert!(stdout(&output).contains(&text), "{}", stdout(&output));
    }
    let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect("a file");
    assert_eq!(read("one.yaml"), read("two.yaml"));
    let object: Value = serde_saphyr::from_str(read("one.yaml").trim_start_matches("---\n")).expect("YAML");
    assert_eq!(
        object["spec"],
        json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "cart"}}}],
                "ports": [{"port": 80, "protocol": "TCP"}],
            }],
        })
    );
    let checked = run(dir.path(), "check", &[]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(stdout(&checked).contains("1 policy can be written"), "{}", stdout(&checked));
}

#[test]
fn what_is_lost_stops_until_the_operator_accepts_it_for_the_policy_as_it_is() {
    let dir = dir(&[other_protocols()]);
    let refused = run(dir.path(), "convert", &["--out", "out.yaml"]);
    assert_eq!(refused.status.code(), Some(3));
    let text = stdout(&refused);
    for words in [
        "CalicoNetworkPolicy/shop/default.web",
        "spec.ingress[1].notProtocol",
        "impossible",
        "more is dropped",
        "Nothing is written",
        "    - object: CalicoNetworkPolicy/shop/default.web\n",
        "      uid: \"uid-web\"\n",
        "      generation: 4\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!dir.path().join("out.yaml").exists());

    fs::write(dir.path().join("stale.yaml"), waiver(3)).expect("written");
    let stale = run(dir.path(), "convert", &["--out", "out.yaml", "--config", "stale.yaml"]);
    assert_eq!(stale.status.code(), Some(3));
    let text = stdout(&stale);
    assert!(text.contains("does not count") && text.contains("the generation 4 now"), "{text}");
    assert!(!dir.path().join("out.yaml").exists());

    fs::write(dir.path().join("waived.yaml"), waiver(4)).expect("written");
    let waived = run(dir.path(), "convert", &["--out", "out.yaml", "--config", "waived.yaml"]);
    assert_eq!(waived.status.code(), Some(0), "{}", stdout(&waived));
    let text = stdout(&waived);
    assert!(text.contains("accepted: tried by hand"), "{text}");
    assert!(text.contains("but for the losses that are accepted above"), "{text}");
    let written = fs::read_to_string(dir.path().join("out.yaml")).expect("a file");
    assert!(written.contains("app: cart") && !written.contains("app: db"), "{written}");
}

/// The block of the report is what the settings file takes, once it has a reason.
/// The old CNI enforces the other rules of such a policy, before what was written is applied and after.
#[test]
fn a_rule_that_cannot_be_read_makes_no_difference_to_when_policies_may_be_applied() {
    let requests =
        json!({"action": "Allow", "http": {"methods": ["GET"]}, "source": {"selector": "app == 'db'"}});
    let deny_all = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all", "namespace": "shop", "uid": "uid-deny-all"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
    let dir = dir(&[web(requests), deny_all]);
    fs::write(dir.path().join("waiver.yaml"), waiver(4)).expect("written");
    let output = run(dir.path(), "check", &["--config", "waiver.yaml", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(answer["moments"][0], json!({"when": "applied", "packets": []}), "{answer:#}");
}

#[test]
fn the_waiver_of_the_report_can_be_pasted() {
    let dir = dir(&[logging()]);
    let refused = run(dir.path(), "check", &["-o", "markdown"]);
    assert_eq!(refused.status.code(), Some(3));
    let block = stdout(&refused).split("````").find(|part| part.contains("waivers:")).expect("a block");
    let block = block.trim_start_matches("yaml\n");
    let bare = format!("version: 1\n{block}");
    fs::write(dir.path().join("config.yaml"), &bare).expect("written");
    assert_eq!(run(dir.path(), "check", &["--config", "config.yaml"]).status.code(), Some(78));
    let config = bare.replace("reason: \"\"", "reason: these logs are not read");
    fs::write(dir.path().join("config.yaml"), config).expect("written");
    let waived = run(dir.path(), "check", &["--config", "config.yaml"]);
    assert_eq!(waived.status.code(), Some(0), "{}", stdout(&waived));
}

#[test]
fn a_denial_that_the_target_cannot_order_is_shown_as_a_packet() {
    let mut deny = web(json!({"action": "Allow"}));
    deny["spec"]["ingress"][0] = json!({"action": "Deny", "source": {"selector": "app == 'db'"}});
    let dir = dir(&[deny]);
    let output = run(dir.path(), "convert", &["--out", "out.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    for words in [
        "Packets that are treated in another way",
        "from pod shop/db-1 (10.244.1.3)",
        "to   pod shop/web-1 (10.244.1.2)",
        "before denied by NetworkPolicy shop/web of Calico spec.ingress[0], after allowed by NetworkPolicy shop/web spec.ingress[0]",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!dir.path().join("out.yaml").exists());
    // As a problem, the packet is one line.
    let json = run(dir.path(), "check", &["-o", "json"]);
    let answer: Value = serde_json::from_str(stdout(&json)).expect("JSON");
    let problem = answer["problems"][0]["what"].as_str().expect("a problem");
    assert!(problem.contains("from pod shop/db-1 (10.244.1.3), to pod shop/web-1"), "{problem}");
}

#[test]
fn a_cni_that_enforces_nothing_is_refused() {
    let dir = dir(&[web(Value::Null)]);
    let all = ["--dumped", "all", "--snapshot", "input.json"];
    for command in ["check", "convert", "diff"] {
        let more: &[&str] = match command {
            "convert" => &["--out", "out.yaml"],
            "diff" => &["--policies", "input.json"],
            _ => &[],
        };
        for (from, to) in [("flannel", "cilium"), ("calico", "flannel")] {
            let first = ["policies", command, "--from", from, "--to", to];
            let output = run_in(dir.path(), &[&first[..], &all, more].concat());
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {from} {to}: {text}");
            assert!(text.contains("flannel enforces no network policies"), "{text}");
        }
    }
}

#[test]
fn kinds_that_the_snapshot_lacks_are_named() {
    let dir = dir(&[web(Value::Null)]);
    let cluster = conversions().join("cluster.yaml");
    let cluster = cluster.to_str().expect("UTF-8");
    let output = run_in(
        dir.path(),
        &[
            "policies",
            "check",
            "--from",
            "calico",
            "--to",
            "aws-vpc",
            "--snapshot",
            cluster,
            "--snapshot",
            "input.json",
        ],
    );
    assert_eq!(output.status.code(), Some(3));
    let text = stderr(&output);
    for kind in [
        "globalnetworkpolicies.crd.projectcalico.org",
        "hostendpoints.crd.projectcalico.org",
        "networkpolicies.networking.k8s.io",
    ] {
        assert!(text.contains(&format!("error: {kind}: they are not in the snapshot")), "{kind}: {text}");
    }
    assert!(!text.contains("error: pods: they are not"), "{text}");
}

/// Calico's resources as they are stored, as its API server shows them, and as CustomResourceDefinitions of their own.
#[test]
fn every_shape_of_calicos_resources_gives_the_same_policies() {
    let stored = web(Value::Null);
    let shaped = |name: &str, uid: &str| {
        let mut policy = stored.clone();
        policy["apiVersion"] = "projectcalico.org/v3".into();
        policy["metadata"]["name"] = name.into();
        policy["metadata"]["uid"] = uid.into();
        policy
    };
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "networkpolicies.projectcalico.org", "uid": "crd"}});
    let shapes = [
        vec![stored.clone()],
        vec![shaped("web", "of-the-api-server")],
        vec![shaped("default.web", "native"), definition],
        vec![stored.clone(), shaped("web", "both")],
    ];
    let written = shapes.map(|objects| {
        let dir = dir(&objects);
        let output = run(dir.path(), "convert", &["--out", "-"]);
        assert_eq!(output.status.code(), Some(0), "{objects:?}: {}", stderr(&output));
        let lines = stdout(&output).lines().filter(|line| !line.contains("crossfade/converted-from"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    });
    assert!(written[0].contains("name: web\n"), "{}", written[0]);
    assert!(written.iter().all(|item| *item == written[0]), "{written:#?}");
}

#[test]
fn stdout_has_policies_alone_and_stderr_why_there_are_none() {
    let output = run(dir(&[web(Value::Null)]).path(), "convert", &["--out", "-"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let objects: Vec<Value> = serde_saphyr::from_multiple(stdout(&output)).expect("YAML");
    assert_eq!(objects.iter().map(|object| &object["kind"]).collect::<Vec<_>>(), ["NetworkPolicy"]);
    let refused = run(dir(&[other_protocols()]).path(), "convert", &["--out", "-"]);
    assert_eq!((refused.status.code(), stdout(&refused)), (Some(3), ""));
    let text = stderr(&refused);
    assert!(text.contains("spec.ingress[1].notProtocol: impossible") && text.contains("fix:"), "{text}");
}

#[test]
fn json_says_of_every_field_what_became_of_it() {
    let output = run(dir(&[other_protocols()]).path(), "check", &["-o", "json"]);
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(
        (&answer["ok"], &answer["proven"], &answer["kind"]),
        (&json!(false), &json!(false), &json!("kubernetes"))
    );
    let rows: Vec<(&str, &str)> = answer["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter(|value| value["object"]["kind"] == "CalicoNetworkPolicy")
        .map(|value| {
            (value["field"].as_str().expect("a field"), value["outcome"].as_str().expect("an outcome"))
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("spec.ingress[0].action", "exact"),
            ("spec.ingress[0].destination.ports", "exact"),
            ("spec.ingress[0].protocol", "exact"),
            ("spec.ingress[0].source.selector", "exact"),
            ("spec.ingress[1].notProtocol", "impossible"),
            ("spec.selector", "exact"),
            ("spec.types", "exact"),
        ]
    );
}

/// Applied beside those that it was made of, the result is no new input.
#[test]
fn policies_that_were_applied_already_are_written_again_alike() {
    for target in &TARGETS {
        let dir = dir(&[web(Value::Null)]);
        let convert = |files: &[&str]| {
            let output = policies(dir.path(), "convert", target, files);
            assert_eq!(output.status.code(), Some(0), "{}: {}", target.name, stdout(&output));
        };
        convert(&["--snapshot", "input.json", "--out", "applied.yaml"]);
        convert(&["--snapshot", "input.json", "--snapshot", "applied.yaml", "--out", "again.yaml"]);
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect("a file");
        assert_eq!(read("applied.yaml"), read("again.yaml"));
        // What was written means the same to those who only compare.
        let cluster = conversions().join("cluster.yaml");
        let diff = ["policies", "diff", "--from", "calico", "--to", target.to, "--dumped", "all"];
        let files = ["--snapshot", "input.json", "--policies", "applied.yaml", "--snapshot"];
        let cluster = [cluster.to_str().expect("UTF-8")];
        let output = run_in(dir.path(), &[&diff[..], &files, &cluster].concat());
        assert_eq!(output.status.code(), Some(0), "{}: {}{}", target.name, stdout(&output), stderr(&output));
    }
}

/// The cluster of these tests with files beside it.
fn in_cluster(dir: &Path, arguments: &[&str]) -> Output {
    let cluster = conversions().join("cluster.yaml");
    let cluster = ["--dumped", "all", "--snapshot", cluster.to_str().expect("UTF-8")];
    run_in(dir, &[arguments, &cluster].concat())
}

fn cilium(tag: &str, is_set: bool) -> [Value; 2] {
    let containers = json!([{"name": "cilium-agent", "image": format!("quay.io/cilium/cilium:{tag}")}]);
    [
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "cilium", "namespace": "kube-system"},
            "spec": {"template": {"spec": {"containers": containers}}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"enable-k8s-cluster-network-policy": is_set.to_string()}}),
    ]
}

/// A policy that denies one peer before it allows all others.
fn denial_before_allow() -> Value {
    let mut denies = web(Value::Null);
    denies["spec"]["order"] = json!(10);
    denies["spec"]["ingress"] = json!([
        {"action": "Deny", "source": {"selector": "app == 'db'"}},
        {"action": "Allow", "source": {"namespaceSelector": "all()"}},
    ]);
    denies
}

/// Of a denial before an allow, the denial would stand in an object that is not enforced.
#[test]
fn cluster_network_policies_are_for_a_cni_that_enforces_them() {
    let dir = dir(&[denial_before_allow()]);
    let convert = |to: &str, files: &[&str]| {
        let first =
            ["policies", "convert", "--from", "calico", "--to", to, "--kind", "cluster", "--out", "out.yaml"];
        in_cluster(dir.path(), &[&first[..], &["--snapshot", "input.json"], files].concat())
    };
    write(dir.path(), "old.json", &cilium("v1.19.4", true));
    write(dir.path(), "off.json", &cilium("v1.20.1", false));
    write(dir.path(), "on.json", &cilium("v1.20.1", true));
    for (to, files, why) in [
        ("aws-vpc", vec![], "networking.k8s.aws"),
        ("cilium", vec![], "no agent of it"),
        ("cilium", vec!["--snapshot", "old.json"], "1.20 is the first one"),
        ("cilium", vec!["--snapshot", "off.json"], "enable-k8s-cluster-network-policy is not true"),
    ] {
        let refused = convert(to, &files);
        assert_eq!(refused.status.code(), Some(3), "{to} {files:?}: {}", stdout(&refused));
        let message = stderr(&refused);
        assert!(
            message.contains("does not enforce ClusterNetworkPolicies of Kubernetes")
                && message.contains(why),
            "{message}"
        );
        assert!(!dir.path().join("out.yaml").exists());
    }
    for (to, files) in [("antrea", vec![]), ("cilium", vec!["--snapshot", "on.json"])] {
        let written = convert(to, &files);
        assert_eq!(written.status.code(), Some(0), "{to}: {}{}", stdout(&written), stderr(&written));
        let text = fs::read_to_string(dir.path().join("out.yaml")).expect("a file");
        assert!(text.contains("kind: ClusterNetworkPolicy") && text.contains("action: Deny"), "{text}");
        // What enforces it reads it back.
        let diff = [
            "policies",
            "diff",
            "--from",
            "calico",
            "--to",
            to,
            "--policies",
            "out.yaml",
            "--snapshot",
            "input.json",
        ];
        let read = in_cluster(dir.path(), &[&diff[..], &files].concat());
        assert_eq!(read.status.code(), Some(0), "{to}: {}{}", stdout(&read), stderr(&read));
        let unenforced = [
            "policies",
            "diff",
            "--from",
            "calico",
            "--to",
            "aws-vpc",
            "--policies",
            "out.yaml",
            "--snapshot",
            "input.json",
        ];
        assert_eq!(in_cluster(dir.path(), &unenforced).status.code(), Some(3));
    }
}

/// A policy or a tier of this name would be overwritten, or would get policies that are not its own.
#[test]
fn a_name_that_is_there_is_never_used() {
    let no_pod = json!({"matchLabels": {"app": "of-no-pod"}});
    let named = |api: &str, kind: &str, spec: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    let tier = json!({"apiVersion": "crd.antrea.io/v1beta1", "kind": "Tier", "metadata": {"name": "default"},
        "spec": {"priority": 101}});
    let all = [
        named(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({"podSelector": no_pod, "policyTypes": ["Egress"], "egress": [{}]}),
        ),
        named(
            "crd.antrea.io/v1beta1",
            "NetworkPolicy",
            json!({"tier": "application", "priority": 5,
            "appliedTo": [{"podSelector": no_pod}], "ingress": [{"action": "Allow"}]}),
        ),
        named(
            "cilium.io/v2",
            "CiliumNetworkPolicy",
            json!({"endpointSelector": no_pod, "ingress": [{"fromEntities": ["all"]}]}),
        ),
        tier,
    ];
    let dir = dir(&[web(Value::Null)]);
    write(dir.path(), "there.json", &all);
    let mut calls = 0;
    for target in &TARGETS[..3] {
        let more = ["--snapshot", "input.json", "--snapshot", "there.json", "--out", "out.yaml"];
        let output = policies(dir.path(), "convert", target, &more);
        assert_eq!(output.status.code(), Some(0), "{}: {}{}", target.name, stdout(&output), stderr(&output));
        let text = fs::read_to_string(dir.path().join("out.yaml")).expect("a file");
        let written: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
        let name = |object: &Value| {
            ["apiVersion", "kind"]
                .map(|key| object[key].clone())
                .into_iter()
                .chain([object["metadata"]["namespace"].clone(), object["metadata"]["name"].clone()])
                .collect::<Vec<_>>()
        };
        for object in &written {
            calls += 1;
            assert!(!all.iter().any(|there| name(there) == name(object)), "{}: {text}", target.name);
            if object["kind"] != "Tier" && !object["spec"]["tier"].is_null() {
                assert_ne!(object["spec"]["tier"], "default", "{text}");
            }
        }
    }
    assert!(calls >= 4);
}

/// The pods of tomorrow may have another number by the same name.
#[test]
fn a_port_by_name_that_others_receive_at_is_of_the_pods_that_are_there() {
    let sends = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "default.cart", "namespace": "office", "uid": "uid-cart", "generation": 1},
        "spec": {"selector": "app == 'cart'", "types": ["Egress"], "egress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"selector": "app == 'web'", "ports": ["metrics"]}}]}});
    let of_kubernetes = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "sends", "namespace": "office", "uid": "uid-sends", "generation": 1},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": "metrics"}]}]}});
    let dir = dir(&[sends, of_kubernetes]);
    let target = TARGETS.iter().find(|target| target.kind == "cilium").expect("Cilium");
    let output = policies(dir.path(), "check", target, &["--snapshot", "input.json", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let outcome = |field: &str| {
        let fields = answer["fields"].as_array().expect("fields");
        fields.iter().find(|object| object["field"] == field && object["outcome"] == "snapshot").is_some()
    };
    assert!(outcome("spec.egress[0].destination.ports") && outcome("spec.egress[0].ports"), "{answer:#}");
}

/// The same, where a NetworkPolicy stays as it is and Cilium enforces ClusterNetworkPolicies of Kubernetes beside it.
#[test]
fn a_port_by_name_of_kubernetes_is_of_the_pods_that_are_there_whatever_is_written() {
    let of_kubernetes = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "sends", "namespace": "office", "uid": "uid-sends", "generation": 1},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": "metrics"}]}]}});
    let dir = dir(&[of_kubernetes]);
    write(dir.path(), "on.json", &cilium("v1.20.1", true));
    for (to, outcome) in [("cilium", "snapshot"), ("antrea", "exact")] {
        let check = ["policies", "check", "--from", "calico", "--to", to, "--kind", "cluster", "-o", "json"];
        let files = ["--snapshot", "input.json", "--snapshot", "on.json"];
        let output = in_cluster(dir.path(), &[&check[..], &files].concat());
        let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
        let fields = answer["fields"].as_array().expect("fields");
        let ports =
            fields.iter().find(|object| object["field"] == "spec.egress[0].ports").expect("the ports");
        assert_eq!(ports["outcome"], outcome, "{to}: {answer:#}");
    }
}

/// An AdminNetworkPolicy that no program enforces is there and says nothing.
#[test]
fn an_admin_network_policy_counts_where_a_release_enforces_it() {
    let admin = json!({"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy", "metadata": {"name": "guard"},
        "spec": {"priority": 10, "subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}});
    let dir = dir(&[web(Value::Null), admin]);
    for (tag, status) in [("v3.28.4", 0), ("v3.30.2", 3), ("v3.32.0", 0)] {
        let containers = json!([{"name": "calico-node", "image": format!("quay.io/calico/node:{tag}")}]);
        let agent = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
            "spec": {"template": {"spec": {"containers": containers}}}});
        write(dir.path(), "calico.json", &[agent]);
        let output = run(dir.path(), "check", &["--snapshot", "calico.json"]);
        assert_eq!(output.status.code(), Some(status), "{tag}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(
            stdout(&output).contains("AdminNetworkPolicy/guard"),
            status == 3,
            "{tag}: {}",
            stdout(&output)
        );
    }
}
