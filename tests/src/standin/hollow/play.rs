//! Plays a fleet against an API server: two watches, one for Nodes and one for pods, and threads that write.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fleet::{Boot, Fleet, Member};
use super::kubelets::{Job, Kubelets, Start, Task};
use super::node::{News, Node};
use super::watch::watch;
use crate::kubernetes::{Client, MERGE, STRATEGIC};

/// Threads that write. Everything of a node is written by one of them, in order.
const WRITERS: usize = 12;
/// For so long changes of counts are gathered, so that a node is not patched for each of its pods. A real `watch` waits up to 5 s.
const GATHERED: Duration = Duration::from_secs(1);
/// How often a write is tried whose answer was lost or which was refused for a moment.
const TRIES: u32 = 5;
const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";

/// A fleet of hollow nodes. They stop when it is dropped; their objects stay.
#[derive(Debug)]
pub struct Hollow {
    shared: Arc<FleetState>,
    writers: Vec<JoinHandle<()>>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct FleetState {
    client: Client,
    fleet: Fleet,
    minor: u32,
    kubelets: Mutex<Kubelets>,
    writers: Mutex<Vec<Sender<Job>>>,
    is_over: AtomicBool,
    /// What went wrong although it must not.
    faults: Mutex<Vec<String>>,
}

impl Hollow {
    /// Registers a fleet, and plays it from now on. `minor` is the release of Kubernetes.
    ///
    /// # Errors
    /// A Node cannot be created.
    pub fn start(client: &Client, fleet: Fleet, minor: u32) -> Result<Self> {
        register(client, fleet, minor)?;
        let shared = Arc::new(FleetState {
            client: client.clone(),
            fleet,
            minor,
            kubelets: Mutex::new(Kubelets::new(fleet)),
            writers: Mutex::default(),
            is_over: AtomicBool::new(false),
            faults: Mutex::default(),
        });
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let (sender, jobs) = channel::<Job>();
            lock(&shared.writers).push(sender);
            let own = Arc::clone(&shared);
            writers.push(spawn(move || jobs.into_iter().for_each(|job| own.write(job))));
        }
        // These threads wait for the API server's next word, and end with it; they are not waited for.
        for (path, jobs_of) in
            [(NODES, Kubelets::nodes as fn(&mut Kubelets, _) -> Vec<Job>), (PODS, Kubelets::pods)]
        {
            let own = Arc::clone(&shared);
            spawn(move || {
                watch(
                    &own.client,
                    path,
                    || own.is_over(),
                    |change| {
                        let jobs = jobs_of(&mut lock(&own.kubelets), change);
                        own.hand_out(jobs);
                    },
                );
            });
        }
        let own = Arc::clone(&shared);
        let ticker = spawn(move || {
            while !own.is_over() {
                std::thread::sleep(GATHERED);
                let jobs = lock(&own.kubelets).counted();
                own.hand_out(jobs);
            }
        });
        Ok(Self { shared, writers, ticker: Some(ticker) })
    }

    /// Starts a node of an image in phase `new` that is to take the place of another one, and gives its name.
    ///
    /// # Errors
    /// There is no such node, or its Node cannot be created.
    pub fn start_replacement(&self, replaced: &str, boot: Boot) -> Result<String> {
        let shared = &self.shared;
        let member = lock(&shared.kubelets).replace(shared.fleet, replaced, boot).context("no such node")?;
        create(&shared.client, member, shared.minor)?;
        Ok(member.name())
    }

    /// How many pods have ever started on a node. It costs the API server nothing.
    pub fn starts(&self, node: &str) -> usize {
        lock(&self.shared.kubelets).starts(node)
    }

    /// How many pods of a namespace run, and are not about to end. It costs the API server nothing.
    pub fn running(&self, namespace: &str) -> usize {
        lock(&self.shared.kubelets).running(namespace)
    }

    /// Fails if a write failed.
    ///
    /// # Errors
    /// All of them.
    pub fn ensure_sound(&self) -> Result<()> {
        let faults = lock(&self.shared.faults);
        ensure!(
            faults.is_empty(),
            "hollow nodes: {} faults: {:#?}",
            faults.len(),
            &faults[..faults.len().min(5)]
        );
        Ok(())
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(ticker) = self.ticker.take() {
            let _ended = ticker.join();
        }
        // Without a sender they end.
        lock(&self.shared.writers).clear();
        for writer in self.writers.drain(..) {
            let _ended = writer.join();
        }
    }
}

