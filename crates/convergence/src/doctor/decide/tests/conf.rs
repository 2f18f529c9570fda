//! Conf, plugin and networks.

use types::command::problem::Problem;
use types::profile::Profiles;

use crate::doctor::decide::tests::*;
use crate::doctor::journal::Entry;
use crate::node::networks::readiness::ConfError;

fn dir(facts: &mut Facts) -> &mut ConfDir {
    facts.cni.confs.as_mut().expect("read")
}

fn repairs(count: u64, secs_ago: u64) -> Source<Vec<Entry>> {
    let entry = |at: u64| Entry {
        micros: format!("{}", (NOW - secs_ago - at) * 1_000_000),
        event: "ConfRepaired".into(),
        message: "/etc/cni/net.d/01-crossfade.conflist: it was gone".into(),
        ..Entry::default()
    };
    Source::Read((0..count).rev().map(entry).collect())
}

fn private(facts: &mut Facts) {
    facts.node.settings.conf_dir = Mode::Private;
}

fn waits(facts: &mut Facts, is_there: bool) {
    facts.networks[0].waits_for = Some(("/run/crossfade/probe/old".into(), is_there));
}

fn watched_network(facts: &mut Facts) -> &mut status::Network {
    let Some(StatusFile::Fresh(report)) = &mut facts.watch else { panic!("it runs") };
    &mut report.networks[0]
}

fn crio(facts: &mut Facts, name: Option<&str>) {
    let setup = CniSetup { conf_dir: DIR.into(), bin_dirs: Vec::new(), max_confs: 1, networks: Vec::new() };
    let mut config = RuntimeConfig::from_answer(RuntimeKind::Crio, setup);
    config.default_network = name.map(str::to_owned);
    facts.node.runtime.config = ConfigFact::Read(config);
    facts.node.runtime.answer = RuntimeAnswer::Silent;
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = conf();
    all.extend(networks());
    all
}

fn conf() -> Vec<Case> {
    vec![
        case(
            "plugin-missing",
            |facts| facts.cni.plugins.dirs[0].plugin = PluginState::Missing,
            |facts| facts.cni.plugins.packaged = Err(Problem::new("no package")),
        ),
        case(
            "conf-waits",
            |facts| {
                private(facts);
                facts.node.dirs.installed = OwnConfFile::Absent;
            },
            private,
        ),
        case(
            "conf-missing",
            |facts| facts.node.dirs.installed = OwnConfFile::Absent,
            |facts| {
                private(facts);
                facts.node.dirs.installed = OwnConfFile::Absent;
            },
        ),
        case(
            "conf-unreadable",
            |facts| facts.node.dirs.installed = OwnConfFile::Unreadable(Problem::new("writable by others")),
            |facts| facts.node.dirs.installed = OwnConfFile::Absent,
        ),
        case(
            "conf-not-first",
            |facts| dir(facts).confs.insert(0, conf_file("00-a.conflist", "a", "bridge")),
            |facts| dir(facts).confs.push(conf_file("02-a.conflist", "a", "bridge")),
        ),
        // What sorts first explains what is loaded.
        case(
            "conf-not-loaded",
            |facts| facts.node.runtime.answer = loaded("other", "bridge", 1),
            |facts| {
                facts.node.runtime.answer = loaded("other", "bridge", 1);
                dir(facts).confs.insert(0, conf_file("00-a.conflist", "other", "bridge"));
            },
        ),
        case(
            "conf-of-others",
            |facts| facts.foreign = Some(Problem::new("10-containerd-net.conflist is not Crossfade's")),
            private,
        ),
        case("crio-network", |facts| crio(facts, None), |facts| crio(facts, Some("oldnet"))),
        case(
            "agent-takes-conf",
            |facts| dir(facts).taken_away.push("10-old.conflist.cilium_bak".into()),
            |facts| dir(facts).confs.push(conf_file("05-cilium.conflist", "cilium", "cilium-cni")),
        ),
        case(
            "conf-repaired",
            |facts| facts.journal = repairs(3, 60),
            |facts| facts.journal = repairs(3, 3600),
        ),
        case("host-ports", |facts| facts.unmapped.push("oldnet".into()), |_| {}),
        case(
            "second-network",
            |facts| facts.node.policy = Ok(policy_file(&second("both", "new"))),
            |facts| facts.node.policy = Ok(policy_file(&second("both", "old"))),
        ),
    ]
}

/// Calico as the old network.
fn second(attach: &str, primary: &str) -> Value {
    let mut policy = policy(attach);
    policy["networks"]["old"] = json!({"profile": "calico", "conf": ["/o"], "secondary": "hostRoute"});
    policy["both"] = json!({"primary": primary});
    policy
}

