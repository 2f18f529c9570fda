//! `policies observe`: which recorded flows the policies would deny.

use migration::cni::support::Cni;
use netpol::flows::{DeniedFlow, FlowTally, Judgement, Unjudged, UnjudgedFlows};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::convert::undecided_failure;
use super::diff::future_policies;
use super::inputs::PolicyInputs;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::policies::Observe;
use crate::input;
use crate::print::{Document, Report};

/// How many denied flows people see.
const SHOWN: usize = 60;

/// What the policies make of recorded flows.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObserveReport {
    /// The CNI that the cluster has now.
    pub from: Cni,
    /// The CNI that would enforce the policies.
    pub to: Cni,
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Policies that cannot be read, with why; so it is unknown what they mean.
    pub unread: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// The settings, the snapshot or a file cannot be read, or an evaluator does not take all policies together.
pub(crate) fn observe(global: &Global, args: &Observe) -> Result<ObserveReport, Failure> {
    observe_in(&PolicyInputs::gather(global, args.from, args.to)?, args)
}

/// What the policies make of the flows, in a cluster that was read.
///
/// # Errors
/// A file cannot be read, it has no flow, or an evaluator does not take all policies together.
pub(in crate::commands) fn observe_in(
    inputs: &PolicyInputs,
    args: &Observe,
) -> Result<ObserveReport, Failure> {
    // A CNI that enforces nothing has no policies that files could replace.
    let from = inputs.engine(args.from).ok();
    let (policies, left_out) = future_policies(inputs, from, args.to, &args.policies)?;
    let mut tally =
        FlowTally::new(inputs.cluster()?, inputs.service_ranges(), &policies).map_err(undecided_failure)?;
    input::flows::read_all(&args.flows, &mut |record| tally.add(record))
        .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
    if tally.is_empty() {
        let problem = Problem::new("--flows: the files have no flow")
            .with_place("--flows")
            .fix("record flows first: docs/policies.md has the commands, under \"Which real flows would be denied\"");
        return Err(Failure::from_problem(Exit::Usage, problem));
    }
    let judgement = tally.judge(&policies).map_err(undecided_failure)?;
    let unread = policies.unread.iter().map(|object| format!("{}: {}", object.object, object.why));
    Ok(ObserveReport { from: args.from, to: args.to, unread: unread.chain(left_out).collect(), judgement })
}

impl ObserveReport {
    /// Why it is not known whether a flow would be denied, though none is shown.
    fn unknown_problem(&self) -> Option<Problem> {
        let too_many = self.judgement.unjudged.iter().find(|flows| flows.why == Unjudged::TooMany);
        let (what, fix) = if let Some(flows) = too_many {
            let what = format!("{} flows are not judged: {}", flows.flows, flows.why.words());
            (what, "split the record, and judge each part by itself")
        } else if self.judgement.judged() == 0 {
            (
                "no flow of the record could be judged".to_owned(),
                "record flows of pods as they are now, and read the cluster again",
            )
        } else {
            return None;
        };
        Some(Problem::new(what).with_place("--flows").fix(fix))
    }

    /// From when to when the record is, as far as it says so.
    fn window(&self) -> String {
        match (&self.judgement.first, &self.judgement.last) {
            (Some(first), Some(last)) => format!(" from {first} to {last}"),
            (Some(_), None) | (None, Some(_)) | (None, None) => String::new(),
        }
    }
}

/// By what flows would be denied, for people.
fn denied_by(denied: &DeniedFlow) -> String {
    let pod = if denied.direction == "Egress" { "sender" } else { "receiver" };
    match &denied.rule {
        Some(rule) => format!("{rule} ({pod})"),
        None => format!("no rule for the {pod} allows it"),
    }
}

fn add_denied(document: &mut Document, denied: &[DeniedFlow]) {
    let row = |denied: &DeniedFlow| {
        let seen = [&denied.first, &denied.last].into_iter().flatten().map(|time| &**time);
        vec![
            denied.source.clone(),
            denied.destination.clone(),
            denied.traffic.clone(),
            denied.flows.to_string(),
            seen.collect::<Vec<_>>().join(" to "),
            denied_by(denied),
        ]
    };
    document.heading("Flows that would be denied");
    let columns = vec!["FROM", "TO", "TRAFFIC", "FLOWS", "SEEN", "DENIED BY"];
    document.table(columns, denied.iter().take(SHOWN).map(row).collect());
    if denied.len() > SHOWN {
        document.text(format!("And {} more; -o json lists all.", denied.len() - SHOWN));
    }
}

fn add_unjudged(document: &mut Document, unjudged: &[UnjudgedFlows]) {
    let row = |flows: &UnjudgedFlows| {
        vec![
            flows.flows.to_string(),
            if flows.why.is_open() { "maybe" } else { "no" }.to_owned(),
            flows.why.words().to_owned(),
            flows.example.clone().unwrap_or_default(),
        ]
    };
    document.heading("Flows that are not judged");
    document.table(vec!["FLOWS", "DENIED", "WHY", "SUCH AS"], unjudged.iter().map(row).collect());
}

impl Report for ObserveReport {
    fn document(&self) -> Document {
        let judgement = &self.judgement;
        let mut document =
            Document::new(format!("Policies: recorded flows, as {} would treat them", self.to));
        if !self.unread.is_empty() {
            document.heading("Policies whose meaning cannot be decided");
            document.list(self.unread.iter().cloned(), usize::MAX);
        }
        if !judgement.denied.is_empty() {
            add_denied(&mut document, &judgement.denied);
        }
        if !judgement.unjudged.is_empty() {
            add_unjudged(&mut document, &judgement.unjudged);
        }
        document.heading("What was judged");
        let denied = judgement.judged() - judgement.allowed;
        document.text(format!(
            "Flows: {}{}. Let through: {}, denied: {denied}, not judged: {}.",
            judgement.flows,
            self.window(),
            judgement.allowed,
            judgement.flows - judgement.judged(),
        ));
        if judgement.lost > 0 {
            document.text(format!("Flows that the record lost: {}.", judgement.lost));
        }
        document
    }

    fn exit(&self) -> Exit {
        if self.problems().is_empty() { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let unread = self.unread.iter().map(|item| {
            Problem::new(format!("a policy cannot be read, and may deny or allow more: {item}"))
                .fix("say the same with fields of which packets alone can tell")
        });
        let denied = self.judgement.denied.iter().map(|denied| {
            let DeniedFlow { source, destination, traffic, .. } = denied;
            Problem::new(format!(
                "{} would be denied, from {source} to {destination}: {}",
                traffic,
                denied_by(denied)
            ))
            .fix("allow the flow by a policy if it must be, and find out who sends it if not")
        });
        unread.chain(denied).chain(self.unknown_problem()).collect()
    }
}
