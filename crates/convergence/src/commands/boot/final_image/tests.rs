//! The table of the module's documentation, row by row, on made-up facts.

use std::path::Path;

use shim::node::layout::CONF_DIR;
use shim::node::ledger::Line;
use types::node::Mode;

use crate::commands::boot::decide::tests::facts;
use crate::commands::boot::final_image::*;
use crate::node::plugins::bin_dirs::{BinDir, PluginState};

#[test]
fn a_refusal_names_some_and_counts_all() {
    let living: Vec<String> = (0..12).map(|number| format!("c{number} eth0")).collect();
    let owed = needed_problem(&living);
    assert!(owed.what.contains("12 attachments") && owed.what.contains("c9 eth0 and 2 more"), "{owed}");
    assert!(!needed_problem(&living[..1]).what.contains("more"));
}

/// A node of a final image on which an earlier image left its conf, records, ledger and plugin.
fn node(kind: BootKind, runtime_runs: bool) -> BootFacts {
    let mut facts = facts(kind, Mode::Without);
    facts.runtime_runs = runtime_runs;
    facts.state = vec!["/state/attachments".into(), facts.node.dirs.layout.ledger()];
    facts.cni.plugins.dirs = vec![BinDir {
        path: "/opt/cni/bin".into(),
        plugin: PluginState::Sound,
        other: None,
        read_only: false,
        distrust: None,
    }];
    facts
}

fn leavings(living: &[&str], is_replayed: bool) -> Leavings {
    let line = Line {
        version: 1,
        wall_secs: 0,
        container_id: "c1".into(),
        ifname: "eth0".into(),
        network: "oldnet".into(),
        addresses: Vec::new(),
        reason: "its boot ended".into(),
        removed: Vec::new(),
        leftovers: Vec::new(),
        unknown: Vec::new(),
    };
    Leavings {
        confs: vec![Path::new(CONF_DIR).join(CONF_FILE)],
        living: Ok(living.iter().map(|id| (*id).to_owned()).collect()),
        is_replayed,
        owed: vec![line],
    }
}

#[test]
fn each_row_of_the_table_does_what_it_says() {
    const CONF: &str = "remove 01-crossfade.conflist";
    const LINES: &str = "write ledger.jsonl";
    const STATE: &str = "move attachments";
    const LEDGER: &str = "move ledger.jsonl";
    const GONE: &str = "remove crossfade";
    for (kind, runs, is_replayed, expected) in [
        (BootKind::Reboot, false, false, vec![CONF, LINES, STATE, GONE]),
        (BootKind::Clone, false, false, vec![CONF, STATE, LEDGER, GONE]),
        (BootKind::Reboot, false, true, vec![CONF, LINES, STATE]),
        (BootKind::Again, true, false, vec![]),
    ] {
        let decision =
            decide(&node(kind, runs), &leavings(&[], is_replayed)).expect("nothing stands in the way");
        let line = |change: &Change| {
            let file = change.target.rsplit('/').next().unwrap_or_default();
            format!("{} {file}", change.act.word())
        };
        let all: Vec<String> = decision.changes.iter().map(line).collect();
        // Every boot remembers itself, and marks the node as one without a plugin.
        let (done, remembered) = all.split_at(all.len() - 3);
        assert_eq!(done, expected, "{kind:?} {runs} {is_replayed}");
        assert_eq!(remembered, ["write identity", "write booted", "write without"]);
    }
}

#[test]
fn what_is_attached_in_this_boot_refuses_the_boot_in_every_row() {
    for (kind, runs) in [(BootKind::Reboot, false), (BootKind::Clone, false), (BootKind::Again, true)] {
        let failure = decide(&node(kind, runs), &leavings(&["c1 eth0"], false)).expect_err("it is refused");
        assert!(failure.lines()[0].contains("c1 eth0"), "{failure:?}");
    }
}
