//! `policies observe`: recorded flows, and the policies that the new CNI would enforce.

use super::*;

/// A flow of Hubble between two addresses.
fn flow(source: &str, destination: &str, port: u16) -> String {
    let line = json!({"flow": {"time": "2026-03-01T10:00:00.5Z", "verdict": "FORWARDED", "Type": "L3_L4", "is_reply": false,
        "IP": {"source": source, "destination": destination, "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": port, "flags": {"SYN": true}}}}, "node_name": "n1"});
    format!("{line}\n")
}

fn only_carts() -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web", "namespace": "shop", "uid": "uid-np"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": 80}]}]}})
}

fn observe(dir: &Path, more: &[&str]) -> Output {
    let observe = ["policies", "observe", "--from", "calico", "--to", "cilium", "--snapshot", "input.json"];
    in_cluster(dir, &[&observe[..], more].concat())
}

const CART: [&str; 2] = ["10.244.2.2", "10.244.1.2"];
const JOB: [&str; 2] = ["10.244.1.4", "10.244.1.2"];

#[test]
fn flows_that_would_be_denied_are_shown_with_the_exit_status() {
    let dir = dir(&[only_carts()]);
    fs::write(dir.path().join("good.json"), flow(CART[0], CART[1], 80)).expect("written");
    fs::write(
        dir.path().join("bad.json"),
        flow(JOB[0], JOB[1], 80) + "\n" + &flow("10.244.9.9", CART[1], 80),
    )
    .expect("written");
    let good = observe(dir.path(), &["--flows", "good.json"]);
    assert_eq!((good.status.code(), stderr(&good)), (Some(0), ""), "{}", stdout(&good));
    let text = "Flows: 1 from 2026-03-01T10:00:00Z to 2026-03-01T10:00:00Z. Let through: 1, denied: 0, not judged: 0.";
    assert!(stdout(&good).contains(text), "{}", stdout(&good));

    let bad = observe(dir.path(), &["--flows", "good.json", "--flows", "bad.json"]);
    assert_eq!(bad.status.code(), Some(3), "{}", stdout(&bad));
    for words in [
        "pod office/job-1",
        "pod shop/web-1",
        "TCP 80",
        "no rule for the receiver allows it",
        "the pod is no longer there",
        "Let through: 1, denied: 1, not judged: 1.",
    ] {
        assert!(stdout(&bad).contains(words), "{words}: {}", stdout(&bad));
    }
    let json = observe(dir.path(), &["--flows", "bad.json", "-o", "json"]);
    let answer: Value = serde_json::from_str(stdout(&json)).expect("JSON");
    assert_eq!(
        answer["denied"],
        json!([{"source": "pod office/job-1", "destination": "pod shop/web-1", "traffic": "TCP 80", "direction": "Ingress", "flows": 1,
            "first": "2026-03-01T10:00:00Z", "last": "2026-03-01T10:00:00Z"}])
    );
    assert_eq!(
        answer["unjudged"],
        json!([{"why": "pod-gone", "flows": 1, "example": "10.244.9.9 to 10.244.1.2, TCP 80"}])
    );
    let problem = answer["problems"][0]["what"].as_str().expect("a problem");
    assert_eq!(
        problem,
        "TCP 80 would be denied, from pod office/job-1 to pod shop/web-1: no rule for the receiver allows it"
    );
}

#[test]
fn policies_of_files_count_in_the_place_of_those_of_the_cluster() {
    let dir = dir(&[only_carts()]);
    fs::write(dir.path().join("flows.json"), flow(JOB[0], JOB[1], 80)).expect("written");
    let mut open = only_carts();
    open["spec"]["ingress"] = json!([{}]);
    write(dir.path(), "open.json", &[open]);
    let file = ["--flows", "flows.json"];
    assert_eq!(observe(dir.path(), &file).status.code(), Some(3));
    let other = observe(dir.path(), &[&file[..], &["--policies", "open.json"]].concat());
    assert_eq!(other.status.code(), Some(0), "{}{}", stdout(&other), stderr(&other));
}

/// Its policies begin to hold with the new CNI.
#[test]
fn a_cluster_whose_cni_enforced_nothing_is_judged() {
    let dir = dir(&[only_carts()]);
    fs::write(dir.path().join("flows.json"), flow(JOB[0], JOB[1], 80)).expect("written");
    let observe = |from: &str, to: &str| {
        let first = [
            "policies",
            "observe",
            "--from",
            from,
            "--to",
            to,
            "--flows",
            "flows.json",
            "--snapshot",
            "input.json",
        ];
        in_cluster(dir.path(), &first)
    };
    let output = observe("flannel", "cilium");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stdout(&output).contains("denied: 1"), "{}", stdout(&output));
    assert_eq!(observe("calico", "flannel").status.code(), Some(2));
}

