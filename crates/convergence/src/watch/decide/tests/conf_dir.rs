//! A conf directory that is replaced, and what CRI-O is configured with and has read.

use crate::watch::decide::tests::*;

#[test]
fn a_replaced_directory_is_written_to_again_and_the_runtime_has_to_be_restarted() {
    let mut world = World::new(Mode::Shared);
    world.round(0);
    world.facts.dir_id = Some("d2".into());
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    let round = world.round(1);
    assert_eq!((round.reason, round.changes), ("RuntimeRestartNeeded", vec![CONF.to_owned()]));
    world.quiet("RuntimeRestartNeeded");
    let document = decide(&world.facts, &world.memory, ME).document;
    let heir = Memory::from_status(Some(&document));
    assert_eq!(decide(&world.facts, &heir, ME).report.reason, Reason::RuntimeRestartNeeded, "the next watch");
    world.facts.life = Some("r2".into());
    assert_eq!(world.round(1).reason, "NetworkReady");
    // Removed, and not made again.
    world.facts.dir_id = None;
    world.facts.node.dirs.installed = OwnConfFile::Absent;
    assert_eq!(world.round(1).changes, [""; 0]);
    assert_eq!(world.round(3).changes, [CONF]);
    // A file system may give it the same number.
    world.facts.dir_id = Some("d2".into());
    assert_eq!(world.round(1).reason, "RuntimeRestartNeeded");
    assert_eq!(world.memory.guard, crate::watch::guard::Guard::default(), "the conf alone was not taken");
}

#[test]
fn a_replaced_directory_is_told_in_the_words_of_the_runtime_that_is_here() {
    for (kind, picks, words, not) in [
        (None, ConfSelection::First, "restart the runtime", "CRI-O"),
        (Some(RuntimeKind::Containerd), ConfSelection::First, "containerd before 2.1", "CRI-O"),
        (
            Some(RuntimeKind::Crio),
            ConfSelection::ByName("oldnet".into()),
            "restart CRI-O (its pods run on)",
            "containerd",
        ),
        (
            Some(RuntimeKind::Crio),
            ConfSelection::FirstOfCrio,
            "once Crossfade's conf is the first one",
            "containerd",
        ),
    ] {
        let mut world = World::new(Mode::Shared);
        world.facts.node.runtime.config = configured(kind, &picks);
        world.round(0);
        world.facts.dir_id = Some("d2".into());
        world.facts.node.dirs.installed = OwnConfFile::Absent;
        world.round(1);
        let report = decide(&world.facts, &world.memory, ME).report;
        assert_eq!(report.reason, Reason::RuntimeRestartNeeded);
        assert!(report.message.contains(words) && !report.message.contains(not), "{}", report.message);
    }
}

#[test]
fn on_crio_the_name_that_it_is_told_counts_before_the_order() {
    for (picks, reason, words) in [
        (ConfSelection::ByName("oldnet".into()), Reason::NetworkReady, ""),
        (ConfSelection::ByName("another".into()), Reason::ConfNotFirst, "cni_default_network"),
        (ConfSelection::FirstOfCrio, Reason::ConfNotFirst, "do not restart CRI-O until then"),
    ] {
        let mut world = World::new(Mode::Shared);
        world.facts.node.runtime.config = configured(Some(RuntimeKind::Crio), &picks);
        world.round(0);
        world.listed("!.conf");
        world.round(1);
        let decision = decide(&world.facts, &world.memory, ME);
        assert_eq!(decision.report.reason, reason, "{}", decision.report.message);
        assert!(decision.report.message.contains(words), "{}", decision.report.message);
    }
}

#[test]
fn a_crio_that_is_told_no_name_is_a_finding_in_shared_mode() {
    const CRIO: Option<RuntimeKind> = Some(RuntimeKind::Crio);
    for (mode, kind, picks, text) in [
        (Mode::Shared, CRIO, ConfSelection::FirstOfCrio, true),
        (Mode::Shared, CRIO, ConfSelection::ByName("oldnet".into()), false),
        (Mode::Private, CRIO, ConfSelection::FirstOfCrio, false),
        (Mode::Shared, None, ConfSelection::First, false),
        (Mode::Shared, Some(RuntimeKind::Containerd), ConfSelection::First, false),
    ] {
        let mut world = World::new(mode);
        world.facts.node.runtime.config = configured(kind, &picks);
        assert_eq!(world.facts.node.runtime.conf_selection(), picks);
        world.round(0);
        let findings = decide(&world.facts, &world.memory, ME).document.findings;
        assert_eq!(
            findings.iter().any(|finding| finding.contains("cni_default_network = \"oldnet\"")),
            text,
            "{findings:?}"
        );
    }
}

#[test]
fn a_conf_that_crio_has_not_read_is_not_ready() {
    let mut world = World::new(Mode::Shared);
    world.facts.unread = Some("CRI-O has not asked".into());
    for _ in 0..2 {
        let round = world.round(1);
        assert_eq!(round.reason, "WaitingForNetwork", "{round:?}");
    }
    world.facts.unread = None;
    assert_eq!(world.round(1).reason, "NetworkReady");
}
