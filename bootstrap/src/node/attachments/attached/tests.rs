use std::fs::{create_dir_all, write};

use serde_json::json;
use shim::host::boot;
use shim::node::inventory::{self, Entry};
use shim::node::store::{Key, Store};
use tempfile::TempDir;
use types::attachment::{Event, FORMAT, Intent, Leg};
use types::json::raw::to_raw;

use super::*;

/// A state directory, and a policy with the networks `oldnet` and `newnet`.
struct Node {
    dir: TempDir,
    policy: Policy,
}

impl Node {
    fn new() -> Self {
        // Nothing below /tmp is trusted: others may write there.
        let dir = tempfile::Builder::new().tempdir_in("/var/tmp").expect("scratch");
        let conf = |name: &str| {
            let path = dir.path().join(format!("{name}.conflist"));
            let text = json!({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge"}]});
            write(&path, text.to_string()).expect("conf");
            json!({ "conf": [path] })
        };
        let policy = json!({"version": 1, "attach": "old", "networks": {"old": conf("oldnet"), "new": conf("newnet")}});
        let policy = Policy::parse(policy.to_string().as_bytes()).expect("valid");
        create_dir_all(dir.path().join("state")).expect("state");
        Self { dir, policy }
    }

    fn layout(&self) -> Layout {
        let path = |name: &str| self.dir.path().join(name);
        Layout { state_dir: path("state"), run_dir: path("run"), policy: None }
    }

    fn text(&self) -> String {
        let attached = read(&self.layout(), Some(&self.policy)).expect("readable");
        serde_json::to_string(&attached).expect("JSON")
    }

    /// A record of these networks, the first one primary, with these events.
    fn record(&self, container_id: &str, networks: &[&str], events: &[Event]) {
        self.record_of(None, container_id, networks, events);
    }

    /// The same, of the pod that these arguments name.
    fn record_of(&self, cni_args: Option<&str>, container_id: &str, networks: &[&str], events: &[Event]) {
        let legs = networks.iter().enumerate().map(|(index, network)| Leg {
            network: network.trim_end_matches('?').into(),
            profile: "generic".into(),
            conf_path: None,
            ifname: if index == 0 { "eth0".into() } else { "net1".into() },
            primary: index == 0,
            tolerated: network.ends_with('?'),
            host_route: false,
            conf: to_raw(&json!({})),
            runtime_config: None,
        });
        let intent = Intent {
            version: FORMAT,
            container_id: container_id.into(),
            ifname: "eth0".into(),
            began_at: boot::now().expect("a moment"),
            netns: "/run/netns/x".into(),
            netns_id: None,
            netns_cookie: None,
            cni_args: cni_args.map(Into::into),
            cni_path: None,
            route: None,
            legs: legs.collect(),
        };
        Store::new(&self.layout()).begin(intent, events).expect("record");
    }
}

fn added(leg: usize) -> Event {
    Event::Added { leg, result: to_raw(&json!({})), present: None }
}

/// One row, one record: its networks (a tolerated one ends in `?`), its events, what is counted.
#[test]
fn a_record_counts_for_the_phase_that_it_was_attached_in() {
    let both = ["oldnet", "newnet"];
    let attached = || vec![added(0), Event::Started { leg: 1 }, added(1), Event::Attached {}];
    let with = |more: &[Event]| [attached(), more.to_vec()].concat();
    let failed = || Event::DelFailed { failed_at: boot::now().expect("a moment") };
    let left_out = [Event::Started { leg: 1 }, Event::Deleted { leg: 1 }, added(0), Event::Attached {}];
    let gone = Event::Deleted { leg: 0 };
    for (what, networks, events, expected) in [
        ("old alone", &["oldnet"][..], vec![added(0), Event::Attached {}], r#"{"old":1}"#),
        ("new alone", &["newnet"], vec![added(0), Event::Attached {}], r#"{"new":1}"#),
        ("both, old primary", &both, attached(), r#"{"both-old":1}"#),
        ("both, new primary", &["newnet", "oldnet"], attached(), r#"{"both-new":1}"#),
        ("an ADD that has begun", &both, vec![], r#"{"both-old":1}"#),
        ("an ADD between its networks", &both, vec![added(0)], r#"{"both-old":1}"#),
        ("a DEL that has taken the primary", &both, with(std::slice::from_ref(&gone)), r#"{"both-old":1}"#),
        ("one that has taken the second", &both, with(&[Event::Deleted { leg: 1 }]), r#"{"both-old":1}"#),
        ("a DEL that failed", &both, with(&[failed()]), r#"{"both-old":1}"#),
        (
            "a DEL that stopped in a chain",
            &["oldnet"],
            vec![Event::Stopped { leg: 0, plugin: 0 }],
            r#"{"old":1}"#,
        ),
        ("a tolerated network that failed", &["oldnet", "newnet?"], left_out.to_vec(), r#"{"old":1}"#),
        ("one whose DEL is owed as well", &["oldnet", "newnet?"], left_out[2..].to_vec(), r#"{"old":1}"#),
        ("a tolerated network that is there", &["oldnet", "newnet?"], attached(), r#"{"both-old":1}"#),
        ("the same, half deleted", &["newnet", "oldnet?"], with(&[gone]), r#"{"both-new":1}"#),
        ("a tolerated network still to come", &["oldnet", "newnet?"], vec![added(0)], r#"{"both-old":1}"#),
        ("a network of no policy", &["other"], attached(), r#"{"unknown":1}"#),
        ("one of two", &["oldnet", "other"], attached(), r#"{"unknown":1}"#),
        ("one network twice", &["oldnet", "oldnet"], attached(), r#"{"unknown":1}"#),
        ("three networks", &["oldnet", "newnet", "newnet"], attached(), r#"{"unknown":1}"#),
    ] {
        let node = Node::new();
        node.record("c1", networks, &events);
        assert_eq!(node.text(), expected, "{what}");
    }
}

#[test]
fn pods_of_another_phase_are_named_and_those_of_the_policy_s_are_not() {
    let node = Node::new();
    let args = |uid: &str| format!("IgnoreUnknown=1;K8S_POD_UID={uid}");
    let done = vec![added(0), Event::Attached {}];
    for (id, network, uid) in [
        ("c1", "oldnet", "11111111-aaaa"),
        ("c2", "newnet", "22222222-aaaa"),
        ("c3", "other", "33333333-aaaa"),
    ] {
        node.record_of(Some(&args(uid)), id, &[network], &done);
    }
    node.record("c4", &["newnet"], &done);
    assert_eq!(node.text(), r#"{"old":1,"new":2,"unknown":1,"others":["22222222","33333333"]}"#);
}

/// An agent that probes has the network of its rule, whatever the node's phase is.
#[test]
fn an_agent_that_a_rule_places_counts_as_of_the_phase_of_its_node() {
    let done = vec![added(0), Event::Attached {}];
    let rule = |namespace: &str| json!([{ "namespace": namespace, "pod": "new-*", "attach": "new" }]);
    for (namespace, pod, ruled, expected) in [
        ("crossfade-probe", "new-x", "crossfade-probe", r#"{"old":1}"#),
        ("crossfade-probe", "pod-x", "crossfade-probe", r#"{"new":1,"others":["11111111"]}"#),
        ("tenant", "new-x", "tenant", r#"{"new":1,"others":["11111111"]}"#),
        ("crossfade-probe", "new-x", "tenant", r#"{"new":1,"others":["11111111"]}"#),
    ] {
        let fresh = Node::new();
        let mut policy = serde_json::to_value(&fresh.policy).expect("JSON");
        policy["rules"] = rule(ruled);
        let node = Node { policy: Policy::parse(policy.to_string().as_bytes()).expect("valid"), ..fresh };
        let args = format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};K8S_POD_UID=11111111-aaaa");
        node.record_of(Some(&args), "c1", &["newnet"], &done);
        assert_eq!(node.text(), expected, "{namespace}/{pod}, a rule for {ruled}");
    }
}

/// With a torn line, whether the tolerated network's ADD succeeded is not known.
#[test]
fn a_torn_record_is_unknown_only_where_the_torn_line_decides() {
    for (networks, events, expected) in [
        (&["oldnet", "newnet"][..], vec![], r#"{"both-old":1}"#),
        (&["oldnet", "newnet?"], vec![added(0), added(1)], r#"{"both-old":1}"#),
        (&["oldnet", "newnet?"], vec![added(0), Event::Attached {}], r#"{"unknown":1}"#),
    ] {
        let node = Node::new();
        node.record("c1", networks, &events);
        let file = node.layout().attachments().join(types::attachment::key::shard("c1")).join("c1@eth0");
        let mut bytes = std::fs::read(&file).expect("record");
        bytes.extend_from_slice(b"0123456789abcdef {\"torn");
        write(&file, bytes).expect("torn");
        assert_eq!(node.text(), expected, "{networks:?}");
    }
}

#[test]
fn records_entries_and_damaged_files_are_added_up_and_nothing_twice() {
    let node = Node::new();
    assert_eq!(node.text(), "{}");
    let entries = [("i1", "old"), ("i2", "new"), ("i3", "elsewhere"), ("r1", "old")];
    inventory::change(&node.layout(), |inventory| {
        let entry = |(id, network): (&str, &str)| Entry::new(Key::new(id, "eth0"), network);
        inventory.attachments.extend(entries.map(entry));
    })
    .expect("inventory");
    node.record("r1", &["oldnet", "newnet"], &[]);
    node.record("r2", &["oldnet"], &[]);
    assert_eq!(node.text(), r#"{"old":2,"both-old":1,"new":1,"unknown":1}"#);
    let shard = node.layout().attachments().join(types::attachment::key::shard("r2"));
    write(shard.join("d1@eth0"), "no record").expect("damaged");
    assert_eq!(node.text(), r#"{"old":2,"both-old":1,"new":1,"unknown":2}"#);
    // The networks of a policy that cannot be used are not known.
    let unknown = AttachmentCounts { unknown: 6, ..AttachmentCounts::default() };
    assert_eq!(read(&node.layout(), None), Some(unknown));
    // The policy has lost the network of one entry and one record.
    let mut new_alone = node.policy.clone();
    new_alone.networks.old = None;
    let text = serde_json::to_string(&read(&node.layout(), Some(&new_alone))).expect("JSON");
    assert_eq!(text, r#"{"new":1,"unknown":5}"#);
}

#[test]
fn what_cannot_be_read_is_not_zero() {
    let node = Node::new();
    std::fs::remove_dir(node.layout().state_dir).expect("state");
    assert_eq!(read(&node.layout(), Some(&node.policy)), None);
    let node = Node::new();
    write(node.layout().inventory(), "{").expect("inventory");
    assert_eq!(read(&node.layout(), Some(&node.policy)), None);
    let node = Node::new();
    write(node.layout().attachments(), "no directory").expect("attachments");
    assert_eq!(read(&node.layout(), Some(&node.policy)), None);
}

#[test]
fn the_addresses_are_those_of_every_network_of_a_record_and_those_of_the_inventory() {
    let node = Node::new();
    let result = |address: &str| to_raw(&json!({"cniVersion": "1.0.0", "ips": [{"address": address}]}));
    let added = |leg: usize, address: &str| Event::Added { leg, result: result(address), present: None };
    let events = [added(0, "10.244.1.2/24"), Event::Started { leg: 1 }, added(1, "fd00::2/64")];
    node.record("c1", &["oldnet", "newnet"], &events);
    let inventory = json!({"version": 1, "attachments": [
        {"containerID": "c2", "ifname": "eth0", "network": "old", "prevResult": result("10.244.1.3/24")},
        {"containerID": "c3", "ifname": "eth0", "network": "old"},
    ]});
    write(node.layout().inventory(), inventory.to_string()).expect("inventory");
    let lines = attachments::list(&node.layout(), None).expect("readable").attachments;
    let addresses: Vec<Vec<String>> =
        lines.iter().map(|line| line.addresses.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(addresses, [vec!["10.244.1.2", "fd00::2"], vec!["10.244.1.3"], vec![]]);
}

#[test]
fn every_record_lies_in_a_directory_that_is_watched() {
    let node = Node::new();
    let directories = directories(&node.layout());
    for index in 0..64 {
        let id = format!("c{index}");
        assert!(
            directories.contains(&node.layout().attachments().join(types::attachment::key::shard(&id))),
            "{id}"
        );
    }
    let inventory = node.layout().inventory();
    assert!(directories.iter().any(|dir| inventory.parent() == Some(dir)));
}
