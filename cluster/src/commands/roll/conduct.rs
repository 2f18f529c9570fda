//! A run that a command carries out: what is asked before it begins, a line for each event, and how it ended.

use migration::check::Scene;
use migration::config::Config;
use migration::drive::decisions::DecisionTimes;
use migration::drive::event::{Event, but};
use migration::drive::status::{Status, line};
use migration::drive::{DriveEnd, EndReason};
use migration::plan::{Drift, Plan, canon, drift, early_images};
use migration::roll::run::UnenforcedPolicies;
use migration::roll::step::End;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::commands::source;
use crate::commands::status::describe;
use crate::live;
use crate::print::{Document, Progress};

/// How a part of a run ended.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rolled"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RollReport {
    /// How far the run is; none if nothing was known of the cluster.
    #[serde(flatten)]
    pub status: Option<Status>,
    /// Why it ended for this program.
    #[serde(rename = "ended")]
    pub outcome: String,
    /// How long this program's decisions took; none if it made none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<DecisionTimes>,
    /// Why the journal in the cluster lacks the last lines, and what has them; none if it lacks none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// The exit status of that.
    #[serde(skip)]
    pub exit: Exit,
    #[serde(skip)]
    next: String,
}

/// Begins the run of a plan, or goes on with the run that is there, until it ends for this program.
///
/// # Errors
/// The run cannot be read, the plan does not cover the cluster and the settings of today, another holder has the run, or a request failed.
pub(super) fn conduct(
    global: &Global,
    config: &Config,
    options: live::RunOptions,
) -> Result<RollReport, Failure> {
    let unenforced = require_covered(global, config, &options)?;
    let progress = Progress::new();
    unenforced.iter().for_each(|policies| progress.note(&policies.to_string()));
    let options = live::RunOptions { unenforced, ..options };
    let settings = live::Settings::from_config(config);
    let (ended, lacking) =
        live::conduct(&global.access, settings, &options, &mut |event| show(&progress, event))
            .map_err(call_failure)?;
    let rolled = report(ended, &options.plan.plan, &global.next_command("roll --resume"));
    Ok(RollReport { journal: lacking.map(|problem| problem.to_string()), ..rolled })
}

/// Holds the plan against the cluster and the settings of today: what it does not cover is not begun. What a run that has begun goes on without is for
/// people.
fn require_covered(
    global: &Global,
    config: &Config,
    options: &live::RunOptions,
) -> Result<Vec<UnenforcedPolicies>, Failure> {
    let plan = &options.plan.plan;
    let migration = Migration { from: plan.from, to: plan.to, strategy: plan.strategy };
    let snapshot = source::snapshot(global, Some(&migration))?;
    let Migration { from, to, strategy } = migration;
    let scene = Scene { snapshot: &snapshot, config, from, to, strategy };
    uncovered(drift(plan, &scene), early_images(plan, &scene), plan, options.is_resumed)
}

/// What keeps the run from going on, or which policies do not keep one that has begun. In a run that has begun, nodes of an image are what it has brought.
fn uncovered(
    drift: Drift,
    early_images: Vec<Problem>,
    plan: &Plan,
    is_resumed: bool,
) -> Result<Vec<UnenforcedPolicies>, Failure> {
    let (exit, lines, fix) = match drift {
        Drift::Absorbed(_) if is_resumed || early_images.is_empty() => return Ok(Vec::new()),
        Drift::Absorbed(_) => return Err(Failure::all(Exit::No, early_images)),
        Drift::Unenforced(policies) if is_resumed => return Ok(policies),
        Drift::Unenforced(policies) => (
            Exit::No,
            policies.iter().map(ToString::to_string).collect(),
            "decide as the finding policies-unenforced of kubectl crossfade check says, accept these kinds in the settings (roll.unenforced), and make a new plan",
        ),
        Drift::Stale(lines) => (
            Exit::No,
            lines,
            if plan.fixes_stragglers() {
                "make a new plan and approve that: kubectl crossfade roll stragglers --fix --save"
            } else {
                "make a new plan, look at what differs (plan --diff OLD), and approve that: roll --plan HASH"
            },
        ),
        Drift::Refused(lines) => (Exit::BadSettings, lines, "check --context, and the plan that you approve"),
    };
    Err(Failure::all(exit, lines.into_iter().map(|line| Problem::new(line).with_place("the plan").fix(fix))))
}

/// A request to the cluster failed.
pub(in crate::commands) fn call_failure((exit, problem): (Exit, Problem)) -> Failure {
    Failure::from_problem(exit, problem)
}

