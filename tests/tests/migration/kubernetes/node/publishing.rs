//! Condition, label, annotation and events follow the truth, and nothing else is touched.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::kubelet;
use crate::publisher::{Credential, Publisher, ready, waiting};
use crate::subject::{Subject, says};
use lab::kubernetes::{MERGE, STRATEGIC};

lab::trials![
    condition_label_and_annotation_follow_the_truth,
    transition_time_moves_with_the_status_alone,
    nothing_else_is_touched,
    the_annotation_says_what_a_roll_asks,
    a_node_that_registers_later_gets_it_at_once,
    a_node_that_was_deleted_gets_it_again,
    what_others_change_is_put_right,
    labels_of_node_json_are_put_right_once_in_a_boot,
    an_agent_that_started_without_its_label_starts_again,
    an_unknown_phase_leaves_the_label,
    events_are_on_the_node_and_counted_up,
    network_unavailable_is_cleared_only_where_allowed,
    desired_is_handed_on_once_per_value,
    what_was_asked_of_another_policy_is_taken_away,
    events_of_one_moment_are_all_written,
];

fn publisher(subject: &Subject) -> Result<(Credential, Publisher)> {
    let credential = Credential::of_kubelet(subject.server, subject.node)?;
    let publisher = Publisher::start(&credential.kubeconfig(), None)?;
    Ok((credential, publisher))
}

fn boot_id() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn condition_label_and_annotation_follow_the_truth() -> Result<()> {
    let subject = Subject::registered("truth")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    let boot = boot_id()?;
    for (report, status, reason, phase) in [
        (waiting("old"), "False", "WaitingForNetwork", "old"),
        (ready("old"), "True", "NetworkReady", "old"),
        (ready("both-old"), "True", "NetworkReady", "both-old"),
        (waiting("new"), "False", "WaitingForNetwork", "new"),
    ] {
        publisher.publish(&report)?;
        let node = subject.node()?;
        let message = format!("{} (boot {boot})", report["message"].as_str().context("a message")?);
        ensure!(says(&node) == [status, reason, &message], "{:?}", says(&node));
        ensure!(node["metadata"]["labels"]["crossfade/phase"] == phase, "{}", node["metadata"]["labels"]);
        let observed = node["metadata"]["annotations"]["crossfade/observed"].as_str().context("observed")?;
        let observed: Value = serde_json::from_str(observed)?;
        let expected = json!({ "phase": phase, "policySha256": "5f", "bootId": boot, "base": null, "mints": [],
            "follows": [], "attached": null, "joins": [], "restarts": null, "echo": null });
        ensure!(observed == expected, "{observed}");
    }
    // The same again writes nothing.
    let version = subject.node()?["metadata"]["resourceVersion"].clone();
    publisher.publish(&waiting("new"))?;
    ensure!(subject.node()?["metadata"]["resourceVersion"] == version, "written again");
    ensure!(publisher.journal().is_empty(), "{}", publisher.journal());
    Ok(())
}

fn transition_time_moves_with_the_status_alone() -> Result<()> {
    let subject = Subject::registered("transition")?;
    let long_ago = "2020-01-01T00:00:00Z";
    let stands = json!({ "status": { "conditions": [{ "type": "CrossfadeReady", "status": "False", "reason": "BootFailed",
        "message": "x", "lastHeartbeatTime": long_ago, "lastTransitionTime": long_ago }]}});
    subject.kubelet.patch(&format!("{}/status", subject.path()), STRATEGIC, &stands)?.object()?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&waiting("old"))?;
    let condition = subject.condition("CrossfadeReady")?;
    ensure!(condition["reason"] == "WaitingForNetwork", "{condition}");
    ensure!(condition["lastTransitionTime"] == long_ago, "{condition}");
    ensure!(condition["lastHeartbeatTime"] != long_ago, "{condition}");
    publisher.publish(&ready("old"))?;
    let condition = subject.condition("CrossfadeReady")?;
    ensure!(condition["lastTransitionTime"] != long_ago, "{condition}");
    Ok(())
}

