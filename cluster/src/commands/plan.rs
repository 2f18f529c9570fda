//! `plan`: which nodes move when, as data that is approved by its hash.

use std::path::Path;

use migration::check::{self, Scene};
use migration::plan::pods::{self, Class, PassPods};
use migration::plan::{self, notes};
use migration::plan::{Plan, Survey, canon};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::output_file::save;
use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::{Migration, Plan as PlanArgs};
use crate::input;
use crate::live;
use crate::print::plan::{PlanView, add, blockers, differences};
use crate::print::{self, Document, Report};

/// A plan, or why there is none.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanReport {
    /// The migration.
    #[serde(flatten)]
    pub migration: Migration,
    /// The plan; none if something stands in the way.
    #[serde(flatten)]
    pub details: Option<PlanDetails>,
    /// Everything that stands in the way.
    #[serde(skip)]
    pub blockers: Vec<Problem>,
}

/// A plan and what is shown beside it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanDetails {
    /// SHA-256 of the plan's canonical bytes, in hex.
    pub hash: String,
    /// How long it takes if nothing waits, roughly.
    pub eta_seconds: u64,
    /// How often each pod is restarted; pods that no network joins or leaves are restarted in each pass.
    pub restarts: usize,
    /// The file that it was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// It is kept in the cluster.
    #[serde(rename = "saved")]
    pub is_saved: bool,
    /// What differs from an earlier plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<PlanComparison>,
    /// The pods of each pass, by how they come to its phase.
    pub pods_by_pass: Vec<PassPods>,
    /// Pods that need a decision.
    pub pods: Vec<Class>,
    /// Nodes whose policy, without the phase, is another than that of most nodes.
    pub other_policy: Vec<String>,
    /// What to know of the plan.
    pub notes: Vec<String>,
    /// The plan.
    pub plan: Plan,
}

/// What differs from an earlier plan.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Compared"))]
pub(crate) struct PlanComparison {
    /// The file of the earlier plan.
    pub with: String,
    /// The hash of the earlier plan.
    pub hash: String,
    /// What differs, in lines. Empty if the plans are the same.
    pub differences: Vec<String>,
}

/// Runs the command. A plan that goes to stdout has no report beside it.
///
/// # Errors
/// The settings, the snapshot or the earlier plan cannot be read, or the file cannot be written. If stdout is for the plan, also whatever stands in
/// the way of one.
pub(crate) fn plan(global: &Global, args: &PlanArgs) -> Result<Option<PlanReport>, Failure> {
    let migration = args.migration;
    let Migration { from, to, strategy } = migration;
    let earlier = args.diff.as_deref().map(|file| read_earlier(file).map(|plan| (file, plan))).transpose()?;
    let config = source::settings(global)?;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    let is_piped = args.out.as_ref().is_some_and(|out| out.as_os_str() == "-");
    let survey = Survey::gather(&scene);
    let findings = check::run(&scene);
    let plan = match plan::build(&scene, &survey, &findings) {
        Ok(plan) => plan,
        Err(blockers) if is_piped => return Err(Failure::all(Exit::No, blockers)),
        Err(blockers) => return Ok(Some(PlanReport { migration, details: None, blockers })),
    };
    let bytes = canon::bytes(&plan);
    if is_piped {
        return print::stream(|out| out.write_all(&bytes))
            .map(|()| None)
            .map_err(|e| Failure::from_problem(Exit::Failed, format!("write to stdout: {e}")));
    }
    if let Some(file) = &args.out {
        save(file, |out| out.write_all(&bytes))
            .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
    }
    let is_saved = args.save;
    if is_saved {
        live::save_plan(&global.access, &bytes)
            .map_err(|(exit, problem)| Failure::from_problem(exit, problem))?;
    }
    let compared = earlier.map(|(file, old)| PlanComparison {
        with: file.display().to_string(),
        hash: canon::hash(&old),
        differences: plan::diff(&old, &plan),
    });
    let details = PlanDetails {
        hash: canon::hash(&plan),
        eta_seconds: notes::eta_seconds(&plan),
        restarts: plan.restarts(),
        file: args.out.as_ref().map(|file| file.display().to_string()),
        is_saved,
        compared,
        pods_by_pass: pods::by_pass(&scene, &survey, &plan),
        pods: pods::classes(&scene, &plan),
        other_policy: plan::other_policies(&survey),
        notes: plan::notes(&scene, &survey, &plan)
            .into_iter()
            .chain(notes::risks(&plan, &findings))
            .collect(),
        plan,
    };
    Ok(Some(PlanReport { migration, details: Some(details), blockers: Vec::new() }))
}

/// Most bytes of a plan. *Source*: Kubernetes, "Considerations for large clusters": 5,000 nodes, of which a plan says less than 1 KiB each.
const LARGEST: u64 = 64 << 20;

fn read_earlier(file: &Path) -> Result<Plan, Failure> {
    let name = file.display().to_string();
    let wrong = |why: String| {
        let problem =
            Problem::new(why).with_place(&name).fix("name a file that kubectl crossfade plan --out wrote");
        Failure::from_problem(Exit::Failed, problem)
    };
    let bytes = input::read(file, LARGEST).map_err(|e| wrong(format!("read {name}: {e}")))?;
    canon::read(&bytes).map_err(|why| wrong(format!("{name}: {why}")))
}

impl Report for PlanReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Plan: {}", self.migration));
        let Some(PlanDetails {
            hash,
            eta_seconds,
            restarts: _,
            file,
            is_saved,
            compared,
            pods_by_pass,
            pods,
            other_policy,
            notes,
            plan,
        }) = &self.details
        else {
            blockers(&mut document, &self.blockers);
            return document;
        };
        if let Some(compared) = compared {
            differences(&mut document, hash, &compared.with, &compared.differences);
            return document;
        }
        if let Some(file) = file {
            document.text(format!("Written to {file}."));
        }
        if *is_saved {
            let short = canon::shorten_hash(hash);
            document.text(format!("Kept in the cluster. To see what comes first: kubectl crossfade roll --plan {short} --dry-run"));
        }
        add(
            &mut document,
            plan,
            &PlanView { hash, seconds: *eta_seconds, pods_by_pass, pods, other_policy, notes },
        );
        document
    }

    fn exit(&self) -> Exit {
        let compared = self.details.as_ref().and_then(|details| details.compared.as_ref());
        let is_same = compared.is_none_or(|compared| compared.differences.is_empty());
        if self.details.is_some() && is_same { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let compared = self.details.as_ref().and_then(|details| details.compared.as_ref());
        let differs = compared.filter(|compared| !compared.differences.is_empty()).map(|compared| {
            Problem::new(format!("the plan of {} is not the one of today", compared.with))
                .with_place(&compared.with)
                .fix("look at the differences; then approve the plan of today, or change settings and cluster back")
        });
        self.blockers.iter().cloned().chain(differs).collect()
    }
}
