//! The table of the module's documentation, row by row, on made-up facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use shim::attachment::conflist::LoadError;
use shim::node::layout::Layout;
use types::command::problem::Problem;
use types::json::raw::RawObject;
use types::node::{Node, RuntimeKind};
use types::policy::{Policy, Side};
use types::profile::Profiles;

use crate::commands::boot::decide::*;
use crate::commands::boot::facts::Places;
use crate::node::cni::CniFacts;
use crate::node::conf::confdir::{ConfFile, Content};
use crate::node::facts::NodeFacts;
use crate::node::identity::Identity;
use crate::node::networks::NetworkConf;
use crate::node::plugins::bin_dirs::BinDir;
use crate::node::plugins::packaged_plugin::Plugins;
use crate::node::policy::file::PolicyFile;
use crate::node::settings::directories::{Directories, OwnConfFile};
use crate::runtime::CniSetup;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::facts::{ConfigFact, RuntimeFacts};

const USUAL: &str = "/etc/cni/net.d";

fn conf_file(file: &str, name: &str, plugin: &str) -> ConfFile {
    let content = Content { name: name.into(), types: vec![plugin.into()], object: RawObject::default() };
    ConfFile { file: file.into(), content: Ok(content) }
}

/// A containerd node: the policy names Cilium alone, whose conf is there, and an image brought a conf of Flannel along.
pub(in crate::commands::boot) fn facts(kind: BootKind, mode: Mode) -> BootFacts {
    let policy = r#"{"version":1,"attach":"new","networks":{"new":{"profile":"cilium","conf":["/etc/cni/net.d/05-cilium.conflist"]}}}"#;
    let confs = vec![
        conf_file("05-cilium.conflist", "cilium", "cilium-cni"),
        conf_file("10-flannel.conflist", "cbr0", "flannel"),
    ];
    let setup = CniSetup {
        conf_dir: USUAL.into(),
        bin_dirs: vec!["/opt/cni/bin".into()],
        max_confs: 1,
        networks: Vec::new(),
    };
    let mut runtime = RuntimeConfig::from_answer(RuntimeKind::Containerd, setup);
    runtime.unit = Some("containerd.service".into());
    let state_file = |file: &str| PathBuf::from("/state").join(file);
    let layout = Layout { state_dir: "/state".into(), run_dir: "/run".into(), policy: None };
    let node = NodeFacts {
        root: "/".into(),
        settings: Node { conf_dir: mode, ..Node::default() },
        node_file: Some("/etc/crossfade/node.json".into()),
        unusable: None,
        runtime: RuntimeFacts { config: ConfigFact::Read(runtime), ..RuntimeFacts::default() },
        dirs: Directories {
            conf_dir: USUAL.into(),
            layout,
            layout_on_node: Layout::default(),
            installed: OwnConfFile::Absent,
        },
        name: Ok(Some("cilium".into())),
        policy: Policy::parse(policy.as_bytes())
            .map(|policy| PolicyFile {
                path: "/etc/crossfade/policy.json".into(),
                bytes: Vec::new(),
                policy,
                sha256: String::new(),
            })
            .map_err(Problem::from),
        profiles: Arc::clone(Profiles::built_in()),
    };
    let cni = CniFacts {
        confs: Ok(ConfDir { path: USUAL.into(), confs, ..ConfDir::default() }),
        networks: vec![NetworkConf {
            side: Side::New,
            conf: Err(LoadError::Absent(Vec::new())),
            missing: Vec::new(),
        }],
        plugins: Plugins {
            dirs: vec![BinDir {
                path: "/opt/cni/bin".into(),
                plugin: PluginState::Missing,
                other: None,
                read_only: false,
                distrust: None,
            }],
            packaged: Ok(b"plugin".to_vec()),
        },
    };
    BootFacts {
        unconfigured: Some("no runtime is known".into()),
        node,
        cni,
        places: Places {
            final_settings: state_file("without"),
            aside_dir: state_file("aside"),
            private: state_file("net.d"),
            identity: state_file("identity"),
            booted: state_file("booted"),
        },
        identity: Identity::new_image(),
        kind,
        runtime_runs: kind == BootKind::Again,
        handed_on: Ok(()),
        private: Ok(ConfDir { path: state_file("net.d"), ..ConfDir::default() }),
        foreign: Vec::new(),
        sums: BTreeMap::new(),
        usual_exists: true,
        private_exists: true,
        our_conf: None,
        policy_confs: BTreeSet::from([PathBuf::from("/etc/cni/net.d/05-cilium.conflist")]),
        completion: None,
        marked_without: false,
        held_back: Vec::new(),
        recorded: Ok(BTreeSet::new()),
        cached: Vec::new(),
        unlisted: Vec::new(),
        state: if kind == BootKind::First { Vec::new() } else { vec![state_file("attachments")] },
        distrusted: Vec::new(),
        leavings: None,
    }
}

