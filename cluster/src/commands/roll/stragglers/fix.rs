//! `roll stragglers --fix`: what moves stragglers, as a plan that is approved by its hash, and its run.

use std::collections::BTreeSet;

use migration::check::{self, Scene};
use migration::plan::canon::{self, Prefix};
use migration::plan::fix::{Fix, ManualNode, Remedy, StragglerFix, fix};
use migration::plan::stragglers::{find, furthest_phase};
use migration::plan::{self, notes};
use migration::plan::{Plan, Survey};
use migration::roll::run::{Bounds, Run, State};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::Phase;

use super::{StragglersReport, no_phase_failure};
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Stragglers as StragglersArgs;
use crate::commands::roll::conduct::{RollReport, call_failure, conduct};
use crate::commands::source;
use crate::live::{self, Patience};
use crate::print::Document;
use crate::print::plan::{blockers, duration};

/// How many lines of a list are shown.
const SHOWN: usize = 30;

/// What would be done.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Planned"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct FixPreview {
    /// The phase that stragglers are brought to.
    pub phase: Phase,
    /// The migration whose stragglers they are.
    #[serde(flatten)]
    pub migration: Migration,
    /// Every straggler, and what becomes of it.
    pub pods: Vec<StragglerFix>,
    /// Nodes that are left to a person, and have no straggler that is known by name.
    pub nodes: Vec<ManualNode>,
    /// The plan; none if there is nothing to move, or something stands in the way.
    #[serde(flatten)]
    pub details: Option<FixDetails>,
    /// Everything that stands in the way.
    #[serde(skip)]
    blockers: Vec<Problem>,
}

/// A plan and what is shown beside it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct FixDetails {
    /// SHA-256 of the plan's canonical bytes, in hex.
    pub hash: String,
    /// How long it takes if nothing waits, roughly.
    pub eta_seconds: u64,
    /// It is kept in the cluster.
    #[serde(rename = "saved")]
    pub is_saved: bool,
    /// What to know of the plan.
    pub notes: Vec<String>,
    /// The plan.
    pub plan: Plan,
}

/// What was done, and what is left.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Carried"))]
pub(crate) struct FixReport {
    /// How the run ended.
    #[serde(flatten)]
    pub rolled: RollReport,
    /// What is left once every node of the plan is done; none if the run did not come that far.
    #[serde(flatten)]
    pub stragglers: Option<StragglersReport>,
}

/// Plans what moves them. Nothing is changed but that the plan may be kept.
pub(super) fn plan(global: &Global, args: &StragglersArgs) -> Result<FixPreview, Failure> {
    let config = source::settings(global)?;
    // Files tell nothing of a run.
    let last =
        if global.snapshot.is_empty() { live::last_run(&global.access).map_err(call_failure)? } else { None };
    let last = last.map(require_over).transpose()?;
    let migration = args.migration().or_else(|| last.as_ref().map(|(_, plan)| migration_of(plan)));
    let migration = migration.ok_or_else(no_migration_failure)?;
    let Migration { from, to, strategy } = migration;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let reached = || last.as_ref().map(|(run, _)| run.from);
    let phase =
        args.phase.or_else(reached).or_else(|| furthest_phase(&snapshot)).ok_or_else(no_phase_failure)?;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    let survey = Survey::gather(&scene);
    let delete: BTreeSet<String> = args.delete_bare.iter().cloned().collect();
    let none = FixPreview {
        phase,
        migration,
        pods: Vec::new(),
        nodes: Vec::new(),
        details: None,
        blockers: Vec::new(),
    };
    let Fix { plan, pods, nodes } = match fix(&scene, &survey, &check::run(&scene), phase, &delete) {
        Ok(fix) => fix,
        Err(blockers) => return Ok(FixPreview { blockers, ..none }),
    };
    let Some(plan) = plan else { return Ok(FixPreview { pods, nodes, ..none }) };
    if args.save {
        live::save_plan(&global.access, &canon::bytes(&plan)).map_err(call_failure)?;
    }
    let details = FixDetails {
        hash: canon::hash(&plan),
        eta_seconds: notes::eta_seconds(&plan),
        is_saved: args.save,
        notes: plan::notes(&scene, &survey, &plan),
        plan,
    };
    Ok(FixPreview { pods, nodes, details: Some(details), ..none })
}

