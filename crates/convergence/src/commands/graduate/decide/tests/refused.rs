//! Every reason not to go on, each beside a node on which nothing stands in the way.

use shim::node::inventory::{Deleter, Entry};
use types::attachment::{HostRoute, RouteStep};

use crate::commands::graduate::decide::tests::*;

/// What is wrong, by the words of its refusal.
type RefusalCase<'a> = (&'a str, fn(&mut GraduateFacts));

#[test]
fn every_reason_is_named_with_the_way_on() {
    let cases: [RefusalCase<'_>; 24] = [
        ("no runtime is asked", |f| f.runtime.answer = RuntimeAnswer::NotAsked),
        ("it is not there", |f| f.runtime.answer = RuntimeAnswer::Absent("it is not there".into())),
        ("max_conf_num", |f| {
            if let RuntimeAnswer::Setup(setup) = &mut f.runtime.answer {
                setup.max_confs = 2;
            }
        }),
        ("the runtime reads /other", |f| {
            if let RuntimeAnswer::Setup(setup) = &mut f.runtime.answer {
                setup.conf_dir = "/other".into();
            }
        }),
        ("would be without a network", |f| f.runtime.is_private = true),
        ("nothing to graduate from", |f| f.conf.ours = None),
        ("the name of Crossfade's network", |f| f.conf.name = None),
        ("the phase is both-new", |f| {
            f.policy = Policy::parse(
                br#"{"version":1,"networks":{"old":{"conf":["/o"]},"new":{"conf":["/n"]}},"attach":"both","both":{"primary":"new"}}"#,
            )
            .expect("valid");
        }),
        ("the policy has no network new", |f| f.new = None),
        ("network new: gone", |f| f.new.as_mut().expect("new").conf = Err("gone".into())),
        ("network new is not ready: no socket", |f| {
            f.new.as_mut().expect("new").why_not = Some("no socket".into());
        }),
        ("/elsewhere/20-new.conflist is the new network's conf", |f| {
            f.new.as_mut().expect("new").conf = Ok(("newnet".into(), "/elsewhere/20-new.conflist".into()));
        }),
        ("would use /etc/cni/net.d/15-x.conflist", |f| {
            f.conf.dir.confs.insert(2, conf("15-x.conflist", "x"))
        }),
        ("is not among the confs", |f| f.conf.dir.confs.retain(|conf| conf.file != "20-new.conflist")),
        ("1 attachments are on another network", |f| {
            f.records[0].0 = record("c1", &[("oldnet", "eth0"), ("newnet", "net1")]);
        }),
        ("only Crossfade's DEL removes", |f| f.records[0].0 = record("c1", &[("newnet", "net1")])),
        ("only Crossfade's DEL removes", |f| {
            f.records[0].0.intent.route = Some(RouteStep { first: "eth0".into(), owner: "net1".into() });
        }),
        ("only Crossfade's DEL removes", |f| {
            let route =
                HostRoute { address: [10, 2, 0, 5].into(), interface: "v".into(), index: 3, via: None };
            f.records[0].0.apply(Event::HostRouted { leg: 0, routes: vec![route] });
        }),
        ("the runtime does not list the sandboxes of 1", |f| f.records[0].1 = ListStatus::Missing),
        ("were not made by the runtime", |f| f.records[0].0.intent.cni_args = None),
        ("records cannot be read", |f| f.damaged.push("/state/x".into())),
        ("from before Crossfade are on another network", |f| {
            f.entries.push((Entry::new(Key::new("c0", "eth0"), "old"), ListStatus::Listed));
        }),
        ("asks for the phase both-new", |f| f.transit.desired = Some("both-new".into())),
        ("node.json: not valid", |f| f.node_json.after = Err("node.json: not valid".into())),
    ];
    for (words, wrong) in cases {
        let mut facts = facts();
        wrong(&mut facts);
        let decision = decide(&facts);
        assert!(decision.refusals.iter().any(|why| why.what.contains(words)), "{words}: {decision:#?}");
        assert!(
            decision.refusals.iter().all(|why| !why.fix.is_empty() && !why.place.is_empty()),
            "{decision:#?}"
        );
        assert!(decision.steps.is_empty(), "{words}: {decision:#?}");
    }
    assert!(decide(&facts()).refusals.is_empty());
}

