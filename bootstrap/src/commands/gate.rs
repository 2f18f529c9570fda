//! `gate`: holds kubelet back until this node can come up right.
//!
//! It looks only at what can be true before kubelet runs; agents need kubelet, so none is waited for. A try is bounded, and systemd tries
//! again. Where node.json says so, kubelet is let through after a while all the same, with a taint that says why: a node that never
//! registers is one that nobody sees.

use std::path::Path;
use std::time::{Duration, Instant};

use shim::boot::Moment;
use shim::layout::{CONF_FILE, PLUGIN};
use shim::policy_file;
use types::node::{Mode, Node};
use types::problem::Problem;

use crate::change::outcome::{Changed, carry_out, finish};
use crate::change::{self, Change, Write};
use crate::cli::Global;
use crate::cli::exit::Failure;
use crate::cli::print;
use crate::commands::boot::gather::{bin_dirs, named, policy_file, usual_dir};
use crate::commands::generator;
use crate::commands::install::decide::InTheWay;
use crate::commands::install::facts;
use crate::commands::render;
use crate::node::directories::Installed;
use crate::node::foreign;
use crate::node::identity::Booted;
use crate::node::paths::{GATE, PRIVATE_CONF_DIR, Root, UNFIT};
use crate::node::rooted;
use crate::node::settings;
use crate::node::switch;
use crate::runtime::config::{self, RuntimeConfig};
use crate::runtime::endpoint;

/// Between two looks of one try.
const PAUSE: Duration = Duration::from_millis(200);
/// Mode of files that everybody on the node may read.
const PUBLIC: u32 = 0o644;

/// Opens, or says why not.
///
/// # Errors
/// Everything that is not as it must be; 78 when a settings file is among it, else 3.
pub fn gate(global: &Global) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return finish(global, clear(&root, "switched off"), vec![off.to_string()]);
    }
    let settings = settings::load(&root).map_or_else(|_| Node::default().gate, |node| node.gate);
    let now = Moment::now().map_err(|e| Failure::later(format!("read the clock: {e}")))?;
    let first = first_try(&root, &now);
    let mut runtime = None;
    let end = Instant::now() + patience(&settings, &first, &now);
    let mut said = false;
    let mut failure = loop {
        let way = look(global, &root, &mut runtime);
        if way.findings.is_empty() {
            return finish(global, clear(&root, "this node is fit"), Vec::new());
        }
        if global.dry_run || Instant::now() >= end {
            break way.failure();
        }
        if !std::mem::replace(&mut said, true) {
            print::waiting(&way.findings);
        }
        std::thread::sleep(PAUSE);
    };
    if global.dry_run {
        return Err(failure);
    }
    let now = Moment::now().map_err(|e| Failure::later(format!("read the clock: {e}")))?;
    if settings.give_up_secs.is_some_and(|secs| first.age(&now).reached(secs)) {
        match untold(&root) {
            None => return give_up(&root, &failure),
            Some(why) => failure.problems.push(Problem::new(format!(
                "kubelet is held back beyond gate.giveUpSeconds, for it could not be told of the taint: {why}"
            ))),
        }
    }
    carry_out(&root, vec![file(&root, GATE, moment(&first), "when the gate was tried first")])?;
    Err(failure)
}

/// Why kubelet would not hear of a taint of ours; a kubelet let through without it would look fit.
fn untold(root: &Root) -> Option<String> {
    let node = settings::load(root).unwrap_or_default();
    generator::check(root, &node.kubelet.unit).err()
}

/// When the gate was tried first since this boot, or since it was last open.
fn first_try(root: &Root, now: &Moment) -> Moment {
    let written = change::look(&root.entry(GATE)).and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok());
    written.filter(|first: &Moment| first.boot_id == now.boot_id).unwrap_or_else(|| now.clone())
}

fn moment(moment: &Moment) -> String {
    // Strings and numbers always serialise.
    serde_json::to_string(moment).unwrap_or_default() + "\n"
}

/// How long this try may take: as long as one may, but not beyond the moment of giving up.
fn patience(settings: &types::node::Gate, first: &Moment, now: &Moment) -> Duration {
    let since = Duration::from_millis(now.boottime_ms.saturating_sub(first.boottime_ms));
    let left = settings.give_up_secs.map(|secs| Duration::from_secs(secs).saturating_sub(since));
    left.unwrap_or(Duration::MAX).min(Duration::from_secs(settings.try_secs))
}

/// Lets kubelet through with a taint.
fn give_up(root: &Root, failure: &Failure) -> Result<Changed, Failure> {
    let reasons = failure.lines().join("\n") + "\n";
    let changes =
        vec![file(root, UNFIT, reasons, "the gate gives up: kubelet starts with the taint crossfade/unfit")];
    Ok(Changed::applied(carry_out(root, changes)?, failure.lines()))
}

fn file(root: &Root, path: &str, text: String, why: &str) -> Change {
    Change::file(Write { path: root.entry(path), bytes: text.into_bytes(), mode: PUBLIC, nudge: false }, why)
}

fn clear(root: &Root, why: &str) -> Vec<Change> {
    let there =
        [UNFIT, GATE].map(|path| root.entry(path)).into_iter().filter(|path| path.symlink_metadata().is_ok());
    there.map(|path| Change::remove(path, false, why)).collect()
}