fn nothing_else_is_touched() -> Result<()> {
    let subject = Subject::unregistered("untouched")?;
    let words = ["--node-labels=a=b", "--register-with-taints=karpenter.sh/unregistered:NoExecute"]
        .map(str::to_owned);
    kubelet::register(&subject.kubelet, subject.node, &words)?;
    let neighbour = Subject::registered("untouched-neighbour")?;
    let theirs = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "m", "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z" }],
        "nodeInfo": { "bootID": "b" } } });
    subject.kubelet.patch(&format!("{}/status", subject.path()), STRATEGIC, &theirs)?.object()?;
    subject.annotate("other", &json!("x"))?;
    let strip = |mut node: Value| {
        node["metadata"]["labels"].as_object_mut().map(|labels| labels.remove("crossfade/phase"));
        node["metadata"]["annotations"].as_object_mut().map(|all| all.remove("crossfade/observed"));
        let conditions = node["status"]["conditions"].as_array_mut();
        if let Some(conditions) = conditions {
            conditions.retain(|condition| condition["type"] != "CrossfadeReady");
        }
        for field in ["resourceVersion", "managedFields"] {
            node["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
        }
        node
    };
    let (before, next_to_it) = (strip(subject.node()?), neighbour.node()?);
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&waiting("old"))?;
    publisher.publish(&ready("new"))?;
    let after = subject.node()?;
    ensure!(says(&after)[0] == "True", "{after}");
    ensure!(strip(after.clone()) == before, "before {before}\nafter {after}");
    ensure!(neighbour.node()? == next_to_it, "another Node was touched");
    Ok(())
}

/// Counts, base and phases are the report's; the echo is of the annotation that others write, and follows it.
fn the_annotation_says_what_a_roll_asks() -> Result<()> {
    let subject = Subject::registered("roll")?;
    let step = |claim: &str| json!(json!({ "run": "r", "claim": claim, "to": "both-old" }).to_string());
    subject.annotate("crossfade/step", &step("r.1.1"))?;
    let (_credential, mut publisher) = publisher(&subject)?;
    let mut report = ready("old");
    for (key, value) in [
        ("attached", json!({ "old": 3, "both-old": 27, "unknown": 1 })),
        ("base", json!("9a")),
        ("mints", json!(["old"])),
        ("follows", json!(["old", "both-old"])),
        ("joins", json!(["new"])),
        ("restarts", json!(2)),
    ] {
        report[key] = value;
    }
    publisher.publish(&report)?;
    let observed = |node: &Value| -> Value {
        let text = node["metadata"]["annotations"]["crossfade/observed"].as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let expected = |echo: Value, report: &Value| {
        json!({ "phase": "old", "policySha256": "5f", "bootId": boot_id().unwrap_or_default(), "base": report["base"],
            "mints": report["mints"], "follows": report["follows"], "attached": report["attached"],
            "joins": report["joins"], "restarts": report["restarts"], "echo": echo })
    };
    let first = observed(&subject.node()?);
    ensure!(first == expected(json!("r.1.1"), &report), "{first}");
    subject.annotate("crossfade/step", &step("r.1.2"))?;
    subject.until("the next claim", |node| observed(node) == expected(json!("r.1.2"), &report))?;
    report["attached"] = json!({ "both-old": 30 });
    publisher.publish(&report)?;
    let counted = observed(&subject.node()?);
    ensure!(counted == expected(json!("r.1.2"), &report), "{counted}");
    for no_step in [json!("no step"), Value::Null] {
        subject.annotate("crossfade/step", &step("r.1.3"))?;
        subject.until("a claim", |node| observed(node)["echo"] == "r.1.3")?;
        subject.annotate("crossfade/step", &no_step)?;
        subject.until("no claim", |node| observed(node)["echo"].is_null())?;
    }
    ensure!(publisher.journal().is_empty(), "{}", publisher.journal());
    Ok(())
}

fn a_node_that_registers_later_gets_it_at_once() -> Result<()> {
    let subject = Subject::unregistered("later")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.report(&ready("old"))?;
    publisher.report(&json!({ "event": "ConfWritten", "message": "x" }))?;
    // An event needs no Node: once it is there, the publisher waits for its Node alone.
    lab::host::deadline::until("the event", crate::publisher::WITHIN, || {
        Ok((!subject.events()?.is_empty()).then_some(()))
    })?;
    kubelet::register(&subject.kubelet, subject.node, &[])?;
    publisher.settle()?;
    ensure!(says(&subject.node()?)[1] == "NetworkReady", "{}", subject.node()?);
    ensure!(publisher.journal().is_empty(), "{}", publisher.journal());
    Ok(())
}

fn a_node_that_was_deleted_gets_it_again() -> Result<()> {
    let subject = Subject::registered("again")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("old"))?;
    subject.admin.delete(&subject.path())?.object()?;
    subject.register()?;
    subject.until("the new Node has the condition", |node| says(node)[0] == "True")?;
    Ok(())
}

