use std::sync::Arc;

use serde_json::{Value, json};
use shim::attachment::conflist::Conflist;
use shim::host::boot::Moment;
use shim::node::inventory::Deleter;
use shim::node::layout::Layout;
use types::json::raw::to_raw;
use types::node::{CniVersion, Node};
use types::profile::Profiles;

use super::*;
use crate::commands::install::uninstall;
use crate::node::cni::CniFacts;
use crate::node::conf::confdir::ConfDir;
use crate::node::facts::NodeFacts;
use crate::node::plugins::bin_dirs::PluginState;
use crate::node::plugins::packaged_plugin::Plugins;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, InstalledConf, OwnConfFile};
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::cache::Cache;
use crate::runtime::facts::RuntimeFacts;
use crate::runtime::{CniSetup, Network};

const DIR: &str = "/etc/cni/net.d";

/// A node of one network that lacks nothing, without a node.json, and with this file in the place of Crossfade's conf.
fn facts(installed: OwnConfFile) -> InstallFacts {
    let text = br#"{"version":1,"networks":{"old":{"conf":["/o"]}},"attach":"old"}"#;
    let policy = Policy::parse(text).expect("valid");
    let old = json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": [{"type": "bridge"}]});
    let old = Conflist::from_resolved(&to_raw(&old)).expect("a conf");
    let node = NodeFacts {
        root: "/".into(),
        settings: Node::default(),
        node_file: None,
        unusable: None,
        runtime: RuntimeFacts::default(),
        dirs: Directories {
            conf_dir: DIR.into(),
            layout: Layout::default(),
            layout_on_node: Layout::default(),
            installed,
        },
        name: Ok(None),
        policy: Ok(PolicyFile { path: "/p".into(), bytes: text.to_vec(), policy, sha256: String::new() }),
        profiles: Arc::clone(Profiles::built_in()),
    };
    let bin_dir = BinDir {
        path: "/opt/cni/bin".into(),
        plugin: PluginState::Missing,
        other: None,
        read_only: false,
        distrust: None,
    };
    InstallFacts {
        later: node.runtime.choice.clone(),
        node,
        cni: CniFacts {
            confs: Ok(ConfDir { path: DIR.into(), ..ConfDir::default() }),
            networks: vec![NetworkConf {
                side: Side::Old,
                conf: Ok((old, "/o".into())),
                missing: Vec::new(),
            }],
            plugins: Plugins { dirs: vec![bin_dir], packaged: Ok(b"plugin".to_vec()) },
        },
        mode: Mode::Shared,
        distrusted: Vec::new(),
        completion: None,
        waiting: Vec::new(),
        keeper: Keeper::Watch,
        cache: Ok(Cache::default()),
        recorded: Ok(BTreeSet::new()),
        listed: Ok(BTreeSet::new()),
        uncached: Ok(Vec::new()),
        runtime_dirs: Vec::new(),
        read: Ok(()),
        leftovers: Ok(None),
        deleter: Deleter::Crossfade,
        sees: Ok(()),
        now: Ok(Moment { boot_id: "boot".into(), boottime_ms: 1, wall_secs: 1 }),
    }
}

/// What is decided with this option `--cni-version`: the version of Crossfade's conf, or the problems.
fn version(facts: &InstallFacts, cni_version: Option<&str>) -> Result<String, Vec<String>> {
    let options = InstallOptions {
        has_bin_dirs: true,
        accepted: &[],
        ignored: &[],
        uncached: None,
        ignored_sandboxes: &[],
        cni_version,
    };
    let decision = decide(facts, options).map_err(|failure| failure.lines())?;
    let conf = decision.changes.iter().find_map(|change| match &change.act {
        Act::Ensure(write) if write.path.ends_with(CONF_FILE) => Some(&write.bytes),
        _ => None,
    });
    let conf: Value = serde_json::from_slice(conf.expect("a conf")).expect("json");
    Ok(conf["cniVersion"].as_str().expect("text").to_owned())
}

/// Crossfade's conf as an installation with this version has left it.
fn installed(version: &str) -> OwnConfFile {
    OwnConfFile::Ours(InstalledConf {
        bytes: Vec::new(),
        mode: CONF_MODE,
        name: "oldnet".into(),
        cni_version: version.into(),
        capabilities: Vec::new(),
        layout: Layout::default(),
    })
}

#[test]
fn without_a_node_json_the_option_decides_and_then_what_is_installed() {
    let own = |version: &str| Ok(version.to_owned());
    assert_eq!(version(&facts(OwnConfFile::Absent), None), own("1.0.0"));
    assert_eq!(version(&facts(OwnConfFile::Absent), Some("1.1.0")), own("1.1.0"));
    assert_eq!(version(&facts(installed("1.1.0")), None), own("1.1.0"));
    assert_eq!(version(&facts(installed("1.1.0")), Some("1.0.0")), own("1.0.0"));
}