/// Everything that is not as it must be. The runtime's configuration is read once: nobody changes it in the course of a try.
fn look(global: &Global, root: &Root, runtime: &mut Option<Option<RuntimeConfig>>) -> InTheWay {
    let mut way = InTheWay::default();
    way.findings.extend(Booted::is_of_now(root).err());
    let node = match settings::load(root) {
        Ok(node) => node,
        Err(why) => {
            way.settings(Some(&why));
            return way;
        }
    };
    if render::speaks(root, &node) {
        way.findings.extend(generator::check(root, &node.kubelet.unit).err());
    }
    if node.conf_dir == Mode::Without {
        return way;
    }
    if runtime.is_none() {
        match RuntimeConfig::gather(root, &node) {
            Ok(config) => *runtime = Some(config),
            Err(why) => way.found(why),
        }
    }
    let config = runtime.as_ref().and_then(Option::as_ref);
    if matches!(runtime, Some(None)) {
        way.found(endpoint::unconfigured(root));
    }
    let usual = root.at(usual_dir(config));
    let installed = Installed::read(&root.inside(&usual.join(CONF_FILE)));
    let layout = named(global, installed.as_ref().ok().and_then(Option::as_ref));
    let policy = policy_file::load(&policy_file(root, &layout)).map_err(|e| e.to_string());
    way.settings(policy.as_ref().err());
    let dirs: Vec<_> = bin_dirs(&node, config).iter().map(|dir| root.at(dir)).collect();
    if let Err(why) = facts::find(root, PLUGIN, &dirs) {
        way.found(format!("{why}; run crossfade-bootstrap boot"));
    }
    if node.conf_dir == Mode::Private {
        private(root, config, &mut way);
    } else {
        shared(root, &usual, &installed, &mut way);
    }
    way
}

fn private(root: &Root, config: Option<&RuntimeConfig>, way: &mut InTheWay) {
    if !root.at(PRIVATE_CONF_DIR).is_dir() {
        way.found(format!("{PRIVATE_CONF_DIR} is missing; run crossfade-bootstrap boot"));
    }
    let dir = root.at(PRIVATE_CONF_DIR);
    match foreign::look(&dir) {
        Err(error) => way.found(format!("conf dir {}: {error}", dir.display())),
        Ok(found) if !found.is_empty() => way.found(foreign::describe(&dir, &found)),
        Ok(_) => {}
    }
    let Some(config) = config else {
        return;
    };
    if let Some(unit) = &config.unit {
        way.findings.extend(generator::check(root, unit).err());
    }
    way.findings.extend(config::is_told(root, config).err());
}

fn shared(root: &Root, usual: &Path, installed: &Result<Option<Installed>, String>, way: &mut InTheWay) {
    match installed {
        Err(why) => way.found(why.clone()),
        Ok(None) => {
            way.found(format!(
                "our conf {} is missing; run crossfade-bootstrap boot",
                usual.join(CONF_FILE).display()
            ));
        }
        Ok(Some(installed)) if !installed.is_ours => way.found(format!(
            "{} is not ours; move it away, then run crossfade-bootstrap boot",
            usual.join(CONF_FILE).display()
        )),
        Ok(Some(installed)) => match rooted::conf_dir(root, usual) {
            Err(error) => way.found(format!("conf dir {}: {error}", usual.display())),
            Ok(dir) => {
                let leads = |conf: &&crate::node::confdir::ConfFile| {
                    let content = conf.content.as_ref();
                    conf.is_meta_plugin()
                        && content.is_ok_and(|content| content.delegates_to_us(&installed.name))
                };
                way.findings.extend(dir.before_ours().filter(|conf| !leads(conf)).map(|conf| {
                    format!(
                        "{} sorts before {CONF_FILE}, so the runtime would use it; move it away",
                        conf.file
                    )
                }));
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_is_as_long_as_one_may_be_but_not_beyond_giving_up() {
        let at = |boottime_ms| Moment { boot_id: "b".into(), boottime_ms, wall_secs: 0 };
        let gate = |try_secs, give_up_secs| types::node::Gate { try_secs, give_up_secs };
        for (gate, first, now, secs) in [
            (gate(60, None), 0, 0, 60),
            (gate(5, None), 0, 1_000_000, 5),
            (gate(60, Some(600)), 0, 0, 60),
            (gate(60, Some(10)), 1000, 1000, 10),
            (gate(60, Some(10)), 1000, 8000, 3),
            (gate(60, Some(10)), 1000, 900_000, 0),
        ] {
            assert_eq!(
                patience(&gate, &at(first), &at(now)),
                Duration::from_secs(secs),
                "{gate:?} {first} {now}"
            );
        }
    }

    #[test]
    fn the_first_try_is_that_of_this_boot() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let at = |boot: &str, boottime_ms| Moment { boot_id: boot.into(), boottime_ms, wall_secs: 0 };
        assert_eq!(first_try(&root, &at("b", 7)), at("b", 7));
        std::fs::create_dir_all(dir.path().join("run/crossfade")).expect("run");
        std::fs::write(root.at(GATE), moment(&at("b", 3))).expect("file");
        assert_eq!(first_try(&root, &at("b", 7)), at("b", 3));
        assert_eq!(first_try(&root, &at("c", 1)), at("c", 1), "a file of another boot");
    }
}