fn what_others_change_is_put_right() -> Result<()> {
    let subject = Subject::registered("drift")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("old"))?;
    let wrong = json!({ "metadata": { "labels": { "crossfade/phase": "new" }, "annotations": { "crossfade/observed": null } } });
    subject.admin.patch(&subject.path(), MERGE, &wrong)?.object()?;
    subject.until("label and annotation are right again", |node| {
        node["metadata"]["labels"]["crossfade/phase"] == "old"
            && node["metadata"]["annotations"]["crossfade/observed"].is_string()
    })?;
    let wrong = json!({ "status": { "conditions": [{ "type": "CrossfadeReady", "status": "Unknown" }] } });
    subject.admin.patch(&format!("{}/status", subject.path()), STRATEGIC, &wrong)?.object()?;
    subject.until("the condition is right again", |node| says(node)[0] == "True")?;
    Ok(())
}

/// kubelet registers labels only when it creates its Node, so a machine that comes back under an earlier one's name finds the Node without them.
fn labels_of_node_json_are_put_right_once_in_a_boot() -> Result<()> {
    let subject = Subject::registered("replaced")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    let mut report = ready("old");
    report["labels"] = json!({ "io.cilium.migration/cilium-default": "true", "other": "x" });
    publisher.publish(&report)?;
    let labels = subject.node()?["metadata"]["labels"].clone();
    for (key, value) in
        [("io.cilium.migration/cilium-default", "true"), ("other", "x"), ("crossfade/phase", "old")]
    {
        ensure!(labels[key] == value, "{key}: {labels}");
    }
    // What a person changes on a running node stays.
    let without = json!({ "metadata": { "labels": { "other": null } } });
    subject.admin.patch(&subject.path(), MERGE, &without)?.object()?;
    report["message"] = json!("the next report of the boot");
    publisher.publish(&report)?;
    let labels = subject.node()?["metadata"]["labels"].clone();
    ensure!(labels["other"].is_null() && labels["crossfade/phase"] == "old", "{labels}");
    Ok(())
}