/// `watch` and `boot` go by node.json, so any other version would be undone.
#[test]
fn a_node_json_decides_the_version_and_an_option_must_not_contradict_it() {
    for (settled, other) in [(CniVersion::V110, "1.0.0"), (CniVersion::V100, "1.1.0")] {
        for conf in [OwnConfFile::Absent, installed(other)] {
            let mut facts = facts(conf);
            facts.node.node_file = Some("/etc/crossfade/node.json".into());
            facts.node.settings.cni_version = settled;
            for option in [None, Some(settled.as_str())] {
                assert_eq!(version(&facts, option), Ok(settled.as_str().to_owned()));
            }
            let refusal = version(&facts, Some(other)).expect_err("it is refused");
            let expected = format!(
                "--cni-version {other}, but cniVersion is {} by /etc/crossfade/node.json",
                settled.as_str()
            );
            assert!(refusal.len() == 1 && refusal[0].starts_with(&expected), "{refusal:?}");
        }
    }
}

#[test]
fn another_owners_file_in_the_place_of_our_conf_is_refused_as_boot_refuses_it() {
    let refusal = version(&facts(OwnConfFile::Foreign), None).expect_err("it is refused");
    assert_eq!(refusal, ["/etc/cni/net.d/01-crossfade.conflist is not Crossfade's; move it away"]);
}

#[test]
fn uninstall_removes_our_conf_and_leaves_another_owners_file() {
    for (conf, word) in [(installed("1.0.0"), "remove"), (OwnConfFile::Foreign, "keep")] {
        let facts = facts(conf);
        let changes = uninstall::decide(&facts.node, &facts.cni, true, None);
        assert!(changes[0].target.ends_with(CONF_FILE), "{changes:?}");
        assert_eq!(changes[0].act.word(), word);
    }
}

/// It arrived complete, as by a rename from another directory, so that the runtime did not see it come.
#[test]
fn crossfade_stays_while_the_runtime_calls_it_under_another_owners_file() {
    let network =
        |plugin: &str| Network { name: "n".into(), types: vec![plugin.to_owned()], conf: String::new() };
    for (conf, plugin, stays) in [
        (OwnConfFile::Foreign, "crossfade", true),
        (OwnConfFile::Foreign, "bridge", false),
        (installed("1.0.0"), "crossfade", false),
    ] {
        let mut node = facts(conf).node;
        node.runtime.answer = RuntimeAnswer::Setup(CniSetup {
            conf_dir: DIR.into(),
            bin_dirs: Vec::new(),
            max_confs: 1,
            networks: vec![network(plugin)],
        });
        assert_eq!(uninstall::unread_conf_problem(&node).is_some(), stays, "{plugin}");
    }
}

/// Damage is repaired; only a conf that is whole, and has no plugin of Crossfade's, is another owner's.
#[test]
fn what_is_torn_is_no_other_owners_file() {
    let read = |plugins: Value| {
        let conf = json!({"cniVersion": "1.0.0", "name": "n", "plugins": plugins});
        OwnConfFile::parse(conf.to_string().into_bytes(), 0o644)
    };
    assert_eq!(read(json!([{"type": "bridge"}, {"type": "portmap"}])), Ok(OwnConfFile::Foreign));
    for damaged in
        [json!([{}]), json!([{"type": 7}]), json!([{"type": "bridge"}, {"type": "crossfade"}]), json!([])]
    {
        assert!(read(damaged.clone()).is_err(), "{damaged}");
    }
    for damaged in [
        json!({"cniVersion": "1.0.0", "name": "n", "type": "crossfade"}),
        json!({"cniVersion": "1.0.0", "name": "n", "type": "bridge"}),
        json!({"cniVersion": "1.0.0", "name": 7, "plugins": [{"type": "crossfade"}]}),
        json!({"cniVersion": "1.0.0", "name": 7, "plugins": [{"type": "bridge"}]}),
    ] {
        let read = OwnConfFile::parse(damaged.to_string().into_bytes(), 0o644);
        assert!(read.is_err(), "{damaged}: {read:?}");
    }
}

#[test]
fn a_network_is_needed_where_a_pod_may_get_it_now() {
    let both =
        r#""attach":"both","both":{"primary":"new","defaultRoute":"new","secondaryFailure":"tolerate"}"#;
    for (rest, sides) in [
        (r#""attach":"old""#, vec![Side::Old]),
        (r#""attach":"old","unrecorded":"new""#, vec![Side::Old]),
        (r#""attach":"old","rules":[{"pod":"x","attach":"new"}]"#, vec![Side::Old, Side::New]),
        (r#""attach":"both""#, vec![Side::Old, Side::New]),
        (both, vec![Side::New]),
    ] {
        let text = format!(
            r#"{{"version":1,"networks":{{"old":{{"conf":["/o"]}},"new":{{"conf":["/n"]}}}},{rest}}}"#
        );
        let policy = Policy::parse(text.as_bytes()).expect("valid");
        assert_eq!(needed_sides(&policy).into_iter().collect::<Vec<_>>(), sides, "{rest}");
    }
}
