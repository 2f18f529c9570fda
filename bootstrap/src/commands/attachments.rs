//! `attachments`: the attachments of a node from records and inventory, leaks of those that ended, and connections of those that live.

pub(crate) mod connections;

use std::collections::BTreeMap;
use std::time::Duration;

use convergence::failure::Failure;
use convergence::node::attachments::leaks::{Leak, leaked_attachments};
use convergence::node::attachments::selection::{is_selected, require_known};
use convergence::node::attachments::{Attachments, Line, Part, age_text};
use convergence::node::facts::NodeFacts;
use convergence::report::{Page, Report};
use convergence::runtime::State;
use serde::Serialize;
use shim::host::boot;
use shim::node::store::Store;
use shim::node::{inventory, ledger};
use types::command::exit::Exit;
use types::policy::Phase;

use crate::cli::{Global, List, print};
use crate::host::root::Root;
use crate::node::attachments::sweep_candidates::judge_now;
use crate::node::attachments::{self, leaks};
use crate::node::cni::{self, PluginChoice};
use crate::node::{facts, settings};
use crate::runtime::cri::Runtime;

/// The answer of `attachments`.
///
/// *Shape*: `{"attachments":[..],"damaged":[{"path":"..","reason":".."}],"leaks":[..],"ledger":[..]}`; the last two where they were asked for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AttachmentsReport {
    /// Attachments, and damaged records.
    #[serde(flatten)]
    attachments: Attachments,
    /// What is left of attachments that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<Vec<Leak>>,
    /// The lines of the ledger, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<Vec<ledger::Line>>,
    /// Whether only some were asked for.
    #[serde(skip)]
    is_part: bool,
}

/// Lists attachments, or prints their connections.
///
/// # Errors
/// As those of the list, and of [`connections::print_all`].
pub(crate) fn answer(global: &Global, args: &List) -> Result<Exit, Failure> {
    if args.connections {
        return connections::print_all(global, args);
    }
    Ok(print::report(global.output, &attachments(global, args)?))
}

/// Lists everything that is attached, or the part of it that was asked for.
///
/// # Errors
/// Bad settings; the records cannot be listed; usage if nothing is called as `--on` says; 75 if the runtime does not answer for `--leaks`.
fn attachments(global: &Global, args: &List) -> Result<AttachmentsReport, Failure> {
    let node = if args.leaks { facts_with_runtime(global, args)? } else { facts::gather_certain(global)? };
    let mut attachments = attachments::list(&node.dirs.layout, node.policy())?;
    let leaks = if args.leaks { Some(leaks(&node)?) } else { None };
    let ledger = if args.ledger { Some(read_ledger(&node)?) } else { None };
    if let Some(selector) = &args.selection {
        keep(&mut attachments, selector, &node)?;
    }
    Ok(AttachmentsReport { attachments, leaks, ledger, is_part: args.selection.is_some() })
}

/// The node with its runtime; nothing is guessed.
fn facts_with_runtime(global: &Global, args: &List) -> Result<NodeFacts, Failure> {
    let settings = settings::require(&Root::new(&global.root))?;
    let node = facts::with_runtime(global, settings, &args.runtime);
    node.dirs.require_readable()?;
    Ok(node)
}

/// Keeps what was made in a phase, or has a network of this name.
fn keep(attachments: &mut Attachments, selector: &str, node: &NodeFacts) -> Result<(), Failure> {
    if Phase::parse(selector).is_some() {
        node.require_policy()?;
    }
    require_known(&attachments.attachments, selector)?;
    attachments.attachments.retain(|line| is_selected(line, selector, node.policy()));
    Ok(())
}

fn read_ledger(node: &NodeFacts) -> Result<Vec<ledger::Line>, Failure> {
    let path = node.dirs.layout.ledger();
    ledger::read(&node.dirs.layout).map_err(|e| {
        Failure::new(Exit::Failed, format!("read ledger {}: {e}", path.display())).with_place(path.display())
    })
}

/// What is left of attachments that ended.
fn leaks(node: &NodeFacts) -> Result<Vec<Leak>, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, e);
    let policy = &node.require_policy()?.policy;
    let cni = cni::gather(node, PluginChoice::default());
    let layout = &node.dirs.layout;
    let (records, _) = Store::new(layout).load_all().map_err(failed)?;
    let before = leaks::held_leases(&cni.networks, &records);
    let inventory = inventory::load(layout).map_err(failed)?;
    let listed = sandboxes(node)?;
    let judged = judge_now(policy, &records, &inventory, listed.clone()).map_err(failed)?;
    let mut all_leaks = leaked_attachments(&judged, policy.gc.grace_secs);
    let attached = (records.as_slice(), leaks::container_ids(&records, &inventory));
    all_leaks.extend(leaks::leaked_leases(before, (layout, &cni.networks), attached, &listed));
    Ok(all_leaks)
}

