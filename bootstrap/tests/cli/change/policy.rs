//! `policy show|check|set|explain`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::node::{Node, mode};

const PHASES: [&str; 4] = ["old", "both-old", "both-new", "new"];

/// Calico's agent follows the Pod's status; a person is told before pods are on both with the other network's address.
#[test]
fn a_second_network_that_may_not_bear_it_is_told_of() {
    let node = Node::new("calico");
    node.run_expecting(&["install"], 0);
    node.run_expecting(&["policy", "set", "old"], 0);
    let words = "network old (calico) is the second one";
    let planned = node.run_expecting(&["policy", "set", "both-new", "--dry-run"], 0);
    assert!(planned.contains(words), "{planned}");
    assert_eq!(node.run_expecting(&["policy", "set", "both-new"], 0), planned);
    for verb in ["check", "show"] {
        assert!(node.run_expecting(&["policy", verb], 0).contains(&format!("warning: {words}")));
    }
    for phase in ["both-old", "new", "old"] {
        assert!(!node.run_expecting(&["policy", "set", phase], 0).contains("second one"), "{phase}");
        assert!(!node.run_expecting(&["policy", "check"], 0).contains("warning"), "{phase}");
    }
}

/// The shim sets host routes where the policy says so, and goes by no profile.
#[test]
fn what_the_shim_has_to_do_for_a_second_network_is_written_with_the_phase() {
    let node = Node::new("calico");
    let text = || node.json("etc/policy.json")["networks"]["old"]["secondary"].clone();
    assert!(text().is_null());
    node.run_expecting(&["policy", "set", "both-new"], 0);
    assert_eq!(text(), "hostRoute");
    node.policy(|policy| {
        policy["networks"]["old"].as_object_mut().expect("a network").remove("secondary");
    });
    let missing = "warning: networks.old does not say";
    assert!(node.run_expecting(&["policy", "check"], 0).contains(missing));
    assert!(
        node.run_expecting(&["policy", "set", "both-new"], 0).starts_with("write"),
        "the phase is the same"
    );
    assert_eq!(text(), "hostRoute");
    assert!(!node.run_expecting(&["policy", "check"], 0).contains(missing));
    node.policy(|policy| policy["networks"]["old"]["secondary"] = "works".into());
    assert!(
        node.run_expecting(&["policy", "set", "both-new"], 0).starts_with("keep"),
        "a person's word stays"
    );
    assert!(!node.run_expecting(&["policy", "check"], 0).contains("warning"));
}

