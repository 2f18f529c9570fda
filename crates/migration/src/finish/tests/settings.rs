use super::*;

#[test]
fn policies_that_differ_or_are_unknown_stop_the_fence() {
    for policies in [
        PolicyComparison { differences: vec!["x to y".into()], ..PolicyComparison::default() },
        PolicyComparison { unknown: vec![Problem::new("not read")], ..PolicyComparison::default() },
    ] {
        let world = World { policies, ..World::approved() };
        assert_eq!(world.next(), (LineName::Policies, LineState::Waits));
    }
}

#[test]
fn settings_of_the_last_stage_are_shown_as_a_change() {
    let mut world = World::approved();
    let data = json!({"custom-cni-conf": "true", "enable-policy": "never", "unmanaged-pod-watcher-interval": "0".repeat(1 << 20)});
    let config = object(
        Kind::CONFIG_MAP,
        "cilium-config",
        json!({"metadata": {"namespace": "kube-system"}, "data": data}),
    );
    world.case = Case::new(Cni::Calico, Cni::Cilium, vec![config]).config("transition: {phase: finish}");
    let line = world.line(LineName::Values);
    assert_eq!((line.state, line.evidence.len()), (LineState::Waits, 2), "{line:?}");
    for (index, shown) in [
        "cni.customConf=false (custom-cni-conf: true becomes false)",
        "operator.unmanagedPodWatcher.restart=true (unmanaged-pod-watcher-interval: 0",
    ]
    .iter()
    .enumerate()
    {
        assert!(line.evidence[index].starts_with(shown), "{line:?}");
    }
    assert!(line.evidence.iter().all(|what| what.len() < 350), "{line:?}");
    let steps: Vec<&str> = line.help.split("; ").filter(|step| step.contains(". helm upgrade")).collect();
    let sets: Vec<Vec<&str>> = steps
        .iter()
        .map(|step| step.split(" --set ").skip(1).filter_map(|set| set.split(' ').next()).collect())
        .collect();
    let each = ["cni.customConf=false", "operator.unmanagedPodWatcher.restart=true"];
    assert_eq!(sets, each.map(|set| vec![set]), "{line:?}");
    let changes = world.decide(super::lines::changes);
    let sets: Vec<(&str, &str)> = changes.iter().map(|change| (change.set, change.value)).collect();
    let file = crate::cni::values::file(&sets);
    assert_eq!(
        file,
        "cni:\n  customConf: false\noperator:\n  unmanagedPodWatcher:\n    restart: true\npolicyEnforcementMode: default\n"
    );
    world.case = Case::new(Cni::Calico, Cni::Cilium, vec![]);
    assert_eq!(
        world.line(LineName::Values).state,
        LineState::Waits,
        "settings that are not known are not right"
    );
}

/// Cilium before its last settings.
fn before_the_last_settings(from: Cni, data: Value, observation_hours: u32) -> World {
    let config = object(Kind::CONFIG_MAP, "cilium-config", json!({"data": data}));
    let spec =
        json!({"template": {"spec": {"containers": [{"name": "cilium-agent", "image": "cilium:v1.17.4"}]}}});
    let agent =
        object(Kind::DAEMON_SET, "cilium", json!({"metadata": {"namespace": "kube-system"}, "spec": spec}));
    let settings =
        format!("transition: {{phase: finish}}\nfinish: {{observationHours: {observation_hours}}}");
    World { case: Case::new(from, Cni::Cilium, vec![config, agent]).config(&settings), ..World::new() }
}

