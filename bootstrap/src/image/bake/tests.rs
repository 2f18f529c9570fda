use std::sync::Arc;

use clap::Parser;
use convergence::failure::Failure;
use convergence::image::bake::Image;
use convergence::image::bake::decide::{BakeDecision, decide};
use convergence::image::bake::facts::BakeFacts;
use types::api::node_keys::IMAGE;
use types::command::exit::Exit;
use types::node::{Mode, Node};
use types::policy::{Phase, Policy, Side};
use types::profile::Profiles;

use super::options;
use crate::cli::{Cli, Command, ImageCommand};

fn facts() -> BakeFacts {
    BakeFacts {
        conf_dir: Ok("/etc/cni/net.d".into()),
        policy: None,
        node: None,
        release: None,
        hiding: Vec::new(),
        is_off: false,
        profiles: Arc::clone(Profiles::built_in()),
    }
}

/// The decision for a command line behind `bake`.
fn decided(line: &str, facts: &BakeFacts) -> Result<BakeDecision, Failure> {
    let words = ["crossfade-bootstrap", "image", "bake"].into_iter().chain(line.split_ascii_whitespace());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
    let Command::Image(ImageCommand::Bake(arguments)) = cli.command else { unreachable!("it was bake") };
    decide(options(&arguments), facts)
}

fn baked(line: &str) -> (Option<Policy>, Node, Vec<String>) {
    let BakeDecision { policy, node, notes, .. } =
        decided(line, &facts()).unwrap_or_else(|e| panic!("{line}: {e:?}"));
    let policy = policy.map(|bytes| Policy::parse(&bytes).expect("a policy"));
    (policy, Node::parse(&node).expect("a node.json"), notes)
}

fn refused(line: &str, facts: &BakeFacts) -> (Exit, String) {
    let failure = decided(line, facts).expect_err(line);
    (failure.exit, failure.lines().join("\n"))
}

/// Labels and taints of node.json, but for the identity of the image.
fn registered(node: &Node) -> (Vec<String>, Vec<String>) {
    let labels =
        node.labels.iter().filter(|(key, _)| *key != IMAGE).map(|(key, value)| format!("{key}={value}"));
    (labels.collect(), node.taints.iter().map(ToString::to_string).collect())
}

#[test]
fn a_migration_has_both_networks_and_the_phase_that_was_asked_for() {
    for phase in Phase::ALL {
        let line = format!("--image migration --old calico --new flannel --phase {phase}");
        let (policy, node, _) = baked(&line);
        let policy = policy.expect("a policy");
        assert_eq!((policy.phase(), policy.unrecorded), (phase, Some(Side::Old)));
        assert!(policy.rules.is_empty() && policy.retired.is_empty());
        assert_eq!(node.conf_dir, Mode::Private);
        assert_eq!(registered(&node), (vec![], vec![]));
    }
    let (policy, node, _) = baked("--image migration --old calico --new antrea --mode shared");
    assert_eq!((policy.expect("a policy").phase(), node.conf_dir), (Phase::New, Mode::Shared));
}

#[test]
fn an_untried_second_network_is_refused() {
    let line = |phase: Phase| format!("--image migration --old antrea --new cilium --phase {phase}");
    for phase in [Phase::Old, Phase::BothOld, Phase::New] {
        assert!(decided(&line(phase), &facts()).is_ok(), "{phase}");
    }
    let refused = decided(&line(Phase::BothNew), &facts()).expect_err("antrea is the second");
    assert!(refused.lines().iter().any(|why| why.contains("networks.old")), "{refused:?}");
}

#[test]
fn confs_are_those_of_the_profile_in_the_runtime_s_directory_unless_named() {
    let line = "--image migration --old generic --old-conf /a/1.conf --old-conf /a/2.conf --new flannel";
    let there = BakeFacts { conf_dir: Ok("/var/lib/net.d".into()), ..facts() };
    let decision = decided(line, &there).expect("decided");
    let policy = Policy::parse(&decision.policy.expect("a policy")).expect("valid");
    let conf = |side| policy.network(side).expect("network").conf.clone();
    assert_eq!(conf(Side::Old), ["/a/1.conf", "/a/2.conf"].map(std::path::PathBuf::from));
    assert_eq!(
        conf(Side::New),
        ["/var/lib/net.d/10-flannel.conflist", "/var/lib/net.d/10-flannel.conf"]
            .map(std::path::PathBuf::from)
    );
    assert!(decision.notes.iter().any(|note| note.contains("generic (old)") && note.contains("ready")));
}

