use std::collections::BTreeMap;

use serde_json::json;
use shim::attachment::plan::PodNetwork;
use types::api::step::Step;
use types::policy::Policy;

use crate::commands::move_pods::decide::*;
use crate::node::attachments::{Life, Line, Part};
use crate::publish::pods::Owner;

/// A node whose policy gives pods the new network, and DNS both.
fn policy(attach: &str) -> Policy {
    let text = json!({"version": 1, "attach": attach,
        "networks": {"old": {"conf": ["/o"]}, "new": {"conf": ["/n"]}}, "both": {"primary": "old"},
        "rules": [{"namespace": "dns", "attach": "both"}],
        "podAnnotation": {"key": "crossfade/attach", "allow": ["old"]}});
    Policy::parse(text.to_string().as_bytes()).expect("valid")
}

fn part(side: &'static str, primary: bool) -> Part {
    Part {
        name: format!("{side}net"),
        side: Some(side),
        ifname: "eth0".into(),
        primary,
        owed: true,
        in_pod: Some(true),
    }
}

fn pod_networks(sides: &[&'static str]) -> Vec<PodNetwork> {
    let network = |(at, side): (usize, &&str)| PodNetwork {
        side: Side::parse(side),
        primary: at == 0,
        attached: true,
        default_route: at == 0,
        host_route: false,
    };
    sides.iter().enumerate().map(network).collect()
}

/// The attachment of sandbox `id`; the first of `sides` is the primary one.
pub(in super::super) fn line(id: &str, sides: &[&'static str]) -> Line {
    Line {
        container_id: id.into(),
        ifname: "eth0".into(),
        life: Life::Attached,
        age_secs: None,
        earlier_boot: false,
        namespace: None,
        pod: None,
        uid: None,
        networks: sides.iter().enumerate().map(|(at, side)| part(side, at == 0)).collect(),
        del_failing_secs: None,
        pod_networks: pod_networks(sides),
        addresses: Vec::new(),
        deleted_by: None,
    }
}

pub(in super::super) fn sandbox(id: &str, title: &str) -> Sandbox {
    let (namespace, name) = title.split_once('/').expect("NAMESPACE/NAME");
    Sandbox {
        id: id.into(),
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        ..Sandbox::default()
    }
}

/// A pod of a ReplicaSet that can be moved in both ways.
pub(in super::super) fn pod(title: &str) -> BoundPod {
    let (namespace, name) = title.split_once('/').expect("NAMESPACE/NAME");
    BoundPod {
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        owner: Some(Owner { kind: "ReplicaSet".into(), uid: "rs".into() }),
        restarts_always: true,
        is_ready: true,
        grace_secs: 30,
        containers: [format!("{name}-c")].into(),
        ..BoundPod::default()
    }
}

/// One pod `web/a` on the old network, where the policy says new.
fn facts() -> Facts {
    Facts {
        policy: Some(policy("new")),
        lines: vec![line("s1", &["old"])],
        sandboxes: vec![sandbox("s1", "web/a")],
        pods: vec![pod("web/a")],
        ..Facts::default()
    }
}

fn fates(facts: &Facts, options: &MoveOptions) -> Vec<(String, PodDisposition)> {
    let decision = decide(facts, options);
    assert_eq!(decision.refusals, []);
    decision.candidates.iter().map(|candidate| (candidate.title(), candidate.fate)).collect()
}

fn fate_of(pod: BoundPod, options: &MoveOptions) -> PodDisposition {
    let facts = Facts { pods: vec![pod], ..facts() };
    match fates(&facts, options).as_slice() {
        [(title, fate)] if title == "web/a" => *fate,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_goes_if_the_policy_would_attach_it_otherwise_now() {
    let phases = |sides: &[&'static str], title: &str, annotations: &[(&str, &str)]| {
        let annotations: BTreeMap<_, _> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let facts = Facts {
            lines: vec![line("s1", sides)],
            sandboxes: vec![sandbox("s1", title)],
            pods: vec![BoundPod { annotations, ..pod(title) }],
            ..facts()
        };
        let decision = decide(&facts, &MoveOptions::default());
        decision.candidates.first().map(|candidate| (candidate.from, candidate.to))
    };
    let both = (Some(Phase::Old), Phase::BothOld);
    for (sides, title, annotations, expected) in [
        (&["old"][..], "web/a", &[][..], Some((Some(Phase::Old), Phase::New))),
        (&["old", "new"], "web/a", &[], Some((Some(Phase::BothOld), Phase::New))),
        (&["new"], "web/a", &[], None),
        // A rule and an annotation count as for a new pod.
        (&["old"], "dns/a", &[], Some(both)),
        (&["old", "new"], "dns/a", &[], None),
        (&["old"], "web/a", &[("crossfade/attach", "old")], None),
        (&["old"], "web/a", &[("crossfade/attach", "both")], Some((Some(Phase::Old), Phase::New))),
    ] {
        assert_eq!(phases(sides, title, annotations), expected, "{sides:?} {title} {annotations:?}");
    }
    // A network that the policy does not name any more.
    let mut retired = facts();
    retired.lines[0].networks[0].side = None;
    let decision = decide(&retired, &MoveOptions::default());
    assert_eq!((decision.candidates[0].from, decision.candidates[0].fate), (None, PodDisposition::Evicted));
}

#[test]
fn only_what_was_asked_for_goes() {
    let facts = Facts {
        lines: vec![line("s1", &["old"]), line("s2", &["old", "new"]), line("s3", &["new"])],
        sandboxes: vec![sandbox("s1", "web/a"), sandbox("s2", "web/b"), sandbox("s3", "db/c")],
        pods: vec![pod("web/a"), pod("web/b"), pod("db/c")],
        ..facts()
    };
    let titles = |selection: Option<&str>, pods: &[&str]| {
        let options = MoveOptions {
            selection: selection.map(Into::into),
            pods: pods.iter().map(|glob| (*glob).to_owned()).collect(),
            ..MoveOptions::default()
        };
        fates(&facts, &options)
    };
    let (evicted, same) = (PodDisposition::Evicted, PodDisposition::Stays(StayReason::Same));
    let named = |all: &[(&str, PodDisposition)]| -> Vec<_> {
        all.iter().map(|(title, fate)| ((*title).to_owned(), *fate)).collect()
    };
    assert_eq!(titles(None, &[]), named(&[("web/a", evicted), ("web/b", evicted)]));
    assert_eq!(titles(Some("old"), &[]), named(&[("web/a", evicted)]));
    assert_eq!(titles(Some("both-old"), &[]), named(&[("web/b", evicted)]));
    assert_eq!(titles(Some("oldnet"), &[]), named(&[("web/a", evicted), ("web/b", evicted)]));
    assert_eq!(titles(Some("new"), &[]), named(&[("db/c", same)]), "it would come back as it is");
    assert_eq!(titles(None, &["*/b", "db/*"]), named(&[("web/b", evicted)]));
}

#[test]
fn each_pod_has_one_fate_and_options_change_it() {
    use PodDisposition::{Deleted, Ends, Evicted, Restarted, Stays};
    let none = MoveOptions::default();
    let in_place = MoveOptions { in_place: true, ..MoveOptions::default() };
    let this = || vec!["web/*".to_owned()];
    let bare = || BoundPod { owner: None, ..pod("web/a") };
    let owner = |kind: &str| Some(Owner { kind: kind.into(), uid: "o".into() });
    let job = || BoundPod { owner: owner("Job"), restarts_always: false, ..pod("web/a") };
    let local = || BoundPod { has_empty_dir: true, ..pod("web/a") };
    let hooked = || BoundPod { has_pre_stop: true, ..pod("web/a") };
    let pinned = || BoundPod {
        annotations: [("karpenter.sh/do-not-disrupt".to_owned(), "true".to_owned())].into(),
        ..pod("web/a")
    };
    let fixed = || BoundPod { is_static: true, ..pod("web/a") };
    for (pod, options, expected) in [
        (pod("web/a"), none.clone(), Evicted),
        (pod("web/a"), in_place.clone(), Restarted),
        (fixed(), none.clone(), Stays(StayReason::Static)),
        (fixed(), MoveOptions { disrupt: this(), ..in_place.clone() }, Stays(StayReason::Static)),
        (BoundPod { is_leaving: true, ..bare() }, none.clone(), Ends),
        (BoundPod { has_ended: true, ..job() }, in_place.clone(), Ends),
        (pinned(), none.clone(), Stays(StayReason::Undisturbed)),
        (pinned(), in_place.clone(), Stays(StayReason::Undisturbed)),
        (pinned(), MoveOptions { disrupt: this(), ..none.clone() }, Evicted),
        (
            pinned(),
            MoveOptions { disrupt: vec!["db/*".into()], ..none.clone() },
            Stays(StayReason::Undisturbed),
        ),
        (local(), none.clone(), Stays(StayReason::EmptyDir)),
        (local(), in_place.clone(), Restarted),
        (local(), MoveOptions { delete_empty_dir: true, ..none.clone() }, Evicted),
        (BoundPod { owner: owner("DaemonSet"), ..local() }, none.clone(), Evicted),
        (bare(), none.clone(), Stays(StayReason::Bare)),
        (bare(), MoveOptions { delete_bare: this(), ..none.clone() }, Deleted),
        (bare(), in_place.clone(), Restarted),
        (pod("web/a"), MoveOptions { delete_bare: this(), ..none.clone() }, Evicted),
        (job(), none.clone(), Stays(StayReason::OfJob)),
        (job(), MoveOptions { disrupt: this(), ..none.clone() }, Evicted),
        (job(), MoveOptions { disrupt: this(), ..in_place.clone() }, Stays(StayReason::Once)),
        (hooked(), none, Evicted),
        (hooked(), in_place.clone(), Stays(StayReason::PreStop)),
        (hooked(), MoveOptions { skip_pre_stop: true, ..in_place }, Restarted),
    ] {
        assert_eq!(fate_of(pod.clone(), &options), expected, "{pod:?} {options:?}");
    }
}

#[test]
fn a_sandbox_of_which_too_little_is_known_stays() {
    let unrecorded = Facts { lines: Vec::new(), ..facts() };
    let stays = |why| vec![("web/a".to_owned(), PodDisposition::Stays(why))];
    assert_eq!(fates(&unrecorded, &MoveOptions::default()), stays(StayReason::Unrecorded));
    let unknown = Facts { pods: Vec::new(), ..facts() };
    assert_eq!(fates(&unknown, &MoveOptions::default()), stays(StayReason::Unknown));
}

#[test]
fn pods_of_daemon_sets_go_first_and_those_that_stay_are_last() {
    let daemon =
        BoundPod { owner: Some(Owner { kind: "DaemonSet".into(), uid: "ds".into() }), ..pod("web/z") };
    let facts = Facts {
        lines: ["s1", "s2", "s3", "s4"].map(|id| line(id, &["old"])).into(),
        sandboxes: vec![
            sandbox("s1", "a/bare"),
            sandbox("s2", "web/b"),
            sandbox("s3", "web/a"),
            sandbox("s4", "web/z"),
        ],
        pods: vec![BoundPod { owner: None, ..pod("a/bare") }, pod("web/b"), pod("web/a"), daemon],
        ..facts()
    };
    let order: Vec<_> = fates(&facts, &MoveOptions::default()).into_iter().map(|(title, _)| title).collect();
    assert_eq!(order, ["web/z", "web/a", "web/b", "a/bare"]);
}

#[test]
fn nothing_goes_while_a_run_moves_the_node_or_something_stands_in_the_way() {
    let step = |state: &str| {
        let text = format!(
            r#"{{"run":"r-7k2m","plan":"4be1","epoch":3,"claim":"r.1.1","to":"both-old","state":"{state}"}}"#
        );
        Some(Step::parse(&text).expect("a step"))
    };
    for (state, refused) in [("moving", 1), ("claimed", 1), ("done", 0)] {
        let facts = Facts { step: step(state), ..facts() };
        assert_eq!(decide(&facts, &MoveOptions::default()).refusals.len(), refused, "{state}");
        let no_restart = MoveOptions { ways: Ways::NoRestart, ..MoveOptions::default() };
        assert!(decide(&facts, &no_restart).refusals.is_empty(), "the run lets the node join and leave");
    }
    let obstacles = vec![Problem::new("the new network is not ready")];
    let both = Facts { step: step("moving"), obstacles, ..facts() };
    assert_eq!(decide(&both, &MoveOptions::default()).refusals.len(), 2);
    let no_policy = Facts { policy: None, ..facts() };
    assert!(decide(&no_policy, &MoveOptions::default()).candidates.is_empty());
}

/// `web/a` on `sides`, where the policy gives it `attach` with `old` as the primary.
fn live(sides: &[&'static str], attach: &str) -> Facts {
    Facts {
        policy: Some(policy(attach)),
        joining: Side::BOTH.into(),
        lines: vec![line("s1", sides)],
        ..facts()
    }
}

#[test]
fn a_pod_whose_primary_stays_is_not_restarted() {
    use PodDisposition::{Evicted, Joined, Left, Stays};
    let (none, restart_only, no_restart) = (
        MoveOptions::default(),
        MoveOptions { ways: Ways::RestartOnly, ..MoveOptions::default() },
        MoveOptions { ways: Ways::NoRestart, ..MoveOptions::default() },
    );
    for (facts, options, fate, restart) in [
        (live(&["old"], "both"), &none, Joined(Side::New), None),
        (live(&["old"], "both"), &no_restart, Joined(Side::New), None),
        (live(&["old"], "both"), &restart_only, Evicted, None),
        (live(&["old", "new"], "old"), &none, Left(Side::New), None),
        (live(&["new"], "both"), &none, Evicted, Some("the address in its status would change")),
        (live(&["new"], "both"), &no_restart, Stays(StayReason::NeedsRestart), None),
        (live(&["new", "old"], "old"), &none, Evicted, Some("the address in its status would change")),
    ] {
        let decision = decide(&facts, options);
        let [candidate] = decision.candidates.as_slice() else { panic!("{:?}", decision.candidates) };
        assert_eq!((candidate.fate, candidate.restart), (fate, restart), "{options:?}");
    }
}

#[test]
fn what_hinders_an_eviction_hinders_no_join() {
    let pods = [
        BoundPod { is_static: true, ..pod("web/a") },
        BoundPod { owner: None, has_empty_dir: true, ..pod("web/a") },
        BoundPod { owner: Some(Owner { kind: "Job".into(), uid: "j".into() }), ..pod("web/a") },
        BoundPod {
            annotations: [("karpenter.sh/do-not-disrupt".to_owned(), "true".to_owned())].into(),
            ..pod("web/a")
        },
    ];
    for pod in pods {
        let facts = Facts { pods: vec![pod], ..live(&["old"], "both") };
        assert_eq!(
            fates(&facts, &MoveOptions::default()),
            [("web/a".to_owned(), PodDisposition::Joined(Side::New))]
        );
    }
    let ends = Facts { pods: vec![BoundPod { is_leaving: true, ..pod("web/a") }], ..live(&["old"], "both") };
    assert_eq!(fates(&ends, &MoveOptions::default()), [("web/a".to_owned(), PodDisposition::Ends)]);
}

#[test]
fn a_network_or_a_runtime_that_bears_no_join_means_a_restart() {
    let reason = |facts: &Facts| decide(facts, &MoveOptions::default()).candidates[0].restart;
    let refused = Facts { joining: vec![Side::Old], ..live(&["old"], "both") };
    assert!(reason(&refused).is_some_and(|why| why.contains("profile")), "{:?}", reason(&refused));
    for (runtime_type, handler, joins) in [
        (Some("io.containerd.runc.v2"), "crun", true),
        (Some("io.containerd.kata.v2"), "", false),
        (Some("io.containerd.runsc.v1"), "gvisor", false),
        (None, "", true),
        (None, "crun", true),
        (None, "kata-qemu", false),
    ] {
        let mut facts = live(&["old"], "both");
        facts.sandboxes[0].runtime_type = runtime_type.map(str::to_owned);
        facts.sandboxes[0].handler = handler.into();
        assert_eq!(reason(&facts).is_none(), joins, "{runtime_type:?} {handler}");
    }
}

#[test]
fn a_network_that_did_not_leave_or_join_as_a_whole_is_still_to_do() {
    for (attach, fate) in
        [("old", PodDisposition::Left(Side::New)), ("both", PodDisposition::Joined(Side::New))]
    {
        let mut half = live(&["old", "new"], attach);
        half.lines[0].networks[1].in_pod = Some(false);
        half.lines[0].pod_networks[1].attached = false;
        assert_eq!(fates(&half, &MoveOptions::default()), [("web/a".to_owned(), fate)], "{attach}");
    }
}

#[test]
fn a_pod_whose_del_goes_past_crossfade_is_restarted() {
    let mut past = live(&["old"], "both");
    past.lines[0].deleted_by = Some(shim::node::inventory::Deleter::Runtime);
    let decision = decide(&past, &MoveOptions::default());
    assert!(decision.candidates[0].restart.is_some_and(|why| why.contains("past Crossfade")), "{decision:?}");
}

#[test]
fn a_pod_that_asks_for_a_restart_gets_one() {
    let mut asks = live(&["old"], "both");
    asks.pods[0].annotations = [("crossfade/restart".to_owned(), "true".to_owned())].into();
    let candidate = decide(&asks, &MoveOptions::default()).candidates.remove(0);
    assert_eq!(candidate.fate, PodDisposition::Evicted);
    assert!(candidate.restart.is_some_and(|why| why.contains("crossfade/restart")), "{candidate:?}");
}
