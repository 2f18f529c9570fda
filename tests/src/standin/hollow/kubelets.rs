//! The kubelets of all hollow nodes: from what happens to Nodes and pods to what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::fleet::{Boot, Fleet, Member};
use super::node::{News, Node};
use super::seen::{Change, Container, Object};

#[derive(Debug, Default)]
pub(super) struct Kubelets {
    nodes: BTreeMap<String, Node>,
    /// Pods that run, by their UIDs.
    running: BTreeMap<String, Running>,
    /// How many pods have started on each node, those of the host's network left out.
    starts: BTreeMap<String, usize>,
    /// UIDs of pods that are about to end.
    ending: BTreeSet<String>,
    /// Nodes whose counts of attachments have changed, and nothing else.
    counted: BTreeSet<String>,
}

/// A pod that runs.
#[derive(Debug)]
struct Running {
    node: String,
    namespace: String,
    /// The API server knows it.
    is_told: bool,
}

/// What is to be written, and by which node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) node: String,
    pub(super) what: Task,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// What the node says of itself.
    Publish,
    /// A pod runs.
    Run(Box<Start>),
    /// A pod has ended.
    End { path: String, uid: String },
}

/// A pod that starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) path: String,
    pub(super) uid: String,
    pub(super) address: Ipv4Addr,
    pub(super) host: Ipv4Addr,
    pub(super) containers: Vec<Container>,
}

impl Kubelets {
    /// Those of a fleet that has just registered.
    pub(super) fn new(fleet: Fleet) -> Self {
        let nodes = fleet.members().map(|member| (member.name(), Node::new(member))).collect();
        Self { nodes, ..Self::default() }
    }

    /// A node takes the place of another one, under a name of its own.
    pub(super) fn replace(&mut self, fleet: Fleet, replaced: &str, boot: Boot) -> Option<Member> {
        let index = u32::try_from(self.nodes.len()).ok()?;
        let member = fleet.newcomer(index, self.nodes.get(replaced)?.member, boot);
        self.nodes.insert(member.name(), Node::new(member));
        Some(member)
    }

    /// Nodes have changed.
    pub(super) fn nodes(&mut self, change: Change) -> Vec<Job> {
        let objects = match change {
            Change::All(objects) => objects,
            Change::Put(object) => vec![*object],
            Change::Gone(_) => Vec::new(),
        };
        let mut jobs = Vec::new();
        for Object { metadata, .. } in objects {
            let Some(node) = self.nodes.get_mut(&metadata.name) else { continue };
            let annotation = |key: &str| metadata.annotations.get(key).map(String::as_str);
            if node.ask(annotation("crossfade/desired"), annotation(types::api::step::KEY)) {
                jobs.push(Job { node: metadata.name, what: Task::Publish });
            } else if node.is_unpublished() {
                // It boots a little longer.
                self.counted.insert(metadata.name);
            }
        }
        jobs
    }

    /// Pods have changed.
    pub(super) fn pods(&mut self, change: Change) -> Vec<Job> {
        match change {
            Change::All(objects) => {
                let there: BTreeSet<&str> = objects.iter().map(|pod| pod.metadata.uid.as_str()).collect();
                let gone: Vec<String> =
                    self.running.keys().filter(|uid| !there.contains(uid.as_str())).cloned().collect();
                gone.iter().for_each(|uid| self.gone(uid));
                objects.into_iter().filter_map(|pod| self.pod(pod)).collect()
            }
            Change::Put(pod) => self.pod(*pod).into_iter().collect(),
            Change::Gone(pod) => {
                self.gone(&pod.metadata.uid);
                Vec::new()
            }
        }
    }