#[test]
fn cilium_has_its_label_and_its_taint_unless_told_otherwise() {
    const LABEL: &str = "io.cilium.migration/cilium-default=true";
    const TAINT: &str = "node.cilium.io/agent-not-ready:NoSchedule";
    let to = "--image migration --old calico --new cilium";
    for (more, labels, taints) in [
        ("", vec![LABEL], vec![TAINT]),
        ("--bare", vec![], vec![]),
        ("--label team=net --taint a=b:NoExecute", vec![LABEL, "team=net"], vec![TAINT, "a=b:NoExecute"]),
        (
            "--label io.cilium.migration/cilium-default=later --taint node.cilium.io/agent-not-ready=x:NoExecute",
            vec!["io.cilium.migration/cilium-default=later"],
            vec!["node.cilium.io/agent-not-ready=x:NoExecute"],
        ),
        ("--bare --label a=b", vec!["a=b"], vec![]),
        ("--label a=b --label a=b", vec!["a=b", LABEL], vec![TAINT]),
    ] {
        let (_, node, _) = baked(&format!("{to} {more}"));
        let all = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(registered(&node), (all(labels), all(taints)), "{more}");
    }
    for line in ["--image migration --old cilium --new calico", "--image final --new cilium"] {
        assert_eq!(registered(&baked(line).1), (vec![], vec![]), "{line}");
    }
    let policy = br#"{"version":1,"networks":{"old":{"conf":["/o"]},"new":{"profile":"cilium","conf":["/n"]}},"attach":"old"}"#;
    let given = BakeFacts { policy: Some(policy.to_vec()), ..facts() };
    let decision = decided("--image migration --from-policy -", &given).expect("decided");
    assert_eq!(decision.policy.as_deref(), Some(policy.as_slice()), "to the byte");
    assert_eq!(
        registered(&Node::parse(&decision.node).expect("valid")).0.len(),
        1,
        "by the policy's profile"
    );
}

#[test]
fn a_migration_image_has_an_identity_of_its_content() {
    let image = |line: &str, facts: &BakeFacts| {
        let decision = decided(line, facts).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        let label = Node::parse(&decision.node).expect("valid").labels.get(IMAGE).cloned();
        assert_eq!(label, decision.image, "{line}");
        label
    };
    let line = "--image migration --old calico --new cilium";
    let first = image(line, &facts()).expect("an identity");
    assert_eq!(image(line, &facts()).as_ref(), Some(&first), "equal content");
    let released = BakeFacts { release: Some(b"{}".to_vec()), ..facts() };
    let others = [
        image(&format!("{line} --phase old"), &facts()),
        image(&format!("{line} --label a=b"), &facts()),
        image(&format!("{line} --readiness-taint"), &facts()),
        image(line, &released),
    ];
    for (number, other) in others.iter().enumerate() {
        assert!(*other != Some(first.clone()), "{number}: {other:?}");
    }
    let mine = format!("--label {IMAGE}=2026-11-28");
    for line in [format!("{line} {mine}"), format!("--image final {mine}")] {
        assert_eq!(image(&line, &facts()).as_deref(), Some("2026-11-28"), "{line}");
    }
    for line in ["--image final", "--image final --label a=b"] {
        assert_eq!(image(line, &facts()), None, "{line}");
    }
}

