//! The choice of the network of a pod: attach, rules, annotation; and policies that are refused.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use lab::runtime::caller::Plugin;
use serde_json::{Value, json};

use crate::{case::Case, trials};

trials![
    single_network_works_alone,
    keys_that_name_an_absent_network_are_errors,
    unknown_keys_name_the_nearest_known_one,
    required_keys_are_named_when_missing,
    values_out_of_range_are_errors,
    only_old_and_new_are_networks,
    first_matching_rule_wins,
    globs_match_whole_strings,
    call_without_pod_arguments_matches_only_fieldless_rules,
    annotation_wins_over_rules_with_an_allowed_value_only,
    annotation_of_another_key_is_ignored,
    policy_is_taken_from_the_first_place_that_has_one,
    policy_is_read_whole_at_every_call,
];

/// A default is not a written key.
fn single_network_works_alone() -> Result<()> {
    for (network, brief) in [("new", "stub-new ADD eth0"), ("old", "stub-old ADD eth0")] {
        let case = alone(network)?;
        case.add()?.result()?;
        case.expect_calls(&[brief])?;
        case.del()?.silent()?;
        case.expect_records(0)?;
    }
    Ok(())
}

/// A policy with only that network and nothing that has a default.
fn alone(network: &str) -> Result<Case> {
    let case = Case::attach(network)?;
    case.write_policy(&json!({
        "version": 1,
        "networks": {network: {"conf": [case.conf_path(network)]}},
        "attach": network
    }))?;
    Ok(case)
}

fn refused_naming(case: &Case, words: &[&str]) -> Result<()> {
    let outcome = case.add()?;
    let policy = case.policy()?;
    let refusal = outcome.refused(7).with_context(|| format!("policy {policy}"))?;
    for word in words {
        ensure!(refusal.text().contains(word), "should name {word:?}: {refusal:?}");
    }
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn keys_that_name_an_absent_network_are_errors() -> Result<()> {
    let faults = [
        ("attach", json!("old")),
        ("attach", json!("both")),
        ("rules", json!([{"namespace": "ns1", "attach": "old"}])),
        ("rules", json!([{"attach": "both"}])),
        ("podAnnotation", json!({"key": "crossfade/attach", "allow": ["new", "old"]})),
        ("podAnnotation", json!({"key": "crossfade/attach", "allow": ["both"]})),
        ("unrecorded", json!("old")),
        ("retired", json!([{"network": "old", "forceAfterSeconds": 1}])),
        ("both", json!({"primary": "old"})),
        ("both", json!({"primary": "new", "defaultRoute": "old"})),
    ];
    for (key, value) in faults {
        let case = alone("new")?;
        case.change_policy(|policy| policy[key] = value)?;
        refused_naming(&case, &["policy.json", key, "old"])?;
    }
    Ok(())
}

fn unknown_keys_name_the_nearest_known_one() -> Result<()> {
    type Slip = fn(&mut Value);
    let slips: [(Slip, &str, &str); 9] = [
        (|policy| policy["atach"] = json!("new"), "atach", "attach"),
        (|policy| policy["networks"]["new"]["cnf"] = json!([]), "cnf", "conf"),
        (|policy| policy["both"]["secondaryIfName"] = json!("net1"), "secondaryIfName", "secondaryIfname"),
        (|policy| policy["rules"] = json!([{"namespce": "x", "attach": "new"}]), "namespce", "namespace"),
        (|policy| policy["deadlines"] = json!({"addSecond": 3}), "addSecond", "addSeconds"),
        (|policy| policy["gc"] = json!({"graceSecs": 3}), "graceSecs", "graceSeconds"),
        (
            |policy| policy["retired"] = json!([{"network": "old", "forceAfter": 3}]),
            "forceAfter",
            "forceAfterSeconds",
        ),
        (|policy| policy["podAnnotation"] = json!({"key": "k", "alow": ["new"]}), "alow", "allow"),
        (|policy| policy["networks"]["new"]["ready"] = json!([{"unx": "/s"}]), "unx", "unix"),
    ];
    for (slip, wrong, right) in slips {
        let case = Case::attach("new")?;
        case.change_policy(slip)?;
        refused_naming(&case, &["policy.json", wrong, right])?;
    }
    Ok(())
}

fn required_keys_are_named_when_missing() -> Result<()> {
    for key in ["version", "networks", "attach"] {
        let case = Case::attach("new")?;
        case.change_policy(|policy| {
            policy.as_object_mut().map(|object| object.remove(key));
        })?;
        refused_naming(&case, &["policy.json", key])?;
    }
    let case = Case::attach("new")?;
    case.change_policy(|policy| {
        policy["networks"]["new"].as_object_mut().map(|object| object.remove("conf"));
    })?;
    refused_naming(&case, &["policy.json", "conf"])
}

fn values_out_of_range_are_errors() -> Result<()> {
    let faults = [
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/attach", json!("neither")),
        ("/attach", json!("both-old")),
        ("/both/primary", json!("both")),
        ("/both/secondaryFailure", json!("ignore")),
        ("/both/secondaryIfname", json!("a/b")),
        ("/networks/new/conf", json!([])),
        ("/networks/new/conf", json!("/a/string")),
        ("/networks/new/conf", json!(["relative.conflist"])),
        ("/networks/new/cidrs", json!(["10.0.0.0/33"])),
        ("/deadlines", json!({"addSeconds": 0})),
        ("/deadlines", json!({"addSeconds": -1})),
        ("/retired", json!([{"network": "third"}])),
    ];
    for (pointer, value) in faults {
        let case = Case::attach("new")?;
        case.change_policy(|policy| match policy.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => policy[pointer.trim_start_matches('/')] = value,
        })?;
        let key = pointer.rsplit('/').next().unwrap_or_default();
        refused_naming(&case, &["policy.json", key])?;
    }
    Ok(())
}

