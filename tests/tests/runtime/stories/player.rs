//! Plays the steps of a history on a node, and knows what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab::host::command::status_and_text;
use lab::host::fabric::Overlay;
use lab::install::crossfade::BIN_DIR;
use lab::install::person;
use lab::runtime::cri::{Cri, Sandbox};
use lab::standin::stub::{Reply, Stub};
use serde_json::{Value, json};

use crate::spied::{SpyScene, passing, spy};
use crate::step::{NETWORKS, PHASES, Step, WORDS};

/// A pod that was run and not yet removed.
#[derive(Clone)]
struct Pod {
    id: String,
    /// Networks that it was given.
    networks: Vec<usize>,
    /// The network whose address is in its status.
    primary: usize,
    stopped: bool,
    /// A DEL of it may have begun, or its netns is unmounted: the plugin may refuse to change its networks.
    is_torn: bool,
}

/// What came of one pod's part in a storm.
enum Outcome {
    /// It was run: the id of its sandbox.
    Ran(Result<String>),
    /// It was stopped and removed.
    Ended(Result<()>),
}

/// Plays the steps of a history on a node, and knows what must be true of it.
pub(crate) struct Player {
    scene: SpyScene,
    phase: usize,
    pods: BTreeMap<u8, Pod>,
    /// Networks whose spy may fail an ADD or a DEL now, and what it does.
    scripts: [BTreeMap<&'static str, Vec<Reply>>; 2],
    away: [bool; 2],
    /// How often pods were run.
    attempt: u32,
    /// Pods that were cut off are named by number.
    cuts: usize,
    /// Whether a sandbox that no step knows of may be there.
    strangers: bool,
    /// How often a verb changed the networks of a running pod, and how often it was called while the pod ended.
    changes: BTreeMap<(&'static str, bool), u32>,
}

impl Player {
    pub(crate) fn new() -> Result<Player> {
        Ok(Player {
            scene: SpyScene::new()?,
            phase: 0,
            pods: BTreeMap::new(),
            scripts: Default::default(),
            away: [false; 2],
            attempt: 0,
            cuts: 0,
            strangers: false,
            changes: BTreeMap::new(),
        })
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        self.scene.log().clear()?;
        self.phase = 0;
        self.strangers = false;
        self.heal()
    }

    fn overlay(&self, network: usize) -> &Overlay {
        if NETWORKS[network] == "old" { &self.scene.old } else { &self.scene.new }
    }

    /// Networks of the phase that counts now.
    fn networks(&self) -> Vec<usize> {
        match PHASES[self.phase] {
            "old" => vec![0],
            "new" => vec![1],
            _ => vec![0, 1],
        }
    }

    /// The network whose address a pod of the phase that counts now gets into its status.
    fn primary(&self) -> usize {
        usize::from(matches!(PHASES[self.phase], "both-new" | "new"))
    }

    fn write_policy(&self) -> Result<()> {
        let network = |network: usize| -> Value {
            let overlay = self.overlay(network);
            json!({
                "conf": [format!("{}/10-{}.conflist", lab::install::crossfade::CONF_DIR, overlay.name)],
                "cidrs": [overlay.cidr()],
                "ready": [{ "file": agent(network) }],
                "secondary": "works",
                "join": "works",
            })
        };
        let more = json!({
            "networks": { "old": network(0), "new": network(1) },
            "gc": { "graceSeconds": 0 },
        });
        self.scene.policy(PHASES[self.phase], more)
    }

    fn write_script(&self, network: usize, more: impl FnOnce(Stub) -> Stub) -> Result<()> {
        let scripted = self.scripts[network]
            .iter()
            .fold(passing(), |stub, (verb, replies)| stub.on_calls(verb, replies.clone()));
        self.scene.script(self.overlay(network), &more(scripted))
    }

    fn set_agents(&self) -> Result<()> {
        for (network, away) in self.away.iter().enumerate() {
            let file = self.scene.outside(agent(network));
            match (away, file.exists()) {
                (true, true) => std::fs::remove_file(&file)?,
                (false, false) => self.scene.node().write(agent(network), "")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<()> {
        self.scripts = Default::default();
        self.away = [false; 2];
        self.set_agents()?;
        self.write_policy()?;
        (0..2).try_for_each(|network| self.write_script(network, |stub| stub))
    }

    /// Whether a call of this verb may fail on one of these networks.
    fn may_fail(&self, verb: &str, networks: &[usize]) -> bool {
        networks.iter().any(|&network| self.scripts[network].contains_key(verb))
    }

    pub(crate) fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Run(pod) => self.storm(&[*pod], true, false),
            Step::End(pod) => self.storm(&[*pod], false, true),
            Step::Storm(pods) => self.storm(pods, true, true),
            Step::Stop(pod) => self.stop(*pod),
            Step::Change(pod) => self.change(*pod),
            Step::Race(pod) => self.race(*pod),
            Step::Flip(phase) => {
                self.phase = *phase;
                self.write_policy()
            }
            Step::Fail { network, verb, times, words } => {
                let last = if *verb == "ADD" { Reply::pass() } else { Reply::silent() };
                let failures = std::iter::repeat_n(Reply::fail(11, WORDS[*words], ""), *times);
                self.scripts[*network].insert(verb, failures.chain([last]).collect());
                self.write_script(*network, |stub| stub)
            }
            Step::Heal => self.heal(),
            Step::AgentAway(network) => {
                self.away[*network] = true;
                self.set_agents()
            }
            Step::Unmount(pod) => match self.pods.get_mut(pod) {
                Some(pod) if !pod.stopped => {
                    pod.is_torn = true;
                    // It may be unmounted already; then containerd has taken its file away.
                    crate::failures::unmount_netns(&self.scene, &pod.id).or_else(|_| Ok(()))
                }
                _ => Ok(()),
            },
            Step::Kill => {
                self.scene.containerd.kill()?;
                self.scene.containerd.start_again()
            }
            Step::Cut { network, shims } => self.cut(*network, *shims),
            Step::Sweep => self.sweep(),
        }
    }

    /// Runs those that are not there and ends those that are, all at once.
    fn storm(&mut self, pods: &[u8], run: bool, end: bool) -> Result<()> {
        let networks = self.networks();
        let scene = &self.scene;
        let known = &self.pods;
        // A pod that is tried again has another number, for containerd keeps the name of what it could not undo.
        self.attempt += 1;
        let run_pod = |pod| {
            let sandbox = Sandbox { attempt: self.attempt, ..Sandbox::new(&format!("pod-{pod}")) };
            scene.cri().run_sandbox(&sandbox)
        };
        let act = |pod: u8| {
            let outcome = match known.get(&pod) {
                None if run => Outcome::Ran(run_pod(pod)),
                Some(there) if end => Outcome::Ended(scene.end(&there.id)),
                _ => return None,
            };
            Some((pod, outcome))
        };
        let act = &act;
        let outcomes = std::thread::scope(|scope| {
            let threads: Vec<_> = pods.iter().map(|&pod| scope.spawn(move || act(pod))).collect();
            let joined =
                threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a caller panicked")));
            joined.collect::<Result<Vec<_>>>()
        })?;
        for (pod, outcome) in outcomes.into_iter().flatten() {
            match outcome {
                Outcome::Ran(Ok(id)) => {
                    ensure!(!networks.iter().any(|&n| self.away[n]), "pod-{pod} ran without an agent");
                    let primary = self.primary();
                    let networks = networks.clone();
                    self.pods.insert(pod, Pod { id, networks, primary, stopped: false, is_torn: false });
                }
                Outcome::Ran(Err(error)) => {
                    let excused = self.may_fail("ADD", &networks) || networks.iter().any(|&n| self.away[n]);
                    ensure!(excused, "pod-{pod} did not run: {error:#}");
                    // Containerd keeps a pod whose ADD could not be undone; it is ended with all others.
                    self.strangers |= self.may_fail("DEL", &networks);
                }
                Outcome::Ended(ended) => self.ended(pod, ended)?,
            }
        }
        Ok(())
    }

    fn ended(&mut self, pod: u8, ended: Result<()>) -> Result<()> {
        let there = self.pods.get(&pod).context("a pod")?.clone();
        match ended {
            Ok(()) => {
                self.expect_deleted(&there)?;
                self.pods.remove(&pod);
            }
            Err(error) => {
                ensure!(self.may_fail("DEL", &there.networks), "pod-{pod} did not end: {error:#}");
                self.pods.insert(pod, Pod { is_torn: true, ..there });
            }
        }
        Ok(())
    }

    fn stop(&mut self, number: u8) -> Result<()> {
        let Some(pod) = self.pods.get(&number).cloned() else { return Ok(()) };
        match self.scene.cri().stop(&pod.id) {
            Ok(()) => {
                self.expect_deleted(&pod)?;
                self.pods.insert(number, Pod { stopped: true, ..pod });
                Ok(())
            }
            Err(error) => {
                ensure!(self.may_fail("DEL", &pod.networks), "pod-{number} did not stop: {error:#}");
                self.pods.insert(number, Pod { is_torn: true, ..pod });
                Ok(())
            }
        }
    }

    /// Flips the policy so that a network joins or leaves one of the running pods, if there are any: its number, the pod, and the verb.
    fn flip_for(&mut self, draw: u8) -> Result<Option<(u8, Pod, &'static str)>> {
        let running: Vec<_> = self.pods.iter().filter(|(_, pod)| !pod.stopped).collect();
        let Some(index) = usize::from(draw).checked_rem(running.len()) else { return Ok(None) };
        let (number, pod) = (*running[index].0, running[index].1.clone());
        let (verb, phase) = match (pod.networks.len(), pod.primary) {
            (1, 0) => ("JOIN", "both-old"),
            (1, _) => ("JOIN", "both-new"),
            (_, 0) => ("LEAVE", "old"),
            (_, _) => ("LEAVE", "new"),
        };
        self.phase = PHASES.iter().position(|name| *name == phase).context("a phase")?;
        self.write_policy()?;
        Ok(Some((number, pod, verb)))
    }

    fn change(&mut self, draw: u8) -> Result<()> {
        let Some((number, pod, verb)) = self.flip_for(draw)? else { return Ok(()) };
        let changed = self.scene.cri().status(&pod.id).and_then(|status| {
            person::change_network(self.scene.node(), BIN_DIR, verb, &pod.id, &status.netns)
        });
        let second = 1 - pod.primary;
        match changed {
            Ok(()) => {
                let call =
                    format!("{} {}", spy(self.overlay(second)), if verb == "JOIN" { "ADD" } else { "DEL" });
                let calls = self.scene.calls_for(&pod.id)?;
                ensure!(
                    calls.iter().any(|made| made.starts_with(&call)),
                    "{verb} {}: no {call}: {calls:?}",
                    pod.id
                );
                self.pods.insert(number, Pod { networks: self.networks(), ..pod });
                *self.changes.entry((verb, false)).or_default() += 1;
            }
            Err(error) => {
                let excused = pod.is_torn
                    || self.away[second]
                    || self.may_fail("ADD", &[second])
                    || self.may_fail("DEL", &[second]);
                ensure!(excused, "pod-{number}: {error:#}");
            }
        }
        Ok(())
    }

    /// Either call may come first, and the DEL is what counts.
    fn race(&mut self, draw: u8) -> Result<()> {
        let Some((number, pod, verb)) = self.flip_for(draw)? else { return Ok(()) };
        let scene = &self.scene;
        let status = scene.cri().status(&pod.id)?;
        let ended = std::thread::scope(|scope| {
            let change = scope.spawn(|| {
                // Whatever it answers: the pod is to be gone.
                let _ = person::change_network(scene.node(), BIN_DIR, verb, &pod.id, &status.netns);
            });
            let ended = scene.end(&pod.id);
            change.join().map_err(|_| anyhow!("a caller panicked"))?;
            anyhow::Ok(ended)
        })?;
        *self.changes.entry((verb, true)).or_default() += 1;
        // A JOIN that came first has made it a pod of both.
        if ended.is_err() {
            self.pods.insert(number, Pod { networks: vec![0, 1], is_torn: true, ..pod });
        }
        self.ended(number, ended)
    }

    /// The delegates that did its ADD have been asked to undo it, and no record is left.
    fn expect_deleted(&self, pod: &Pod) -> Result<()> {
        let calls = self.scene.calls_for(&pod.id)?;
        for &network in &pod.networks {
            let del = format!("{} DEL", spy(self.overlay(network)));
            ensure!(
                calls.iter().any(|call| call.starts_with(&del)),
                "{} was stopped without {del}: {calls:?}",
                pod.id
            );
        }
        let records = self.scene.crossfade.records()?;
        let own = records.iter().find(|path| path.to_string_lossy().contains(&pod.id));
        ensure!(own.is_none(), "{} was stopped and has {own:?}", pod.id);
        Ok(())
    }

    fn cut(&mut self, network: usize, shims: bool) -> Result<()> {
        if !self.networks().contains(&network)
            || self.networks().iter().any(|&n| self.away[n] || self.scripts[n].contains_key("ADD"))
        {
            return Ok(());
        }
        self.cuts += 1;
        let name = format!("cut-{}", self.cuts);
        let gate = self.scene.gate(&name)?;
        self.write_script(network, |stub| stub.on_pod(&name, "ADD", vec![Reply::pass().behind(&gate)]))?;
        let args = format!("K8S_POD_NAME={name};");
        let socket = self.scene.containerd.socket();
        let caller = std::thread::spawn(move || Cri::new(&socket)?.run_sandbox(&Sandbox::new(&name)));
        let waiting = spy(self.overlay(network));
        lab::host::deadline::until("the ADD that is cut", lab::host::deadline::LIMIT, || {
            let calls = self.scene.log().calls()?;
            let here = |call: &lab::standin::stub::Call| {
                call.name == waiting
                    && call.verb() == "ADD"
                    && format!("{};", call.var("CNI_ARGS")).contains(&args)
            };
            Ok(calls.iter().any(here).then_some(()))
        })?;
        self.scene.containerd.kill()?;
        if shims {
            self.scene.kill_shims()?;
        }
        let Ok(answer) = caller.join() else { bail!("a caller panicked") };
        ensure!(answer.is_err(), "a sandbox ran on a containerd that was gone");
        if !shims {
            gate.open()?;
        }
        self.strangers = true;
        self.scene.containerd.start_again()?;
        self.write_script(network, |stub| stub)
    }

    fn sweep(&self) -> Result<()> {
        let (status, message) = status_and_text(&mut self.scene.bootstrap(&["unit", "sweep"])?)?;
        // 1 where a DEL fails, 75 where the runtime lists nothing and a netns is there.
        let excused = self.may_fail("DEL", &[0, 1]) || status == Some(75);
        ensure!(status == Some(0) || excused, "sweep: {status:?}\n{message}");
        for pod in self.pods.values().filter(|pod| !pod.stopped) {
            ensure!(
                !message.contains(&format!("close    {}", pod.id)),
                "{} lives and was swept: {message}",
                pod.id
            );
        }
        Ok(())
    }

    /// What must be true at every moment: a delegate gets a DEL only for an ADD that it did, under the same interface name.
    pub(crate) fn expect_order(&self) -> Result<()> {
        let mut added = BTreeSet::new();
        for call in self.scene.log().calls()? {
            let attachment = (
                call.name.clone(),
                call.var("CNI_CONTAINERID").to_owned(),
                call.var("CNI_IFNAME").to_owned(),
            );
            match call.verb() {
                "ADD" => drop(added.insert(attachment)),
                "DEL" => ensure!(
                    added.contains(&attachment),
                    "{attachment:?}: DEL to a delegate that did no such ADD"
                ),
                _ => {}
            }
        }
        if self.strangers {
            return Ok(());
        }
        let living = self.pods.values().filter(|pod| !pod.stopped).count();
        let records = self.scene.crossfade.records()?;
        ensure!(records.len() == living, "{living} pods and {records:?}");
        Ok(())
    }

    /// Networks joined and left pods, alone and while the pods ended.
    pub(crate) fn expect_changes(&self) -> Result<()> {
        ensure!(self.changes.len() == 4, "these alone were played: {:?}", self.changes);
        Ok(())
    }

    /// Everything is healed, every pod is ended: nothing may be left, and every ADD has had its DEL.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.heal()?;
        for sandbox in self.scene.kept()? {
            self.scene.end(&sandbox).context("at the end")?;
        }
        self.pods.clear();
        // A pod that was undone badly and forgotten by containerd is the sweep's.
        let swept = self.scene.run_expecting(&["unit", "sweep"], 0)?;
        ensure!(self.strangers || !swept.lines().any(|line| line.starts_with("close")), "{swept}");
        self.scene.expect_nothing()?;
        let mut open = BTreeSet::new();
        for call in self.scene.log().calls()? {
            let attachment = (call.name.clone(), call.var("CNI_CONTAINERID").to_owned());
            if call.verb() == "ADD" {
                open.insert(attachment)
            } else {
                open.remove(&attachment)
            };
        }
        ensure!(open.is_empty(), "ADDs without a DEL: {open:?}");
        Ok(())
    }
}

/// The file that says that a network's agent is there.
fn agent(network: usize) -> String {
    format!("/run/agents/{}", NETWORKS[network])
}
