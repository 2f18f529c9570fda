//! `roll`: carries a plan out, node by node.

use std::collections::BTreeSet;

use serde::Serialize;
use types::exit::Exit;
use types::problem::Problem;

use super::source;
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Roll as Wanted;
use crate::config::Config;
use crate::drive::event::{Event, but};
use crate::drive::{Ended, Why};
use crate::live::{self, Patience, Preview};
use crate::plan::{Drift, drift};
use crate::print::{Document, Progress, Report};
use crate::roll::run::Bounds;
use crate::roll::step::End;
use crate::scene::Scene;
use crate::status::{Status, line};

use super::status::describe;

/// How a part of a run ended.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rolled {
    /// How far the run is; none if nothing was known of the cluster.
    #[serde(flatten)]
    pub status: Option<Status>,
    /// Why it ended for this program.
    pub ended: String,
    #[serde(skip)]
    exit: Exit,
    #[serde(skip)]
    next: String,
}

/// What a run would do next.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Previewed {
    /// The preview.
    #[serde(flatten)]
    pub preview: Preview,
    #[serde(skip)]
    next: String,
}

/// Either of both.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Answer {
    /// Nothing was done.
    Previewed(Previewed),
    /// The run went on.
    Rolled(Rolled),
}

/// Runs the command.
///
/// # Errors
/// The settings, the plan or the run cannot be read, somebody else holds the run, or a request failed.
pub fn roll(global: &Global, wanted: &Wanted) -> Result<Answer, Failure> {
    let config = source::settings(global)?;
    let settings = live::Settings::of(&config);
    let is_approved = wanted.plan.is_some() || wanted.resume;
    let asked = live::Wanted {
        plan: wanted.plan.clone(),
        bounds: Bounds {
            until: wanted.until.map(Into::into),
            only: wanted.only.iter().map(|node| node.as_str().into()).collect(),
            pool: wanted.pool.as_deref().map(Into::into),
        },
        delete: wanted.delete_bare.iter().cloned().collect::<BTreeSet<_>>(),
        patience: match (wanted.take_over, wanted.force_take_over) {
            (_, true) => Patience::Force,
            (true, _) => Patience::UntilExpired,
            _ => Patience::None,
        },
    };
    if wanted.dry_run || !is_approved {
        let preview = live::preview(&global.access, settings, &asked).map_err(failed)?;
        let plan = &preview.status.plan;
        let next = match &wanted.plan {
            Some(_) => format!("kubectl crossfade roll --plan {plan}"),
            None => "kubectl crossfade roll --resume".into(),
        };
        return Ok(Answer::Previewed(Previewed { preview, next }));
    }
    covered(global, &config, wanted.plan.as_deref())?;
    let progress = Progress::new();
    let ended = live::conduct(&global.access, settings, &asked, &mut |event| show(&progress, event))
        .map_err(failed)?;
    Ok(Answer::Rolled(told(ended)))
}

/// Holds the plan against the cluster and the settings of today: what it does not cover is not begun.
fn covered(global: &Global, config: &Config, prefix: Option<&str>) -> Result<(), Failure> {
    let plan = live::saved_plan(&global.access, prefix).map_err(failed)?;
    let migration = Migration { from: plan.from, to: plan.to, strategy: plan.strategy };
    let snapshot = source::snapshot(global, Some(&migration))?;
    let Migration { from, to, strategy } = migration;
    let (exit, lines, fix) = match drift(&plan, &Scene { snapshot: &snapshot, config, from, to, strategy }) {
        Drift::Absorbed(_) => return Ok(()),
        Drift::Stale(lines) => (
            Exit::No,
            lines,
            "make a new plan, look at what differs (plan --diff OLD), and approve that: roll --plan HASH",
        ),
        Drift::Refused(lines) => (Exit::BadSettings, lines, "check --context, and the plan that you approve"),
    };
    Err(Failure::all(exit, lines.into_iter().map(|line| Problem::new(line).at("the plan").fix(fix))))
}