/// From this setting on, Cilium drops packets. Each row: what is known of the policies, the hours that are asked for, and what holds the setting back.
#[test]
fn enforcement_is_named_once_the_policies_are_alike_and_real_flows_pass() {
    let seen = |problems: &[&str], window: Option<(&str, &str)>| {
        let time = |text: &str| text.parse().expect("a time");
        let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        let window = window.map(|(first, last)| (time(first), time(last)));
        Some(Observation { problems, allowed: 7, open: 7, lost: 0, window })
    };
    let begins = "2026-01-01T00:00:00Z";
    let day = seen(&[], Some((begins, "2026-01-01T23:55:00Z")));
    let day_with = |open, lost| day.clone().map(|day| Observation { open, lost, ..day });
    let day_at = |first, last| seen(&[], Some((first, last)));
    let known =
        |policies, observation| PolicyComparison { policies, observation, ..PolicyComparison::default() };
    let different = PolicyComparison { differences: vec!["x to y".into()], ..known(2, day.clone()) };
    let unknown =
        PolicyComparison { unknown: vec![Problem::new("not read").fix("read it")], ..known(2, day.clone()) };
    for (policies, hours, held) in [
        (known(0, None), 24, None),
        (known(0, seen(&["no flow could be judged"], None)), 24, None),
        (known(2, None), 24, Some("2 policies would be enforced from then on")),
        (known(1, None), 1, Some("1 policy would be enforced from then on")),
        (known(2, None), 0, None),
        (known(2, day.clone()), 24, None),
        (known(2, day.clone()), 25, Some("25 hours are asked for")),
        (known(2, seen(&[], Some((begins, "2026-01-01T23:54:59Z")))), 24, Some("24 hours are asked for")),
        (known(2, seen(&[], None)), 24, Some("does not say when")),
        (known(2, day_with(8, 0)), 24, Some("let through, and 8 that may be denied")),
        (known(2, day_with(0, 1)), 24, Some("lost 1 flows")),
        (known(2, day_with(8, 1)), 0, None),
        (known(2, day_at("2026-01-02T00:00:00Z", "2026-01-03T00:05:00Z")), 24, None),
        (
            known(2, day_at("2026-01-02T00:00:00Z", "2026-01-03T00:05:01Z")),
            24,
            Some("2026-01-03T00:00:00Z now"),
        ),
        (known(2, day_at("2025-12-25T23:00:00Z", "2025-12-27T00:00:00Z")), 24, None),
        (known(2, day_at("2025-12-25T23:00:00Z", "2025-12-26T23:59:59Z")), 24, Some("more than 7 days ago")),
        (known(2, seen(&[], None)), 0, None),
        (
            known(2, seen(&["TCP 80 would be denied"], Some((begins, "2026-01-02T00:00:00Z")))),
            24,
            Some("TCP 80"),
        ),
        (known(2, seen(&["TCP 80 would be denied"], None)), 0, Some("TCP 80")),
        (different.clone(), 24, Some("x to y")),
        (unknown.clone(), 24, Some("not read")),
    ] {
        for from in [Cni::Flannel, Cni::Calico] {
            let data = json!({"custom-cni-conf": "false", "enable-policy": "never", "unmanaged-pod-watcher-interval": "15"});
            let world = World { policies: policies.clone(), ..before_the_last_settings(from, data, hours) };
            let values = world.line(LineName::Values);
            assert_eq!(values.state, LineState::Done, "{values:?}");
            assert!(values.evidence[0].contains("policyEnforcementMode: the line policies"), "{values:?}");
            let line = world.line(LineName::Policies);
            let row = format!("{hours} {policies:?}: {line:?}");
            assert_eq!(line.state, LineState::Waits, "{row}");
            let is_named = line.help.contains("--set policyEnforcementMode=default");
            assert_eq!(is_named, held.is_none(), "{row}");
            let changes = world.decide(super::lines::changes);
            assert_eq!(changes.len(), usize::from(held.is_none()), "{row}");
            if let Some(held) = held {
                assert!(line.evidence.iter().any(|what| what.contains(held)), "{row}");
            }
            let data = json!({"custom-cni-conf": "false", "unmanaged-pod-watcher-interval": "15"});
            let world = World { policies: policies.clone(), ..before_the_last_settings(from, data, hours) };
            let line = world.line(LineName::Policies);
            let is_alike = policies.differences.is_empty() && policies.unknown.is_empty();
            assert_eq!(line.state == LineState::Done, is_alike, "Cilium enforces them already: {row}");
            let problems = policies.observation.iter().flat_map(|observation| &observation.problems);
            for problem in problems.filter(|_| is_alike) {
                assert!(line.evidence.contains(problem), "what is denied already is not hidden: {line:?}");
            }
        }
    }
    let help = |policies| {
        let world = before_the_last_settings(Cni::Calico, json!({"enable-policy": "never"}), 24);
        World { policies, ..world }.line(LineName::Policies).help
    };
    for (policies, words) in [
        (known(1, None), "kubectl crossfade finish --from calico --to cilium --flows FILE"),
        (known(1, None), "observationHours: 0"),
        (known(1, None), "kubectl crossfade finish --confirm HASH"),
        (known(1, seen(&["TCP 80"], None)), "by a NetworkPolicy, which both CNIs enforce, and"),
        (different, "policies convert"),
    ] {
        assert!(help(policies.clone()).contains(words), "{policies:?}");
    }
    assert_eq!(help(unknown), "read it");
    // What the settings file says now is not what was approved.
    let mut world = before_the_last_settings(Cni::Calico, json!({"enable-policy": "never"}), 0);
    world.plan = Some(FinishPlan { observation_hours: 24, ..world.plan() });
    world.policies = known(1, None);
    let is_named = |change: &super::lines::Change| change.set == "policyEnforcementMode";
    assert!(!world.decide(super::lines::changes).iter().any(is_named));
}

