//! Carries steps out: all of them are tried before one is written, and each that is written is read back.

use std::collections::BTreeSet;

use migration::backup::compare::is_equal;
use migration::backup::{Act, Id, Step, apply as made};
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::attempt::{Attempt, attempt, path, read_back, untouched_attempt};
use super::{ApplyReport, Failures, PolicyEvent, WriteOutcome, WriteReport};
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::failure::lost_failure;

/// Steps while they are carried out.
struct StepExecution<'a> {
    caller: &'a Caller,
    steps: &'a [Step],
    objects: Vec<WriteReport>,
    /// Steps that cannot be tried before their tier is there.
    deferred: Vec<usize>,
    /// API groups that are known to store nothing when they only try.
    honest: BTreeSet<&'a str>,
    problems: Vec<Problem>,
    exit: Exit,
}

/// Carries steps out, in their order.
pub(super) async fn apply_steps(
    caller: &Caller,
    steps: &[Step],
    dry_run: bool,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> ApplyReport {
    let untouched = |step: &Step| WriteReport {
        object: step.id.clone(),
        outcome: WriteOutcome::NotWritten,
        added: Vec::new(),
    };
    let objects = steps.iter().map(untouched).collect();
    let mut carried = StepExecution {
        caller,
        steps,
        objects,
        deferred: Vec::new(),
        honest: BTreeSet::new(),
        problems: Vec::new(),
        exit: Exit::Done,
    };
    let all: Vec<usize> = (0..steps.len()).collect();
    carried.attempt_all(&all, true, progress).await;
    if carried.exit == Exit::Done && dry_run {
        carried.report_dry_run();
    } else if carried.exit == Exit::Done {
        carried.write_all(progress).await;
    }
    let StepExecution { objects, problems, exit, .. } = carried;
    ApplyReport { objects, problems, exit }
}

impl StepExecution<'_> {
    /// Lets the API server try these steps. One whose tier is still to be created may be refused once.
    async fn attempt_all(
        &mut self,
        which: &[usize],
        may_defer: bool,
        progress: &mut dyn FnMut(&PolicyEvent<'_>),
    ) {
        for index in which.iter().copied() {
            let step = &self.steps[index];
            let tried = attempt(self.caller, step, true).await;
            if may_defer && tried.is_refused && tried.stored.is_none() && step.awaits.is_some() {
                self.deferred.push(index);
                continue;
            }
            if tried.problems.is_empty() {
                progress(&PolicyEvent::Tried(&step.id));
            }
            if let (Act::Replace(live), Some(stored)) = (&step.act, &tried.stored)
                && is_equal(live, stored)
            {
                self.objects[index].outcome = WriteOutcome::Unchanged;
            }
            let mut is_lost = tried.is_lost;
            let is_stored = tried.stored.is_some();
            self.add(index, tried);
            if is_stored && self.honest.insert(step.id.group()) {
                let looked = untouched_attempt(self.caller, step).await;
                if looked.is_lost {
                    self.objects[index].outcome = WriteOutcome::Unknown;
                }
                is_lost = looked.is_lost;
                self.problems.extend(looked.problems);
                self.exit = looked.exit.unwrap_or(self.exit);
            }
            if is_lost {
                // Each of the others would wait as long for no answer, or be stored.
                return;
            }
        }
    }

    fn add(&mut self, index: usize, tried: Attempt) {
        self.objects[index].added = tried.added;
        self.problems.extend(tried.problems);
        // No is the answer of the API server, and stays whatever else there is.
        if let Some(exit) = tried.exit
            && self.exit != Exit::No
        {
            self.exit = exit;
        }
    }

    fn report_dry_run(&mut self) {
        for (index, step) in self.steps.iter().enumerate() {
            let became = match step.act {
                _ if self.objects[index].outcome == WriteOutcome::Unchanged => continue,
                _ if self.deferred.contains(&index) => WriteOutcome::AwaitsTier,
                Act::Create => WriteOutcome::WouldCreate,
                Act::Replace(_) => WriteOutcome::WouldReplace,
            };
            self.objects[index].outcome = became;
        }
    }

    /// Writes one after the other, and stops at the first that does not work.
    async fn write_all(&mut self, progress: &mut dyn FnMut(&PolicyEvent<'_>)) {
        for index in 0..self.steps.len() {
            let step = &self.steps[index];
            if step.id.kind != "Tier" && !self.deferred.is_empty() {
                // Their tiers are there now. A tier without policies decides nothing, so that nothing has changed for any packet.
                let deferred = std::mem::take(&mut self.deferred);
                self.attempt_all(&deferred, false, progress).await;
                if self.exit != Exit::Done {
                    return;
                }
            }
            if self.objects[index].outcome == WriteOutcome::Unchanged {
                continue;
            }
            let written = attempt(self.caller, step, false).await;
            self.objects[index].outcome = match (&step.act, &written.stored) {
                (Act::Create, Some(_)) => WriteOutcome::Created,
                (Act::Replace(_), Some(_)) => WriteOutcome::Replaced,
                (_, None) if written.is_lost => WriteOutcome::Unknown,
                (_, None) => WriteOutcome::NotWritten,
            };
            let checked =
                if written.problems.is_empty() { read_back(self.caller, step).await } else { written };
            if checked.problems.is_empty() {
                progress(&PolicyEvent::Wrote(&step.id));
            }
            self.add(index, checked);
            if self.exit != Exit::Done {
                // The API server took it a moment ago: this is no answer any more, but something that went wrong.
                if self.exit == Exit::No {
                    self.exit = Exit::Failed;
                }
                return;
            }
        }
    }
}

/// Compares objects of this program's with those that are there, and carries the steps out.
///
/// # Errors
/// See [`super::apply`].
pub(super) async fn apply(
    caller: &Caller,
    objects: &[Value],
    ours: &str,
    dry_run: bool,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<ApplyReport, Failures> {
    let mut pairs = Vec::new();
    for object in objects {
        let live = match Id::read(object) {
            Ok(id) => read_object(caller, &id).await?,
            // It is refused below, with all others that are wrong.
            Err(_) => None,
        };
        pairs.push((object.clone(), live));
    }
    let refused = |why: String| {
        Problem::new(why)
            .with_place("policies")
            .fix("rename or remove one of the two, then run the same command again")
    };
    let (steps, equal) = made::decide(&pairs, ours)
        .map_err(|all| (Exit::No, all.into_iter().map(refused).collect::<Vec<_>>()))?;
    let mut applied = apply_steps(caller, &steps, dry_run, progress).await;
    let unchanged = |id| WriteReport { object: id, outcome: WriteOutcome::Unchanged, added: Vec::new() };
    applied.objects.extend(equal.into_iter().map(unchanged));
    Ok(applied)
}

/// An object as it is, if it is there.
async fn read_object(caller: &Caller, id: &Id) -> Result<Option<Value>, Failures> {
    let what = format!("read {id}");
    let alone = |why: &str| {
        let (exit, problem) = lost_failure(&what, why);
        (exit, vec![problem])
    };
    let reply = caller.call(&ApiRequest::get(path(id, true))).await.map_err(|why| alone(&why))?;
    if reply.is_done() {
        return reply.object().map(Some).map_err(|why| alone(&why));
    }
    match reply.refusal() {
        refusal if refusal.is_not_found() => Ok(None),
        refusal if refusal.is_passing() => Err(alone(&refusal.to_string())),
        refusal => {
            let problem = Problem::new(format!("{what}: {refusal}")).with_place(id.to_string());
            Err((Exit::Failed, vec![problem.fix(format!("grant the rights of {}", super::POLICIES))]))
        }
    }
}
