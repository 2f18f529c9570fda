//! `policies diff`: what the cluster's policies mean, beside what those of files would mean.

use std::collections::HashSet;
use std::path::PathBuf;

use migration::cni::enforcement::KINDS;
use migration::cni::support::Cni;
use migration::finish::PolicyComparison;
use netpol::compare::{Bound, compare};
use netpol::convert::Packet;
use netpol::gather::{ADMIN, Engine, Policies, Reference, UnreadObject};
use serde::Serialize;
use serde_json::Value;
use snapshot::model::{Kind, Reading};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::answer::{describe_bound, line, packets};
use super::convert::undecided_failure;
use super::inputs::{MOST_UNREADABLE, PolicyInputs};
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::policies::Diff;
use crate::input;
use crate::print::{Document, Progress, Report};

/// What helps with a policy that cannot be read.
const READABLE: &str = "say the same with fields of which packets alone can tell";

/// What a comparison found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiffReport {
    /// The CNI that enforces the cluster's policies.
    pub from: Cni,
    /// The CNI that would enforce those of the files.
    pub to: Cni,
    /// Packets that are treated in another way.
    pub packets: Vec<Packet>,
    /// Policies that cannot be read, with why; so it is unknown what they mean.
    pub unread: Vec<String>,
    /// What both sides were compared in.
    pub bound: Bound,
}

/// Runs the command.
///
/// # Errors
/// The settings, the snapshot or a file cannot be read, or an evaluator does not take all policies together.
pub(crate) fn diff(global: &Global, args: &Diff) -> Result<DiffReport, Failure> {
    let inputs = PolicyInputs::gather(global, args.from, args.to)?;
    let from = inputs.engine(args.from)?;
    let (after, left_out) = future_policies(&inputs, Some(from), args.to, &args.policies)?;
    let cluster = inputs.cluster()?;
    let before = Policies::read(from, inputs.objects(args.from, from));
    let comparison = compare(&cluster, &before, &after, true).map_err(undecided_failure)?;
    let packet = |difference: &netpol::verdict::Difference| Packet {
        words: difference.words(&comparison.world),
        effect: difference.effect(),
        object: None,
    };
    let unread = |(side, unread_object): (&str, &UnreadObject)| {
        format!("{side}, {}: {}", unread_object.object, unread_object.why)
    };
    let sides = before
        .unread
        .iter()
        .map(|unread_object| ("now", unread_object))
        .chain(after.unread.iter().map(|unread_object| ("then", unread_object)));
    Ok(DiffReport {
        from: args.from,
        to: args.to,
        packets: comparison.differences.iter().map(packet).collect(),
        unread: sides.map(unread).chain(left_out.into_iter().map(|item| format!("then, {item}"))).collect(),
        bound: comparison.bound,
    })
}

/// The policies that a CNI would enforce: those of files, with what the cluster has beside them, or those of the cluster if there are no files; and what
/// of the files cannot be read. `from` is what enforces policies now.
///
/// # Errors
/// The CNI enforces none, or a file cannot be read.
pub(super) fn future_policies(
    inputs: &PolicyInputs,
    from: Option<Engine>,
    cni: Cni,
    files: &[PathBuf],
) -> Result<(Policies, Vec<String>), Failure> {
    let mut to = inputs.engine(cni)?;
    if files.is_empty() {
        return Ok((Policies::read(to, inputs.present(cni, to)), Vec::new()));
    }
    let (objects, left_out) = read(files)?;
    let own: HashSet<_> = objects.iter().map(identify).collect();
    // Of one engine, the files have its own policies as they are to be, and the cluster has them as they are.
    let replaced = if from == Some(to) { to.own_kinds() } else { &[] };
    if objects.iter().any(|object| kind(object) == Some(Kind::KUBERNETES_CLUSTER_NETWORK_POLICY)) {
        to = inputs.cluster_engine(cni, to, "--policies")?;
    }
    // What the cluster has of the policies that the new CNI goes by stays, unless a file says otherwise.
    let beside = inputs.present(cni, to).filter(|object| {
        !own.contains(&identify(object)) && kind(object).is_none_or(|kind| !replaced.contains(&kind))
    });
    let mut after = Policies::read(to, beside.chain(&objects));
    after.unread.extend(objects.iter().filter_map(|object| unenforced_object(object, inputs, cni, to)));
    Ok((after, left_out))
}

