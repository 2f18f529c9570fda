//! `policies check` and `policies convert`: the policies of one CNI as those of another.

use std::path::Path;

use migration::cni::enforcement::KINDS;
use netpol::convert::writers::Target;
use netpol::convert::{CONVERTED_FROM, Conversion, ConversionInput, Waiver, Waivers, convert_policies};
use netpol::gather::{Engine, Policies, Reference};
use snapshot::model::Kind;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::answer::ConversionReport;
use super::inputs::PolicyInputs;
use super::show;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::policies::{Convert, Target as Kinds, Turn};
use crate::commands::output_file::save;
use crate::live;
use crate::print::{self, Progress, Report as _};

/// Runs `check`.
///
/// # Errors
/// The settings or the snapshot cannot be read, or an evaluator does not take all policies together.
pub(crate) fn check(global: &Global, turn: Turn) -> Result<ConversionReport, Failure> {
    let (conversion, staged) = conversion(global, turn)?;
    Ok(ConversionReport::new(turn, conversion, staged))
}

/// Runs `convert`. Policies that go to stdout have no report beside them.
///
/// # Errors
/// As [`check`]; the file cannot be written. If stdout is for the policies, also whatever keeps them from being written.
pub(crate) fn convert(global: &Global, args: &Convert) -> Result<Option<ConversionReport>, Failure> {
    if args.apply && !global.snapshot.is_empty() {
        let problem = Problem::new("--apply: policies are applied to the cluster that they were compared in, and a snapshot is of an earlier moment")
            .with_place("--apply")
            .fix("leave --snapshot out");
        return Err(Failure::from_problem(Exit::Usage, problem));
    }
    let (conversion, staged) = conversion(global, args.turn)?;
    let objects = conversion.objects.clone();
    let mut answer = ConversionReport::new(args.turn, conversion, staged);
    let is_piped = args.out.as_deref().is_some_and(|out| out == Path::new("-"));
    if !answer.proven {
        return if is_piped { Err(Failure::all(Exit::No, answer.problems())) } else { Ok(Some(answer)) };
    }
    let mut text = String::new();
    for object in &objects {
        let yaml = serde_saphyr::to_string(object)
            .map_err(|e| Failure::from_problem(Exit::Failed, e.to_string()))?;
        text.push_str("---\n");
        text.push_str(&yaml);
    }
    if is_piped {
        return print::stream(|out| out.write_all(text.as_bytes()))
            .map(|()| None)
            .map_err(|e| Failure::from_problem(Exit::Failed, format!("write to stdout: {e}")));
    }
    if let Some(file) = &args.out {
        save(file, |out| out.write_all(text.as_bytes()))
            .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
        answer.file = Some(file.display().to_string());
    }
    if args.apply {
        let too_early = answer.too_early_problems();
        if !too_early.is_empty() {
            return Err(Failure::all(Exit::No, too_early));
        }
        let progress = Progress::new();
        let mut event = |event: &live::PolicyEvent<'_>| show(&progress, event);
        let applied = live::apply(&global.access, &objects, CONVERTED_FROM, args.dry_run, &mut event)
            .map_err(|(exit, problems)| Failure::all(exit, problems))?;
        answer.apply(applied);
    }
    Ok(Some(answer))
}

fn conversion(global: &Global, turn: Turn) -> Result<(Conversion, Vec<Reference>), Failure> {
    let inputs = PolicyInputs::gather(global, turn.from, turn.to)?;
    let (from, to) = (inputs.engine(turn.from)?, inputs.engine(turn.to)?);
    let (target, after) = target(&inputs, &turn, to)?;
    let cluster = inputs.cluster()?;
    let present = inputs.objects(turn.from, from);
    let enforced: Vec<Kind> = KINDS.into_iter().filter(|kind| inputs.enforces(turn.from, *kind)).collect();
    let before = Policies::read(from, present.iter().copied());
    let waivers = inputs.config.policies.waivers.iter().map(|waiver| Waiver {
        object: waiver.object.clone(),
        uid: waiver.uid.clone(),
        generation: waiver.generation,
        reason: waiver.reason.clone(),
    });
    let input = ConversionInput {
        before: &before,
        present: &present,
        written: &inputs.policies(turn.from, from),
        cluster: &cluster,
        target,
        after,
        enforced: &enforced,
        existing: &inputs.objects(turn.to, after),
        waivers: &Waivers(waivers.collect()),
    };
    let staged = before.staged_policies().to_vec();
    convert_policies(&input).map(|conversion| (conversion, staged)).map_err(undecided_failure)
}

/// Policies that an evaluator does not take together.
pub(super) fn undecided_failure(why: String) -> Failure {
    let fix = "correct the policies that it names: what they mean together cannot be decided";
    Failure::from_problem(Exit::No, Problem::new(why).fix(fix))
}

/// What is written, and who enforces it.
///
/// # Errors
/// The new CNI does not enforce these policies, or the snapshot does not say that it does.
fn target(inputs: &PolicyInputs, turn: &Turn, to: Engine) -> Result<(Target, Engine), Failure> {
    match (turn.target(), to) {
        (Kinds::Kubernetes, _) => Ok((Target::Kubernetes, to)),
        (Kinds::Antrea, Engine::Antrea) => Ok((Target::Antrea, to)),
        (Kinds::Cluster, _) => Ok((Target::Cluster, inputs.cluster_engine(turn.to, to, "--kind cluster")?)),
        (Kinds::Cilium, Engine::Cilium(settings)) => Ok((Target::Cilium(settings), to)),
        (kinds, _) => {
            let problem = Problem::new(format!("--kind: {} does not enforce {}", turn.to, kinds.name()))
                .with_place("--kind")
                .fix("leave --kind out for the new CNI's own policies, or write --kind kubernetes");
            Err(Failure::from_problem(Exit::Usage, problem))
        }
    }
}