/// What is done to which file, but for what every boot remembers.
fn decided(facts: &BootFacts) -> Vec<String> {
    let decision = decide(facts).expect("nothing stands in the way");
    let line = |change: &Change| {
        let file = change.target.rsplit('/').next().unwrap_or_default();
        format!("{} {file}", change.act.word())
    };
    let all: Vec<String> = decision.changes.iter().map(line).collect();
    assert_eq!(all[all.len() - 2..], ["write identity", "write booted"], "{all:?}");
    all[..all.len() - 2].to_vec()
}

#[test]
fn each_boot_in_each_mode_does_what_the_table_says() {
    const PLUGIN: &str = "write crossfade";
    const CONF: &str = "write 01-crossfade.conflist";
    for (kind, mode, expected) in [
        (BootKind::First, Mode::Shared, vec![PLUGIN, "move 10-flannel.conflist", CONF]),
        (BootKind::Clone, Mode::Shared, vec!["move attachments", PLUGIN, "move 10-flannel.conflist", CONF]),
        (BootKind::Reboot, Mode::Shared, vec![PLUGIN, CONF]),
        (BootKind::Again, Mode::Shared, vec![PLUGIN, CONF]),
        (BootKind::First, Mode::Private, vec![PLUGIN]),
        (BootKind::Clone, Mode::Private, vec!["move attachments", PLUGIN]),
        (BootKind::Reboot, Mode::Private, vec![PLUGIN]),
        (BootKind::Again, Mode::Private, vec![PLUGIN]),
    ] {
        assert_eq!(decided(&facts(kind, mode)), expected, "{kind:?} {mode:?}");
    }
}

#[test]
fn our_conf_of_the_other_mode_goes_unless_it_is_in_force() {
    let ours = || PathBuf::from("/etc/cni/net.d/01-crossfade.conflist");
    let left = || ConfDir {
        path: "/state/net.d".into(),
        confs: vec![conf_file(CONF_FILE, "cilium", "crossfade")],
        ..ConfDir::default()
    };
    for (kind, stale, shared) in [
        (BootKind::Reboot, vec!["remove 01-crossfade.conflist"], vec!["remove 01-crossfade.conflist"]),
        (BootKind::Again, vec![], vec![]),
    ] {
        let mut facts = facts(kind, Mode::Private);
        facts.private = Ok(left());
        assert_eq!(decided(&facts)[1..], stale, "{kind:?}: in the private directory");
        facts.private = Ok(ConfDir { path: "/state/net.d".into(), ..ConfDir::default() });
        facts.our_conf = Some(ours());
        assert_eq!(decided(&facts)[1..], shared, "{kind:?}: in the runtime's own");
    }
}

#[test]
fn what_cannot_be_read_refuses_the_boot_and_says_which_of_it_is_a_setting() {
    type Break = fn(&mut BootFacts);
    let cases: [(Break, i32); 6] = [
        (|facts| facts.node.policy = Err("policy".into()), 78),
        (|facts| facts.node.name = Err("name".into()), 78),
        (|facts| facts.cni.plugins.packaged = Err("plugin".into()), 3),
        (|facts| facts.cni.confs = Err("usual".into()), 3),
        (|facts| facts.recorded = Err("recorded".into()), 3),
        (|facts| facts.node.runtime.config = ConfigFact::NoRuntime, 3),
    ];
    for (break_it, exit) in cases {
        let mut facts = facts(BootKind::Reboot, Mode::Shared);
        break_it(&mut facts);
        let failure = decide(&facts).expect_err("it is refused");
        assert_eq!(failure.exit as i32, exit, "{failure:?}");
        assert_eq!(failure.lines().len(), 1, "{failure:?}");
    }
}

#[test]
fn under_pods_of_which_nothing_is_known_no_conf_comes_into_force() {
    for mode in [Mode::Shared, Mode::Private] {
        for kind in [BootKind::First, BootKind::Reboot, BootKind::Again] {
            let mut facts = facts(kind, mode);
            facts.unlisted = vec!["cni-0b5f4b4c-2f8f-1c9e-5d0e-2b8c0c4f6f0a".into()];
            let failure = decide(&facts).expect_err("it is refused");
            assert_eq!((failure.exit as i32, failure.lines().len()), (3, 1), "{failure:?}");
            assert!(failure.lines()[0].contains("crossfade-bootstrap install"), "{failure:?}");
            // Where the conf is in force already, refusing would not help.
            match mode {
                Mode::Private => {
                    let confs = vec![conf_file(CONF_FILE, "cilium", "crossfade")];
                    facts.private = Ok(ConfDir { path: "/state/net.d".into(), confs, ..ConfDir::default() });
                }
                Mode::Shared | Mode::Without => {
                    facts.our_conf = Some("/etc/cni/net.d/01-crossfade.conflist".into());
                }
            }
            decide(&facts).expect("it goes on");
        }
    }
}

#[test]
fn a_name_of_ours_that_another_program_uses_is_refused() {
    let mut facts = facts(BootKind::Reboot, Mode::Shared);
    facts.node.dirs.installed = OwnConfFile::Foreign;
    let failure = decide(&facts).expect_err("it is refused");
    assert!(failure.lines()[0].contains("is not Crossfade's"), "{failure:?}");
}