/// How the policies in the cluster compare under both CNIs, and how many of them the new one goes by. One that enforces none has none to compare; if that is
/// the new one, those that the old one goes by count.
///
/// # Errors
/// An evaluator does not take all policies together, or the snapshot does not say how a CNI enforces them.
pub(in crate::commands) fn in_cluster(
    inputs: &PolicyInputs,
    from: Cni,
    to: Cni,
) -> Result<PolicyComparison, Failure> {
    let enforcer =
        [(from, to), (to, from)].into_iter().find(|(none, _)| none.facts().policy_kinds.is_empty());
    if let Some((_, enforcer)) = enforcer {
        let policies = inputs.engine(enforcer).map_or(0, |engine| inputs.count(enforcer, engine));
        return Ok(PolicyComparison { policies, ..PolicyComparison::default() });
    }
    let (old, new) = (inputs.engine(from)?, inputs.engine(to)?);
    let before = Policies::read(old, inputs.objects(from, old));
    let after = Policies::read(new, inputs.present(to, new));
    let comparison = compare(&inputs.cluster()?, &before, &after, true).map_err(undecided_failure)?;
    let packets = comparison.differences.iter().map(|difference| {
        line(&Packet {
            words: difference.words(&comparison.world),
            effect: difference.effect(),
            object: None,
        })
    });
    let unread = before
        .unread
        .iter()
        .chain(&after.unread)
        .map(|object| Problem::new(format!("{}: {}", object.object, object.why)).fix(READABLE));
    Ok(PolicyComparison {
        differences: packets.collect(),
        unknown: unread.collect(),
        policies: inputs.count(to, new),
        observation: None,
    })
}

/// A policy of a kind that this engine does not go by: without it the files would seem to say what they do not.
fn unenforced_object(object: &Value, inputs: &PolicyInputs, cni: Cni, to: Engine) -> Option<UnreadObject> {
    let is_enforced =
        |kind: &Kind| to.kinds().contains(kind) && (!ADMIN.contains(kind) || inputs.enforces(cni, *kind));
    let kind = kind(object).filter(|kind| KINDS.contains(kind) && !is_enforced(kind))?;
    let why = format!("{} does not enforce this kind", to.name());
    Some(UnreadObject { object: Reference::from_object(kind, object), why })
}

/// The objects of files, and what of the files is none of them: objects of kinds that this program does not know, any of which may be a policy, and those
/// that cannot be read.
fn read(files: &[PathBuf]) -> Result<(Vec<Value>, Vec<String>), Failure> {
    let progress = Progress::new();
    let (snapshot, unknown) =
        input::snapshot::gather_all(files, &[], &mut |left_out| progress.note(left_out))
            .map_err(|problems| Failure::all(Exit::Failed, problems))?;
    let incomplete = snapshot.readings.iter().filter_map(|(kind, reading)| match reading {
        Reading::Incomplete(why) => {
            let problem = Problem::new(format!("--policies: {kind}: {why}")).with_place("--policies");
            Some(problem.fix("name files that have each policy once, and all of them"))
        }
        Reading::Read | Reading::NotServed | Reading::Forbidden(_) => None,
    });
    let incomplete: Vec<Problem> = incomplete.collect();
    if !incomplete.is_empty() {
        return Err(Failure::all(Exit::No, incomplete));
    }
    let all: Vec<Value> = snapshot.objects.values().flatten().map(|object| object.value().clone()).collect();
    if all.is_empty() {
        let problem = Problem::new("--policies: the files have no policy of a kind that is known")
            .with_place("--policies")
            .fix("name files with policies, as kubectl apply takes them");
        return Err(Failure::from_problem(Exit::Usage, problem));
    }
    let why = "this program does not know the kind, and it may be a policy";
    let mut left_out: Vec<String> = unknown.words().map(|kind| format!("{kind}: {why}")).collect();
    let illegible = snapshot.illegible.iter().take(MOST_UNREADABLE);
    left_out.extend(
        illegible.map(|item| format!("{}/{}/{}: {}", item.kind, item.namespace, item.name, item.why)),
    );
    if let more @ 1.. = snapshot.illegible.len().saturating_sub(MOST_UNREADABLE) {
        left_out.push(format!("{more} more objects cannot be read"));
    }
    Ok((all, left_out))
}

fn kind(object: &Value) -> Option<Kind> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    Kind::find(text("apiVersion"), text("kind"))
}

/// Kind, namespace and name.
fn identify(object: &Value) -> (Option<Kind>, String, String) {
    let text = |key: &str| object.pointer(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    (kind(object), text("/metadata/namespace"), text("/metadata/name"))
}

impl DiffReport {
    fn is_equal(&self) -> bool {
        self.packets.is_empty() && self.unread.is_empty()
    }
}

impl Report for DiffReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!(
            "Policies: as {} enforces them now, beside those of the files as {} would",
            self.from, self.to
        ));
        if !self.unread.is_empty() {
            document.heading("Policies whose meaning cannot be decided");
            document.list(self.unread.iter().cloned(), usize::MAX);
        }
        packets(&mut document, &self.packets);
        document.heading("What was compared");
        document.text(describe_bound(&self.bound));
        document.text(if self.is_equal() {
            "Every packet is treated alike."
        } else {
            "They do not mean the same."
        });
        document
    }

    fn exit(&self) -> Exit {
        if self.is_equal() { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let unread = self.unread.iter().map(|item| {
            Problem::new(item.clone()).fix(format!("{READABLE}, or leave the policy out on both sides"))
        });
        let packets = self.packets.iter().map(|packet| {
            let line = line(packet);
            Problem::new(format!("a packet is treated in another way: {line}"))
                .fix("change the policy that the packet names")
        });
        unread.chain(packets).collect()
    }
}
