//! The observation of a pass: what has not changed is not read again, and the runtime is queried only when there is a reason to.

use std::path::PathBuf;
use std::time::Instant;

use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::endpoint::RuntimeChoice;
use convergence::runtime::facts::RuntimeFacts;
use convergence::watch::observation::Observation;

use super::{ASK_EVERY, LOOKS, RuntimeState, STEADY, WAITING, Watch};
use crate::node::settings;
use crate::runtime::{answer, facts};
use crate::watch::observe::{self, PriorFacts, prints};

impl Watch<'_> {
    pub(super) fn observe(&mut self, changed: bool) -> Observation {
        let now = |started: Instant| started.elapsed();
        let news = (changed || self.is_due()) && self.ask();
        let changed = changed || news;
        if !changed && let Some(mut facts) = self.facts.take() {
            let files: Vec<PathBuf> = self.prints.keys().cloned().collect();
            if prints(&files) == self.prints {
                observe::ask_again(&mut facts, now(self.started));
                // A try to get events, where there are none.
                if !self.events.polls() || !self.events.arm(observe::directories(&facts).iter()) {
                    return facts;
                }
            }
            self.facts = Some(facts);
        }
        if let Some(facts) = self.facts.take() {
            self.settings = facts.node.node_json();
        }
        let mut looks = 0;
        loop {
            looks += 1;
            self.events.reset_pending();
            // Before the look: what changes during it is seen by the next tick.
            let before: Vec<PathBuf> = self.prints.keys().cloned().collect();
            self.prints = prints(&before);
            let runtime_state = self.runtime.get_or_insert_default();
            let good = self.memory.good.as_ref();
            let runtime = RuntimeFacts { answer: self.answer.0.clone(), ..runtime_state.runtime.clone() };
            let prior =
                PriorFacts { settings: &self.settings, runtime, before: good, in_pod: self.scope.in_pod };
            let facts = observe::gather(&self.scope.global, prior, now(self.started));
            // A runtime that was started again may have been configured anew.
            let life = facts.life.clone();
            if life.is_some() && runtime_state.life.replace(life.clone()).is_some_and(|was| was != life) {
                let next = facts::gather_configured(&self.scope.root, &facts.node.settings);
                if next != runtime_state.runtime && looks < LOOKS {
                    runtime_state.runtime = next;
                    self.ask();
                    continue;
                }
            }
            let mut files = observe::files(&facts);
            files.sort();
            files.dedup();
            let news = self.events.arm(observe::directories(&facts).iter()) || files != before;
            if !news || looks >= LOOKS {
                return facts;
            }
            self.prints = files.into_iter().map(|file| (file, None)).collect();
        }
    }

    /// Whether the runtime is to be asked again although nothing has happened: at times where all is well, soon where it is not.
    pub(super) fn is_due(&self) -> bool {
        let facts = self.facts.as_ref();
        let settled = match &self.answer.0 {
            RuntimeAnswer::NotAsked | RuntimeAnswer::Silent => true,
            RuntimeAnswer::Setup(_) => {
                self.memory.used || facts.is_none_or(|facts| facts.node.own_conf().is_none())
            }
            RuntimeAnswer::Unknown(_) | RuntimeAnswer::Absent(_) | RuntimeAnswer::Failed(_) => false,
        };
        let pause = match &self.answer.0 {
            _ if settled => ASK_EVERY,
            RuntimeAnswer::Unknown(_) => STEADY,
            RuntimeAnswer::NotAsked
            | RuntimeAnswer::Absent(_)
            | RuntimeAnswer::Failed(_)
            | RuntimeAnswer::Silent
            | RuntimeAnswer::Setup(_) => WAITING,
        };
        self.started.elapsed().saturating_sub(self.answer.1) >= pause
    }

    /// Asks the runtime what it uses. If node.json names another runtime, or none is known yet, it finds the runtime first. Returns whether
    /// the answer has changed.
    pub(super) fn ask(&mut self) -> bool {
        let node_json =
            self.facts.as_ref().map_or_else(|| self.settings.clone(), |facts| facts.node.node_json());
        let node = settings::reload(&self.scope.root, &node_json).node;
        let is_known = |runtime_state: &RuntimeState| {
            runtime_state.settings.as_ref() == Some(&node.runtime)
                && !matches!(runtime_state.runtime.choice, RuntimeChoice::Unknown(_))
        };
        if !self.runtime.as_ref().is_some_and(is_known) {
            let life = self.runtime.take().and_then(|runtime_state| runtime_state.life);
            let runtime = facts::gather_configured(&self.scope.root, &node);
            self.runtime = Some(RuntimeState { runtime, life, settings: Some(node.runtime) });
        }
        let choice = self
            .runtime
            .as_ref()
            .map_or(RuntimeChoice::None, |runtime_state| runtime_state.runtime.choice.clone());
        let before = std::mem::replace(&mut self.answer, (answer::ask(&choice), self.started.elapsed()));
        before.0 != self.answer.0
    }
}
