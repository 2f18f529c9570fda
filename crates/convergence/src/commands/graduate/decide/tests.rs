//! The order of the steps, on made-up facts.

mod refused;

use serde_json::value::RawValue;
use shim::host::boot::Moment;
use shim::node::layout::Layout;
use shim::sweep::ListStatus;
use types::attachment::{Attachment, Event, Intent, Leg};
use types::policy::Policy;

use crate::commands::graduate::decide::*;
use crate::commands::graduate::facts::*;
use crate::node::conf::confdir::{ConfDir, Content};
use crate::node::plugins::bin_dirs::{BinDir, PluginState};
use crate::node::settings::directories::InstalledConf;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::conf_selection::ConfSelection;
use crate::runtime::{CniSetup, Network};

const DIR: &str = "/etc/cni/net.d";

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).expect("JSON")
}

fn now() -> Moment {
    Moment { boot_id: "b".into(), boottime_ms: 5_000, wall_secs: 1 }
}

/// A record of these networks, each with its interface.
fn record(id: &str, legs: &[(&str, &str)]) -> Attachment {
    let leg = |(network, ifname): &(&str, &str)| Leg {
        network: (*network).into(),
        profile: "generic".into(),
        conf_path: None,
        ifname: (*ifname).into(),
        primary: *ifname == "eth0",
        tolerated: false,
        host_route: false,
        conf: raw(&format!(r#"{{"cniVersion":"1.0.0","name":"{network}","plugins":[{{"type":"bridge"}}]}}"#)),
        runtime_config: None,
    };
    let mut record = Attachment::begin(Intent {
        version: 1,
        container_id: id.into(),
        ifname: "eth0".into(),
        began_at: now(),
        netns: "/n".into(),
        netns_id: None,
        netns_cookie: None,
        cni_args: Some(format!("K8S_POD_NAMESPACE=ns;K8S_POD_NAME={id};K8S_POD_INFRA_CONTAINER_ID={id}")),
        cni_path: None,
        route: None,
        legs: legs.iter().map(leg).collect(),
    });
    for leg in 0..legs.len() {
        record.apply(Event::Added { leg, result: raw(r#"{"cniVersion":"1.0.0"}"#), present: None });
    }
    record.apply(Event::Attached {});
    record
}

fn conf(file: &str, name: &str) -> ConfFile {
    let text = format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{{"type":"bridge"}}]}}"#);
    ConfFile { file: file.into(), content: Content::parse(text.as_bytes()) }
}

fn installed() -> InstalledConf {
    InstalledConf {
        bytes: b"ours".to_vec(),
        mode: 0o644,
        name: "oldnet".into(),
        cni_version: "1.0.0".into(),
        capabilities: Vec::new(),
        layout: Layout::default(),
    }
}

/// A node on which nothing stands in the way: a pod on the new network, and Crossfade's network has the old one's name.
fn facts() -> GraduateFacts {
    let policy = br#"{"version":1,"networks":{"old":{"conf":["/etc/cni/net.d/10-old.conflist"]},
        "new":{"conf":["/etc/cni/net.d/20-new.conflist"]}},"attach":"new"}"#;
    let network = Network { name: "oldnet".into(), types: vec!["crossfade".into()], conf: String::new() };
    GraduateFacts {
        runtime: ObservedRuntime {
            replays: false,
            answer: RuntimeAnswer::Setup(CniSetup {
                conf_dir: DIR.into(),
                bin_dirs: Vec::new(),
                max_confs: 1,
                networks: vec![network],
            }),
            blind: None,
            picks: ConfSelection::First,
            is_private: false,
            can_restart: false,
            is_restarted: false,
            unlisted: None,
            sandboxes: ["c1".to_owned()].into(),
        },
        conf: ObservedConf {
            dir: ConfDir {
                path: DIR.into(),
                confs: vec![
                    conf("01-crossfade.conflist", "oldnet"),
                    conf("10-old.conflist", "oldnet"),
                    conf("20-new.conflist", "newnet"),
                ],
                ..ConfDir::default()
            },
            file: Path::new(DIR).join(CONF_FILE),
            ours: Some(installed()),
            name: Some("oldnet".into()),
        },
        new: Some(NewNetwork {
            conf: Ok(("newnet".into(), Path::new(DIR).join("20-new.conflist"))),
            is_checked: true,
            why_not: None,
        }),
        policy: Policy::parse(policy).expect("valid"),
        records: vec![(record("c1", &[("newnet", "eth0")]), ListStatus::Listed)],
        damaged: Vec::new(),
        entries: Vec::new(),
        cache: ObservedCache {
            dir: "/cache".into(),
            under_ours: [Key::new("c1", "eth0")].into(),
            ..ObservedCache::default()
        },
        progress: Progress::default(),
        transit: NodeAnnotations::default(),
        node_json: NodeJson {
            path: "/etc/crossfade/node.json".into(),
            before: Some(b"before".to_vec()),
            after: Ok(b"wanted".to_vec()),
            fleeting: None,
        },
        plugins: vec![BinDir {
            path: "/opt/cni/bin".into(),
            plugin: PluginState::Sound,
            other: None,
            read_only: false,
            distrust: None,
        }],
        layout: Layout::default(),
        state: vec!["/var/lib/crossfade/attachments".into()],
        aside_dir: "/aside".into(),
        marker: "/run/crossfade/without-plugin".into(),
        watch_runs: true,
        retract: None,
    }
}