    fn pod(&mut self, pod: Object) -> Option<Job> {
        let Object { metadata, spec, status } = pod;
        let node = self.nodes.get_mut(&spec.node_name)?;
        let path = format!("/api/v1/namespaces/{}/pods/{}", metadata.namespace, metadata.name);
        let uid = metadata.uid;
        let job = |what| Some(Job { node: spec.node_name.clone(), what });
        if metadata.deletion_timestamp.is_some() {
            return if self.ending.insert(uid.clone()) { job(Task::End { path, uid }) } else { None };
        }
        if self.running.contains_key(&uid) || matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let host = node.member.address();
        let address = if spec.host_network { host } else { node.attach(&uid)? };
        if !spec.host_network {
            *self.starts.entry(spec.node_name.clone()).or_default() += 1;
        }
        let running = Running { node: spec.node_name.clone(), namespace: metadata.namespace, is_told: false };
        self.running.insert(uid.clone(), running);
        self.counted.insert(spec.node_name.clone());
        job(Task::Run(Box::new(Start { path, uid, address, host, containers: spec.containers })))
    }

    fn gone(&mut self, uid: &str) {
        self.ending.remove(uid);
        let Some(Running { node: name, .. }) = self.running.remove(uid) else { return };
        if self.nodes.get_mut(&name).is_some_and(|node| node.detach(uid)) {
            self.counted.insert(name);
        }
    }

    /// The API server knows now that a pod runs.
    pub(super) fn note_running(&mut self, uid: &str) {
        if let Some(running) = self.running.get_mut(uid) {
            running.is_told = true;
        }
    }

    /// How many pods have ever started on a node.
    pub(super) fn starts(&self, node: &str) -> usize {
        self.starts.get(node).copied().unwrap_or_default()
    }

    /// How many pods of a namespace run, and are not about to end, as the API server knows it.
    pub(super) fn running(&self, namespace: &str) -> usize {
        let is = |(uid, running): &(&String, &Running)| {
            running.is_told && running.namespace == namespace && !self.ending.contains(*uid)
        };
        self.running.iter().filter(is).count()
    }

    /// The nodes whose counts are to be published: `watch` gathers changes of these for a time, in which networks also join and leave pods.
    pub(super) fn counted(&mut self) -> Vec<Job> {
        let joined = self.nodes.iter_mut().filter_map(|(name, node)| node.join().then(|| name.clone()));
        self.counted.extend(joined);
        let nodes = std::mem::take(&mut self.counted).into_iter();
        nodes.map(|node| Job { node, what: Task::Publish }).collect()
    }

    /// What a node has to tell the API server; none if nothing is new.
    pub(super) fn news(&mut self, node: &str) -> Option<(Member, News)> {
        let node = self.nodes.get_mut(node)?;
        Some((node.member, node.news()?))
    }

