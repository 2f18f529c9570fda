//! A loop that asks before it drains a node: Terraform, a hook of an Auto Scaling group, kOps, a script.

use migration::drive::permit::{Answer, Request, answer, request};
use snapshot::model::Text;

use super::{Job, Stage};
use crate::cluster::truth::Node;
use crate::history::History;

impl History {
    pub(super) fn run_permit(&mut self, pipeline: usize) {
        self.advance_jobs(pipeline, Self::loop_goes_on);
        let acting = &self.truth.pipelines[pipeline];
        if acting.jobs.len() >= acting.at_once {
            return;
        }
        // One that was interrupted goes on with what it had begun.
        let is_begun =
            |node: &Node| node.api.is_cordoned || self.truth.permits.requested.contains_key(&node.api.uid);
        let others =
            self.replaceable(pipeline).filter(|(index, node)| !acting.has(*index) && !self.is_refused(node));
        let (begun, others): (Vec<_>, Vec<_>) = others.partition(|(_, node)| is_begun(node));
        let next = if begun.is_empty() { others } else { begun };
        let next: Vec<usize> = next.into_iter().map(|(index, _)| index).collect();
        if let Some(old) = self.random.pick(&next).copied() {
            let since = self.now;
            self.truth.pipelines[pipeline].jobs.push(Job { old, new: None, stage: Stage::Asks, since });
        }
    }

    /// Whether the job is over.
    fn loop_goes_on(&mut self, pipeline: usize, job: usize) -> bool {
        let Job { old, stage, .. } = self.truth.pipelines[pipeline].jobs[job];
        let launches_first = self.truth.pipelines[pipeline].launches_first;
        match stage {
            Stage::Asks => match self.ask(old) {
                _ if self.truth.nodes[old].gone_at.is_some() => return true,
                Answer::Never(..) => {
                    let uid = self.truth.nodes[old].api.uid.clone();
                    self.truth.permits.requested.remove(&uid);
                    self.touch_permits();
                    return true;
                }
                Answer::Later(_) => {}
                Answer::Go if launches_first => {
                    self.launch(pipeline);
                    self.enter(pipeline, job, Stage::Launches);
                }
                Answer::Go => self.enter(pipeline, job, Stage::Drains),
            },
            Stage::Launches => {
                if self.truth.nodes[old].gone_at.is_some() {
                    return true;
                }
                if self.has_come(pipeline, job) {
                    self.enter(pipeline, job, Stage::Drains);
                }
            }
            Stage::Drains | Stage::Goes => {
                if self.drain(pipeline, job) {
                    if launches_first {
                        return true;
                    }
                    // Its group brings another one by itself, since it keeps its size.
                    self.enter(pipeline, job, Stage::Awaits);
                }
            }
            Stage::Awaits => return self.has_come(pipeline, job) || self.is_complete(pipeline),
        }
        false
    }

    /// Whether the run never lets the node go.
    fn is_refused(&self, node: &Node) -> bool {
        let run = self.truth.run().map(|run| (run, &*self.plan));
        matches!(answer(run, &node.name, Some(&node.api)), Answer::Never(..))
    }

    /// `kubectl crossfade permit NODE`.
    fn ask(&mut self, old: usize) -> Answer {
        let node = &self.truth.nodes[old];
        let run = self.truth.run().map(|run| (run, &*self.plan));
        let answer = answer(run, &node.name, Some(&node.api).filter(|_| node.gone_at.is_none()));
        let uid: Text = node.api.uid.clone();
        let new = run.filter(|_| !matches!(answer, Answer::Never(..)));
        let new = new.and_then(|(run, plan)| request(run, plan, &node.name, &node.api, String::new()));
        if let Some(Request { permit, .. }) = new
            && self.truth.permits.requested.get(&uid) != Some(&permit)
        {
            self.truth.permits.requested.insert(uid, permit);
            self.touch_permits();
        }
        answer
    }
}