#[test]
fn the_readiness_taint_is_refused_where_no_rule_would_lift_it() {
    const TAINT: &str = "readiness.k8s.io/crossfade:NoSchedule";
    let to = "--image migration --old calico --new cilium";
    for more in ["--readiness-taint", "--taint readiness.k8s.io/crossfade:NoSchedule --readiness-taint"] {
        let (_, node, notes) = baked(&format!("{to} {more}"));
        assert_eq!(registered(&node).1, ["node.cilium.io/agent-not-ready:NoSchedule", TAINT], "{more}");
        assert!(notes.iter().any(|note| note.contains("node-readiness-rule.yaml")), "{notes:?}");
        assert!(!notes.iter().any(|note| note.contains("no CNI that we know")), "{notes:?}");
    }
    let effect = "--taint readiness.k8s.io/crossfade:NoExecute";
    for (line, words) in [
        (format!("{to} {effect} --readiness-taint"), "expected one taint of this key"),
        (format!("{to} {effect}"), "NoSchedule alone"),
        ("--image final --readiness-taint".into(), "no node of a final image"),
        (format!("--image final --taint {TAINT}"), "no node of a final image"),
    ] {
        let (exit, why) = refused(&line, &facts());
        assert!(exit == Exit::Usage && why.contains(words), "{line}: {why}");
    }
    let node = |report: bool| {
        let text = format!(
            r#"{{"version":1,"confDir":"private","taints":[{{"key":"readiness.k8s.io/crossfade","effect":"NoSchedule"}}],"report":{{"node":{report}}}}}"#
        );
        BakeFacts { node: Some(text.into_bytes()), ..facts() }
    };
    let line = format!("{to} --from-node -");
    assert!(decided(&line, &node(true)).is_ok());
    let (exit, why) = refused(&line, &node(false));
    assert!(exit == Exit::BadSettings && why.contains("report.node: false"), "{why}");
}

#[test]
fn a_bridge_can_require_both_networks() {
    let to = "--image migration --old calico --new cilium";
    assert!(!baked(to).1.report.require_all_networks);
    let report = baked(&format!("{to} --require-all-networks")).1.report;
    assert!(report.require_all_networks && report.node);
    for (more, is_noted) in
        [("", true), ("--phase both-new", false), ("--phase old", false), ("--require-all-networks", false)]
    {
        let notes = baked(&format!("{to} {more}")).2;
        let has_note = notes.iter().any(|note| note.contains("--require-all-networks makes it wait"));
        assert_eq!(has_note, is_noted, "{more}: {notes:?}");
    }
    let silent = br#"{"version":1,"confDir":"private","report":{"node":false}}"#;
    let silent = BakeFacts { node: Some(silent.to_vec()), ..facts() };
    let notes = decided(&format!("{to} --from-node -"), &silent).expect("decided").notes;
    assert!(!notes.iter().any(|note| note.contains("CrossfadeReady")), "{notes:?}");
}

#[test]
fn a_final_image_has_no_policy_and_no_directory() {
    let (policy, node, notes) =
        baked("--image final --label pool=new --taint node.cilium.io/agent-not-ready:NoExecute");
    assert!(policy.is_none() && notes.is_empty(), "{notes:?}");
    assert_eq!(node.conf_dir, Mode::Without);
    assert_eq!(registered(&node).0, ["pool=new"]);
    let (_, _, notes) = baked("--image final");
    assert!(notes.iter().any(|note| note.contains("does not need the package")), "{notes:?}");
}

#[test]
fn a_person_is_told_what_cannot_be_seen_from_here() {
    for (line, words) in [
        ("--image migration --old calico --new cilium", "cni.exclusive"),
        ("--image migration --old azure --new cilium --bare", "azure (old)"),
        ("--image migration --old calico --new antrea --taint mine:NoSchedule", "mine:NoSchedule"),
    ] {
        let (_, _, notes) = baked(line);
        assert!(notes.iter().any(|note| note.contains(words)), "{line}: {notes:?}");
    }
}

#[test]
fn options_that_make_no_sense_together_are_usage() {
    for (line, words) in [
        ("--image migration --new cilium", "--old: missing"),
        ("--image migration --old calico", "--new: missing"),
        ("--image migration --old calico --new calico", "both calico"),
        ("--image migration --old generic --new cilium", "--old-conf"),
        ("--image final --old calico", "--old: a final image"),
        ("--image final --new-cidr 10.0.0.0/8", "--new-cidr"),
        ("--image final --old-cidr 10.0.0.0/8", "--old-cidr"),
        ("--image final --phase new", "--phase"),
        ("--image final --mode private", "--mode"),
        ("--image final --require-all-networks", "--require-all-networks"),
        ("--image final --new-conf /x", "--new-conf"),
        ("--image final --old-conf /x", "--old-conf"),
        ("--image final --from-policy /x", "--from-policy"),
    ] {
        let (exit, why) = refused(line, &facts());
        assert_eq!(exit, Exit::Usage, "{line}: {why}");
        assert!(why.contains(words), "{line}: {why}");
    }
}