/// One or two networks, called old and new.
fn only_old_and_new_are_networks() -> Result<()> {
    let case = Case::attach("new")?;
    case.change_policy(|policy| policy["networks"]["third"] = json!({"conf": ["/x.conflist"]}))?;
    refused_naming(&case, &["policy.json", "third"])
}

fn pod(case: &Case, namespace: &str, name: &str) -> Plugin {
    case.call("ADD")
        .env("CNI_ARGS", &format!("IgnoreUnknown=1;K8S_POD_NAME={name};K8S_POD_NAMESPACE={namespace}"))
}

/// Adds a new container and says which stub served it.
fn served_by(case: &Case, call: &Plugin) -> Result<String> {
    case.stubs.log().clear()?;
    call.run()?.result()?;
    let briefs = case.stubs.log().briefs()?;
    call.clone().env("CNI_COMMAND", "DEL").run()?.silent()?;
    Ok(briefs.join(", "))
}

const OLD: &str = "stub-old ADD eth0";
const NEW: &str = "stub-new ADD eth0";
const BOTH: &str = "stub-old ADD eth0, stub-new ADD net1";

fn first_matching_rule_wins() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| {
        policy["rules"] = json!([
            {"namespace": "kube-system", "pod": "coredns-*", "attach": "new"},
            {"namespace": "kube-system", "attach": "both"},
            {"pod": "coredns-*", "attach": "old"},
            {"namespace": "ns1", "attach": "new"}
        ]);
    })?;
    for (namespace, name, expected) in [
        ("kube-system", "coredns-abc", NEW),
        ("kube-system", "kube-proxy", BOTH),
        ("ns1", "coredns-abc", OLD),
        ("ns1", "p1", NEW),
        ("ns2", "p1", OLD),
    ] {
        assert_eq!(served_by(&case, &pod(&case, namespace, name))?, expected, "{namespace}/{name}");
    }
    Ok(())
}

fn globs_match_whole_strings() -> Result<()> {
    let case = Case::attach("old")?;
    for (glob, name, matches) in [
        ("web", "web", true),
        ("web", "web-1", false),
        ("web", "my-web", false),
        ("web*", "web", true),
        ("*web", "my-web", true),
        ("w*b*1", "web-1", true),
        ("w*b*1", "web-12", false),
        ("*", "anything", true),
        ("a*b*c", "abbbc", true),
        ("a.c", "abc", false),
        ("**", "x", true),
    ] {
        case.change_policy(|policy| policy["rules"] = json!([{"pod": glob, "attach": "new"}]))?;
        let expected = if matches { NEW } else { OLD };
        assert_eq!(served_by(&case, &pod(&case, "ns1", name))?, expected, "{glob} on {name}");
    }
    Ok(())
}

