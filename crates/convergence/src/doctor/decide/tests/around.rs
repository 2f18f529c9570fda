//! Settings, kubelet, runtime, `watch`, and the API server.

use types::command::problem::Problem;
use types::node::DesiredSource;

use crate::doctor::decide::tests::*;
use crate::node::attachments::last_pass::PassResult;
use crate::node::settings::InvalidSettings;
use crate::node::switch::OffSwitch;

fn registered(facts: &mut Facts) -> &mut RegisteredNode {
    let Source::Read(ApiServerState { registered: Some(registered), .. }) = &mut facts.server else {
        panic!("it is registered")
    };
    registered
}

fn kubelet(facts: &mut Facts, state: UnitState) {
    let Source::Read(units) = &mut facts.units else { panic!("read") };
    units.insert("kubelet.service".into(), state);
}

fn gate(reasons: &[&str]) -> Option<Vec<Problem>> {
    Some(reasons.iter().map(|reason| Problem::new(*reason).fix("mend it")).collect())
}

fn watch(facts: &mut Facts, ready: bool, reason: Reason) {
    facts.watch = Some(StatusFile::Fresh(report(ready, reason)));
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = node();
    all.extend(runtime());
    all.extend(server());
    all.extend(sources());
    all
}

fn node() -> Vec<Case> {
    vec![
        case(
            "switched-off",
            |facts| facts.off_switch = Some(OffSwitch::File),
            |facts| facts.off_switch = None,
        ),
        case(
            "node-json-unusable",
            |facts| {
                facts.node.unusable = Some(InvalidSettings {
                    why: "node.json: lables".into(),
                    mode_by: "the file itself says so",
                    unusable_keys: None,
                });
            },
            |facts| facts.node.node_file = Some("/etc/crossfade/node.json".into()),
        ),
        case(
            "boot-failed",
            |facts| facts.booted = Err(Problem::new("boot has not succeeded in this boot")),
            |_| {},
        ),
        case(
            "gate-shut",
            |facts| facts.gate = gate(&["a policy is missing"]),
            |facts| kubelet(facts, unit("activating", "start-pre")),
        ),
        case(
            "gate-gave-up",
            |facts| facts.unfit = Some("a policy is missing\n".into()),
            |facts| facts.gate = gate(&[]),
        ),
        // A kubelet that the gate holds back ends as often as one that fails by itself.
        case(
            "kubelet-down",
            |facts| kubelet(facts, unit("activating", "auto-restart")),
            |facts| {
                kubelet(facts, unit("activating", "auto-restart"));
                facts.gate = gate(&["a policy is missing"]);
            },
        ),
        case(
            "policy-unusable",
            |facts| facts.node.policy = Err("read policy /etc/crossfade/policy.json: absent".into()),
            |facts| facts.node.policy = Ok(policy_file(&policy("new"))),
        ),
        case(
            "earlier-image",
            |facts| facts.node.settings.conf_dir = Mode::Without,
            |facts| {
                facts.node.settings.conf_dir = Mode::Without;
                facts.node.dirs.installed = OwnConfFile::Absent;
            },
        ),
        case(
            "watch-down",
            |facts| facts.watch = Some(StatusFile::Absent),
            |facts| watch(facts, false, Reason::ConfNotFirst),
        ),
        case(
            "watch-not-ready",
            |facts| watch(facts, false, Reason::WaitingForNetwork),
            |facts| {
                watch(facts, false, Reason::WaitingForNetwork);
                facts.networks[0].probes = Err("no answer".into());
            },
        ),
        case(
            "sweep-fails",
            |facts| facts.swept = Some(swept(Some("1 of 2 changes failed"))),
            |facts| facts.swept = Some(swept(None)),
        ),
    ]
}

fn swept(failed: Option<&str>) -> PassResult {
    PassResult { version: 1, turn: 1, boot_id: BOOT.into(), failed: failed.map(str::to_owned), pods: None }
}

