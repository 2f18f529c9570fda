//! The union of all taints, and nothing but the union.

use types::api::taint::{Effect, parse};

use crate::kubelet::registration::*;
use crate::kubelet::sources::List;

fn sources_with_lists(lists: &[&str]) -> KubeletSources {
    let list =
        |(at, text): (usize, &&str)| List { source: format!("s{at}"), taints: parse(text).expect(text) };
    KubeletSources {
        lists: lists.iter().enumerate().map(list).collect(),
        registers: true,
        ..KubeletSources::default()
    }
}

fn own(taints: &str) -> OwnRegistration {
    OwnRegistration { taints: parse(taints).expect(taints), ..OwnRegistration::default() }
}

#[test]
fn taints_are_joined_once_and_ours_come_last() {
    for (lists, ours, expected, conflicts) in [
        (&[][..], "a:NoSchedule", "a:NoSchedule", 0),
        (&["k:NoExecute"], "a:NoSchedule", "k:NoExecute,a:NoSchedule", 0),
        (&["k:NoExecute", "u:NoSchedule"], "a:NoSchedule", "k:NoExecute,u:NoSchedule,a:NoSchedule", 1),
        (
            &["k:NoExecute,u:NoSchedule", "u:NoSchedule,k:NoExecute"],
            "a:NoSchedule",
            "k:NoExecute,u:NoSchedule,a:NoSchedule",
            0,
        ),
        (&["k:NoExecute", ""], "a:NoSchedule", "a:NoSchedule", 0),
        (&["k:NoExecute", "", "u:NoSchedule"], "a:NoSchedule", "u:NoSchedule,a:NoSchedule", 0),
        (&["a=1:NoSchedule,b:NoExecute"], "a:NoSchedule", "b:NoExecute,a=1:NoSchedule", 0),
        (&["a=1:NoSchedule"], "a=2:NoSchedule", "a=2:NoSchedule", 1),
        (&["a=1:NoSchedule", "a=2:NoSchedule"], "b:NoExecute", "a=2:NoSchedule,b:NoExecute", 0),
        (&["a:NoExecute"], "a:NoSchedule", "a:NoExecute,a:NoSchedule", 0),
        (&["a:NoSchedule,a=2:NoSchedule"], "b:NoSchedule", "a=2:NoSchedule,b:NoSchedule", 0),
    ] {
        let registration = decide(&own(ours), &sources_with_lists(lists));
        assert_eq!(
            registration.arguments,
            [format!("--register-with-taints={expected}")],
            "{lists:?} {ours}"
        );
        assert_eq!(registration.conflicts.len(), conflicts, "{lists:?} {ours}: {:?}", registration.conflicts);
    }
}

#[test]
fn taints_go_into_a_file_where_kubelet_reads_a_directory_of_them_and_its_flags_have_no_taints() {
    let drop_ins =
        |sources: KubeletSources| KubeletSources { drop_ins: Some(vec!["/d/40-x.conf".into()]), ..sources };
    let registration = decide(&own("a:NoSchedule"), &drop_ins(sources_with_lists(&["k=v:NoExecute"])));
    assert_eq!(registration.arguments, ["--config-dir=/run/crossfade/kubelet.conf.d"]);
    let file: serde_json::Value = serde_json::from_str(&registration.drop_in.expect("a file")).expect("JSON");
    assert_eq!(
        file,
        serde_json::json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "registerWithTaints": [
            {"key": "k", "value": "v", "effect": "NoExecute"}, {"key": "a", "effect": "NoSchedule"}]})
    );
    let flagged = KubeletSources { flags_taints: true, ..drop_ins(sources_with_lists(&["k:NoExecute"])) };
    let registration = decide(&own("a:NoSchedule"), &flagged);
    assert_eq!(registration.arguments, ["--register-with-taints=k:NoExecute,a:NoSchedule"]);
    assert_eq!((registration.drop_in, registration.notes.len()), (None, 0));
    let registration = decide(&OwnRegistration::default(), &drop_ins(sources_with_lists(&["k:NoExecute"])));
    assert!(
        registration.arguments.is_empty() && registration.drop_in.is_none(),
        "nothing of ours, nothing said"
    );
}