/// A line for each event, and on a terminal one line that says how far the run is.
fn show(progress: &Progress, event: &Event) {
    match event {
        Event::Status(status) => progress.passing(&line(status)),
        Event::Journal(what) => progress.note(what),
        Event::Acted { act, outcome } => match but(outcome) {
            Some(but) => progress.note(&format!("{act}: {but}")),
            None => progress.note(&act.to_string()),
        },
        Event::Waits(wait) => {
            let help = if wait.help.is_empty() { String::new() } else { format!(" ({})", wait.help) };
            progress.note(&format!("{} waits, {}: {}{help}", wait.object, wait.reason, wait.what));
        }
        Event::Wished { wish, refused: None } => {
            progress.note(&format!("{} asked: {:?}: {}", wish.operator, wish.what, wish.reason))
        }
        Event::Wished { wish, refused: Some(why) } => {
            progress.note(&format!("{} asked for {:?}, refused: {why}", wish.operator, wish.what))
        }
        // They are for the history: status shows the same at any time.
        Event::Holds { .. } | Event::Over { .. } | Event::Counted(_) => {}
        Event::Replanned { before, plan } => {
            let (before, plan) = (canon::shorten_hash(before), canon::shorten_hash(plan));
            progress.note(&format!("the run goes on by plan {plan} instead of {before}"));
        }
        Event::Broken { act, broken } => {
            progress.note(&format!("refused its own decision, {act}: {}: {}", broken.name, broken.why))
        }
    }
}

fn report(ended: DriveEnd, plan: &Plan, resume: &str) -> RollReport {
    let (exit, why, next) = match ended.reason {
        EndReason::End(End::Done) if plan.fixes_stragglers() => {
            (Exit::Done, "every node of the plan is done".into(), String::new())
        }
        EndReason::End(End::Done) => (Exit::Done, "every pass is done".into(), String::new()),
        EndReason::End(End::Bounded) => {
            (Exit::Done, "everything within the bounds is done".into(), resume.into())
        }
        EndReason::End(End::Paused) => (
            Exit::TryLater,
            "the run is paused".into(),
            format!("kubectl crossfade roll resume --reason TEXT, then {resume}"),
        ),
        EndReason::End(End::Held) => (
            Exit::No,
            "nothing goes on until a person acts".into(),
            format!("do what the waits say, then {resume}"),
        ),
        EndReason::Gone(why) => (Exit::TryLater, why, resume.into()),
        EndReason::Unreadable(why, fix) => (Exit::No, why, fix),
        EndReason::Interrupted => {
            (Exit::TryLater, "it was interrupted; nodes in transit stay as they are".into(), resume.into())
        }
        EndReason::Broken(broken) => (
            Exit::Failed,
            format!("the program refused its own decision, {}: {}", broken.name, broken.why),
            "nothing was done of it; report this with the journal of the run".into(),
        ),
    };
    let decisions = ended.decisions.took();
    RollReport { status: ended.status, outcome: why, decisions, journal: None, exit, next }
}

impl RollReport {
    /// Adds how far the run is, and what comes next.
    pub(super) fn describe(&self, document: &mut Document) {
        if let Some(status) = &self.status {
            describe(document, status);
        }
        if let Some(journal) = &self.journal {
            document.text(format!("The journal in the cluster lacks the last lines: {journal}."));
        }
        if !self.next.is_empty() {
            document.text(format!("Next: {}", self.next));
        }
    }

    /// What keeps the run from its end.
    pub(super) fn problems(&self) -> Vec<Problem> {
        if self.exit == Exit::Done {
            return Vec::new();
        }
        let waits = self.status.iter().flat_map(|status| &status.waits).filter(|wait| wait.is_held);
        let held_waits = waits.map(|wait| {
            Problem::new(wait.what.clone()).with_place(wait.object.to_string()).fix(wait.help.clone())
        });
        let ended = Problem::new(self.outcome.clone())
            .with_place("ConfigMap/crossfade/crossfade-run")
            .fix(self.next.clone());
        std::iter::once(ended).chain(held_waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A tenant makes the first policy of its kind: a person decides before the run begins, and need not once it has.
    #[test]
    fn a_policy_that_came_keeps_a_run_from_beginning_and_not_from_going_on() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 2, "cluster": "c", "from": "flannel", "to": "cilium", "strategy": "double", "passes": ["both-old"],
            "settings": "5e", "start": "old", "waves": [], "leftOut": [], "pools": [], "gates": [], "limits": {}, "pods": {},
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []},
            "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let title = "NetworkPolicy/t/p".to_owned();
        let came = [UnenforcedPolicies::new("NetworkPolicy", vec!["new"], [title].into_iter())];
        let drift = || Drift::Unenforced(came.to_vec());
        assert_eq!(uncovered(drift(), Vec::new(), &plan, true).expect("it goes on"), came);
        let failure = uncovered(drift(), Vec::new(), &plan, false).expect_err("no person accepted it");
        assert_eq!(failure.exit, Exit::No);
        assert!(failure.problems[0].to_string().contains(": NetworkPolicy/t/p."), "{failure:?}");
        for is_resumed in [false, true] {
            let stale = Drift::Stale(vec!["the settings".into()]);
            assert!(
                uncovered(stale, Vec::new(), &plan, is_resumed).is_err(),
                "a plan that does not cover the cluster"
            );
            let absorbed = || Drift::Absorbed(vec!["a node".into()]);
            assert_eq!(uncovered(absorbed(), Vec::new(), &plan, is_resumed).expect("it holds"), []);
            let early = vec![Problem::new("an image has come before its pass")];
            assert_eq!(uncovered(absorbed(), early, &plan, is_resumed).is_ok(), is_resumed);
        }
    }
}