/// No policy could ever be alike.
#[test]
fn a_cni_that_enforces_nothing_waits_until_no_policy_is_left() {
    for (policies, state) in [(0, LineState::Done), (2, LineState::Waits)] {
        let policies = PolicyComparison { policies, ..PolicyComparison::default() };
        let case = Case::new(Cni::Cilium, Cni::Flannel, vec![]);
        let line = World { policies, case, ..World::new() }.line(LineName::Policies);
        assert_eq!(line.state, state, "{line:?}");
        let is_named = line.evidence[0] == "flannel enforces none of 2 policies";
        assert_eq!(is_named && line.help.contains("delete them"), state == LineState::Waits, "{line:?}");
    }
}

/// What does not read a setting runs on.
#[test]
fn the_page_has_the_commands_of_the_last_settings_as_the_lines_print_them() {
    let data =
        json!({"custom-cni-conf": "true", "enable-policy": "never", "unmanaged-pod-watcher-interval": "0"});
    let world = before_the_last_settings(Cni::Flannel, data, 24);
    let help = [LineName::Values, LineName::Policies].map(|name| world.line(name).help).join("; ");
    let steps = help.split("; ").filter_map(|step| step.split_once(" helm "));
    let commands: Vec<String> =
        steps.map(|(_, step)| format!("helm {}", step.split(". --").next().unwrap_or(step))).collect();
    let page = include_str!("../../../../../docs/finish.md");
    let printed: Vec<&str> = page.lines().filter(|line| line.starts_with("helm upgrade")).collect();
    assert_eq!(commands, printed, "{help}");
}

/// What a person sets is a key of the resource itself, and no chart has a file of it.
#[test]
fn settings_without_a_chart_are_named_as_the_resource_has_them() {
    let mut world = World::approved();
    let felix = object(
        Kind::FELIX_CONFIGURATION,
        "default",
        json!({"metadata": {"name": "default"}, "spec": {"bpfEnabled": true}}),
    );
    let agent = agent("kube-system", "calico-node", "calico-node", 3);
    world.case =
        Case::new(Cni::Flannel, Cni::Calico, vec![felix, agent]).config("transition: {phase: finish}");
    let help = world.line(LineName::Values).help;
    assert!(!help.is_empty(), "a setting changes");
    assert_eq!(world.line(LineName::Policies).state, LineState::Done, "no setting enforces policies");
    let line = world.line(LineName::Values);
    assert_eq!(line.evidence, ["bpfEnabled: true becomes false"]);
    assert!(line.help.contains(r#"'{"spec":{"bpfEnabled":false}}'"#), "{line:?}");
    assert!(!line.help.contains("--values"), "{line:?}");
}