/// Carries a plan out.
pub(super) fn apply(global: &Global, hash: &Prefix, args: &StragglersArgs) -> Result<FixReport, Failure> {
    let config = source::settings(global)?;
    let saved = live::saved_plan(&global.access, Some(hash)).map_err(call_failure)?;
    if !saved.plan.fixes_stragglers() {
        let what = format!("plan {hash} moves the cluster to another phase, and not single pods");
        let fix = format!(
            "kubectl crossfade roll --plan {hash} carries it out; for stragglers make one: kubectl crossfade roll stragglers --fix --save"
        );
        return Err(Failure::from_problem(Exit::No, Problem::new(what).with_place("--plan").fix(fix)));
    }
    let phase = saved.plan.target();
    let options = live::RunOptions {
        plan: saved,
        is_resumed: false,
        bounds: Bounds::default(),
        delete: args.delete_bare.iter().cloned().collect(),
        patience: Patience::None,
        unenforced: Vec::new(),
        management: None,
    };
    let rolled = conduct(global, &config, options)?;
    if rolled.exit != Exit::Done {
        return Ok(FixReport { rolled, stragglers: None });
    }
    let stragglers = find(&source::nodes_and_pods(global)?, phase, &config);
    Ok(FixReport { rolled, stragglers: Some(StragglersReport { phase, report: stragglers }) })
}

/// The last run, which must be over: what is left in one that is not is its own to move.
fn require_over((run, plan): (Run, Plan)) -> Result<(Run, Plan), Failure> {
    if run.state == State::Done {
        return Ok((run, plan));
    }
    let what = format!("run {} is not over, and moves its stragglers by itself", run.id);
    let fix =
        "go on with it: kubectl crossfade roll --resume; kubectl crossfade status says what it waits for";
    Err(Failure::from_problem(
        Exit::No,
        Problem::new(what).with_place("ConfigMap/crossfade/crossfade-run").fix(fix),
    ))
}

fn migration_of(plan: &Plan) -> Migration {
    Migration { from: plan.from, to: plan.to, strategy: plan.strategy }
}

fn no_migration_failure() -> Failure {
    let what = "it is unknown between which CNIs the cluster was moved: there is no run that names them";
    Failure::from_problem(
        Exit::Usage,
        Problem::new(what).with_place("--from").fix("name them: --from CNI --to CNI"),
    )
}

/// What becomes of a pod, in words; none if it stays.
fn describe_remedy(plan: &Plan, becomes: &Remedy) -> Option<String> {
    match becomes {
        Remedy::Joined => Some("a network joins or leaves it while it runs".into()),
        Remedy::Evicted => Some("evicted".into()),
        Remedy::EvictedLater => {
            Some(format!("evicted, unless its Job ends within {} s", plan.limits.job_seconds))
        }
        Remedy::Deleted => Some("deleted; no controller makes it again".into()),
        Remedy::Stays { .. } => None,
    }
}

