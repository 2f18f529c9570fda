//! The last report on a Node that Crossfade leaves: label and annotation go, and the condition says why there are no more reports.
//!
//! It is one request after the other and no loop beside the node: who calls it waits for it, at most as long as was said. A Node on which
//! nothing of Crossfade's is stays untouched, so that it can be called at every boot.

use std::time::{Duration, Instant};

use convergence::publish::decide::{Write, begin, retract as decide};
use convergence::publish::report::FinalCondition;
use k8s_openapi::jiff::Timestamp;
use shim::host::boot;
use types::command::problem::Problem;

use super::error::{ErrorKind, Trouble};
use super::link::Link;
use crate::publish::report::Credential;

/// The first pause after something went wrong; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Whether the Node is written, or only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What is to be written is written.
    Write,
    Look,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RetractOutcome {
    /// This Node was written, or would be.
    Written {
        /// Its name.
        node: String,
        /// The labels, annotations and conditions that go.
        removed: Vec<String>,
    },
    /// There is nothing of Crossfade's on this Node, or it says so already.
    Nothing(String),
}

/// Says the last word, and tries again until `within` is over. Without a word an installation begins: what an earlier one has left goes.
///
/// # Errors
/// Why the Node is not as it should be.
pub(crate) fn retract(
    credential: &Credential,
    word: Option<&FinalCondition>,
    within: Duration,
    depth: Depth,
) -> Result<RetractOutcome, Problem> {
    let end = Instant::now() + within;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("start a runtime: {e}"))?;
    let done = runtime.block_on(async {
        let mut pause = FIRST_PAUSE;
        loop {
            let remaining = end.saturating_duration_since(Instant::now());
            let attempt = tokio::time::timeout(remaining, attempt(credential, word, depth)).await;
            let late = |_| {
                Err(Trouble::new(ErrorKind::Unreachable, format!("no answer within {} s", within.as_secs())))
            };
            match attempt.unwrap_or_else(late) {
                Err(trouble) if !trouble.is_refusal() && Instant::now() + pause < end => {
                    tracing::info!(kind = ?trouble.kind, error = trouble.why.to_string(), "trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other.map_err(|trouble| trouble.why),
            }
        }
    });
    // A look-up that still hangs in a thread of the runtime's is not waited for.
    runtime.shutdown_background();
    done
}

async fn attempt(
    credential: &Credential,
    word: Option<&FinalCondition>,
    depth: Depth,
) -> Result<RetractOutcome, Trouble> {
    let (link, _) = Link::open(credential).await?;
    let (node, _) = link.list().await?;
    let writes = node.map(|node| match word {
        Some(word) => decide(&node, word, boot::boot_id().unwrap_or_default(), Timestamp::now()),
        None => begin(&node),
    });
    let writes = writes.unwrap_or_default();
    if writes.is_empty() {
        return Ok(RetractOutcome::Nothing(link.node));
    }
    if depth == Depth::Write {
        for write in &writes {
            link.write(write).await?;
        }
    }
    let removed = writes.iter().flat_map(Write::removed).collect();
    Ok(RetractOutcome::Written { node: link.node, removed })
}