/// What was never tried is refused before anything is written, until the operator says by name that it works.
#[test]
fn an_untried_second_network_is_refused_until_the_policy_names_it() {
    let node = Node::new("bridge");
    node.policy(|policy| {
        policy["networks"]["old"].as_object_mut().expect("a network").remove("secondary");
    });
    let before = node.json("etc/policy.json");
    for arguments in [&["policy", "set", "both-new"][..], &["policy", "set", "both-new", "--dry-run"]] {
        let output = node.run_expecting(arguments, 3);
        assert!(output.contains("networks.old") && output.contains(r#""secondary": "works""#), "{output}");
        assert_eq!(node.json("etc/policy.json"), before);
    }
    node.run_expecting(&["policy", "set", "both-old"], 0);
    for phase in ["both", "new"] {
        // A rule or an annotation gives pods both just as well.
        node.policy(|policy| {
            policy["attach"] = "new".into();
            policy["both"]["primary"] = "new".into();
            policy.insert("rules".into(), json!([{"namespace": "x", "attach": phase}]));
        });
        let output = node.run_expecting(&["policy", "check"], if phase == "both" { 78 } else { 0 });
        assert_eq!(output.contains("rules[0].attach"), phase == "both", "{output}");
    }
    node.policy(|policy| {
        policy["rules"] = json!([{"namespace": "x", "attach": "both"}]);
        policy["networks"]["old"]["secondary"] = "works".into();
    });
    node.run_expecting(&["policy", "check"], 0);
    node.policy(|policy| policy["networks"]["old"]["secondary"] = "refused".into());
    node.run_expecting(&["policy", "check"], 78);
}

#[test]
fn every_phase_is_set_where_the_conf_says_and_told_back() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    for from in PHASES {
        for to in PHASES {
            node.run_expecting(&["policy", "set", from], 0);
            let output = node.run_expecting(&["policy", "set", to], 0);
            let word = if from == to { "keep" } else { "write" };
            assert!(output.starts_with(word), "{from} -> {to}: {output}");
            let shown = node.document(&["policy", "show"], 0);
            assert_eq!(shown["phase"], to);
            assert_eq!(shown["file"], json!(node.path("etc/policy.json")));
            assert_eq!(shown["policy"]["unrecorded"], "old", "the rest is as it was");
        }
    }
    assert!(node.run_expecting(&["policy", "check"], 0).contains("valid, phase new"));
}

#[test]
fn a_flip_keeps_the_mode_and_equal_content_is_not_rewritten() {
    let node = Node::new("bridge");
    mode(&node.path("etc/policy.json"), 0o640);
    let inode = || node.path("etc/policy.json").metadata().expect("policy").ino();
    let first = inode();
    node.run_expecting(&["policy", "set", "old"], 0);
    assert_eq!(inode(), first, "it was in that phase");
    let before = node.files();
    let planned = node.run_expecting(&["policy", "set", "new", "--dry-run"], 0);
    assert_eq!(node.files(), before);
    let applied = node.run_expecting(&["policy", "set", "new"], 0);
    assert_eq!(planned, applied);
    assert_ne!(inode(), first, "by rename");
    assert_eq!(node.path("etc/policy.json").metadata().expect("policy").mode() & 0o7777, 0o640);
}

#[test]
fn a_link_stays_a_link() {
    let node = Node::new("bridge");
    fs::rename(node.path("etc/policy.json"), node.path("etc/real.json")).expect("rename");
    std::os::unix::fs::symlink("real.json", node.path("etc/policy.json")).expect("link");
    node.run_expecting(&["policy", "set", "new"], 0);
    assert!(node.path("etc/policy.json").symlink_metadata().expect("link").is_symlink());
    assert_eq!(node.json("etc/real.json")["attach"], "new");
}

#[test]
fn a_phase_that_the_policy_does_not_allow_is_refused() {
    let node = Node::new("bridge");
    node.policy(|policy| {
        let networks = policy["networks"].as_object_mut().expect("networks");
        networks.remove("new");
    });
    let before = node.files();
    for phase in ["both-old", "both-new", "new"] {
        let output = node.run_expecting(&["policy", "set", phase], 3);
        assert!(output.contains(phase), "{output}");
    }
    node.policy(|policy| {
        policy["networks"]["new"] = json!({"conf": ["/n"], "secondary": "works"});
        policy.insert(
            "both".into(),
            json!({"primary":"old","defaultRoute":"old","secondaryFailure":"tolerate"}),
        );
    });
    assert!(node.run_expecting(&["policy", "set", "both-new"], 3).contains("tolerate"));
    node.run_expecting(&["policy", "set", "both-old"], 0);
    assert_ne!(node.files(), before);
}

#[test]
fn an_invalid_policy_is_bad_settings_for_every_verb() {
    let node = Node::new("bridge");
    node.write("etc/policy.json", r#"{"version":1,"networks":{"old":{"conf":["/o"]}},"atach":"old"}"#);
    for verb in [&["show"][..], &["check"], &["set", "old"], &["explain"]] {
        let arguments: Vec<&str> = std::iter::once("policy").chain(verb.iter().copied()).collect();
        let output = node.run_expecting(&arguments, 78);
        assert!(output.contains("\"attach\""), "{output}");
    }
    node.write("etc/good.json", r#"{"version":1,"networks":{"old":{"conf":["/o"]}},"attach":"old"}"#);
    let good = node.path("etc/good.json").display().to_string();
    assert!(node.run_expecting(&["policy", "check", &good], 0).contains("valid"));
}

#[test]
fn a_place_that_a_reboot_empties_is_refused_unless_it_is_meant() {
    let node = Node::new("bridge");
    let memory = tempfile::Builder::new().prefix("crossfade-").tempdir_in("/dev/shm").expect("memory");
    mode(memory.path(), 0o755);
    let policy = memory.path().join("policy.json");
    fs::copy(node.path("etc/policy.json"), &policy).expect("copy");
    let policy = policy.display().to_string();
    let content = || fs::read_to_string(&policy).expect("policy");
    let before = content();
    // Given twice the option would be an error, so the conf names it.
    node.run_expecting(&["install"], 0);
    let conf = node.read("net.d/01-crossfade.conflist");
    let named = node.path("etc/policy.json").display().to_string();
    node.write("net.d/01-crossfade.conflist", &conf.replace(&named, &policy));
    let output = node.run_expecting(&["policy", "set", "new"], 3);
    assert!(output.contains("--runtime"), "{output}");
    assert_eq!(content(), before);
    node.run_expecting(&["policy", "set", "old"], 0);
    node.run_expecting(&["policy", "set", "new", "--runtime"], 0);
    assert_ne!(content(), before);
}

#[test]
fn an_explanation_names_the_rule_and_the_interfaces() {
    let node = Node::new("bridge");
    node.policy(|policy| {
        policy.insert("rules".into(), json!([{"namespace":"kube-system","pod":"coredns-*","attach":"new"}]));
        policy.insert("podAnnotation".into(), json!({"key":"crossfade/attach","allow":["both"]}));
    });
    let explain = |more: &[&str]| {
        let arguments: Vec<&str> = ["policy", "explain"].into_iter().chain(more.iter().copied()).collect();
        node.document(&arguments, 0)
    };
    let output = explain(&["--namespace", "kube-system", "--pod", "coredns-1"]);
    assert_eq!(output["attach"], "new");
    assert!(output["because"].as_str().expect("why").contains("rules[0]"), "{output}");
    let output = explain(&["--namespace", "default", "--pod", "p", "--annotation", "crossfade/attach=both"]);
    assert_eq!(output["interfaces"][1], json!({"network":"old","ifname":"eth0","primary":true}));
    let output = explain(&["--annotation", "crossfade/attach=new"]);
    assert_eq!(output["attach"], "old");
    assert!(output["warnings"][0].as_str().expect("warning").contains("ignored"), "{output}");
    assert_eq!(node.run(&["policy", "explain", "--annotation", "x"]).status, 2);
}
