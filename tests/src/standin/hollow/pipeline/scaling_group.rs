//! A stand-in for an instance refresh of an Auto Scaling group, with both hooks of `docs/pipelines/auto-scaling-groups.md`: a new instance waits at its launch hook
//! until its network works, and is abandoned if it never does; an old one waits at its terminating hook until `kubectl crossfade permit NODE --wait` ends with 0.
//!
//! *Source*: Amazon EC2 Auto Scaling user guide, "Instance refresh" and "Lifecycle hooks".

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Boot, Cluster, Fleet, Machines, Pipeline, is_up, name, named};
use crate::kubernetes::Operator;

/// A fleet as an Auto Scaling group.
#[derive(Debug)]
pub struct ScalingGroup<'a> {
    machines: Machines<'a>,
    /// Who asks for permits.
    hook: &'a Operator,
    at_once: usize,
    /// The launch template has the new image.
    is_refreshed: bool,
    /// Old instances that are being replaced.
    replaced: BTreeMap<String, Stage>,
    /// The very first new instance, whose network never works.
    stuck: Option<String>,
    /// How many old instances have ended.
    ended: usize,
    /// The first call of the terminating hook was interrupted.
    has_interrupted: bool,
}

/// How far the replacement of an instance is.
#[derive(Debug)]
enum Stage {
    /// Another one boots first.
    Launches(String),
    /// `Terminating:Wait`.
    Asks(Child),
    Drains,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Self::Asks(child) = self {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

impl<'a> ScalingGroup<'a> {
    /// Takes over a fleet. `at_once` instances are replaced at once.
    ///
    /// # Errors
    /// What the API server says.
    pub fn new(cluster: &'a Cluster, fleet: Fleet, hook: &'a Operator, at_once: u32) -> Result<Self> {
        Ok(Self {
            machines: Machines::new(cluster, fleet)?,
            hook,
            at_once: at_once as usize,
            is_refreshed: false,
            replaced: BTreeMap::new(),
            stuck: None,
            ended: 0,
            has_interrupted: false,
        })
    }

    /// Starts the refresh.
    pub fn refresh(&mut self) {
        self.is_refreshed = true;
    }

    /// A new instance, of which the very first one never works.
    fn launch(&mut self, like: &str) -> Result<String> {
        if self.stuck.is_some() {
            return self.machines.launch(like, Boot::Begun);
        }
        let node = self.machines.launch(like, Boot::Stuck)?;
        self.stuck = Some(node.clone());
        Ok(node)
    }

    /// The refresh begins with `MinHealthyPercentage` 100, and another one with less ends it: from the middle on, old instances end before new ones boot.
    fn launches_first(&self) -> bool {
        self.ended + self.replaced.len() < self.machines.old.len() / 2
    }

    fn ask(&self, node: &str) -> Result<Stage> {
        let mut command = self.hook.command(&["permit", node, "--wait", "60"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("permit")?;
        Ok(Stage::Asks(child))
    }

    /// The stage that a replacement is in now; none if the old instance is gone.
    fn next(&mut self, node: &str, mut stage: Stage, nodes: &super::Nodes<'_>) -> Result<Option<Stage>> {
        match &mut stage {
            Stage::Launches(new) => {
                let Some(object) = nodes.get(new.as_str()) else { return Ok(Some(stage)) };
                if is_up(object) {
                    return self.ask(node).map(Some);
                }
                if self.stuck.as_ref() == Some(new) {
                    // Its launch hook ends with ABANDON, and the group launches another one.
                    self.machines.end(new)?;
                    return self.launch(node).map(|new| Some(Stage::Launches(new)));
                }
            }
            Stage::Asks(child) => {
                if !std::mem::replace(&mut self.has_interrupted, true) {
                    // The hook's function runs out of time, and is called anew.
                    return self.ask(node).map(Some);
                }
                let Some(status) = child.try_wait()? else { return Ok(Some(stage)) };
                match status.code() {
                    Some(0) => {
                        self.machines.cordon(node)?;
                        return Ok(Some(Stage::Drains));
                    }
                    Some(75) => return self.ask(node).map(Some),
                    _ => {
                        let mut answer = String::new();
                        child.stdout.take().context("stdout")?.read_to_string(&mut answer)?;
                        bail!("permit {node}: {status}: {answer}");
                    }
                }
            }
            Stage::Drains => {
                if self.machines.drain(node)? {
                    self.machines.end(node)?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(stage))
    }
}

impl Pipeline for ScalingGroup<'_> {
    fn advance(&mut self, nodes: &[Value]) -> Result<()> {
        self.machines.lift(nodes)?;
        if !self.is_refreshed {
            return Ok(());
        }
        let named = named(nodes);
        let begun = std::mem::take(&mut self.replaced);
        let is_next =
            |node: &&Value| self.machines.old.contains(name(node)) && !begun.contains_key(name(node));
        // An order of its own.
        let mut next: Vec<String> = nodes.iter().filter(is_next).map(|node| name(node).to_owned()).collect();
        let room = self.at_once.saturating_sub(begun.len());
        next.drain(..next.len().saturating_sub(room));
        for (node, stage) in begun {
            match self.next(&node, stage, &named)? {
                Some(stage) => _ = self.replaced.insert(node, stage),
                None => {
                    self.ended += 1;
                    // The group keeps its size.
                    if self.machines.new.len() - usize::from(self.stuck.is_some()) < self.ended {
                        self.launch(&node)?;
                    }
                }
            }
        }
        for node in next {
            let stage =
                if self.launches_first() { Stage::Launches(self.launch(&node)?) } else { self.ask(&node)? };
            self.replaced.insert(node, stage);
        }
        Ok(())
    }

    fn draining(&self) -> BTreeSet<String> {
        let drains = |(node, stage): (&String, &Stage)| matches!(stage, Stage::Drains).then(|| node.clone());
        self.replaced.iter().filter_map(drains).collect()
    }

    fn is_unheld(&self, _node: &str) -> bool {
        false
    }

    fn is_done(&self, nodes: &[Value]) -> bool {
        self.replaced.is_empty() && self.machines.are_replaced(nodes)
    }

    fn launches(&self) -> usize {
        self.machines.new.len()
    }
}
