//! The section `roll` of the settings file.

use super::*;
use crate::config::{Config, read};

fn roll(yaml: &str) -> Result<Roll, String> {
    read(&format!("version: 1\nroll:\n{yaml}\n")).map(|config: Config| config.roll)
}

#[test]
fn every_key_is_read() {
    let roll = roll(
        "  limits: {inTransit: 3, windows: [{days: [sat, sun], from: '22:00', to: '06:00', zone: Europe/Berlin}]}
  pods: {delete: [default/*], deleteEmptyDir: true}
  gates:
    - {name: bridge, command: [./bridge, --both]}
  bridge: {gate: bridge}
  methods: {gpu-*: churn}
  image: both-new
  images: {gpu-*: new}
  unenforced: [NetworkPolicy]
  leaveOut: [{node: edge-*, reason: no pod network}]",
    )
    .expect("settings");
    assert_eq!((roll.limits.in_transit, roll.limits.zone_percent), (3, 5));
    assert_eq!(roll.limits.windows[0].zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!((roll.gates[0].every_seconds, roll.gates[0].fresh_seconds), (30, 120));
    assert_eq!(roll.bridge, Some(Bridge::Gate("bridge".into())));
    assert_eq!(roll.methods["gpu-*"], Method::Churn);
    let images = ["gpu-a", "web"].map(|pool| roll.image_phase(pool));
    assert_eq!(images, [Some(Phase::New), Some(Phase::BothNew)]);
    assert_eq!(roll.unenforced, [PolicyKind::NetworkPolicy]);
    assert_eq!(roll.leave_out[0].reason, "no pod network");
    assert!(roll.pods.delete_empty_dir && !roll.pods.evict_jobs);
}

/// Each row: settings, and what a refusal says, the key with its path first.
#[test]
fn every_refusal_names_the_key_and_what_was_expected() {
    for (yaml, words) in [
        ("  limit: {}", "limits"),
        ("  limits: {inTransit: 0}", "roll.limits.inTransit: expected at least 1"),
        ("  limits: {zonePercent: 0}", "roll.limits.zonePercent: expected at least 1"),
        ("  limits: {zonePercent: 101}", "roll.limits.zonePercent: expected at most 100, found 101"),
        ("  limits: {evictions: 0}", "roll.limits.evictions"),
        ("  limits: {claimSeconds: 0}", "roll.limits.claimSeconds"),
        ("  limits: {flipSeconds: 0}", "roll.limits.flipSeconds"),
        ("  limits: {moveSeconds: 0}", "roll.limits.moveSeconds"),
        ("  limits: {proveSeconds: 0}", "roll.limits.proveSeconds"),
        ("  limits: {ownersSeconds: 0}", "roll.limits.ownersSeconds"),
        (
            "  limits: {windows: [{from: '1:00', to: '02:00'}]}",
            "roll.limits.windows[0].from: expected a time",
        ),
        ("  limits: {windows: [{from: '01:00', to: '24:00'}]}", "roll.limits.windows[0].to: expected a time"),
        (
            "  limits: {windows: [{from: '01:00', to: '02:00', days: [mon, friday]}]}",
            "roll.limits.windows[0].days[1]: expected one of mon",
        ),
        (
            "  limits: {windows: [{from: '01:00', to: '02:00', zone: ''}]}",
            "roll.limits.windows[0].zone: expected a name of the IANA",
        ),
        ("  pods: {delete: [web]}", "roll.pods.delete[0]: expected NAMESPACE/NAME"),
        ("  pods: {disrupt: [a/b, /web]}", "roll.pods.disrupt[1]: expected NAMESPACE/NAME"),
        ("  pods: {inPlace: [a/b/c]}", "roll.pods.inPlace[0]: expected NAMESPACE/NAME"),
        ("  gates: [{name: A, command: [a]}]", "roll.gates[0].name: expected lower-case"),
        ("  gates: [{name: dns, command: [a]}]", "roll.gates[0].name: expected another name"),
        (
            "  gates: [{name: a, command: [a]}, {name: a, command: [b]}]",
            "roll.gates[1].name: expected a name that no other gate has",
        ),
        ("  gates: [{name: a, command: []}]", "roll.gates[0].command: expected a program"),
        ("  gates: [{name: a, command: [a], everySeconds: 0}]", "roll.gates[0].everySeconds"),
        (
            "  gates: [{name: a, command: [a], freshSeconds: 29}]",
            "roll.gates[0].freshSeconds: expected at least",
        ),
        ("  bridge: {gate: a}", "roll.bridge.gate: expected the name of a gate"),
        ("  bridge: {accept: ' '}", "roll.bridge.accept: expected why"),
        ("  bridge: yes", "roll.bridge"),
        ("  methods: {a: surge}", "roll.methods.a"),
        ("  methods: {'': churn}", "roll.methods: expected the name of a pool"),
        ("  images: {a: newest}", "roll.images.a"),
        ("  images: {'': new}", "roll.images: expected the name of a pool"),
        (
            "  images: {a: new, b: final}",
            r#"roll.images.b: expected both-old, both-new or new, found "final""#,
        ),
        ("  image: final\n  images: {a: new}", "roll.images.a: expected nothing beside roll.image: final"),
        ("  unenforced: [Networkpolicy]", "roll.unenforced[0]"),
        ("  maxUnavailable: {a: 0}", "roll.maxUnavailable.a: expected a number from 1 to 100, found 0"),
        ("  maxUnavailablePercentage: {a: 101}", "roll.maxUnavailablePercentage.a: expected a number"),
        ("  poolOrder: [a, '']", "roll.poolOrder[1]: expected the name of a pool"),
        (
            "  poolOrder: [a, a]",
            "roll.poolOrder[1]: expected the name of a pool that is not named before, found \"a\"",
        ),
        ("  leaveOut: [{node: '', reason: a}]", "roll.leaveOut[0].node"),
        ("  leaveOut: [{node: a, reason: ''}]", "roll.leaveOut[0].reason: expected why"),
    ] {
        let why = roll(yaml).expect_err(yaml);
        assert!(why.contains(words), "{yaml}: {why}");
    }
}

#[test]
fn the_nearest_settings_that_make_sense_are_taken() {
    for yaml in [
        "  limits: {inTransit: 1, zonePercent: 100, perHour: 0, settleSeconds: 0, soakSeconds: 0, jobSeconds: 0}",
        "  limits: {windows: [{from: '22:00', to: '22:00'}]}",
        "  pods: {delete: ['*/*']}",
        "  gates: [{name: a-1, command: [a, ''], everySeconds: 120}]",
        "  bridge: {accept: a router between both}",
    ] {
        assert!(roll(yaml).is_ok(), "{yaml}: {:?}", roll(yaml));
    }
}