/// The same once Crossfade's conf has left.
fn finished_facts() -> GraduateFacts {
    let mut facts = facts();
    facts.conf.ours = None;
    facts.conf.dir.confs = vec![conf("20-new.conflist", "newnet")];
    facts.progress.left_at = Some(now());
    facts.progress.handed = [Key::new("c1", "eth0")].into();
    facts
}

/// CRI-O, configured with the new network's name.
fn crio(mut facts: GraduateFacts) -> GraduateFacts {
    facts.runtime.replays = true;
    facts.runtime.answer = RuntimeAnswer::Silent;
    facts.runtime.picks = ConfSelection::ByName("newnet".into());
    if let Some(new) = &mut facts.new {
        new.is_checked = false;
    }
    facts
}

fn steps(facts: &GraduateFacts) -> Vec<String> {
    let decision = decide(facts);
    assert!(decision.refusals.is_empty() && decision.later.is_empty(), "{decision:#?}");
    let shown = |step: &Step| format!("{:?} {} {}", step.stage, step.change.act.word(), step.change.target);
    decision.steps.iter().map(shown).collect()
}

#[test]
fn every_stage_leaves_what_the_next_one_needs() {
    let expected = [
        "Prepare move /etc/cni/net.d/10-old.conflist",
        "Prepare write /cache/newnet-c1-eth0",
        "Switch write /aside/01-crossfade.conflist",
        "Switch remove /etc/cni/net.d/01-crossfade.conflist",
        "Confirm confirm network newnet",
        "Settle write /aside/node.json",
        "Settle write /etc/crossfade/node.json",
        "Leave remove /cache/oldnet-c1-eth0",
        "Leave move /var/lib/crossfade/attachments",
        "Leave remove /opt/cni/bin/crossfade",
        "Leave write /run/crossfade/without-plugin",
        "Leave run systemctl stop crossfade-watch.service",
        "Leave remove /var/lib/crossfade/name",
    ];
    assert_eq!(steps(&facts()), expected);
    let order: Vec<Stage> = decide(&facts()).steps.iter().map(|step| step.stage).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn after_the_switch_the_rest_follows_and_an_ended_run_has_nothing_to_do() {
    let after = steps(&finished_facts());
    assert_eq!(
        after[..2],
        ["Confirm confirm network newnet", "Settle write /cache/newnet-c1-eth0"],
        "{after:?}"
    );
    let mut confirmed = finished_facts();
    confirmed.progress.is_confirmed = true;
    assert!(!steps(&confirmed).iter().any(|step| step.starts_with("Confirm")));
    // A conf that is back, by a boot or by a person, is a switch that has not been.
    confirmed.conf.ours = Some(installed());
    assert!(steps(&confirmed).contains(&"Confirm confirm network newnet".into()));
    let mut ended = finished_facts();
    ended.progress.is_ended = true;
    let decision = decide(&ended);
    assert!(decision.steps.is_empty() && decision.notes[0].contains("already"), "{decision:?}");
    ended.conf.ours = Some(installed());
    assert!(!decide(&ended).steps.is_empty(), "installed once more");
}

#[test]
fn a_pod_that_is_gone_since_the_switch_gets_no_entry_and_keeps_none() {
    let mut facts = finished_facts();
    facts.records[0].1 = ListStatus::Missing;
    facts.runtime.sandboxes.clear();
    let all = steps(&facts);
    assert!(!all.contains(&"Settle write /cache/newnet-c1-eth0".into()), "{all:?}");
    // It is not there, so nothing is left to be removed; what is written about it would be.
    assert!(all.contains(&"Leave remove /cache/newnet-c1-eth0".into()), "{all:?}");
}

#[test]
fn under_one_name_the_entry_is_rewritten_after_the_switch_and_never_removed() {
    let mut facts = facts();
    facts.conf.name = Some("newnet".into());
    facts.conf.dir.confs.remove(1);
    let all = steps(&facts);
    assert!(all.contains(&"Settle write /cache/newnet-c1-eth0".into()), "{all:?}");
    assert!(
        !all.iter().any(|step| step.contains("Leave remove /cache") || step.contains("10-old")),
        "{all:?}"
    );
    assert!(!all.iter().any(|step| step.starts_with("Prepare")), "{all:?}");
}

#[test]
fn crio_keeps_its_cache_and_waits_for_the_last_sandbox() {
    let mut facts = crio(finished_facts());
    facts.progress.is_confirmed = true;
    facts.runtime.is_restarted = true;
    let decision = decide(&facts);
    assert!(decision.waits.len() == 1 && decision.waits[0].what.contains("1 sandboxes"), "{decision:?}");
    assert!(!steps(&facts).iter().any(|step| step.contains("/cache/")), "{:?}", steps(&facts));
    // One without a record that CRI-O lists and remembers through Crossfade; then one that it does not list.
    facts.records.clear();
    facts.cache.through_us = [Key::new("c1", "eth0")].into();
    assert_eq!(decide(&facts).waits.len(), 1);
    facts.runtime.sandboxes.clear();
    assert!(decide(&facts).waits.is_empty());
}

#[test]
fn crio_that_is_told_a_name_is_started_anew_between_the_conf_and_the_proof() {
    let mut facts = crio(facts());
    assert!(steps(&facts).contains(&"Confirm wait CRI-O".into()), "{:?}", steps(&facts));
    facts.runtime.can_restart = true;
    assert!(steps(&facts).contains(&"Confirm run systemctl restart crio.service".into()));
    let mut after = crio(finished_facts());
    let waits = decide(&after);
    assert!(waits.waits[0].fix.contains("restart CRI-O now"), "{waits:?}");
    assert!(
        !waits.steps.iter().any(|step| matches!(step.stage, Stage::Confirm | Stage::Settle)),
        "{waits:?}"
    );
    after.runtime.is_restarted = true;
    assert!(steps(&after).contains(&"Confirm confirm network newnet".into()));
    // One without a configured name takes the next conf by itself.
    after.runtime.picks = ConfSelection::FirstOfCrio;
    after.runtime.is_restarted = false;
    assert!(steps(&after).contains(&"Confirm confirm network newnet".into()));
}

#[test]
fn another_program_s_plugin_stays() {
    let mut facts = facts();
    facts.plugins[0].plugin = PluginState::OtherFile;
    facts.plugins[0].other = Some(b"another program".to_vec());
    let decision = decide(&facts);
    assert!(!decision.steps.iter().any(|step| step.change.target.contains("/opt/cni/bin")), "{decision:?}");
    assert!(decision.notes[0].contains("is not known as Crossfade's"), "{decision:?}");
}

#[test]
fn a_plugin_in_a_directory_that_cannot_be_written_stays_and_is_told() {
    let mut facts = facts();
    facts.plugins[0].read_only = true;
    let decision = decide(&facts);
    assert!(!decision.steps.iter().any(|step| step.change.target.contains("/opt/cni/bin")), "{decision:?}");
    assert!(decision.notes[0].contains("its directory is read-only"), "{decision:?}");
}
