//! `policy show|check|set|explain`.

pub mod completion;
pub mod explain;
pub mod secondary;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;
use shim::file::read_bounded;
use shim::layout::{Layout, POLICY_FILE, SETTINGS_DIRS};
use shim::lock;
use shim::trust;
use types::policy::{MAX_BYTES, Phase, Policy};

use crate::change::outcome::{Changed, Done, Outcome};
use crate::change::{self, Act, Change, Write};
use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{Page, Report};
use crate::cli::{self, Global};
use crate::node::durable::outlives_reboot;
use crate::node::evidence;
use crate::node::paths::Root;
use crate::node::settings;
use crate::runtime::unread;

/// Mode of a policy file that we make: it holds no secret.
const POLICY_MODE: u32 = 0o644;

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

/// Whether anybody reads a policy here; a file that is only checked may be another node's.
///
/// # Errors
/// 3 on a node without a plugin of ours.
pub fn needed(global: &Global, verb: &cli::Policy) -> Result<(), Failure> {
    match verb {
        cli::Policy::Check(wanted) if wanted.file.is_some() => Ok(()),
        cli::Policy::Check(_) | cli::Policy::Show(_) | cli::Policy::Set(_) | cli::Policy::Explain(_) => {
            let why = settings::without_plugin(&Root::new(&global.root));
            why.map_or(Ok(()), |why| Err(Failure::new(Exit::No, why)))
        }
    }
}

/// Prints the policy that counts.
///
/// # Errors
/// Bad settings.
pub fn show(layout: &Layout) -> Result<Shown, Failure> {
    let file = layout.policy_file();
    let bytes = read(&file)?;
    let policy = parse(&file, &bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: RawValue::from_string(text).ok() })
}

/// Says whether a policy is valid: the one that counts, or another file.
///
/// # Errors
/// Bad settings; usage where the other file is not there.
pub fn check(layout: &Layout, file: Option<&Path>) -> Result<Shown, Failure> {
    let is_named = file.is_some();
    let file = match file {
        Some(file) => {
            std::path::absolute(file).map_err(|e| Failure::settings(format!("{}: {e}", file.display())))?
        }
        None => layout.policy_file(),
    };
    if is_named && !file.exists() {
        return Err(Failure::usage(format!("{}: there is no such file", file.display())));
    }
    let policy = parse(&file, &read(&file)?)?;
    secondary::usable(&policy)
        .map_err(|why| Failure::settings(format!("policy {}: {why}", file.display())))?;
    let warnings = secondary::warnings(&policy);
    Ok(Shown { file, phase: policy.phase().as_str(), warnings, policy: None })
}

/// `policy set`: flips the policy, and says whether the runtime is known to use it.
///
/// # Errors
/// As [`set`].
pub fn flip(global: &Global, layout: &Layout, wanted: &cli::Set) -> Result<Changed, Failure> {
    let set = set(layout, wanted.phase, wanted.runtime, global.dry_run)?;
    let doubt = unread::doubt(global).filter(|_| !global.dry_run);
    Ok(set.unconfirmed(doubt.map(|why| {
        format!(
            "the policy is set, but it is not confirmed that new pods use Crossfade: {why}; run the command again, or run install, after \
             which the runtime reads Crossfade's conf anew"
        )
    })))
}

/// Flips the policy to `phase`; `volatile` allows a place that a reboot empties.
///
/// # Errors
/// Bad settings; 3 when the policy does not allow the phase, or its place does not last.
pub fn set(layout: &Layout, phase: Phase, volatile: bool, dry_run: bool) -> Result<Changed, Failure> {
    if dry_run {
        let change = decide(layout, phase, volatile)?;
        let notes = warnings(layout, &change);
        return Ok(Changed::planned(vec![change], notes));
    }
    // Two who flip at once must not undo each other's other changes.
    let flipped = lock::exclusively(layout, "policy", || Ok(decide(layout, phase, volatile).and_then(apply)));
    let done = flipped.map_err(|e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock => Failure::later("somebody else is flipping the policy"),
        _ => Failure::new(Exit::Failed, format!("lock of the policy: {e}")),
    })??;
    let notes = warnings(layout, &done.change);
    Ok(Changed::applied(vec![done], notes))
}

/// What is to be said of the policy that a change writes.
fn warnings(layout: &Layout, change: &Change) -> Vec<String> {
    let Act::Write(write) = &change.act else { return Vec::new() };
    let Ok(policy) = Policy::parse(&write.bytes) else { return Vec::new() };
    [secondary::warnings(&policy), evidence::unkept(layout, &policy)].concat()
}

fn apply(change: Change) -> Result<Done, Failure> {
    let outcome = match &change.act {
        Act::Write(write) => {
            // Whatever the umask: what others could write is not read back.
            let dir = |dir| DirBuilder::new().recursive(true).mode(0o755).create(dir);
            let written = write.path.parent().map_or(Ok(()), dir);
            written.and_then(|()| change::write(write)).map_err(|e| {
                Failure::new(Exit::Failed, format!("write policy {}: {e}", write.path.display()))
            })?;
            Some(Outcome::Done)
        }
        _ => None,
    };
    Ok(Done { change, outcome })
}

fn decide(layout: &Layout, phase: Phase, volatile: bool) -> Result<Change, Failure> {
    let from = layout.policy_file();
    let to = target(layout)?;
    let bytes = read(&from)?;
    let now = parse(&from, &bytes)?.phase();
    let shown = to.display().to_string();
    let refused = |why: String| Failure::new(Exit::No, why);
    let flipped = Policy::flip(&bytes, phase).map_err(refused)?;
    // Of a policy that a person wrote the shim does not know what its networks' profiles say.
    let flipped = completion::with_secondary(&flipped).map_err(refused)?.map_or(flipped, |done| done.bytes);
    if now == phase && from == to && flipped == bytes {
        return Ok(Change::new(Act::Keep, shown, format!("in phase {phase} already")));
    }
    secondary::parse(&flipped)
        .map_err(|why| refused(format!("the policy does not allow the phase {phase}: {why}")))?;
    if !volatile {
        outlives_reboot(&to).map_err(|why| {
            Failure::new(
                Exit::No,
                format!(
                    "{why}: keep the policy on a disk (/etc/crossfade), or say --runtime if that is meant"
                ),
            )
        })?;
    }
    let mode = from.metadata().map_or(POLICY_MODE, |meta| meta.mode() & 0o7777);
    let moved = if from == to { String::new() } else { format!("; from {}", from.display()) };
    Ok(Change::new(
        Act::Write(Write { path: to, bytes: flipped, mode, nudge: false }),
        shown,
        format!("{now} -> {phase}{moved}"),
    ))
}

/// The file that is rewritten: the named one, else that in /etc. A link is followed, so that it stays one.
fn target(layout: &Layout) -> Result<PathBuf, Failure> {
    let place = layout.policy.clone().unwrap_or_else(|| Path::new(SETTINGS_DIRS[0]).join(POLICY_FILE));
    match trust::resolve(&place) {
        Ok(real) => Ok(real),
        Err(why) if why.is_absent() => Ok(place),
        Err(why) => Err(Failure::settings(format!("policy {}: {why}", place.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let named = |why: String| Failure::settings(format!("read policy {}: {why}", path.display()));
    let mut file = trust::open(path).map_err(|why| named(why.to_string()))?;
    read_bounded(&mut file, MAX_BYTES).map_err(|e| named(e.to_string()))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Policy, Failure> {
    Policy::parse(bytes).map_err(|why| Failure::settings(format!("policy {}: {why}", path.display())))
}
