//! `policies diff`: what files and objects mean beside what the cluster has.

use super::*;

#[test]
fn policies_of_another_author_are_compared() {
    let dir = dir(&[web(Value::Null)]);
    assert_eq!(run(dir.path(), "convert", &["--out", "good.yaml"]).status.code(), Some(0));
    let good = fs::read_to_string(dir.path().join("good.yaml")).expect("a file");
    fs::write(dir.path().join("other.yaml"), good.replace("app: cart", "app: db")).expect("written");
    fs::write(dir.path().join("none.yaml"), "# nothing\n").expect("written");
    let cluster = conversions().join("cluster.yaml");
    let cluster = cluster.to_str().expect("UTF-8");
    let diff = |file: &str, more: &[&str]| {
        let all = ["--from", "calico", "--to", "aws-vpc", "--dumped", "all", "--snapshot", cluster];
        let files = ["--snapshot", "input.json", "--policies", file];
        run_in(dir.path(), &[&["policies", "diff"], &all[..], &files, more].concat())
    };
    let same = diff("good.yaml", &[]);
    assert_eq!((same.status.code(), stderr(&same)), (Some(0), ""), "{}", stdout(&same));
    assert!(stdout(&same).contains("Every packet is treated alike."), "{}", stdout(&same));

    let other = diff("other.yaml", &[]);
    assert_eq!(other.status.code(), Some(3));
    let text = stdout(&other);
    assert!(
        text.contains("from pod shop/cart-1")
            && text.contains("before allowed")
            && text.contains("after denied"),
        "{text}"
    );
    let json = diff("other.yaml", &["-o", "json"]);
    let answer: Value = serde_json::from_str(stdout(&json)).expect("JSON");
    let effects: Vec<&Value> =
        answer["packets"].as_array().expect("packets").iter().map(|object| &object["effect"]).collect();
    assert_eq!(effects, ["narrows"], "{answer:#}");

    let empty = diff("none.yaml", &[]);
    assert_eq!(empty.status.code(), Some(2), "{}", stderr(&empty));
    assert!(stderr(&empty).contains("--policies"), "{}", stderr(&empty));
}

/// What one command writes the other reads, from a file and from a directory, as another CNI would.
#[test]
fn diff_reads_what_convert_wrote() {
    let mut seen = [0; TARGETS.len()];
    for sample in fs::read_dir(conversions().join("published")).expect("samples") {
        let sample = sample.expect("a sample").path();
        for (target, seen) in TARGETS.iter().zip(&mut seen) {
            let dir = tempfile::tempdir().expect("a directory");
            let input = sample.join("input.yaml");
            let input = ["--snapshot", input.to_str().expect("UTF-8")];
            fs::create_dir(dir.path().join("new")).expect("made");
            let converted = policies(
                dir.path(),
                "convert",
                target,
                &[&input[..], &["--out", "new/policies.yaml"]].concat(),
            );
            if converted.status.code() != Some(0)
                || !fs::read_to_string(dir.path().join("new/policies.yaml"))
                    .expect("a file")
                    .contains("kind:")
            {
                continue;
            }
            *seen += 1;
            for file in ["new/policies.yaml", "new"] {
                let diff = ["policies", "diff", "--from", "calico", "--to", target.to, "--policies", file];
                let output = in_cluster(dir.path(), &[&diff[..], &input].concat());
                assert_eq!(
                    output.status.code(),
                    Some(0),
                    "{} {sample:?}: {}{}",
                    target.name,
                    stdout(&output),
                    stderr(&output)
                );
            }
        }
    }
    assert!(seen.iter().all(|count| *count >= 3), "{seen:?}");
}

#[test]
fn diff_counts_whatever_the_new_cni_would_enforce() {
    let dir = dir(&[web(Value::Null)]);
    assert_eq!(run(dir.path(), "convert", &["--out", "new.yaml"]).status.code(), Some(0));
    let diff = |to: &str, files: &[&str]| {
        let first = [
            "policies",
            "diff",
            "--from",
            "calico",
            "--to",
            to,
            "--policies",
            "new.yaml",
            "--snapshot",
            "input.json",
        ];
        in_cluster(dir.path(), &[&first[..], files].concat())
    };
    assert_eq!(diff("cilium", &[]).status.code(), Some(0));
    let opened = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "open", "namespace": "shop"},
        "spec": {"endpointSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"fromEndpoints": [{}]}]}});
    write(dir.path(), "there.json", std::slice::from_ref(&opened));
    // It is in the cluster already, and begins to hold with Cilium.
    let there = diff("cilium", &["--snapshot", "there.json"]);
    assert_eq!(there.status.code(), Some(3), "{}", stdout(&there));
    assert!(stdout(&there).contains("after allowed by CiliumNetworkPolicy shop/open"), "{}", stdout(&there));
    // In a file for Antrea no policy would own it.
    let foreign = diff("antrea", &["--policies", "there.json"]);
    assert_eq!(foreign.status.code(), Some(3), "{}", stdout(&foreign));
    assert!(stdout(&foreign).contains("Antrea does not enforce this kind"), "{}", stdout(&foreign));
    write(
        dir.path(),
        "closed.json",
        &[{
            let mut closed = opened;
            closed["spec"]["ingress"] = json!([]);
            closed
        }],
    );
    let twice = diff("cilium", &["--policies", "there.json", "--policies", "closed.json"]);
    assert_eq!(twice.status.code(), Some(3), "{}", stdout(&twice));
    assert!(stderr(&twice).contains("shop/open is in the files twice"), "{}", stderr(&twice));
}

