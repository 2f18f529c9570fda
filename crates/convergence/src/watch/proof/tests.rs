//! Proofs over time.

use types::packets::{Exchange, Outcome, PacketPath, PacketReason, Protocol};

use super::*;

fn result(turn: u64, failed: Option<&str>) -> ProofResult {
    ProofResult {
        version: 1,
        network: Side::New,
        name: "n".into(),
        turn,
        boot_id: "b".into(),
        proof: Proof::Packet,
        failed: failed.map(str::to_owned),
        packets: None,
    }
}

/// A proof by packets that failed for this reason.
fn lost(turn: u64, reason: PacketReason) -> ProofResult {
    let packets = Packets { reason, settled_millis: None, notes: Vec::new(), exchanges: Vec::new() };
    ProofResult { packets: Some(packets), ..result(turn, Some("no")) }
}

fn inputs_at(secs: u64) -> ProofInputs {
    ProofInputs {
        strongest_proof: Proof::Packet,
        was_ready: false,
        has_other_network: false,
        now: Duration::from_secs(secs),
    }
}

fn resumed(kept: &ProofResult, was_ready: bool) -> Proofs {
    Proofs::resume(Some(kept), Proof::Packet, was_ready)
}

#[test]
fn one_proof_per_life_of_the_agent_and_it_holds_no_pod_up_twice() {
    let mut proofs = Proofs::resume(None, Proof::Packet, false);
    assert!(proofs.verdict(Side::New).is_err());
    assert!(proofs.step(None, inputs_at(0)) && !proofs.step(None, inputs_at(1)));
    assert!(!proofs.step(Some(&result(9, None)), inputs_at(2)), "another turn's result");
    assert!(proofs.verdict(Side::New).is_err());
    assert!(!proofs.step(Some(&result(1, None)), inputs_at(3)));
    assert!(proofs.verdict(Side::New).is_ok() && !proofs.step(Some(&result(1, None)), inputs_at(999)));
    proofs.restart();
    assert!(proofs.verdict(Side::New).is_ok(), "proven once in this boot");
    assert!(proofs.step(Some(&result(1, None)), inputs_at(1000)) && proofs.turn == 2);
    assert!(!proofs.step(Some(&result(2, Some("no"))), inputs_at(1001)));
    assert!(
        proofs
            .verdict(Side::New)
            .is_err_and(|why| why.contains("failed: no; see journalctl -u crossfade-prove-new"))
    );
}

