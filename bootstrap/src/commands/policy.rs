//! `policy show|check|set|explain`.

pub mod explain;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;
use shim::layout::Layout;
use shim::store::Store;

use crate::change::outcome::Changed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{self, Page, Report};
use crate::cli::{self, Global};
use crate::node::directories::Directories;
use crate::node::paths::Root;
use crate::node::policy::flip::{self, parse, read};
use crate::node::policy::secondary;
use crate::node::settings;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::Whom;
use crate::runtime::unread;

/// Carries out a verb and prints its answer.
///
/// # Errors
/// Those of the verb; 3 on a node without Crossfade's plugin.
pub fn answer(global: &Global, verb: &cli::Policy) -> Result<Exit, Failure> {
    needed(global, verb)?;
    let layout = Directories::certain(global)?.layout;
    let output = global.output;
    Ok(match verb {
        cli::Policy::Show(_) => print::report(output, &show(&layout)?),
        cli::Policy::Check(wanted) => print::report(output, &check(&layout, wanted.file.as_deref())?),
        cli::Policy::Set(wanted) => print::report(output, &set(global, &layout, wanted)?),
        cli::Policy::Explain(wanted) => print::report(output, &explain::explained(&layout, wanted)?),
    })
}

/// `policy show`, and `policy check` without the content.
///
/// *Shape*: `{"file":"..","phase":"old","warnings":["..."],"policy":{..}}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shown {
    file: PathBuf,
    phase: &'static str,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    policy: Option<Box<RawValue>>,
}

impl Report for Shown {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let file = self.file.display();
        match &self.policy {
            None => {
                let _ = writeln!(text, "{file}: valid, phase {}", self.phase);
            }
            Some(policy) => {
                let _ = writeln!(text, "{file}: phase {}", self.phase);
                text.text(&format!("{}\n", policy.get().trim()));
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// Whether anybody reads a policy on this node. `policy check FILE` may check another node's file, so it is always allowed.
///
/// # Errors
/// 3 on a node without Crossfade's plugin.
fn needed(global: &Global, verb: &cli::Policy) -> Result<(), Failure> {
    match verb {
        cli::Policy::Check(wanted) if wanted.file.is_some() => Ok(()),
        cli::Policy::Check(_) | cli::Policy::Show(_) | cli::Policy::Set(_) | cli::Policy::Explain(_) => {
            let why = settings::without_plugin(&Root::new(&global.root));
            why.map_or(Ok(()), |why| Err(Failure::all(Exit::No, [why])))
        }
    }
}

/// Prints the policy that counts.
///
/// # Errors
/// Bad settings.
fn show(layout: &Layout) -> Result<Shown, Failure> {
    let file = layout.policy_file();
    let bytes = read(&file)?;
    let policy = parse(&file, &bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: RawValue::from_string(text).ok() })
}

/// Says whether a policy is valid: the one that counts, or another file, whose path is absolute.
///
/// # Errors
/// Bad settings; usage where the other file is not there.
fn check(layout: &Layout, file: Option<&Path>) -> Result<Shown, Failure> {
    if let Some(file) = file.filter(|file| !file.exists()) {
        let place = file.display();
        return Err(Failure::usage(format!("{place}: there is no such file")).at(place));
    }
    let file = file.map_or_else(|| layout.policy_file(), Path::to_path_buf);
    let policy = parse(&file, &read(&file)?)?;
    secondary::usable(&policy)
        .map_err(|why| Failure::settings(format!("policy {}: {why}", file.display())).at(file.display()))?;
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: None })
}

/// `policy set`: flips the policy, and says whether the runtime is known to use it.
///
/// # Errors
/// As [`flip::set`].
fn set(global: &Global, layout: &Layout, wanted: &cli::Set) -> Result<Changed, Failure> {
    let set = flip::set(layout, wanted.phase, wanted.runtime, global.dry_run)?;
    let doubt = doubt(global).filter(|_| !global.dry_run);
    Ok(set.unconfirmed(doubt.map(|why| {
        format!(
            "the policy is set, but it is not confirmed that new pods use Crossfade: {why}; run the command again, or run install, after \
             which the runtime reads Crossfade's conf anew"
        )
    })))
}

/// Why it is not certain that this node's pods come through Crossfade, where Crossfade's conf is installed and the runtime is a CRI-O that
/// runs. A record of an attachment that began after the conf was written counts as much as the plugin's mark.
fn doubt(global: &Global) -> Option<String> {
    let root = Root::new(&global.root);
    RuntimeConfig::of_crio(&root).filter(|_| root.is_node())?;
    let settings = Directories::certain(global).ok()?;
    settings.installed.as_ref().ok().and_then(Option::as_ref).filter(|conf| conf.is_ours)?;
    let whom = Whom::found(&root);
    let endpoint = whom.endpoint()?;
    let conf = settings.conf_file();
    // One that does not run reads the conf when it starts.
    let why = unread::since(endpoint, &conf)?;
    (!attached_since(&settings.layout, &conf)).then_some(why)
}

fn attached_since(layout: &Layout, conf: &Path) -> bool {
    let secs = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(written) = unread::written(conf).map(secs) else { return false };
    let records = Store::new(layout).all().map(|(sound, _)| sound).unwrap_or_default();
    records.iter().any(|record| record.intent.begun.wall_secs > written)
}
