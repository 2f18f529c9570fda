//! `uninstall`: takes our conf away, once nothing is attached through it.

use std::path::PathBuf;

use shim::layout::PLUGIN;

use crate::attachments::{self, Attachments};
use crate::change::{self, Act, Change, Write};
use crate::cli::{Global, Uninstall};
use crate::exit::{Exit, Failure};
use crate::facts::bin_dirs;
use crate::print::{Changed, Done, Outcome};
use crate::settings::Settings;

/// How many attachments a refusal names.
const NAMED: usize = 10;

/// Uninstalls, or says what that would do.
///
/// # Errors
/// 3 while anything is attached; 75 when something came to be attached meanwhile, and then the conf is back.
pub fn uninstall(global: &Global, wanted: &Uninstall) -> Result<Changed, Failure> {
    let settings = Settings::certain(global)?;
    refuse_attached(&attachments::list(&settings.layout, None)?)?;
    let changes = decide(&settings, wanted);
    if global.dry_run {
        return Ok(Changed::planned(changes, Vec::new()));
    }
    let mut done = Vec::new();
    for change in changes {
        let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("remove {}: {e}", change.target));
        let outcome = if let Act::Remove { path, nudge } = &change.act {
            change::remove(path, *nudge).map_err(failed)?;
            if *nudge {
                put_back_if_needed(&settings)?;
            }
            Some(Outcome::Done)
        } else {
            None
        };
        done.push(Done { change, outcome });
    }
    Ok(Changed::applied(done, Vec::new()))
}

fn refuse_attached(found: &Attachments) -> Result<(), Failure> {
    let count = found.attachments.len() + found.damaged.len();
    if count == 0 {
        return Ok(());
    }
    let lines = found
        .attachments
        .iter()
        .map(|line| format!("{} {} is {}", line.container_id, line.ifname, line.life.as_str()));
    let damaged = found.damaged.iter().map(|damaged| format!("{} is damaged", damaged.path.display()));
    let mut findings = vec![format!(
        "{count} attachments would lose their DEL: drain the node and let the runtime remove its sandboxes, or sweep, first"
    )];
    findings.extend(lines.chain(damaged).take(NAMED));
    if count > NAMED {
        findings.push(format!("and {} more; see crossfade-bootstrap attachments", count - NAMED));
    }
    Err(Failure { exit: Exit::No, findings })
}

fn decide(settings: &Settings, wanted: &Uninstall) -> Vec<Change> {
    // The conf first: what it names must be there as long as a runtime may call us.
    let mut changes = vec![remove(settings.conf_file(), true, "the runtime calls the next conf from now on")];
    changes.push(remove(
        settings.layout.name(),
        false,
        "the next install takes the name of the network then",
    ));
    if wanted.purge {
        changes.push(remove(settings.layout.inventory(), false, "it is empty"));
        let plugins = bin_dirs(&wanted.bin_dirs, None).into_iter().map(|dir| dir.join(PLUGIN));
        changes.extend(plugins.map(|path| remove(path, false, "the plugin")));
    }
    changes
}

fn remove(path: PathBuf, nudge: bool, why: &str) -> Change {
    let target = path.display().to_string();
    if path.symlink_metadata().is_err() {
        return Change::new(Act::Keep, target, "absent");
    }
    Change::new(Act::Remove { path, nudge }, target, why)
}

/// A pod may have been attached between the look and the removal; its DEL needs us.
fn put_back_if_needed(settings: &Settings) -> Result<(), Failure> {
    let Err(refused) = refuse_attached(&attachments::list(&settings.layout, None)?) else {
        return Ok(());
    };
    let mut findings = vec!["something was attached while the conf was being removed; try again".to_owned()];
    if let Ok(Some(conf)) = &settings.installed {
        let (path, bytes) = (settings.conf_file(), conf.bytes.clone());
        change::write(&Write { path, bytes, mode: conf.mode, nudge: true }).map_err(|e| {
            Failure::new(Exit::Failed, format!("put {} back: {e}", settings.conf_file().display()))
        })?;
        findings.push(format!("{} is back", settings.conf_file().display()));
    }
    findings.extend(refused.findings);
    Err(Failure { exit: Exit::TryLater, findings })
}