#[test]
fn what_ends_by_itself_is_for_later() {
    let cases: [RefusalCase<'_>; 4] = [
        ("1 ADDs through Crossfade run", |f| f.records[0].0.attached = false),
        ("no answer", |f| f.runtime.answer = RuntimeAnswer::Failed("no answer".into())),
        ("cannot be seen", |f| f.runtime.blind = Some("its ADDs cannot be seen".into())),
        ("a roll has this node in hand", |f| {
            f.transit.step =
                Some(r#"{"run":"r","plan":"p","epoch":1,"claim":"c","to":"new","state":"moving"}"#.into());
        }),
    ];
    for (words, wrong) in cases {
        let mut facts = facts();
        wrong(&mut facts);
        let decision = decide(&facts);
        assert!(decision.refusals.is_empty(), "{words}: {decision:#?}");
        assert!(decision.later.iter().any(|why| why.what.contains(words)), "{words}: {decision:#?}");
        assert!(decision.steps.is_empty(), "{words}: {decision:#?}");
    }
    let mut done = facts();
    done.transit.desired = Some("new".into());
    done.transit.step =
        Some(r#"{"run":"r","plan":"p","epoch":1,"claim":"c","to":"new","state":"done"}"#.into());
    assert!(!steps(&done).is_empty());
}

#[test]
fn a_del_that_the_runtime_sends_itself_by_now_is_no_refusal() {
    let mut facts = finished_facts();
    facts.records[0].1 = ListStatus::Missing;
    facts.records.push((record("c2", &[("newnet", "eth0")]), ListStatus::Listed));
    facts.records[1].0.attached = false;
    assert!(!steps(&facts).is_empty());
    // CRI-O calls the plugin for it, and the sweep is what is left if it did not.
    let mut replayed = crio(finished_facts());
    replayed.runtime.is_restarted = true;
    replayed.records[0].1 = ListStatus::Missing;
    assert!(decide(&replayed).refusals[0].fix.contains("sweep"), "{:?}", decide(&replayed));
}

#[test]
fn entries_of_the_inventory_on_the_new_network_are_no_obstacle() {
    let mut facts = facts();
    let entry = Entry {
        prev_result: Some(raw(r#"{"cniVersion":"1.0.0"}"#)),
        ..Entry::new(Key::new("c0", "eth0"), "new")
    };
    facts.entries.push((entry, ListStatus::Listed));
    assert!(steps(&facts).contains(&"Prepare write /cache/newnet-c0-eth0".into()), "the runtime lost it");
    facts.cache.under_new = [Key::new("c0", "eth0")].into();
    assert!(!steps(&facts).contains(&"Prepare write /cache/newnet-c0-eth0".into()));
    facts.entries[0].1 = ListStatus::Missing;
    assert!(decide(&facts).refusals[0].fix.contains("sweep"));
    facts.entries[0].0.deleted_by = Deleter::Runtime;
    assert!(decide(&facts).refusals.is_empty());
}

#[test]
fn crio_s_check_at_its_start_must_find_a_result() {
    let mut facts = crio(facts());
    if let Some(new) = &mut facts.new {
        new.is_checked = true;
    }
    let decision = decide(&facts);
    assert!(decision.refusals[0].what.contains("CHECK") && decision.refusals[0].fix.contains("disableCheck"));
    facts.records.clear();
    assert!(decide(&facts).refusals.is_empty());
    facts.runtime.picks = ConfSelection::ByName("oldnet".into());
    let decision = decide(&facts);
    assert!(decision.refusals[0].fix.contains("cni_default_network = \"newnet\""), "{decision:?}");
    assert!(decision.refusals[0].fix.contains("do not restart CRI-O"), "{decision:?}");
}