fn runtime() -> Vec<Case> {
    vec![
        case(
            "runtime-unknown",
            |facts| facts.node.runtime.answer = RuntimeAnswer::Unknown("two sockets".into()),
            |facts| facts.node.runtime.answer = RuntimeAnswer::NotAsked,
        ),
        case(
            "runtime-down",
            |facts| facts.node.runtime.answer = RuntimeAnswer::Absent("no socket".into()),
            |facts| facts.node.runtime.answer = RuntimeAnswer::Silent,
        ),
        case(
            "runtime-hangs",
            |facts| facts.node.runtime.answer = RuntimeAnswer::Failed("no answer within 10 s".into()),
            |facts| facts.node.runtime.answer = RuntimeAnswer::Absent("no socket".into()),
        ),
        case(
            "runtime-restart",
            |facts| watch(facts, false, Reason::RuntimeRestartNeeded),
            |facts| watch(facts, false, Reason::RuntimeUnknown),
        ),
        case(
            "several-confs",
            |facts| facts.node.runtime.answer = loaded("oldnet", "crossfade", 0),
            |facts| facts.node.runtime.answer = loaded("oldnet", "crossfade", 1),
        ),
        case(
            "runtime-config",
            |facts| {
                facts.node.runtime.config =
                    ConfigFact::Unreadable(Problem::new("config.toml: no TOML").with_place("/etc/c"))
            },
            |facts| facts.node.runtime.config = ConfigFact::NoRuntime,
        ),
    ]
}

fn server() -> Vec<Case> {
    vec![
        case(
            "node-condition-ready",
            |facts| drop(registered(facts).conditions.insert("Ready".into(), condition("Unknown"))),
            |facts| drop(registered(facts).conditions.remove("Ready")),
        ),
        case(
            "network-unavailable",
            |facts| drop(registered(facts).conditions.insert("NetworkUnavailable".into(), condition("True"))),
            |facts| drop(registered(facts).conditions.remove("NetworkUnavailable")),
        ),
        case(
            "node-unregistered",
            |facts| {
                facts.server = Source::Read(ApiServerState { node: "n1".into(), ..ApiServerState::default() })
            },
            |facts| facts.server = Source::Absent("no credential".into()),
        ),
        case(
            "node-labels",
            |facts| facts.node.settings.labels = [("a".into(), "b".into())].into(),
            |facts| {
                // The label with the phase is the report's, whatever node.json registers first.
                facts.node.settings.labels =
                    [("a".into(), "b".into()), ("crossfade/phase".into(), "old".into())].into();
                registered(facts).labels = [("a".into(), "b".into()), ("c".into(), "d".into())].into();
            },
        ),
        case(
            "node-outdated",
            |facts| registered(facts).observed = Some(r#"{"bootId":"another"}"#.into()),
            |facts| registered(facts).observed = None,
        ),
        case(
            "desired-unmet",
            |facts| {
                facts.node.settings.desired = DesiredSource::NodeAnnotation;
                registered(facts).desired = Some("new".into());
            },
            |facts| registered(facts).desired = Some("old".into()),
        ),
        case(
            "api-server",
            |facts| facts.server = Source::Unread(Problem::new("list this Node: connection refused")),
            |facts| facts.server = Source::Absent("no credential".into()),
        ),
    ]
}

fn sources() -> Vec<Case> {
    vec![case(
        "source-unread",
        |facts| {
            facts.journal =
                Source::Unread(Problem::new("journalctl: no answer within 10 s").with_place("the journal"))
        },
        |facts| facts.journal = Source::Absent("systemd does not run this node".into()),
    )]
}

#[test]
fn a_condition_that_says_the_opposite_of_watch_is_outdated() {
    let opposite = decide_after(|facts| {
        registered(facts).conditions.insert("CrossfadeReady".into(), condition("False"));
    });
    assert_eq!(opposite.iter().map(|finding| finding.rule.code).collect::<Vec<_>>(), ["node-outdated"]);
}

#[test]
fn a_node_that_is_switched_off_has_no_findings_about_what_is_off() {
    let all = decide_after(|facts| {
        facts.off_switch = Some(OffSwitch::File);
        facts.watch = Some(StatusFile::Absent);
        facts.node.dirs.installed = OwnConfFile::Absent;
        facts.node.runtime.answer = loaded("other", "bridge", 1);
    });
    assert_eq!(all.iter().map(|finding| finding.rule.code).collect::<Vec<_>>(), ["switched-off"]);
}

#[test]
fn on_a_node_without_a_unit_of_watch_no_command_starts_it() {
    let all = decide_after(|facts| {
        facts.watch = Some(StatusFile::Absent);
        let Source::Read(units) = &mut facts.units else { panic!("read") };
        units.remove(WATCH_UNIT);
    });
    let commands: Vec<_> = all[0].mend.iter().filter_map(|mend| mend.command.as_deref()).collect();
    assert_eq!((all[0].rule.code, commands.as_slice()), ("watch-down", &[][..]));
}