fn sandboxes(node: &NodeFacts) -> Result<BTreeMap<String, State>, Failure> {
    let Some(endpoint) = node.runtime.choice.endpoint() else {
        return Err(Failure::usage("--leaks needs the living sandboxes, and no runtime is known")
            .with_place("--leaks")
            .fix("name the runtime with --runtime-endpoint"));
    };
    Runtime::connect(endpoint).and_then(|runtime| runtime.sandboxes()).map_err(|e| {
        Failure::try_later(format!("{e:#}"))
            .with_place(endpoint)
            .fix("start the runtime, or name another with --runtime-endpoint, then run the command again")
    })
}

impl Report for AttachmentsReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for line in &self.attachments.attachments {
            show(&mut text, line);
        }
        for damaged in &self.attachments.damaged {
            let _ = writeln!(text, "damaged: {}: {}", damaged.path.display(), damaged.reason);
        }
        if text.is_empty() {
            text.text(if self.is_part {
                "no attachment is like that\n"
            } else {
                "Crossfade has attached no pod, and the inventory lists none from before the installation\n"
            });
        }
        for leak in self.leaks.iter().flatten() {
            let waits = if leak.waits { "; the network is not ready, so a sweep leaves it" } else { "" };
            let _ = writeln!(text, "leak: {} {}: {}{waits}", leak.container_id, leak.ifname, leak.what);
        }
        if self.leaks.as_ref().is_some_and(Vec::is_empty) {
            text.text("leaks: none\n");
        }
        for line in self.ledger.iter().flatten() {
            show_ledger(&mut text, line);
        }
        if self.ledger.as_ref().is_some_and(Vec::is_empty) {
            text.text("ledger: empty\n");
        }
        text
    }
}

fn show(text: &mut Page, line: &Line) {
    let parts: Vec<String> = line.networks.iter().map(part).collect();
    let pod = match (&line.namespace, &line.pod) {
        (None, None) => "-".to_owned(),
        (namespace, pod) => {
            let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
            format!("{}/{}", or(namespace), or(pod))
        }
    };
    let failing = line.del_failing_secs.map(|secs| {
        format!("  (a DEL has failed for {})", age_text(Some(boot::Age::ThisBoot(Duration::from_secs(secs)))))
    });
    let deleter_note = line.deleted_by.map(|_| "  (the runtime sends its DEL)");
    let _ = writeln!(
        text,
        "{} {}  {:<9}  {}  {}  {pod}{}{}",
        line.container_id,
        line.ifname,
        line.life.into_str(),
        age_text(line.age()),
        parts.join(","),
        failing.unwrap_or_default(),
        deleter_note.unwrap_or_default()
    );
}

fn part(part: &Part) -> String {
    let side = part.side.map_or_else(String::new, |side| format!("{side}:"));
    let suffix = if part.owed { "" } else { " (released)" };
    format!("{side}{}@{}{suffix}", part.name, part.ifname)
}

fn show_ledger(text: &mut Page, line: &ledger::Line) {
    let addresses: Vec<String> = line.addresses.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        text,
        "ledger: {} {}  network {}  {}  {}",
        line.container_id,
        line.ifname,
        line.network,
        addresses.join(","),
        line.reason
    );
    for leftover in &line.leftovers {
        let _ = writeln!(text, "  left: {leftover}");
    }
    for unknown in &line.unknown {
        let _ = writeln!(text, "  may be left: {unknown}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use convergence::node::attachments::Life;

    fn line(life: Life, failing: Option<u64>, earlier_boot: bool) -> Line {
        Line {
            container_id: "c1".into(),
            ifname: "eth0".into(),
            life,
            age_secs: None,
            earlier_boot,
            namespace: None,
            pod: None,
            uid: None,
            networks: Vec::new(),
            del_failing_secs: failing,
            pod_networks: Vec::new(),
            addresses: Vec::new(),
            deleted_by: None,
        }
    }

    #[test]
    fn a_del_is_overdue_once_the_grace_is_over() {
        for (life, failing, earlier, overdue) in [
            (Life::Detaching, Some(600), false, true),
            (Life::Detaching, Some(599), false, false),
            (Life::Detaching, None, false, false),
            (Life::Detaching, None, true, true),
            (Life::Attached, Some(600), false, false),
            (Life::Attached, None, true, false),
        ] {
            assert_eq!(
                line(life, failing, earlier).is_overdue(600),
                overdue,
                "{life:?} {failing:?} {earlier}"
            );
        }
    }
}