#[test]
fn who_adds_no_taint_says_nothing_about_taints() {
    let registration =
        decide(&OwnRegistration::default(), &sources_with_lists(&["k:NoExecute", "u:NoSchedule"]));
    assert!(registration.arguments.is_empty() && environment_file(&registration).is_none());
    let taints: Vec<_> =
        registration.taints.iter().map(|(taint, source)| format!("{taint} {source}")).collect();
    assert_eq!(taints, ["u:NoSchedule s1"]);
}

#[test]
fn labels_are_appended_and_ours_count() {
    let label = |key: &str, value: &str, source: &str| Label {
        key: key.into(),
        value: value.into(),
        source: source.into(),
    };
    let sources = KubeletSources {
        labels: vec![label("a", "1", "s"), label("b", "1", "s"), label("b", "2", "t")],
        registers: true,
        ..KubeletSources::default()
    };
    let own = OwnRegistration {
        labels: [("a", "9"), ("b", "2"), ("c", "")].map(|(key, value)| (key.into(), value.into())).into(),
        ..OwnRegistration::default()
    };
    let registration = decide(&own, &sources);
    assert_eq!(registration.arguments, ["--node-labels=a=9,b=2,c="]);
    assert_eq!(
        registration.labels,
        [label("a", "9", NODE_JSON), label("b", "2", NODE_JSON), label("c", "", NODE_JSON)]
    );
    assert_eq!(registration.conflicts.len(), 1, "{:?}", registration.conflicts);
    let file = environment_file(&registration).expect("something to say");
    assert!(file.ends_with("\nCROSSFADE_KUBELET_ARGS=--node-labels=a=9,b=2,c=\n"), "{file}");
}

#[test]
fn a_kubelet_that_registers_nothing_is_named() {
    let registration = decide(&own("a:NoExecute"), &KubeletSources::default());
    assert!(registration.conflicts[0].contains("registerNode"), "{:?}", registration.conflicts);
    assert!(decide(&OwnRegistration::default(), &KubeletSources::default()).conflicts.is_empty());
}

/// Random sources: the line has every key with its effect exactly once, Crossfade's at the end, and nothing that no source names.
#[test]
fn whatever_the_sources_say_every_taint_is_there_exactly_once() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut joined = 0;
    for _ in 0..4_000 {
        let mut list = |most: u64| -> Vec<Taint> {
            let taint = |key: u64, value: u64, effect: u64| Taint {
                key: format!("k{key}"),
                value: if value == 0 { String::new() } else { format!("v{value}") },
                effect: Effect::ALL[effect as usize],
            };
            (0..next(most + 1)).map(|_| taint(next(4), next(3), next(3))).collect()
        };
        let mut ours = list(3);
        ours.dedup_by(|a, b| a.is_same(b));
        let mut unique: Vec<Taint> = Vec::new();
        for taint in ours {
            if !unique.iter().any(|known| known.is_same(&taint)) {
                unique.push(taint);
            }
        }
        let lists: Vec<List> =
            (0..4).map(|index| List { source: format!("s{index}"), taints: list(3) }).collect();
        let own = OwnRegistration { taints: unique.clone(), ..OwnRegistration::default() };
        let registration = decide(
            &own,
            &KubeletSources { lists: lists.clone(), registers: true, ..KubeletSources::default() },
        );
        let Some(line) = registration.arguments.first() else {
            assert!(unique.is_empty());
            continue;
        };
        let line =
            parse(line.strip_prefix("--register-with-taints=").expect("the flag")).expect("kubelet takes it");
        let since = lists.iter().rposition(|list| list.taints.is_empty()).unwrap_or_default();
        let expected: Vec<&Taint> =
            lists[since..].iter().flat_map(|list| &list.taints).chain(&unique).collect();
        for taint in &expected {
            assert_eq!(
                line.iter().filter(|known| known.is_same(taint)).count(),
                1,
                "{taint} of {lists:?} and {unique:?}: {line:?}"
            );
        }
        for taint in &line {
            assert!(expected.contains(&taint), "{taint}: no source names it");
        }
        for (taint, ours) in line[line.len() - unique.len()..].iter().zip(&unique) {
            assert!(
                taint.is_same(ours) && (ours.value.is_empty() || ours.value == taint.value),
                "{line:?} {unique:?}"
            );
        }
        joined += usize::from(line.len() > unique.len());
    }
    assert!(joined > 2_000, "{joined} of the lines join what others said with ours");
}