#[test]
fn no_packet_is_from_a_pod_to_itself() {
    let mut among = web(Value::Null);
    among["spec"]["ingress"][0] = json!({"action": "Allow", "source": {"selector": "app == 'web'"}});
    let dir = dir(&[among]);
    let none = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}});
    write(dir.path(), "new.json", &[none]);
    let diff = [
        "policies",
        "diff",
        "--from",
        "calico",
        "--to",
        "aws-vpc",
        "--policies",
        "new.json",
        "--snapshot",
        "input.json",
        "-o",
        "json",
    ];
    let output = in_cluster(dir.path(), &diff);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let packets = answer["packets"].as_array().expect("packets");
    assert!(!packets.is_empty());
    for packet in packets {
        let words = packet["words"].as_str().expect("words");
        let end =
            |key: &str| words.lines().find_map(|line| line.trim().strip_prefix(key)).expect("an end").trim();
        assert_ne!(end("from "), end("to "), "{words}");
    }
}

/// Calico from 3.32 on would enforce what is written for the CNI to come.
#[test]
fn what_the_old_cni_would_enforce_of_new_policies_is_not_unknown_in_silence() {
    let calico = |tag: &str| {
        let containers = json!([{"name": "calico-node", "image": format!("quay.io/calico/node:{tag}")}]);
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
            "spec": {"template": {"spec": {"containers": containers}}}})
    };
    let dir = dir(&[denial_before_allow()]);
    write(dir.path(), "on.json", &cilium("v1.20.1", true));
    for (tag, is_known) in [("v3.31.2", true), ("v3.32.0", false)] {
        write(dir.path(), "calico.json", &[calico(tag)]);
        let check = |output: &[&str]| {
            let check = ["policies", "check", "--from", "calico", "--to", "cilium", "--kind", "cluster"];
            let files = ["--snapshot", "input.json", "--snapshot", "on.json", "--snapshot", "calico.json"];
            in_cluster(dir.path(), &[&check[..], &files, output].concat())
        };
        let output = check(&[]);
        assert_eq!(output.status.code(), Some(0), "{tag}: {}{}", stdout(&output), stderr(&output));
        let text = stdout(&output);
        let as_now =
            "With the new policies applied, while calico enforces policies: every packet is treated as now.";
        assert_eq!(text.contains(as_now), is_known, "{tag}: {text}");
        let unknown = "With the new policies applied, while calico enforces policies: how packets are treated is not known";
        assert_eq!(text.contains(unknown), !is_known, "{tag}: {text}");
        let answer: Value = serde_json::from_str(stdout(&check(&["-o", "json"]))).expect("JSON");
        assert_eq!(answer["moments"][0]["unread"].is_null(), is_known, "{tag}: {:#}", answer["moments"][0]);
    }
}

/// An object that no evaluator reads may be a policy, or one that is misspelt.
#[test]
fn diff_names_the_objects_of_files_that_it_does_not_read() {
    let dir = dir(&[web(Value::Null)]);
    assert_eq!(run(dir.path(), "convert", &["--out", "good.yaml"]).status.code(), Some(0));
    let diff = |more: &[&str]| {
        let first = [
            "policies",
            "diff",
            "--from",
            "calico",
            "--to",
            "aws-vpc",
            "--snapshot",
            "input.json",
            "--policies",
            "good.yaml",
        ];
        in_cluster(dir.path(), &[&first[..], more].concat())
    };
    assert_eq!(diff(&[]).status.code(), Some(0));
    let object = |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": {}});
    let unknown = [
        object("extensions/v1beta1", "NetworkPolicy", "late"),
        object("example.com/v1", "Firewall", "wall"),
        object("example.com/v1", "Firewall", "other"),
    ];
    write(dir.path(), "unknown.json", &unknown);
    let output = diff(&["--policies", "unknown.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    for words in [
        "then, NetworkPolicy of extensions/v1beta1 (shop/late)",
        "then, 2 objects Firewall of example.com/v1 (shop/wall and others)",
    ] {
        assert!(stdout(&output).contains(words), "{words}: {}", stdout(&output));
    }
    // YAML is read in another way.
    fs::write(
        dir.path().join("unknown.yaml"),
        "spec: {}\nmetadata: {name: wall}\nkind: Firewall\napiVersion: example.com/v1\n",
    )
    .expect("written");
    let output = diff(&["--policies", "unknown.yaml"]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stdout(&output).contains("Firewall of example.com/v1 (wall)"), "{}", stdout(&output));
    // As many kinds as there are.
    let many: Vec<Value> =
        (0..500).map(|index| object("example.com/v1", &format!("Kind{index}"), "a")).collect();
    write(dir.path(), "many.json", &many);
    let output = diff(&["--policies", "many.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    let shown = stdout(&output).lines().filter(|line| line.contains("example.com")).count();
    assert!((1..=20).contains(&shown), "{shown}");
    assert!(stdout(&output).contains("objects of other kinds"), "{}", stdout(&output));
    // A policy that cannot be read is none that says nothing.
    let broken = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "no name", "namespace": "shop"}, "spec": {}});
    write(dir.path(), "broken.json", &[broken]);
    let output = diff(&["--policies", "broken.json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stdout(&output).contains("NetworkPolicy/shop/no name"), "{}", stdout(&output));
}

/// What a policy means that cannot be read is not known, and the others may mean something else beside it.
#[test]
fn a_policy_of_the_cluster_that_cannot_be_read_stops_the_comparison() {
    let dir = dir(&[web(Value::Null)]);
    let broken = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "no name", "namespace": "shop"}, "spec": {}});
    write(dir.path(), "broken.json", &[broken]);
    assert_eq!(run(dir.path(), "check", &[]).status.code(), Some(0));
    let output = run(dir.path(), "check", &["--snapshot", "broken.json"]);
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("NetworkPolicy/shop/no name: "), "{}", stderr(&output));
}
