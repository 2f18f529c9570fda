//! The findings about the runtime: that it is known, answers, and finds Crossfade's plugin.

use std::time::Duration;

use types::status::Reason;

use crate::runtime::answer::{ConfUse, RuntimeAnswer};
use crate::watch::memory::Memory;
use crate::watch::observation::Observation;

/// How long a runtime may be absent before that is a problem: it may be restarting.
const RESTARTS_WITHIN: Duration = Duration::from_secs(30);

/// What keeps pods from Crossfade's network, the gravest first. `name` is the name of that network, if it is known.
#[must_use]
pub fn standing_reasons(
    facts: &Observation,
    memory: &mut Memory,
    name: Option<&str>,
) -> Vec<(Reason, String)> {
    let mut standing = Vec::new();
    standing.extend(unknown_reason(facts, memory).map(|why| (Reason::RuntimeUnknown, why)));
    standing.extend(missing_reason(facts).map(|why| (Reason::PluginMissing, why)));
    memory.used = match facts.node.runtime.answer.uses(name.unwrap_or_default()) {
        ConfUse::Ours => true,
        ConfUse::Other(_) | ConfUse::Unknown => false,
        // A runtime that is being restarted reads the same directory again.
        ConfUse::Failed(_) => memory.used,
    };
    standing
}

/// Why no runtime can be asked. A runtime that used Crossfade's conf a moment ago may only be restarting.
fn unknown_reason(facts: &Observation, memory: &mut Memory) -> Option<String> {
    let Some(why) = facts.node.runtime.answer.trouble() else {
        memory.unanswered = None;
        return None;
    };
    let since = *memory.unanswered.get_or_insert(facts.now);
    let is_restarting = memory.used
        && !matches!(facts.node.runtime.answer, RuntimeAnswer::Unknown(_))
        && facts.now.saturating_sub(since) < RESTARTS_WITHIN;
    (!is_restarting).then(|| why.to_owned())
}

/// Why the runtime does not find Crossfade's plugin. `None` while no runtime answers, because its directories are unknown then.
fn missing_reason(facts: &Observation) -> Option<String> {
    match &facts.node.runtime.answer {
        RuntimeAnswer::NotAsked
        | RuntimeAnswer::Unknown(_)
        | RuntimeAnswer::Absent(_)
        | RuntimeAnswer::Failed(_) => None,
        RuntimeAnswer::Silent | RuntimeAnswer::Setup(_) => {
            let why = facts.cni.plugins.check().err()?;
            let way = match &facts.cni.plugins.packaged {
                Ok(_) => "it is put there",
                Err(_) => "run crossfade-bootstrap install",
            };
            Some(format!("{why}; {way}"))
        }
    }
}
