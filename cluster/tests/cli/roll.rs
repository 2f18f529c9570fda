//! The commands about a run, as far as they need no cluster.

use serde_json::Value;

use crate::run::{fixtures, run_in, stderr, stdout};

/// Each row: the words, and a word of what is said. Nothing is asked of a cluster: there is no kubeconfig.
#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    for (words, text) in [
        (&["roll", "--plan", "4be14be14be1", "--resume"][..], "--resume"),
        (&["roll", "--resume", "--take-over", "--force-take-over"], "--force-take-over"),
        (&["roll", "--plan", "4be14be14be1", "--until", "never"], "scouts"),
        (&["roll", "--plan", "4be1"], "12 hex digits"),
        (&["roll", "abort", "--to", "nowhere", "--reason", "x"], "both-old"),
        (&["roll", "abort", "--to", "old"], "--reason"),
        (&["roll", "pause", "--reason", " "], "--reason is empty"),
        (&["roll", "skip", "--reason", "x"], "NODE"),
        (&["roll", "skip", "x/web", "--reason", "x"], "KIND/NAMESPACE/NAME"),
        (&["roll", "retry", "Deployment//web", "--reason", "x"], "KIND/NAMESPACE/NAME"),
        (&["roll", "stragglers", "--phase", "later"], "both-new"),
    ] {
        let output = run_in(&fixtures(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn without_a_cluster_a_run_is_not_begun() {
    for words in [
        &["roll", "--plan", "4be14be14be1"][..],
        &["roll", "--resume"],
        &["status"],
        &["roll", "pause", "--reason", "x"],
    ] {
        let output = run_in(&fixtures(), words);
        assert_eq!(output.status.code(), Some(78), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("kubeconfig"), "{words:?}: {}", stderr(&output));
    }
}

/// The three nodes of the fixture are in phase `old`, and so are their pods.
#[test]
fn stragglers_are_those_of_the_phase_that_is_asked_for() {
    let dir = fixtures().join("plan-three");
    let run = |more: &[&str]| {
        let words = [&["roll", "stragglers", "--snapshot", "cluster", "--dumped", "all", "-o", "json"], more]
            .concat();
        let output = run_in(&dir, &words);
        let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
        (output.status.code(), answer)
    };
    let (status, answer) = run(&[]);
    assert_eq!(
        (status, &answer["phase"], &answer["ok"]),
        (Some(0), &"old".into(), &true.into()),
        "{answer:#}"
    );
    let (status, answer) = run(&["--phase", "new"]);
    assert_eq!((status, &answer["ok"]), (Some(3), &false.into()));
    let all = answer["stragglers"].as_array().expect("a list");
    assert!(!all.is_empty() && all.iter().all(|object| object["because"] == "node"), "{answer:#}");
    assert!(all.iter().all(|object| {
        object["fix"].as_str().is_some_and(|fix| fix.contains("kubectl crossfade roll retry "))
    }));
}
