//! The report of `move-pods`.

use convergence::commands::move_pods::apply::{Interruption, MoveOutcome, MoveResult};
use convergence::commands::move_pods::decide::{Candidate, PodDisposition};
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::Phase;

/// The pods, and what becomes or became of each.
///
/// *Shape*: `{"dryRun":true,"phase":"new","inPlace":false,"pods":[{"namespace":"web","pod":"a-1","uid":"..","sandbox":"..","from":"old","to":"new",
/// "fate":"evict","outcome":"gone"}],"notes":[".."]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MoveReport {
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// The phase of the policy.
    pub phase: Phase,
    /// Pods are restarted where they are.
    #[serde(rename = "inPlace")]
    pub in_place: bool,
    /// The pods in the order in which they go; those that stay are last.
    pub pods: Vec<Row>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// Why it stopped on the way.
    #[serde(skip)]
    pub stopped: Option<Interruption>,
    /// What keeps pods from moving.
    #[serde(skip)]
    pub obstacles: Vec<Problem>,
}

/// One pod.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// Its sandbox, by the id that the runtime gave it.
    pub sandbox: String,
    /// The phase that it was attached in; null if no phase of the policy attaches so.
    pub from: Option<Phase>,
    /// The phase in which the policy would attach it now.
    pub to: Phase,
    /// What becomes of it: `join`, `leave`, `evict`, `delete`, `restart`, `ends`, `stays`.
    pub fate: &'static str,
    /// Why no network joins or leaves it while it runs, where it is restarted.
    #[serde(rename = "whyRestart", skip_serializing_if = "Option::is_none")]
    pub why_restart: Option<&'static str>,
    /// Why it stays, or was left as it is, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What became of it; absent where nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<PodOutcome>,
    /// Its new sandbox, or that of the pod that came to this node in its place.
    #[serde(rename = "newSandbox", skip_serializing_if = "Option::is_none")]
    pub new_sandbox: Option<String>,
}

/// What became of a pod.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum PodOutcome {
    /// It is back on this node.
    Back,
    /// It runs on, on the right networks.
    Changed,
    /// It is gone from this node.
    Gone,
    /// Nothing was to be done any more.
    Skipped,
    /// It was left as it is.
    Left,
}

impl MoveReport {
    /// Reports on candidates of which some had their turn.
    #[must_use]
    pub(crate) fn new(
        phase: Phase,
        in_place: bool,
        candidates: &[Candidate],
        carried: Option<MoveResult>,
    ) -> Self {
        let dry_run = carried.is_none();
        let MoveResult { done, stopped } = carried.unwrap_or_default();
        let mut obstacles = Vec::new();
        let rows = candidates.iter().map(|candidate| {
            let outcome = done
                .iter()
                .find(|done| done.candidate.sandbox == candidate.sandbox)
                .map(|done| &done.outcome);
            if let Some(MoveOutcome::Left(_, why)) = outcome {
                obstacles.push(why.clone());
            }
            if let PodDisposition::Stays(why) = candidate.fate {
                let (why, fix) = why.words();
                let what = format!("pod {} stays: {why}", candidate.title());
                obstacles.push(Problem::new(what).with_place(format!("pod {}", candidate.title())).fix(fix));
            }
            Row::new(candidate, outcome)
        });
        let pods: Vec<Row> = rows.collect();
        let mut notes = Vec::new();
        if pods.is_empty() {
            notes.push("every pod of this node is on the network that the policy names for it".to_owned());
        } else if dry_run && candidates.iter().any(|candidate| candidate.fate.is_act()) {
            notes.push("nothing was changed; the same command with --apply carries this out".into());
        }
        Self { dry_run, phase, in_place, pods, notes, stopped, obstacles }
    }
}

impl Row {
    fn new(candidate: &Candidate, outcome: Option<&MoveOutcome>) -> Self {
        let stays = match candidate.fate {
            PodDisposition::Stays(why) => Some(why.into_str()),
            PodDisposition::Evicted
            | PodDisposition::Deleted
            | PodDisposition::Restarted
            | PodDisposition::Joined(_)
            | PodDisposition::Left(_)
            | PodDisposition::Ends => None,
        };
        let reason = match outcome {
            Some(MoveOutcome::Left(why, _)) => Some(why.into_str()),
            Some(MoveOutcome::Back(_) | MoveOutcome::Changed | MoveOutcome::Gone | MoveOutcome::Skipped)
            | None => None,
        };
        let (outcome, new_sandbox) = match outcome {
            None => (None, None),
            Some(MoveOutcome::Back(sandbox)) => (Some(PodOutcome::Back), Some(sandbox.clone())),
            Some(MoveOutcome::Changed) => (Some(PodOutcome::Changed), None),
            Some(MoveOutcome::Gone) => (Some(PodOutcome::Gone), None),
            Some(MoveOutcome::Skipped) => (Some(PodOutcome::Skipped), None),
            Some(MoveOutcome::Left(..)) => (Some(PodOutcome::Left), None),
        };
        Self {
            namespace: candidate.namespace.clone(),
            pod: candidate.name.clone(),
            uid: candidate.uid.clone(),
            sandbox: candidate.sandbox.clone(),
            from: candidate.from,
            to: candidate.to,
            fate: candidate.fate.as_str(),
            why_restart: candidate.restart,
            why: stays.or(reason),
            outcome,
            new_sandbox,
        }
    }

    /// What became of the pod, for people.
    const fn outcome(&self) -> &'static str {
        match self.outcome {
            Some(PodOutcome::Back) => ": done, it is back on this node",
            Some(PodOutcome::Changed) => ": done, it runs on",
            Some(PodOutcome::Gone) => ": done, it is gone from this node",
            Some(PodOutcome::Skipped) => ": nothing to do any more",
            Some(PodOutcome::Left) => ": not done",
            None => "",
        }
    }
}

impl Report for MoveReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for row in &self.pods {
            let from = row.from.map_or("no phase of the policy", Phase::as_str);
            let why = row.why_restart.map(|why| format!("; {why}")).unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<8} {}/{}  (attached in {from}, the policy says {}{why}){}",
                row.fate,
                row.namespace,
                row.pod,
                row.to,
                row.outcome()
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text.problems(&self.problems());
        text
    }

    fn exit(&self) -> Exit {
        match &self.stopped {
            _ if self.dry_run => Exit::Done,
            Some(stopped) => stopped.exit,
            None if self.obstacles.is_empty() => Exit::Done,
            None => Exit::No,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let stopped = self.stopped.iter().flat_map(|stopped| stopped.why.iter().cloned());
        stopped.chain(self.obstacles.iter().cloned()).collect()
    }
}