fn call_without_pod_arguments_matches_only_fieldless_rules() -> Result<()> {
    let case = Case::attach("old")?;
    let rules =
        json!([{"namespace": "*", "attach": "both"}, {"pod": "*", "attach": "both"}, {"attach": "new"}]);
    case.change_policy(|policy| policy["rules"] = rules)?;
    assert_eq!(served_by(&case, &case.call("ADD").env_remove("CNI_ARGS"))?, NEW);
    assert_eq!(served_by(&case, &case.call("ADD").env("CNI_ARGS", "IgnoreUnknown=1"))?, NEW);
    assert_eq!(served_by(&case, &pod(&case, "any", "thing"))?, BOTH);
    Ok(())
}

fn annotated(case: &Case, annotations: &Value) -> Plugin {
    case.call_with("ADD", &json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": annotations}}))
}

fn annotation_wins_over_rules_with_an_allowed_value_only() -> Result<()> {
    let case = Case::attach("old")?;
    case.change_policy(|policy| {
        policy["podAnnotation"] = json!({"key": "crossfade/attach", "allow": ["both"]});
        policy["rules"] = json!([{"namespace": "ns1", "attach": "old"}]);
    })?;
    assert_eq!(served_by(&case, &annotated(&case, &json!({"crossfade/attach": "both", "x": "y"})))?, BOTH);
    for value in [json!("new"), json!("Both"), json!(""), json!("both "), json!(7), json!(null)] {
        let call = annotated(&case, &json!({"crossfade/attach": value}));
        assert_eq!(served_by(&case, &call)?, OLD, "{value}");
    }
    for annotations in [json!(null), json!([]), json!({})] {
        assert_eq!(served_by(&case, &annotated(&case, &annotations))?, OLD, "{annotations}");
    }
    let outcome = annotated(&case, &json!({"crossfade/attach": "new"})).run()?;
    ensure!(outcome.stderr.contains("annotation"), "an ignored value deserves a warning: {outcome:?}");
    Ok(())
}

fn annotation_of_another_key_is_ignored() -> Result<()> {
    let case = Case::attach("old")?;
    assert_eq!(served_by(&case, &annotated(&case, &json!({"crossfade/attach": "both"})))?, OLD);
    case.change_policy(|policy| {
        policy["podAnnotation"] = json!({"key": "example.org/net", "allow": ["both", "new"]})
    })?;
    assert_eq!(served_by(&case, &annotated(&case, &json!({"crossfade/attach": "both"})))?, OLD);
    assert_eq!(served_by(&case, &annotated(&case, &json!({"example.org/net": "new"})))?, NEW);
    Ok(())
}

/// Section 3: /etc, /run, /usr/lib; the first that has the file wins, and an invalid one is not passed over. State and run
/// directories have their default places too.
fn policy_is_taken_from_the_first_place_that_has_one() -> Result<()> {
    let mut case = Case::attach("old")?;
    for key in ["policy", "stateDir", "runDir"] {
        case.shim.as_object_mut().map(|conf| conf.remove(key));
    }
    case.add()?.refused(7)?;
    let mut policy = case.policy()?;
    for (dir, attach, expected) in
        [("/usr/lib/crossfade", "old", OLD), ("/run/crossfade", "new", NEW), ("/etc/crossfade", "both", BOTH)]
    {
        fs::create_dir_all(dir)?;
        policy["attach"] = json!(attach);
        case.write(&Path::new(dir).join("policy.json"), &policy.to_string())?;
        assert_eq!(served_by(&case, &case.call("ADD"))?, expected, "{dir}");
    }
    ensure!(Path::new("/var/lib/crossfade/attachments").is_dir(), "the default state directory");
    fs::write("/etc/crossfade/policy.json", "{ torn")?;
    let refusal = case.add()?.refused(7)?;
    ensure!(refusal.text().contains("/etc/crossfade/policy.json"), "{refusal:?}");
    Ok(())
}

/// A flip is one atomic rename.
fn policy_is_read_whole_at_every_call() -> Result<()> {
    let case = Case::attach("old")?;
    for (attach, expected) in [("old", OLD), ("new", NEW), ("both", BOTH), ("old", OLD)] {
        case.flip(attach)?;
        assert_eq!(served_by(&case, &case.call("ADD"))?, expected);
    }
    Ok(())
}