#[test]
fn unusable_settings_are_refused_in_the_words_of_the_program_that_refuses_them() {
    let to = "--image migration --old calico --new cilium";
    for (more, words) in [
        ("--label app.kubernetes.io/name=x", "kubelet exits"),
        ("--label node-restriction.kubernetes.io/x=y", "administrators"),
        ("--label novalue", "expected KEY=VALUE"),
        ("--label a=b --label a=c", "two values"),
        ("--label a=b_", "expected a value"),
        ("--taint a:NoSchedul", "expected NoSchedule, PreferNoSchedule or NoExecute"),
        ("--taint a", "expected KEY=VALUE:EFFECT"),
        ("--taint a:NoSchedule --taint a=b:NoSchedule", "listed twice"),
        ("--taint node.kubernetes.io/not-ready:NoSchedule", "would remove it"),
        ("--taint crossfade/unfit:NoSchedule", "ours to set"),
        ("--old-cidr 10.0.0.0", "expected ADDRESS/LENGTH"),
        ("--old-cidr 10.0.0.1/8", "host bits"),
        ("--old-cidr 10.0.0.0/8 --new-cidr 10.64.0.0/10", "overlap"),
        ("--old-cidr 10.64.0.0/10 --new-cidr fd00::/8 --new-cidr 10.0.0.0/8", "overlap"),
        ("--old-conf 10-x.conflist", "an absolute path"),
        ("--old-conf /x --new-conf /x", "/x is a conf of both"),
        ("--old-conf /etc/cni/net.d/01-crossfade.conflist", "is Crossfade's own"),
    ] {
        let (exit, why) = refused(&format!("{to} {more}"), &facts());
        assert_eq!(exit, Exit::Usage, "{more}: {why}");
        assert!(why.contains(words), "{more}: {why}");
    }
    assert!(
        decided(&format!("{to} --old-cidr 10.0.0.0/9 --new-cidr 10.128.0.0/9 --new-cidr ::/0"), &facts())
            .is_ok()
    );
    for (name, words) in
        [("cillium", "did you mean \"cilium\"? known are antrea, aws-vpc"), ("xyz", "known are antrea")]
    {
        for line in
            [format!("--image migration --old calico --new {name}"), format!("--image final --new {name}")]
        {
            let (exit, why) = refused(&line, &facts());
            assert_eq!(exit, Exit::Usage);
            assert!(why.contains(words) && why.contains("generic"), "{why}");
        }
    }
}