/// The agent read the Node's labels when it started. Its pod goes, for its DaemonSet to make another, and no other pod of the node does.
fn an_agent_that_started_without_its_label_starts_again() -> Result<()> {
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let subject = Subject::registered("agent")?;
    for (pod, container) in [("early-agent", "cilium-agent"), ("early-other", "other")] {
        subject.admin.create(PODS, &json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": pod, "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": pod, "uid": pod, "controller": true },
            ] },
            "spec": { "nodeName": "agent", "containers": [{ "name": container, "image": "i" }] },
        }))?.object()?;
        let started = json!({ "status": { "phase": "Running", "containerStatuses": [{
            "name": container, "containerID": "containerd://1", "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
        }] } });
        subject.admin.patch(&format!("{PODS}/{pod}/status"), STRATEGIC, &started)?.object()?;
    }
    let (_credential, mut publisher) = publisher(&subject)?;
    let mut report = ready("old");
    report["labels"] = json!({ "io.cilium.migration/cilium-default": "true" });
    report["agents"] =
        json!([{ "label": "io.cilium.migration/cilium-default", "containers": ["cilium-agent"] }]);
    publisher.publish(&report)?;
    for (pod, is_leaving) in [("early-agent", true), ("early-other", false)] {
        let pod = subject.admin.get(&format!("{PODS}/{pod}"))?.object()?;
        ensure!(pod["metadata"]["deletionTimestamp"].is_null() != is_leaving, "{}", pod["metadata"]);
    }
    let events = subject.events()?;
    let is_named = |event: &Value| {
        event["reason"] == "LabelsRestored"
            && event["message"].as_str().is_some_and(|text| text.contains("default/early-agent"))
    };
    ensure!(events.iter().any(is_named), "{events:#?}");
    Ok(())
}

fn an_unknown_phase_leaves_the_label() -> Result<()> {
    let subject = Subject::registered("torn")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("old"))?;
    publisher.publish(&json!({ "ready": false, "reason": "BadSettings", "message": "policy.json: torn" }))?;
    let node = subject.node()?;
    ensure!(says(&node)[1] == "BadSettings", "{:?}", says(&node));
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "old", "{}", node["metadata"]);
    let observed = node["metadata"]["annotations"]["crossfade/observed"].as_str().context("observed")?;
    ensure!(observed.contains(r#""phase":null"#), "{observed}");
    Ok(())
}

fn events_are_on_the_node_and_counted_up() -> Result<()> {
    let subject = Subject::registered("events")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("old"))?;
    let repaired = json!({ "event": "ConfRepaired", "warning": true, "message": "05-x.conflist came first" });
    for report in
        [&repaired, &json!({ "event": "Flipped", "message": "old to both-old" }), &repaired, &repaired]
    {
        publisher.publish(report)?;
    }
    let mut events = subject.events()?;
    events.sort_by_key(|event| event["reason"].to_string());
    let output: Vec<_> = events
        .iter()
        .map(|event| ["reason", "type", "message", "count"].map(|field| event[field].clone()))
        .collect();
    let expected = [
        [json!("ConfRepaired"), json!("Warning"), json!("05-x.conflist came first"), json!(3)],
        [json!("Flipped"), json!("Normal"), json!("old to both-old"), json!(1)],
    ];
    ensure!(output == expected, "{output:?}");
    for event in &events {
        let object = &event["involvedObject"];
        ensure!(
            object["kind"] == "Node" && object["name"] == "events" && object["uid"] == "events",
            "{object}"
        );
        ensure!(
            event["source"] == json!({ "component": "crossfade-bootstrap", "host": "events" }),
            "{event}"
        );
    }
    Ok(())
}

fn network_unavailable_is_cleared_only_where_allowed() -> Result<()> {
    let subject = Subject::registered("routes")?;
    let stands = json!({ "status": { "conditions": [{ "type": "NetworkUnavailable", "status": "True", "reason": "NoRouteCreated",
        "message": "x", "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z" }]}});
    let status = format!("{}/status", subject.path());
    subject.kubelet.patch(&status, STRATEGIC, &stands)?.object()?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("new"))?;
    ensure!(subject.condition("NetworkUnavailable")?["status"] == "True", "cleared without leave");
    let mut allowed = ready("new");
    allowed["clears"] = json!(true);
    publisher.publish(&allowed)?;
    let condition = subject.condition("NetworkUnavailable")?;
    ensure!(condition["status"] == "False" && condition["reason"] == "CrossfadeNetworkReady", "{condition}");
    // If another controller sets it again, it is cleared again.
    subject.kubelet.patch(&status, STRATEGIC, &stands)?.object()?;
    subject.until("it is cleared again", |node| {
        node["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|condition| condition["reason"] == "CrossfadeNetworkReady"))
    })?;
    Ok(())
}