fn failed((exit, problem): (Exit, Problem)) -> Failure {
    Failure::of(exit, problem)
}

/// A line for each event, and on a terminal one line that says how far the run is.
fn show(progress: &Progress, event: &Event) {
    match event {
        Event::Status(status) => progress.passing(&line(status)),
        Event::Acted { act, outcome } => match but(outcome) {
            Some(but) => progress.note(&format!("{act}: {but}")),
            None => progress.note(&act.to_string()),
        },
        Event::Waits(wait) => {
            let help = if wait.help.is_empty() { String::new() } else { format!(" ({})", wait.help) };
            progress.note(&format!("{} waits, {}: {}{help}", wait.object, wait.reason, wait.what));
        }
        Event::Wished { wish, refused: None } => {
            progress.note(&format!("{} asked: {:?}: {}", wish.by, wish.what, wish.reason))
        }
        Event::Wished { wish, refused: Some(why) } => {
            progress.note(&format!("{} asked for {:?}, refused: {why}", wish.by, wish.what))
        }
        Event::Broken { act, broken } => {
            progress.note(&format!("refused its own decision, {act}: {}: {}", broken.name, broken.why))
        }
    }
}

fn told(ended: Ended) -> Rolled {
    let resume = "kubectl crossfade roll --resume";
    let (exit, why, next) = match ended.why {
        Why::End(End::Done) => (Exit::Done, "every pass is done".into(), String::new()),
        Why::End(End::Bounded) => (Exit::Done, "everything within the bounds is done".into(), resume.into()),
        Why::End(End::Paused) => (
            Exit::TryLater,
            "the run is paused".into(),
            format!("kubectl crossfade resume --reason TEXT, then {resume}"),
        ),
        Why::End(End::Held) => (
            Exit::No,
            "nothing goes on until a person acts".into(),
            format!("do what the waits say, then {resume}"),
        ),
        Why::End(End::Lost) => {
            (Exit::TryLater, "somebody else holds the run".into(), "kubectl crossfade status".into())
        }
        Why::Gone(why) => (Exit::TryLater, why, resume.into()),
        Why::Interrupted => {
            (Exit::TryLater, "it was interrupted; nodes in transit stay as they are".into(), resume.into())
        }
        Why::Broken(broken) => (
            Exit::Failed,
            format!("the program refused its own decision, {}: {}", broken.name, broken.why),
            "nothing was done of it; report this with the journal of the run".into(),
        ),
    };
    Rolled { status: ended.status, ended: why, exit, next }
}

impl Report for Answer {
    fn document(&self) -> Document {
        match self {
            Self::Previewed(Previewed { preview, next }) => {
                let mut document = Document::new("Roll: nothing was done");
                describe(&mut document, &preview.status);
                document.heading("What would be done next");
                let acts: Vec<String> = preview.acts.iter().map(ToString::to_string).collect();
                if acts.is_empty() {
                    document.text("Nothing.");
                }
                document.list(acts, 40);
                document.text(format!("To do it: {next}"));
                document
            }
            Self::Rolled(rolled) => {
                let mut document = Document::new(format!("Roll: {}", rolled.ended));
                if let Some(status) = &rolled.status {
                    describe(&mut document, status);
                }
                if !rolled.next.is_empty() {
                    document.text(format!("Next: {}", rolled.next));
                }
                document
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Previewed(_) => Exit::Done,
            Self::Rolled(rolled) => rolled.exit,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let Self::Rolled(rolled) = self else { return Vec::new() };
        if rolled.exit == Exit::Done {
            return Vec::new();
        }
        let waits = rolled.status.iter().flat_map(|status| &status.waits).filter(|wait| wait.is_held);
        let held =
            waits.map(|wait| Problem::new(wait.what.clone()).at(wait.object.clone()).fix(wait.help.clone()));
        let ended = Problem::new(rolled.ended.clone())
            .at("ConfigMap/crossfade/crossfade-run")
            .fix(rolled.next.clone());
        std::iter::once(ended).chain(held).collect()
    }
}
