//! Makes a plan.

use types::problem::Problem;

use super::accepted::unaccepted;
use super::parts::Course;
use super::passes::{Passes, bridge};
use super::silent::silent;
use super::site::{Survey, cluster};
use super::waves::waves;
use super::{Plan, blockers, parts};
use crate::check::Scene;
use crate::check::finding::Finding;

/// The plan of a migration. `survey` has the nodes of the scene, and `findings` are those of `check` in the same one.
///
/// # Errors
/// Everything that keeps the plan from being made, each with its object and what to do.
pub fn build(scene: &Scene<'_>, survey: &Survey<'_>, findings: &[Finding]) -> Result<Plan, Vec<Problem>> {
    if let Some(problem) = blockers::strategy(scene.strategy) {
        return Err(vec![problem]);
    }
    let passes = Passes::of(scene.strategy, &survey.sites);
    let mut problems = blockers::snapshot(scene);
    problems.extend(blockers::findings(scene, findings));
    problems.extend(blockers::scaled(scene.config));
    problems.extend(blockers::nothing_to_do(survey, passes.as_ref()));
    problems.extend(silent(&survey.sites, passes.as_ref()));
    let parted = passes.as_ref().and_then(|passes| passes.disconnection(&survey.sites));
    let bridge = parted.as_ref().and_then(|_| bridge(&scene.config.roll));
    problems.extend(parted.as_ref().filter(|_| bridge.is_none()).map(blockers::disconnection_problem));
    problems.extend(passes.iter().flat_map(|passes| unaccepted(scene, &passes.targets)));
    let (Some(passes), Some(cluster), true) = (passes, cluster(scene), problems.is_empty()) else {
        return Err(problems);
    };
    let Survey { sites, left_out } = survey;
    let config = scene.config;
    let course = Course {
        start: passes.start,
        passes: passes.targets,
        bridge,
        waves: waves(sites, config),
        left_out: left_out.clone(),
        pools: parts::pools(sites, config),
        policies: parts::policies(sites),
    };
    Ok(parts::plan(scene, findings, cluster, course))
}