fn desired_is_handed_on_once_per_value() -> Result<()> {
    let subject = Subject::registered("desired")?;
    subject.annotate("crossfade/desired", &json!("both-old"))?;
    let (_credential, mut publisher) = publisher(&subject)?;
    ensure!(publisher.desired()? == "both-old", "what was there before");
    publisher.publish(&ready("old"))?;
    publisher.publish(&waiting("old"))?;
    subject.annotate("crossfade/desired", &json!("new"))?;
    ensure!(publisher.desired()? == "new", "another value");
    subject.annotate("crossfade/desired", &Value::Null)?;
    publisher.withdrawn()?;
    subject.annotate("crossfade/desired", &json!("new"))?;
    ensure!(publisher.desired()? == "new", "the same value, asked for anew");
    let long = "x".repeat(5000);
    subject.annotate("crossfade/desired", &json!(long))?;
    ensure!(publisher.desired()? == long[..256], "as much as it takes to name it");
    // What it hands on, it does not act on.
    ensure!(subject.node()?["metadata"]["labels"]["crossfade/phase"] == "old", "flipped by itself");
    Ok(())
}

/// A node that comes back with other networks, and on whose Node the last migration has left its wish and its report.
fn what_was_asked_of_another_policy_is_taken_away() -> Result<()> {
    let subject = Subject::registered("another-policy")?;
    let of_base = |base: &str| {
        let mut report = ready("old");
        report["base"] = json!(base);
        report
    };
    let (_credential, mut before) = publisher(&subject)?;
    before.publish(&of_base("b1"))?;
    subject.annotate("crossfade/desired", &json!("new"))?;
    ensure!(before.desired()? == "new");
    drop(before);
    let (_credential, mut after) = publisher(&subject)?;
    ensure!(after.desired()? == "new", "what it is of is handed on with it");
    // The condition goes first, and leaves the Node with another version than the one on which the phase was seen.
    let mut not_ready = waiting("old");
    not_ready["base"] = json!("b2");
    after.report(&not_ready)?;
    after.withdrawn()?;
    after.settle()?;
    ensure!(after.count_in_journal("conflict") == 0, "{}", after.journal());
    let annotations = subject.node()?["metadata"]["annotations"].clone();
    ensure!(annotations["crossfade/desired"].is_null(), "{annotations}");
    ensure!(annotations["crossfade/observed"].as_str().is_some_and(|text| text.contains("\"b2\"")));
    ensure!(
        subject.events()?.iter().any(|event| event["reason"] == "FlipRefused"),
        "{:?}",
        subject.events()?
    );
    // Asked again, of this one.
    subject.annotate("crossfade/desired", &json!("new"))?;
    ensure!(after.desired()? == "new");
    after.publish(&of_base("b2"))?;
    ensure!(subject.node()?["metadata"]["annotations"]["crossfade/desired"] == "new");
    Ok(())
}

/// What happened in one round has one moment, and events are named by theirs.
fn events_of_one_moment_are_all_written() -> Result<()> {
    let subject = Subject::registered("at-once")?;
    let (_credential, mut publisher) = publisher(&subject)?;
    publisher.publish(&ready("old"))?;
    let event = |number: usize| json!({ "event": "ConfWritten", "message": format!("at once {number}") });
    let events: Vec<Value> = (0..9).map(event).collect();
    publisher.publish(&json!({ "events": events }))?;
    let mut output: Vec<String> =
        subject.events()?.iter().filter_map(|event| event["message"].as_str().map(str::to_owned)).collect();
    output.sort();
    let expected: Vec<String> = (0..9).map(|number| format!("at once {number}")).collect();
    ensure!(output == expected, "{output:?}");
    ensure!(publisher.journal().is_empty(), "{}", publisher.journal());
    Ok(())
}
