//! The state of the units of Crossfade, kubelet and the runtime.

use std::collections::BTreeMap;

use convergence::doctor::facts::{BOOT_UNIT, Source, UnitState, WATCH_UNIT};
use types::command::problem::Problem;
use types::node::{Node, RuntimeKind};

use crate::host::root::Root;
use crate::systemd::systemctl;

/// Asks systemd, if it runs this node.
#[must_use]
pub(crate) fn gather(root: &Root, node: &Node) -> Source<BTreeMap<String, UnitState>> {
    if !root.is_node() {
        return Source::Absent("a tree is inspected, and no node".into());
    }
    if !systemctl::is_here() {
        return Source::Absent("systemd does not run this node".into());
    }
    let runtimes = match &node.runtime.unit {
        Some(unit) => vec![unit.as_str()],
        None => RuntimeKind::ALL.map(RuntimeKind::unit).into(),
    };
    let mut arguments = vec!["show", "--property=Id,LoadState,ActiveState,SubState,Result", "--"];
    arguments.extend([BOOT_UNIT, WATCH_UNIT, node.kubelet.unit.as_str()]);
    arguments.extend(runtimes);
    match systemctl::query(&arguments) {
        Ok(answer) => Source::Read(parse(&answer)),
        Err(why) => Source::Unread(
            Problem::new(why).with_place("systemd").fix("run systemctl status, which says what systemd does"),
        ),
    }
}

/// Reads blocks of `KEY=VALUE`, one for each unit, with an empty line between two.
fn parse(answer: &str) -> BTreeMap<String, UnitState> {
    let unit = |block: &str| {
        let value = |key: &str| {
            let property = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            property.unwrap_or_default().to_owned()
        };
        let state = UnitState {
            load: value("LoadState"),
            active: value("ActiveState"),
            sub: value("SubState"),
            result: value("Result"),
        };
        (value("Id"), state)
    };
    answer.split("\n\n").map(unit).filter(|(name, _)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_a_unit() {
        let answer = "Id=kubelet.service\nResult=exit-code\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n\n\
            LoadState=not-found\nId=crio.service\nActiveState=inactive\nSubState=dead\n";
        let all = parse(answer);
        let kubelet = &all["kubelet.service"];
        assert_eq!((kubelet.active.as_str(), kubelet.sub.as_str()), ("activating", "auto-restart"));
        assert_eq!(kubelet.line("k"), "k is activating (auto-restart), its last result is exit-code");
        assert_eq!(all["crio.service"].load, "not-found");
        assert_eq!(all.len(), 2);
    }
}
