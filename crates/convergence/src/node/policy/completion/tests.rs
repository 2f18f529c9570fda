//! The networks that are completed, and the bytes that stay.

use types::policy::Policy;
use types::profile::Profiles;

use super::*;

fn completed(networks: &str) -> Option<(String, Vec<String>)> {
    let text = format!("{{\n  \"version\": 1,\n  \"networks\": {networks},\n  \"attach\": \"old\" }}\n");
    let done = complete(text.as_bytes(), Profiles::built_in()).expect("valid")?;
    Some((String::from_utf8(done.bytes).expect("UTF-8"), done.networks))
}

#[test]
fn only_a_known_profile_without_the_key_is_completed() {
    for (networks, named) in [
        (r#"{"old": {"conf": ["/o"]}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "generic"}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "my-own"}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "weave", "ready": []}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "weave", "ready": [{"file": "/x"}]}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "calico", "ready": []}}"#, vec!["old (calico)"]),
        (r#"{"old": {"conf": ["/o"], "profile": "calico", "ready": [], "secondary": "works"}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "kindnet"}}"#, vec![]),
        (r#"{"old": {"conf": ["/o"], "profile": "calico"}}"#, vec!["old (calico)"]),
        (
            r#"{"old": {"conf": ["/o"], "profile": "flannel"}, "new": {"profile": "cilium", "conf": ["/n"]}}"#,
            vec!["old (flannel)", "new (cilium)"],
        ),
        (
            r#"{"old": {"conf": ["/o"], "ready": []}, "new": {"profile": "antrea", "conf": ["/n"]}}"#,
            vec!["new (antrea)"],
        ),
    ] {
        let done = completed(networks);
        assert_eq!(done.as_ref().map_or(Vec::new(), |(_, named)| named.clone()), named, "{networks}");
        if let Some((text, _)) = done {
            assert_eq!(
                complete(text.as_bytes(), Profiles::built_in()).expect("valid"),
                None,
                "again: {text}"
            );
        }
    }
}

#[test]
fn everything_else_keeps_its_spelling() {
    let networks =
        "{ \"old\":{\"conf\":[ \"/o\" ],\n    \"profile\": \"cilium\" , \"cidrs\": [\"10.0.0.0/8\"]} }";
    let (text, _) = completed(networks).expect("completed");
    let probes = r#""ready": [{"unix":"/var/run/cilium/cilium.sock"},{"http":"localhost:9879/healthz","headers":{"brief":"true"}}],"#;
    assert_eq!(text.matches(probes).count(), 1, "{text}");
    assert!(text.replacen(probes, "", 1).contains(networks), "{text}");
}

#[test]
fn what_the_shim_has_to_do_for_a_second_network_is_written_once_and_what_a_person_wrote_stays() {
    let (text, _) = completed(r#"{"old": {"conf": ["/o"], "profile": "calico"}}"#).expect("completed");
    assert_eq!(text.matches(r#""secondary": "hostRoute""#).count(), 1, "{text}");
    assert!(text.contains(r#""ready": ["#), "{text}");
    let (text, _) = completed(r#"{"old": {"conf": ["/o"], "profile": "flannel"}}"#).expect("completed");
    assert!(!text.contains("secondary"), "the shim has nothing to do: {text}");
}

#[test]
fn what_an_add_cannot_ask_becomes_the_file_of_watch() {
    for (profile, probes) in [
        ("aws-vpc", r#"[{"file":"/run/crossfade/probe/old"}]"#),
        (
            "calico",
            r#"[{"file":"/var/lib/calico/nodename"},{"http":"localhost:9099/readiness"},{"file":"/run/crossfade/probe/old"}]"#,
        ),
        ("flannel", r#"[{"file":"/run/flannel/subnet.env"}]"#),
    ] {
        let networks = format!(r#"{{"old": {{"conf": ["/o"], "profile": "{profile}"}}}}"#);
        let (text, _) = completed(&networks).expect("completed");
        assert!(text.contains(&format!(r#""ready": {probes}"#)), "{text}");
    }
    for profile in Profiles::built_in().all().iter().filter(|profile| !profile.probes.is_empty()) {
        let (text, _) =
            completed(&format!(r#"{{"old": {{"conf": ["/o"], "profile": "{}"}}}}"#, profile.name))
                .expect(&profile.name);
        assert!(Policy::parse(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn a_network_that_is_held_gets_no_probe_of_a_file_without_a_keeper() {
    let policy = |profile: &str| {
        format!(
            r#"{{"version": 1, "attach": "old", "networks": {{"old": {{"conf": ["/n"], "profile": "{profile}", "secondary": "works"}}}}}}"#
        )
    };
    let is_held = |profile: &str, held: &[Side]| {
        complete_but(policy(profile).as_bytes(), held, Profiles::built_in()).expect("valid").is_none()
    };
    for (profile, held) in [("calico", true), ("aws-vpc", true), ("cilium", false)] {
        assert_eq!(
            [is_held(profile, &[Side::Old]), is_held(profile, &[Side::New]), is_held(profile, &[])],
            [held, false, false],
            "{profile}"
        );
    }
}