    /// A node's report did not reach the API server after all.
    pub(super) fn untold(&mut self, node: &str) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.untold();
        }
        self.counted.insert(node.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::policy::Phase;

    use super::*;

    fn kubelets() -> Kubelets {
        Kubelets::new(Fleet { nodes: 2, zones: 1, first: 2, joins: true, is_plain: false, image: Phase::New })
    }

    fn object(value: Value) -> Object {
        serde_json::from_value(value).expect("an object")
    }

    fn pod(uid: &str, node: &str) -> Value {
        json!({"metadata": {"namespace": "a", "name": "p", "uid": uid}, "spec": {"nodeName": node}})
    }

    fn put(kubelets: &mut Kubelets, pod: Value) -> Vec<Job> {
        kubelets.pods(Change::Put(Box::new(object(pod))))
    }

    #[test]
    fn a_pod_of_a_hollow_node_runs_once_and_ends_once() {
        let mut kubelets = kubelets();
        for node in ["", "another"] {
            assert_eq!(put(&mut kubelets, pod("u", node)), []);
        }
        let jobs = put(&mut kubelets, pod("u", "hollow-0001"));
        let [Job { node, what: Task::Run(start) }] = jobs.as_slice() else { panic!("{jobs:?}") };
        assert_eq!((node.as_str(), start.path.as_str()), ("hollow-0001", "/api/v1/namespaces/a/pods/p"));
        assert_eq!(put(&mut kubelets, pod("u", "hollow-0001")), []);
        assert_eq!(kubelets.running("a"), 0, "no kubelet knows it yet");
        kubelets.note_running("u");
        assert_eq!((kubelets.running("a"), kubelets.running("b")), (1, 0));
        let mut ends = pod("u", "hollow-0001");
        ends["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let jobs = put(&mut kubelets, ends.clone());
        assert!(matches!(&jobs[..], [Job { what: Task::End { uid, .. }, .. }] if uid == "u"), "{jobs:?}");
        assert_eq!(put(&mut kubelets, ends.clone()), []);
        assert_eq!(kubelets.running("a"), 0);
        // It counts until it is gone.
        let counts = |kubelets: &mut Kubelets| {
            let jobs = kubelets.counted();
            (jobs.len(), kubelets.news("hollow-0001").map(|(_, news)| news.observed))
        };
        let (jobs, text) = counts(&mut kubelets);
        assert!(jobs == 1 && text.as_ref().is_some_and(|text| text.contains(r#"{"old":1}"#)), "{text:?}");
        kubelets.pods(Change::Gone(Box::new(object(ends))));
        let (jobs, text) = counts(&mut kubelets);
        assert!(jobs == 1 && text.as_ref().is_some_and(|text| text.contains(r#""attached":{}"#)), "{text:?}");
    }

    #[test]
    fn what_a_broken_watch_missed_is_made_up_for() {
        let mut kubelets = kubelets();
        put(&mut kubelets, pod("u", "hollow-0000"));
        kubelets.counted();
        kubelets.news("hollow-0000");
        let jobs = kubelets.pods(Change::All(vec![object(pod("v", "hollow-0000"))]));
        assert!(matches!(&jobs[..], [Job { what: Task::Run(start), .. }] if start.uid == "v"), "{jobs:?}");
        assert_eq!(kubelets.counted().len(), 1);
        assert_eq!(kubelets.news("hollow-0000"), None, "one went and one came");
    }

    #[test]
    fn a_pod_of_the_hosts_network_is_not_attached() {
        let mut kubelets = kubelets();
        let mut host = pod("u", "hollow-0001");
        host["spec"]["hostNetwork"] = json!(true);
        let jobs = put(&mut kubelets, host);
        assert!(
            matches!(&jobs[..], [Job { what: Task::Run(start), .. }] if start.address == start.host),
            "{jobs:?}"
        );
        assert_eq!(kubelets.news("hollow-0001"), None);
    }

    #[test]
    fn a_node_publishes_what_it_is_asked_for() {
        let mut kubelets = kubelets();
        let node =
            object(json!({"metadata": {"name": "hollow-0001", "annotations": {"crossfade/desired": "new"}}}));
        let jobs = kubelets.nodes(Change::Put(Box::new(node.clone())));
        assert_eq!(jobs, [Job { node: "hollow-0001".into(), what: Task::Publish }]);
        let (_, news) = kubelets.news("hollow-0001").expect("news");
        assert!(news.is_flip, "{news:?}");
        assert_eq!(kubelets.nodes(Change::All(vec![node])), []);
        kubelets.untold("hollow-0001");
        assert_eq!(kubelets.counted().len(), 1);
    }

    #[test]
    fn a_network_joins_a_pod_and_its_node_publishes_that() {
        let mut kubelets = kubelets();
        put(&mut kubelets, pod("u", "hollow-0001"));
        let node =
            json!({"metadata": {"name": "hollow-0001", "annotations": {"crossfade/desired": "both-old"}}});
        kubelets.nodes(Change::Put(Box::new(object(node))));
        let mut text = || kubelets.news("hollow-0001").map(|(_, news)| news.observed).unwrap_or_default();
        assert!(text().contains(r#""restarts":null"#));
        let jobs = kubelets.counted();
        assert_eq!(jobs, [Job { node: "hollow-0001".into(), what: Task::Publish }]);
        let (_, news) = kubelets.news("hollow-0001").expect("news");
        assert!(news.observed.contains(r#"{"both-old":1}"#) && !news.is_flip, "{news:?}");
        assert!(news.observed.contains(r#""restarts":0"#), "{news:?}");
        assert_eq!(kubelets.counted(), []);
    }
}