#[test]
fn whole_files_are_held_against_the_same_rules() {
    let policy = |text: &str| BakeFacts { policy: Some(text.into()), ..facts() };
    let node = |text: &str| BakeFacts { node: Some(text.into()), ..facts() };
    let migration = "--image migration --old calico --new antrea --from-node -";
    for (line, given, words) in [
        ("--image migration --from-policy -", policy("{"), "policy: "),
        (
            "--image migration --from-policy -",
            policy(r#"{"version":1,"networks":{"new":{"conf":["/n"]}},"attach":"new"}"#),
            "networks.old: missing",
        ),
        (
            "--image migration --from-policy -",
            policy(
                r#"{"version":1,"networks":{"old":{"conf":["/o"],"cidrs":["::/0"]},"new":{"conf":["/n"],"cidrs":["fd00::/8"]}},"attach":"new"}"#,
            ),
            "overlap",
        ),
        (migration, node(r#"{"version":2}"#), "node.json: version"),
        (migration, node(r#"{"version":1,"confDir":"none"}"#), "private or shared in a migration image"),
        (migration, node(r#"{"version":1,"labels":{"x.k8s.io/a":"b"}}"#), "kubelet exits"),
        ("--image final --from-node -", node(r#"{"version":1}"#), "none in a final image"),
    ] {
        let (exit, why) = refused(line, &given);
        assert_eq!(exit, Exit::BadSettings, "{line}: {why}");
        assert!(why.contains(words), "{line}: {why}");
    }
    let bytes = r#"{ "version": 1, "confDir": "shared", "gate": {"giveUpSeconds": 600} }"#;
    let decision = decided(migration, &node(bytes)).expect("decided");
    let label = format!("\"labels\": {{\"{IMAGE}\": \"{}\"}},", decision.image.expect("an identity"));
    assert_eq!(String::from_utf8_lossy(&decision.node), bytes.replacen('{', &format!("{{{label}"), 1));
    let quiet = node(r#"{"version":1,"confDir":"private","labels":{"a":"b"},"kubelet":{"register":false}}"#);
    let notes = decided(migration, &quiet).expect("decided").notes;
    assert!(notes.iter().any(|note| note.contains("render --print")), "{notes:?}");
}

#[test]
fn what_would_hide_it_is_found_together_with_everything_else() {
    let hidden = BakeFacts { hiding: vec!["/etc/crossfade/node.json".into()], ..facts() };
    let line = "--image migration --old calico --new antrea";
    let (exit, why) = refused(line, &hidden);
    assert_eq!(exit, Exit::No);
    assert!(why.contains("/etc/crossfade/node.json counts before"), "{why}");
    let (exit, why) = refused(&format!("{line} --label k8s.io/a=b --taint x"), &hidden);
    assert_eq!((exit, why.lines().count()), (Exit::Usage, 3), "{why}");
    let unknown = BakeFacts { conf_dir: Err("two runtimes".into()), ..facts() };
    let failure = decided(line, &unknown).expect_err("no directory");
    let problem = &failure.problems[0];
    assert_eq!((failure.exit, problem.what.as_str()), (Exit::No, "two runtimes"));
    assert!(problem.fix.contains("--from-node"), "{problem:?}");
    let off = BakeFacts { is_off: true, ..facts() };
    assert!(decided(line, &off).expect("decided").notes.iter().any(|note| note.contains("disabled")));
}

/// Who names the networks or the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameSource {
    Options,
    File,
}

const POLICY: &str = r#"{"version":1,"networks":{"old":{"conf":["/o"]},"new":{"profile":"cilium","conf":["/n"]}},"attach":"old"}"#;

/// A command line and files of which each says something else, so that an outcome tells its source.
fn given(image: Image, policy: NameSource, node: NameSource, dir: Option<Mode>) -> (String, BakeFacts) {
    let mut facts = facts();
    let mut line = match image {
        Image::Migration => "--image migration".to_owned(),
        Image::Final => "--image final".to_owned(),
    };
    match (policy, image) {
        (NameSource::File, _) => {
            line += " --from-policy -";
            facts.policy = Some(POLICY.into());
        }
        (NameSource::Options, Image::Migration) => line += " --old calico --new cilium",
        (NameSource::Options, Image::Final) => {}
    }
    match node {
        NameSource::File => {
            let dir = dir.map_or_else(String::new, |dir| format!(r#","confDir":"{}""#, dir.as_str()));
            line += " --from-node -";
            facts.node = Some(format!(r#"{{"version":1,"labels":{{"file":"x"}}{dir}}}"#).into());
        }
        NameSource::Options => {
            line += " --label options=x";
            if let Some(dir) = dir {
                line += &format!(" --mode {}", dir.as_str());
            }
        }
    }
    (line, facts)
}

#[test]
fn the_whole_table_of_what_is_baked() {
    use Image::{Final, Migration};
    use NameSource::{File, Options};
    const USUAL: &str = "io.cilium.migration/cilium-default";
    let (none, private, shared) = (Some(Mode::Without), Some(Mode::Private), Some(Mode::Shared));
    // Image, source of the policy and of node.json, confDir as it is given; whose policy, confDir and labels are baked.
    for (image, policy, node, dir, expected) in [
        (Migration, Options, Options, None, Ok((Some(Options), Mode::Private, &[USUAL, "options"][..]))),
        (Migration, Options, Options, private, Ok((Some(Options), Mode::Private, &[USUAL, "options"]))),
        (Migration, Options, Options, shared, Ok((Some(Options), Mode::Shared, &[USUAL, "options"]))),
        (Migration, Options, File, private, Ok((Some(Options), Mode::Private, &["file"]))),
        (Migration, Options, File, shared, Ok((Some(Options), Mode::Shared, &["file"]))),
        (Migration, Options, File, none, Err(Exit::BadSettings)),
        (Migration, File, Options, None, Ok((Some(File), Mode::Private, &[USUAL, "options"]))),
        (Migration, File, Options, shared, Ok((Some(File), Mode::Shared, &[USUAL, "options"]))),
        (Migration, File, File, shared, Ok((Some(File), Mode::Shared, &["file"]))),
        (Migration, File, File, none, Err(Exit::BadSettings)),
        (Final, Options, Options, None, Ok((None, Mode::Without, &["options"]))),
        (Final, Options, Options, private, Err(Exit::Usage)),
        (Final, Options, File, none, Ok((None, Mode::Without, &["file"]))),
        (Final, Options, File, private, Err(Exit::BadSettings)),
        (Final, Options, File, shared, Err(Exit::BadSettings)),
        (Final, File, Options, None, Err(Exit::Usage)),
        (Final, File, File, none, Err(Exit::Usage)),
    ] {
        let (line, facts) = given(image, policy, node, dir);
        let outcome = decided(&line, &facts).map_err(|failure| failure.exit).map(|decision| {
            let whose = |bytes: Vec<u8>| if bytes == POLICY.as_bytes() { File } else { Options };
            let mut node = Node::parse(&decision.node).expect("a node.json");
            assert_eq!(node.labels.remove(IMAGE).is_some(), image == Migration, "{line}: identity");
            let labels = node.labels.into_keys().collect::<Vec<_>>();
            (decision.policy.map(whose), node.conf_dir, labels)
        });
        let outcome = outcome.as_ref().map_err(|exit| *exit);
        let expected = expected
            .map(|(policy, dir, labels)| (policy, dir, labels.iter().map(ToString::to_string).collect()));
        assert_eq!(outcome, expected.as_ref().map_err(|exit| *exit), "{line} {facts:?}");
    }
}

#[test]
fn the_whole_table_of_what_is_wrong() {
    use Exit::{BadSettings, No, Usage};
    let migration = "--image migration --old calico --new antrea";
    let with =
        |policy: Option<&str>, node: Option<&str>, dir: Result<&str, &str>, hiding: &[&str]| BakeFacts {
            policy: policy.map(Into::into),
            node: node.map(Into::into),
            conf_dir: dir.map(Into::into).map_err(Into::into),
            hiding: hiding.iter().map(Into::into).collect(),
            ..facts()
        };
    let (dir, no_dir) = (Ok("/etc/cni/net.d"), Err("two runtimes"));
    let hiding = &["/etc/crossfade/policy.json"][..];
    let (broken, none) = (Some("{"), Some(r#"{"version":1,"confDir":"none"}"#));
    for (line, facts, expected) in [
        // An option too many, or too few.
        ("--image final --phase new", with(None, None, dir, &[]), (Usage, 1)),
        ("--image migration --new antrea", with(None, None, dir, &[]), (Usage, 1)),
        // Settings that a node could not use.
        (&format!("{migration} --label a"), with(None, None, dir, &[]), (Usage, 1)),
        (&format!("{migration} --old-conf x"), with(None, None, dir, &[]), (Usage, 1)),
        ("--image migration --from-policy -", with(broken, None, dir, &[]), (BadSettings, 1)),
        (&format!("{migration} --from-node -"), with(None, broken, dir, &[]), (BadSettings, 1)),
        // `confDir` of another image.
        (&format!("{migration} --from-node -"), with(None, none, dir, &[]), (BadSettings, 1)),
        // The tree.
        (migration, with(None, None, no_dir, &[]), (No, 1)),
        (migration, with(None, None, dir, hiding), (No, 1)),
        (migration, with(None, None, no_dir, hiding), (No, 2)),
        // All at once: the first exit status of the table counts.
        (&format!("{migration} --from-node -"), with(None, broken, dir, hiding), (BadSettings, 2)),
        (&format!("{migration} --label a"), with(None, None, dir, hiding), (Usage, 2)),
        ("--image final --phase new --from-node -", with(None, broken, dir, hiding), (Usage, 3)),
    ] {
        let failure = decided(line, &facts).expect_err(line);
        assert_eq!((failure.exit, failure.problems.len()), expected, "{line}: {failure:?}");
    }
    // Who gives a policy needs no directory of confs, and a final image has no confs at all.
    let facts = with(Some(POLICY), None, no_dir, &[]);
    assert!(decided("--image migration --from-policy -", &facts).is_ok());
    assert!(decided("--image final", &with(None, None, no_dir, &[])).is_ok());
}