#[test]
fn a_record_that_answers_nothing_is_no_proof() {
    let dir = dir(&[only_carts()]);
    let record = |text: &str| {
        fs::write(dir.path().join("flows.json"), text).expect("written");
        observe(dir.path(), &["--flows", "flows.json"])
    };
    let empty = record("\n\n");
    assert_eq!(empty.status.code(), Some(2), "{}", stderr(&empty));
    assert!(stderr(&empty).contains("--flows: the files have no flow"), "{}", stderr(&empty));
    let bad = record(&(flow(CART[0], CART[1], 80) + "{\"flow\": 1}\n"));
    assert_eq!(bad.status.code(), Some(1), "{}", stderr(&bad));
    assert!(stderr(&bad).contains("flows.json: line 2: a flow of Hubble: "), "{}", stderr(&bad));
    let unknown = record(&flow("10.244.9.9", CART[1], 80));
    assert_eq!(unknown.status.code(), Some(3), "{}", stdout(&unknown));
    let json = observe(dir.path(), &["--flows", "flows.json", "-o", "json"]);
    assert!(stdout(&json).contains("no flow of the record could be judged"), "{}", stdout(&json));
    let missing = observe(dir.path(), &["--flows", "none.json"]);
    assert_eq!(missing.status.code(), Some(1), "{}", stderr(&missing));
    let mut unread = only_carts();
    unread["spec"]["podSelector"] = json!({"matchLabels": {"app": "web"}, "matchThings": {}});
    write(dir.path(), "input.json", &[unread]);
    let output = record(&flow(CART[0], CART[1], 80));
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stdout(&output).contains("Policies whose meaning cannot be decided"), "{}", stdout(&output));
}

/// `finish` reads the same files. With the setting that it names, Cilium drops packets.
#[test]
fn finish_names_the_setting_that_enforces_policies_after_a_day_of_flows_that_pass() {
    let settings =
        json!({"custom-cni-conf": "false", "unmanaged-pod-watcher-interval": "15", "enable-policy": "never"});
    let [agent, mut config] = cilium("v1.17.4", false);
    config["data"] = settings;
    let dir = dir(&[only_carts(), agent.clone(), config.clone()]);
    let pass = flow(CART[0], CART[1], 80);
    let day = pass.clone() + &pass.replace("03-01", "03-02");
    for (file, text) in [
        ("hour.json", pass.clone()),
        ("day.json", day.clone()),
        ("bad.json", day + &flow(JOB[0], JOB[1], 80)),
    ] {
        fs::write(dir.path().join(file), text).expect("written");
    }
    let finish = |from: &str, more: &[&str]| {
        let finish = [
            "finish",
            "--from",
            from,
            "--to",
            "cilium",
            "--snapshot",
            "input.json",
            "--values",
            "final.yaml",
            "-o",
            "json",
        ];
        let output = in_cluster(dir.path(), &[&finish[..], more].concat());
        let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
        let lines = answer["lines"].as_array().expect("lines");
        let line = lines.iter().find(|line| line["line"] == "policies").expect("a line").to_string();
        let file = fs::read_to_string(dir.path().join("final.yaml")).expect("values");
        assert_eq!(
            line.contains("--set policyEnforcementMode=default"),
            file.contains("policyEnforcementMode"),
            "{line} {file}"
        );
        (line, file.contains("policyEnforcementMode"))
    };
    // They may be answers.
    let unclear =
        pass.replace(r#""is_reply":false,"#, "").replace(r#""SYN":true"#, r#""ACK":true"#).repeat(4);
    fs::write(dir.path().join("unclear.json"), unclear).expect("written");
    for from in ["flannel", "calico"] {
        for (files, words) in [
            (
                &["--flows", "day.json", "--flows", "unclear.json"][..],
                "4 that may be denied could not be judged",
            ),
            (&[], "1 policy would be enforced from then on"),
            (&["--flows", "hour.json"], "24 hours are asked for"),
            (&["--flows", "bad.json"], "TCP 80 would be denied"),
        ] {
            let (line, is_named) = finish(from, files);
            assert!(!is_named && line.contains(words), "{from} {files:?}: {line}");
        }
        let (line, is_named) = finish(from, &["--flows", "hour.json", "--flows", "day.json"]);
        assert!(is_named && line.contains("3 would be let through"), "{from}: {line}");
    }
    // Cilium does not enforce Calico's own policies.
    write(dir.path(), "input.json", &[web(Value::Null), agent.clone(), config.clone()]);
    let (line, is_named) = finish("calico", &["--flows", "day.json"]);
    assert!(!is_named && line.contains("policies convert"), "{line}");
    write(dir.path(), "input.json", &[agent, config]);
    let (line, is_named) = finish("flannel", &[]);
    assert!(is_named && line.contains("there is no policy that cilium would enforce"), "{line}");
    for (objects, words) in
        [(vec![], r#""state":"done""#), (vec![only_carts()], "flannel enforces none of 1 policy")]
    {
        write(dir.path(), "input.json", &objects);
        let arguments =
            ["finish", "--from", "cilium", "--to", "flannel", "--snapshot", "input.json", "-o", "json"];
        let answer: Value = serde_json::from_str(stdout(&in_cluster(dir.path(), &arguments))).expect("JSON");
        let lines = answer["lines"].as_array().expect("lines");
        let line = lines.iter().find(|line| line["line"] == "policies").expect("a line").to_string();
        assert!(line.contains(words), "{line}");
    }
}