fn networks() -> Vec<Case> {
    vec![
        case(
            "network-without-conf",
            |facts| facts.networks[0].conf = Err(ConfError::Absent("no conf yet at /o".into())),
            |facts| facts.networks[1].conf = Err(ConfError::Absent("no conf yet at /n".into())),
        ),
        case(
            "network-conf-broken",
            |facts| facts.networks[0].conf = Err(ConfError::Broken("invalid conf /o".into())),
            |facts| facts.networks[0].conf = Err(ConfError::Absent("no conf yet at /o".into())),
        ),
        case(
            "network-plugin-missing",
            |facts| facts.networks[0].missing.push("plugin \"bridge\": no such binary".into()),
            |facts| facts.networks[1].missing.push("plugin \"bridge\": no such binary".into()),
        ),
        case(
            "network-not-ready",
            |facts| facts.networks[0].probes = Err("connection refused".into()),
            |facts| facts.networks[1].probes = Err("connection refused".into()),
        ),
        case(
            "proof-failed",
            |facts| watched_network(facts).proof = ProofState::Failed.into(),
            |facts| watched_network(facts).proof = ProofState::Running.into(),
        ),
        case(
            "proof-degraded",
            |facts| watched_network(facts).proof = ProofState::Degraded.into(),
            |facts| watched_network(facts).proof = ProofState::Passed.into(),
        ),
        case(
            "file-unkept",
            |facts| {
                facts.watch = Some(StatusFile::Absent);
                waits(facts, false);
            },
            |facts| {
                facts.watch = Some(StatusFile::Absent);
                waits(facts, true);
            },
        ),
    ]
}

#[test]
fn a_conf_in_the_way_is_renamed_so_that_it_sorts_behind() {
    let all = decide_after(|facts| dir(facts).confs.insert(0, conf_file("!a b.conf", "a", "bridge")));
    let first = all.iter().find(|finding| finding.rule.code == "conf-not-first").expect("found");
    let command = first.mend[0].command.as_deref();
    assert_eq!(command, Some("mv '/etc/cni/net.d/!a b.conf' '/etc/cni/net.d/99-a b.conf'"));
    assert!("99-a b.conf" > CONF_FILE);
    assert!(first.mend.iter().all(|mend| !mend.what.contains("skipCNIConfigInstallation")));
}

#[test]
fn the_agent_that_would_write_a_conf_in_the_way_again_is_told_to_leave_it() {
    let all =
        decide_after(|facts| dir(facts).confs.insert(0, conf_file("00-mine.conflist", "cbr0", "flannel")));
    let first = all.iter().find(|finding| finding.rule.code == "conf-not-first").expect("found");
    let settings: Vec<_> = first.mend.iter().filter(|mend| mend.command.is_none()).collect();
    assert!(settings[0].what.contains("skipCNIConfigInstallation"), "{settings:?}");
}

#[test]
fn repairs_are_counted_within_an_hour() {
    for (count, secs_ago, expected) in [(3, 0, true), (2, 0, false), (4, 3598, true), (4, 3599, false)] {
        let mut facts = well();
        facts.journal = repairs(count, secs_ago);
        let is_reported = decide(&facts).iter().any(|finding| finding.rule.code == "conf-repaired");
        assert_eq!(is_reported, expected, "{count} {secs_ago}");
    }
}

#[test]
fn the_words_about_a_second_network_are_those_of_policy_set() {
    let all = decide_after(|facts| facts.node.policy = Ok(policy_file(&second("both", "new"))));
    let policy = policy_file(&second("both", "new")).policy;
    let warned = crate::node::policy::secondary::warnings(&policy, Profiles::built_in());
    assert_eq!(all[0].evidence, warned);
    assert!(warned.iter().any(|words| words.contains("leakGracePeriod")), "{warned:?}");
}

#[test]
fn an_agent_that_fights_is_named_with_its_setting_and_what_it_took_is_given_back() {
    let all = decide_after(|facts| {
        let mut policy = policy("old");
        policy["networks"]["old"]["conf"] = json!(["/etc/cni/net.d/10-old.conflist"]);
        policy["networks"]["new"]["conf"] = json!(["/etc/cni/net.d/20-new.conflist"]);
        facts.node.policy = Ok(policy_file(&policy));
        dir(facts).taken_away = ["01-crossfade", "10-old", "20-new", "30-x"]
            .map(|file| format!("{file}.conflist.cilium_bak"))
            .into();
        facts.node.dirs.installed = OwnConfFile::Absent;
        facts.watch = Some(StatusFile::Fresh(report(false, Reason::ConfContended)));
    });
    let fights = all.iter().find(|finding| finding.rule.code == "agent-takes-conf").expect("found");
    let steps: Vec<String> =
        fights.mend.iter().map(|mend| mend.command.clone().unwrap_or_else(|| mend.what.clone())).collect();
    assert!(steps[0].contains("cni.exclusive"), "{steps:?}");
    let commands = [
        "rm /etc/cni/net.d/01-crossfade.conflist.cilium_bak",
        // The conf of the old network is there again.
        "rm /etc/cni/net.d/10-old.conflist.cilium_bak",
        "mv --no-clobber /etc/cni/net.d/20-new.conflist.cilium_bak /etc/cni/net.d/20-new.conflist",
        "rename or remove /etc/cni/net.d/30-x.conflist.cilium_bak, which no network of the policy names",
        "crossfade-bootstrap install",
    ];
    assert_eq!(steps[1..], commands);
}

/// `install` does not write over another owner's file, so the first step is to move that away.
#[test]
fn another_owners_file_in_the_place_of_our_conf_is_moved_away_first() {
    let first_step = |change: fn(&mut Facts)| {
        let findings = decide_after(change);
        let finding = findings.iter().find(|finding| finding.rule.code == "conf-missing").expect("found");
        finding.problem().fix
    };
    assert_eq!(
        first_step(|facts| facts.node.dirs.installed = OwnConfFile::Absent),
        "crossfade-bootstrap install"
    );
    let moved = first_step(|facts| facts.node.dirs.installed = OwnConfFile::Foreign);
    assert!(moved.ends_with("01-crossfade.conflist is not Crossfade's: move it away"), "{moved}");
}
