//! node.json, key by key.

use std::path::PathBuf;

use super::*;

/// A file that uses every key.
const FULL: &str = include_str!("../../tests/schema/full-node.json");

#[test]
fn every_key_is_read() {
    let node = Node::parse(FULL.as_bytes()).expect("valid");
    assert_eq!((node.conf_dir, node.cni_version), (Mode::Private, CniVersion::V110));
    let taints: Vec<_> = node.taints.iter().map(ToString::to_string).collect();
    assert_eq!(taints, ["node.cilium.io/agent-not-ready:NoSchedule", "a=b:NoExecute"]);
    assert_eq!(node.runtime.kind, Some(RuntimeKind::Crio));
    assert_eq!(node.runtime.bin_dirs, [PathBuf::from("/opt/cni/bin")]);
    assert_eq!((node.kubelet.register, node.kubelet.node_name.as_deref()), (false, Some("n1")));
    assert_eq!((node.gate.try_secs, node.gate.give_up_secs), (30, Some(600)));
    assert_eq!(
        (node.desired, node.allowed),
        (DesiredSource::NodeAnnotation, vec![Phase::Old, Phase::BothOld])
    );
    assert!(
        node.join_pods && !node.report.node && node.proof == Proof::Attach && node.report.textfile.is_some()
    );
    let PacketTargets { dns, peers, paths } = node.packets;
    assert_eq!(dns.map(|dns| dns.len()), Some(2));
    let peers: Vec<_> = peers.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.244.3.0", "[fd00::7]:10250"]);
    assert_eq!(paths, Some(crate::packets::PacketPath::ALL.to_vec()));
}

#[test]
fn what_is_left_out_is_the_default() {
    assert_eq!(Node::parse(br#"{"version": 1}"#), Ok(Node::default()));
    for empty in ["runtime", "kubelet", "gate", "report", "packets"] {
        assert_eq!(Node::parse(format!(r#"{{"version":1,"{empty}":{{}}}}"#).as_bytes()), Ok(Node::default()));
    }
}

#[test]
fn what_is_wrong_is_named_with_what_was_expected() {
    for (more, words) in [
        (r#""confdir": "private""#, &["confdir", "did you mean \"confDir\""][..]),
        (r#""confDir": "privat""#, &["confDir", "private, shared or none", "privat"]),
        (r#""proof": "packets""#, &["proof", "packet", "attach"]),
        (r#""packets": {"dns": ["coredns"]}"#, &["packets.dns[0]", "an IP address", "coredns"]),
        (r#""packets": {"peers": ["node-2"]}"#, &["packets.peers[0]", "ADDRESS:PORT", "node-2"]),
        (r#""packets": {"paths": ["dns"]}"#, &["packets.paths[0]", "podToDns"]),
        (r#""labels": {"a": 1}"#, &["labels.a", "a string", "found 1"]),
        (r#""taints": [{"key": "a"}]"#, &["taints[0].effect", "missing", "NoSchedule"]),
        (r#""taints": [{"key": "a", "effect": "noschedule"}]"#, &["taints[0].effect", "noschedule"]),
        (
            r#""taints": [{"key":"a","effect":"NoExecute"},{"key":"a","value":"b","effect":"NoExecute"}]"#,
            &["taints[1].key", "twice"],
        ),
        (r#""runtime": {"endpoint": "tcp://1.2.3.4:1"}"#, &["runtime.endpoint", "unix:///PATH"]),
        (r#""runtime": {"binDirs": ["bin"]}"#, &["runtime.binDirs", "absolute"]),
        (r#""runtime": {"unit": "/etc/containerd.service"}"#, &["runtime.unit", ".service"]),
        (r#""kubelet": {"unit": "kubelet"}"#, &["kubelet.unit", ".service"]),
        (r#""kubelet": {"register": "yes"}"#, &["kubelet.register", "true or false"]),
        (r#""gate": {"trySeconds": 0}"#, &["gate.trySeconds", "1 to 60"]),
        (r#""gate": {"giveUpSeconds": 0}"#, &["gate.giveUpSeconds", "from 1"]),
        (r#""desired": "node-annotation""#, &["allowed", "missing"]),
        (r#""joinPods": true"#, &["joinPods", "desired: node-annotation"]),
        (r#""allowed": ["both"]"#, &["allowed[0]", "both-old", "\"both\""]),
        (r#""allowed": ["old", "old"]"#, &["allowed", "twice"]),
        (r#""report": {"textfile": "/x/crossfade.txt"}"#, &["report.textfile", ".prom"]),
        (r#""version": 1"#, &["version", "twice"]),
    ] {
        let why = Node::parse(format!(r#"{{"version": 1, {more}}}"#).as_bytes()).expect_err(more);
        assert!(words.iter().all(|word| why.contains(word)), "{more}: {why}");
    }
    for text in ["", "[]", r#"{"version": 2}"#, "{}"] {
        assert!(Node::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_weaker_proof_is_what_both_allow() {
    for (profile, setting, expected) in [
        (Proof::Packet, Proof::Packet, Proof::Packet),
        (Proof::Packet, Proof::Attach, Proof::Attach),
        (Proof::Attach, Proof::Packet, Proof::Attach),
        (Proof::Probe, Proof::Packet, Proof::Probe),
        (Proof::Attach, Proof::Probe, Proof::Probe),
    ] {
        assert_eq!(profile.min(setting), expected, "{profile:?} {setting:?}");
    }
    assert_eq!(Node::default().proof, Proof::Packet);
}