impl FleetState {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn hand_out(&self, jobs: Vec<Job>) {
        let writers = lock(&self.writers);
        for job in jobs {
            let mut hasher = DefaultHasher::new();
            job.node.hash(&mut hasher);
            let index = usize::try_from(hasher.finish() % WRITERS as u64).unwrap_or_default();
            if let Some(writer) = writers.get(index) {
                // It is gone when all is over.
                let _sent = writer.send(job);
            }
        }
    }

    fn write(&self, Job { node, what }: Job) {
        if self.is_over() {
            return;
        }
        let outcome = match what {
            Task::Publish => self.publish(&node),
            Task::Run(start) => {
                self.again(|| self.run(&start)).map(|()| lock(&self.kubelets).note_running(&start.uid))
            }
            Task::End { path, uid } => self.again(|| settled(self.client.delete_now(&path, &uid)?)),
        };
        if let Err(error) = outcome
            && !self.is_over()
        {
            lock(&self.faults).push(format!("{node}: {error:#}"));
        }
    }

    /// Label and annotation first, then the condition, as `watch` does it.
    fn publish(&self, node: &str) -> Result<()> {
        // Another job may have reported it already.
        let Some((member, news)) = lock(&self.kubelets).news(node) else { return Ok(()) };
        let News { phase, observed, is_flip } = news;
        let path = format!("{NODES}/{node}");
        let metadata = json!({ "metadata": {
            "labels": { "crossfade/phase": phase.as_str() }, "annotations": { types::api::observed::KEY: observed },
        } });
        let response = self.again(|| {
            settled(self.client.patch(&path, MERGE, &metadata)?)?;
            if is_flip {
                let status = json!({ "status": { "conditions": [member.ready(phase, &now())] } });
                settled(self.client.patch(&format!("{path}/status"), STRATEGIC, &status)?)?;
            }
            Ok(())
        });
        if response.is_err() {
            lock(&self.kubelets).untold(node);
        }
        response
    }

    fn run(&self, start: &Start) -> Result<()> {
        let now = now();
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
        let container = |status: &super::seen::Container| {
            json!({
                "name": status.name, "image": status.image, "imageID": status.image, "ready": true, "started": true,
                "restartCount": 0, "containerID": format!("hollow://{}/{}", start.uid, status.name),
                "state": { "running": { "startedAt": now } },
            })
        };
        let conditions = ["Initialized", "Ready", "ContainersReady"].map(condition);
        let containers: Vec<Value> = start.containers.iter().map(container).collect();
        let status = json!({
            "metadata": { "uid": start.uid },
            "status": {
                "phase": "Running", "hostIP": start.host, "podIP": start.address, "podIPs": [{ "ip": start.address }],
                "startTime": now, "containerStatuses": containers,
                "conditions": conditions,
            },
        });
        settled(self.client.patch(&format!("{}/status", start.path), STRATEGIC, &status)?)
    }

    /// Does something until it succeeds, a few times: an API server with two cores may keep a caller waiting.
    fn again(&self, act: impl Fn() -> Result<()>) -> Result<()> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match act() {
                Err(_) if tries > 0 && !self.is_over() => std::thread::sleep(GATHERED),
                outcome => return outcome,
            }
        }
    }
}

/// Whether a write is done with: the object may have gone, or another one may have its name.
fn settled(answer: crate::kubernetes::Answer) -> Result<()> {
    match answer.status {
        404 | 409 => Ok(()),
        _ => answer.object().map(drop),
    }
}

/// Creates all Nodes, with as many threads as write later.
fn register(client: &Client, fleet: Fleet, minor: u32) -> Result<()> {
    let members: Vec<_> = fleet.members().collect();
    std::thread::scope(|scope| {
        let share = members.len().div_ceil(WRITERS).max(1);
        let threads = members.chunks(share).map(|members| {
            scope.spawn(move || members.iter().try_for_each(|member| create(client, *member, minor)))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a panic")))
    })
}

/// Creates the Node of a member.
fn create(client: &Client, member: Member, minor: u32) -> Result<()> {
    let object = member.object(minor, &Node::new(member).observed(), &now());
    client.create(NODES, &object)?.object().map(drop).with_context(|| member.name())
}

/// Now, as `meta/v1` writes it.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