impl FixPreview {
    pub(super) fn document(&self) -> Document {
        let title =
            format!("Stragglers: nothing was done, and this would bring them to phase {}", self.phase);
        let mut document = Document::new(title);
        if !self.blockers.is_empty() {
            blockers(&mut document, &self.blockers);
            return document;
        }
        if let Some(details) = &self.details {
            self.describe(details, &mut document);
        } else if self.pods.is_empty() && self.nodes.is_empty() {
            document.text("There are none.");
        } else {
            document.text("There is no plan: a person has to act for all of them.");
        }
        let pods = self.pods.iter().filter_map(|pod_fix| match &pod_fix.becomes {
            Remedy::Stays { why, help } => {
                Some(vec![pod_fix.node.clone(), pod_fix.pod.clone(), why.clone(), help.clone()])
            }
            Remedy::Joined | Remedy::Evicted | Remedy::EvictedLater | Remedy::Deleted => None,
        });
        let nodes = self
            .nodes
            .iter()
            .map(|node| vec![node.node.clone(), String::new(), node.why.clone(), node.help.clone()]);
        let rows: Vec<Vec<String>> = pods.chain(nodes).collect();
        if !rows.is_empty() {
            document.heading("Left for a person");
            document.table(vec!["NODE", "POD", "WHY", "WHAT HELPS"], rows);
        }
        if let Some(FixDetails { hash, is_saved, .. }) = &self.details {
            let short = canon::shorten_hash(hash);
            document.text(if *is_saved {
                format!("The plan is kept in the cluster. To carry it out: kubectl crossfade roll stragglers --fix --plan {short}")
            } else {
                "To keep the plan in the cluster, where it can be carried out: the same with --save.".to_owned()
            });
        }
        document
    }

    fn describe(&self, details: &FixDetails, document: &mut Document) {
        let FixDetails { hash, eta_seconds, plan, notes, .. } = details;
        let places =
            || plan.waves.iter().flat_map(|wave| wave.nodes.iter().map(move |planned| (wave, planned)));
        document.fields([
            ("hash", hash.clone()),
            ("migration", self.migration.to_string()),
            ("nodes", places().count().to_string()),
            ("time", format!("about {}, if nothing waits", duration(*eta_seconds))),
        ]);
        let rows = self.pods.iter().filter_map(|fix| {
            let what = describe_remedy(plan, &fix.becomes)?;
            Some(vec![fix.node.clone(), fix.pod.clone(), fix.owner.clone(), what])
        });
        document.table(vec!["NODE", "POD", "OWNER", "WHAT BECOMES OF IT"], rows.collect());
        document.heading("Nodes in their order");
        let rows = places().map(|(wave, planned)| {
            vec![planned.name.to_string(), wave.name.to_string(), planned.why.clone()]
        });
        document.table(vec!["NODE", "WAVE", "WHY"], rows.collect());
        if !notes.is_empty() {
            document.heading("To know");
            document.list(notes.iter().cloned(), SHOWN);
        }
    }

    pub(super) fn exit(&self) -> Exit {
        let has_none = self.blockers.is_empty() && self.pods.is_empty() && self.nodes.is_empty();
        if self.details.is_some() || has_none { Exit::Done } else { Exit::No }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let pods = self.pods.iter().filter_map(|fix| match &fix.becomes {
            Remedy::Stays { why, help } => {
                Some(Problem::new(why.clone()).with_place(format!("Pod/{}", fix.pod)).fix(help.clone()))
            }
            Remedy::Joined | Remedy::Evicted | Remedy::EvictedLater | Remedy::Deleted => None,
        });
        let node = |manual: &ManualNode| {
            Problem::new(manual.why.clone())
                .with_place(format!("Node/{}", manual.node))
                .fix(manual.help.clone())
        };
        self.blockers.iter().cloned().chain(pods).chain(self.nodes.iter().map(node)).collect()
    }
}

impl FixReport {
    pub(super) fn document(&self) -> Document {
        let mut document = Document::new(format!("Stragglers: {}", self.rolled.outcome));
        self.rolled.describe(&mut document);
        if let Some(stragglers) = &self.stragglers {
            document.heading("What is left");
            stragglers.describe(&mut document);
        }
        document
    }

    pub(super) fn exit(&self) -> Exit {
        self.stragglers.as_ref().map_or(self.rolled.exit, StragglersReport::exit)
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let stragglers = self.stragglers.iter().flat_map(StragglersReport::problems);
        self.rolled.problems().into_iter().chain(stragglers).collect()
    }
}
