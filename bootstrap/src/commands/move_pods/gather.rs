//! The client of the node, its runtime and the API server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use convergence::commands::move_pods::apply::{NetworkChange, NetworkChangeError, NodeClient};
use convergence::commands::move_pods::facts::Facts;
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::policy::file::PolicyFile;
use convergence::node::policy::join::joining;
use convergence::publish::pods::BoundPod;
use convergence::runtime::answer::ConfUse;
use shim::node::layout::Layout;
use types::api::eviction::{Answer, Depth};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::connections;
use super::network_change::PluginCaller;
use crate::cli::{Endpoint, Global, print};
use crate::host::root::Root;
use crate::node::networks::unready;
use crate::node::policy;
use crate::node::{attachments, facts, settings, switch};
use crate::publish::node_read::ApiReadError;
use crate::publish::pods::bound::BoundPods;
use crate::publish::reporter;
use crate::runtime::answer;
use crate::runtime::cri::Runtime;

/// The node, and who is asked about its pods.
#[derive(Debug)]
pub(crate) struct LiveClient {
    node: NodeFacts,
    runtime: Runtime,
    pods: BoundPods,
    plugin: PluginCaller,
    began: Instant,
}

impl LiveClient {
    /// Finds out whom to ask.
    ///
    /// # Errors
    /// Bad settings; usage for a tree, and where no runtime is known; 3 on a node without Crossfade's plugin or without kubelet; 75 if the API
    /// server does not answer.
    pub(crate) fn open(global: &Global, option: &Endpoint) -> Result<Self, Failure> {
        let root = Root::new(&global.root);
        if !root.is_node() {
            return Err(Failure::usage("only the pods of a node that runs can be moved").with_place("--root"));
        }
        let node = facts::with_runtime(global, settings::require(&root)?, option);
        if let Some(why) = node.without_plugin() {
            return Err(Failure::from_problem(Exit::No, why));
        }
        node.dirs.require_readable()?;
        node.require_policy()?;
        let Some(endpoint) = node.runtime.choice.endpoint() else {
            return Err(Failure::usage("the sandboxes of this node are needed, and no runtime is known")
                .with_place("--runtime-endpoint")
                .fix("name the runtime with --runtime-endpoint"));
        };
        let runtime =
            Runtime::connect(endpoint).map_err(|why| Failure::usage(why).with_place("--runtime-endpoint"))?;
        let Some(credential) = reporter(&Root::new(&node.root), &node.settings) else {
            let what = "this node has no kubelet whose credential could evict pods, or node.json says report.node false";
            return Err(Failure::new(Exit::No, what)
                .with_place("node.json: report.node")
                .fix("move the pods from outside: kubectl drain, or kubectl crossfade roll"));
        };
        let pods = BoundPods::open(&credential)
            .map_err(|why| Failure::from_problem(Exit::TryLater, read_problem(why)))?;
        let plugin = PluginCaller::from_node(&node);
        Ok(Self { node, runtime, pods, plugin, began: Instant::now() })
    }

    /// The directories of Crossfade's state.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.node.dirs.layout
    }

    /// Everything that decides about pods, as of now.
    ///
    /// # Errors
    /// The API server or the runtime does not answer.
    pub(crate) fn gather_facts(&self) -> Result<Facts, Problem> {
        let layout = self.layout();
        let bound = self.pods.list().map_err(read_problem)?;
        let sandboxes = self.runtime.list_pod_network_sandboxes(&BTreeSet::new());
        let sandboxes =
            sandboxes.map_err(|why| Problem::new(format!("{why:#}")).with_place("the runtime"))?;
        // The attachments are read after the sandboxes: the record of a sandbox that was listed is there already.
        let policy = policy::load(&layout.policy_file(), &self.node.profiles);
        let usable_policy = policy.as_ref().ok().map(|read| &read.policy);
        let attachments = attachments::list(layout, usable_policy).map_err(|why| {
            Problem::new(why.lines().join("; ")).with_place(layout.state_dir.display().to_string())
        })?;
        let obstacles = self.obstacles(&policy);
        let joining = usable_policy.map(|policy| joining(policy, &self.node.profiles)).unwrap_or_default();
        Ok(Facts {
            joining,
            policy_sha256: policy.as_ref().map(|read| read.sha256.clone()).unwrap_or_default(),
            policy: policy.ok().map(|read| read.policy),
            obstacles,
            step: bound.step,
            lines: attachments.attachments,
            sandboxes,
            pods: bound.pods,
        })
    }

    /// Why a pod that is made now might get no network, or another one than the policy says.
    fn obstacles(&self, policy: &Result<PolicyFile, Problem>) -> Vec<Problem> {
        let mut obstacles = Vec::new();
        obstacles.extend(
            switch::off_switch(&Root::new(&self.node.root))
                .map(convergence::node::switch::OffSwitch::problem),
        );
        match policy {
            Ok(read) => {
                let fix = "wait until crossfade-bootstrap status says that it is; a pod that is moved now would wait for it";
                let unready_networks = unready::gather(&self.node, &read.policy);
                obstacles
                    .extend(unready_networks.iter().map(|unready_networks| unready_networks.problem(fix)));
            }
            Err(why) => obstacles.push(
                why.clone()
                    .with_place(self.layout().policy_file().display().to_string())
                    .fix("correct it as crossfade-bootstrap policy check says"),
            ),
        }
        let name = self.node.name.as_ref().ok().and_then(Option::as_deref).unwrap_or_default();
        let fix = "run crossfade-bootstrap doctor, and mend what it finds of the conf";
        match answer::ask(&self.node.runtime.choice).uses(name) {
            ConfUse::Ours | ConfUse::Unknown => {}
            ConfUse::Other(what) => obstacles.push(
                Problem::new(format!("the runtime does not use Crossfade's conf: {what}"))
                    .with_place("the runtime")
                    .fix(fix),
            ),
            ConfUse::Failed(why) => obstacles.push(Problem::new(why).with_place("the runtime").fix(fix)),
        }
        obstacles
    }
}

impl NodeClient for LiveClient {
    fn gather(&mut self) -> Result<Facts, Problem> {
        self.gather_facts()
    }

    fn evict(&mut self, pod: &BoundPod, depth: Depth) -> Answer {
        self.pods.evict(pod, depth)
    }

    fn delete(&mut self, pod: &BoundPod) -> Answer {
        self.pods.delete(pod, Depth::Carried)
    }

    fn stop(&mut self, sandbox: &str, grace: Duration) -> Result<(), String> {
        self.runtime.stop(sandbox, grace).map_err(|why| format!("{why:#}"))
    }

    fn connections(&mut self, change: &NetworkChange) -> Result<Vec<String>, String> {
        let addresses = self.plugin.second_addresses(change)?;
        match &change.sandbox.netns {
            Some(netns) if !addresses.is_empty() => {
                connections::read(netns, &addresses).map_err(|e| format!("{}: {e}", netns.display()))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn change_networks(&mut self, changes: &[NetworkChange]) -> Vec<Result<(), NetworkChangeError>> {
        self.plugin.change_all(changes)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn report(&mut self, line: &str) {
        print::progress(line);
    }
}

fn read_problem(why: ApiReadError) -> Problem {
    match why {
        ApiReadError::NoCredential(why) => Problem::new(why)
            .with_place("kubelet's credential")
            .fix("wait until kubelet has registered this node, then run the command again"),
        ApiReadError::Trouble(why) => why,
    }
}