#[test]
fn a_failed_proof_is_tried_again_later_and_later() {
    let mut proofs = Proofs::default();
    let (mut now, mut pauses) = (0, Vec::new());
    assert!(proofs.step(None, inputs_at(0)));
    for _ in 0..9 {
        let failed = result(proofs.turn, Some("no"));
        assert!(!proofs.step(Some(&failed), inputs_at(now)));
        let began = now;
        while !proofs.step(Some(&failed), inputs_at(now)) {
            now += 1;
        }
        pauses.push(now - began);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    assert!(
        !proofs.step(None, inputs_at(now + proof_within_secs(Proof::Packet)))
            && proofs.state() == ProofState::Running
    );
    assert!(
        !proofs.step(None, inputs_at(now + proof_within_secs(Proof::Packet) + 31))
            && proofs.state() == ProofState::Failed
    );
}

#[test]
fn what_cannot_be_started_is_by_probes_after_some_tries() {
    let mut proofs = Proofs::default();
    for _ in 0..STARTS {
        assert!(proofs.verdict(Side::New).is_err());
        assert!(proofs.step(None, inputs_at(1000)));
        proofs.did_not_start(Duration::ZERO, "no systemd-run".into());
    }
    assert!(
        proofs.verdict(Side::New).is_ok()
            && !proofs.step(None, inputs_at(9000))
            && proofs.state() == ProofState::Unavailable
    );
}

#[test]
fn an_earlier_watch_has_proven_it() {
    assert!(resumed(&result(4, None), false).verdict(Side::New).is_ok());
    let mut failed = resumed(&result(4, Some("no")), true);
    assert!(
        failed.verdict(Side::New).is_err()
            && failed.step(Some(&result(4, Some("no"))), inputs_at(0))
            && failed.turn == 5
    );
}

/// After an outage of a whole cluster no DNS pod runs before the first node is ready: the node waits, and then goes on.
#[test]
fn a_network_waits_for_others_and_not_for_ever() {
    let mut proofs = Proofs::default();
    let fails = |proofs: &mut Proofs, now: u64| {
        let failed = lost(proofs.turn, PacketReason::Dns);
        assert!(!proofs.step(Some(&failed), inputs_at(now)), "{now}");
    };
    assert!(proofs.step(None, inputs_at(0)));
    fails(&mut proofs, 10);
    assert!(proofs.verdict(Side::New).is_err() && proofs.state() == ProofState::Failed);
    assert!(proofs.step(None, inputs_at(20)), "tried again");
    fails(&mut proofs, 30);
    assert!(proofs.verdict(Side::New).is_err());
    assert!(!proofs.step(None, inputs_at(49)) && proofs.step(None, inputs_at(50)));
    fails(&mut proofs, 99);
    assert!(proofs.verdict(Side::New).is_err() && proofs.degraded_reason().is_none());
    assert!(!proofs.step(None, inputs_at(100)));
    assert!(proofs.verdict(Side::New).is_ok() && proofs.state() == ProofState::Degraded);
    assert_eq!(proofs.degraded_reason(), Some("no"));
    // It is asked again, and says so until the others answer.
    assert!(proofs.step(None, inputs_at(139)) && proofs.state() == ProofState::Degraded);
    assert!(proofs.verdict(Side::New).is_ok());
    assert!(!proofs.step(Some(&result(proofs.turn, None)), inputs_at(140)));
    assert!(proofs.state() == ProofState::Passed && proofs.degraded_reason().is_none());
}

/// The DNS pods of a cluster that goes back may live in the network that is broken: they come back once nodes take pods, and not before.
#[test]
fn a_way_back_does_not_wait_for_the_dns_of_the_other_network() {
    let peer = |outcome| Exchange {
        path: PacketPath::PodToPeer,
        protocol: Protocol::Icmp,
        from: None,
        to: [10, 244, 3, 0].into(),
        outcome,
        mtu: None,
        passes: None,
        announced: false,
    };
    let failed_proof = |network, reason, peers: &[Outcome]| {
        let mut failed = ProofResult { network, ..lost(1, reason) };
        failed.packets.as_mut().expect("packets").exchanges = peers.iter().copied().map(peer).collect();
        failed
    };
    let (dns, silent) = (PacketReason::Dns, Outcome::Silent);
    for (failed, has_other_network, waits) in [
        (failed_proof(Side::Old, dns, &[Outcome::Passed]), true, false),
        (failed_proof(Side::Old, dns, &[silent, Outcome::Refused]), true, false),
        (failed_proof(Side::Old, dns, &[]), true, false),
        // This network may be what fails.
        (failed_proof(Side::Old, dns, &[silent]), true, true),
        (failed_proof(Side::Old, PacketReason::Peers, &[silent]), true, true),
        // There is no other network in which DNS could be.
        (failed_proof(Side::Old, dns, &[Outcome::Passed]), false, true),
        // Pods of the new network have to reach DNS wherever it is.
        (failed_proof(Side::New, dns, &[Outcome::Passed]), true, true),
    ] {
        let inputs = |secs| ProofInputs { has_other_network, ..inputs_at(secs) };
        let mut proofs = Proofs::default();
        assert!(proofs.step(None, inputs(0)) && !proofs.step(Some(&failed), inputs(1)));
        assert_eq!(proofs.verdict(failed.network).is_err(), waits, "{failed:?}");
        assert_eq!(
            proofs.degraded_reason().is_some_and(|why| why.contains("no evidence")),
            !waits,
            "{failed:?}"
        );
    }
}

#[test]
fn what_fails_on_this_node_is_never_let_go() {
    for reason in [PacketReason::Silent, PacketReason::OneWay, PacketReason::Mtu] {
        let mut proofs = Proofs::default();
        assert!(proofs.step(None, inputs_at(0)));
        assert!(!proofs.step(Some(&lost(1, reason)), inputs_at(1)));
        proofs.step(None, ProofInputs { was_ready: true, ..inputs_at(9999) });
        proofs.step(Some(&lost(2, reason)), inputs_at(10_000));
        assert!(proofs.verdict(Side::New).is_err() && proofs.degraded_reason().is_none(), "{reason:?}");
    }
    // Nor once it was let go, and then fails here.
    let mut proofs = resumed(&lost(4, PacketReason::Peers), true);
    assert!(proofs.verdict(Side::New).is_ok(), "it was let go before");
    assert!(
        proofs.step(None, inputs_at(0)) && !proofs.step(Some(&lost(5, PacketReason::Peers)), inputs_at(1))
    );
    assert!(proofs.verdict(Side::New).is_ok());
    assert!(
        proofs.step(None, inputs_at(11)) && !proofs.step(Some(&lost(6, PacketReason::Silent)), inputs_at(12))
    );
    assert!(proofs.verdict(Side::New).is_err() && proofs.state() == ProofState::Failed);
}

/// After an update a network that was proven by an attachment is proven by packets, and no pod waits for it.
#[test]
fn a_stronger_proof_is_made_and_keeps_no_pod_waiting() {
    let old = r#"{"version":1,"network":"new","name":"n","turn":3,"bootID":"b"}"#;
    let old: ProofResult = serde_json::from_str(old).expect("as an earlier release wrote it");
    assert_eq!(old.proof, Proof::Attach);
    let mut proofs = resumed(&old, true);
    assert!(proofs.verdict(Side::New).is_ok() && proofs.step(Some(&old), inputs_at(0)) && proofs.turn == 4);
    let mut weaker = Proofs::resume(Some(&result(4, None)), Proof::Attach, true);
    assert!(!weaker.step(Some(&result(4, None)), inputs_at(0)) && weaker.state() == ProofState::Passed);
}
