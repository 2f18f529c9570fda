//! `move-pods` on a node full of pods: networks join and leave all of them. The runtime and the plugins are real, the API server is a stand-in.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use super::call::Attachment;
use super::report::Limit;
use super::workshop::{Installation, Networks, nothing_left, stub_network};
use super::{Bench, footprint};
use crate::host::command;
use crate::runtime::cri::Sandbox;
use crate::scene::{Scene, Setup};

/// How many calls `move-pods` makes at once.
const AT_ONCE: usize = 4;
const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const NODE: &str = "full";
/// How often the stand-in looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(5);
/// What the API server keeps of each pod beside what `move-pods` reads, mostly its managed fields.
const REST_OF_POD: usize = 6 << 10;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let kubelet = json!({ "kubelet": { "kubeconfig": KUBECONFIG, "nodeName": NODE } });
    let scene = Setup::shim().settings(kubelet).start()?;
    scene.booted()?;
    let count = bench.options.sandboxes;
    let pods: Vec<Sandbox> = (0..count).map(|number| Sandbox::new(&format!("pod-{number}"))).collect();
    for pod in &pods {
        scene.cri().run_sandbox(pod)?;
    }
    let listener = listen(&scene)?;
    let server = format!("http://{}", listener.local_addr().context("the address of the API server")?);
    scene.node().write(KUBECONFIG, kubeconfig(&server).to_string())?;
    let is_over = AtomicBool::new(false);
    let costs = thread::scope(|scope| {
        scope.spawn(|| serve(&listener, &is_over, &pods));
        let costs = moved(&scene, count);
        is_over.store(true, Ordering::Relaxed);
        costs
    })?;
    let [joined, left] = costs;
    let report = &mut bench.report;
    report.figure(format!("move-pods: {count} pods joined, with bridge and host-local"), joined.seconds, "s");
    report.figure(format!("move-pods: {count} pods left, with bridge and host-local"), left.seconds, "s");
    report.goal(
        &format!("move-pods on a node with {count} pods"),
        vec![
            Limit::new("resident, joins", joined.mebibytes, 16.0, "MiB"),
            Limit::new("resident, leaves", left.mebibytes, 16.0, "MiB"),
        ],
    );
    Ok(())
}

/// The new network joins all pods, and leaves them.
fn moved(scene: &Scene, count: usize) -> Result<[footprint::RunCost; 2]> {
    let mut costs = Vec::new();
    for (phase, leases) in [("both-old", count), ("old", 0)] {
        let network = |overlay: &crate::host::fabric::Overlay| json!({ "conf": [scene.crossfade.conf_path(overlay)], "cidrs": [overlay.cidr()], "secondary": "works", "join": "works" });
        let networks = json!({ "old": network(&scene.old), "new": network(&scene.new) });
        scene.crossfade.phase_with(phase, json!({ "networks": networks }))?;
        let mut command = scene.bootstrap(&["move-pods", "--no-restart", "--apply"])?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let cost = footprint::timed(&mut command)?;
        ensure!(cost.status.success(), "move-pods to {phase}: {}", cost.status);
        let (_, new) = scene.leases()?;
        ensure!(
            new == leases,
            "{new} addresses of the new network after move-pods to {phase}, expected {leases}"
        );
        costs.push(cost);
    }
    costs.try_into().map_err(|_| anyhow!("two phases"))
}

/// A socket in the network of the node.
fn listen(scene: &Scene) -> Result<TcpListener> {
    let netns =
        File::open(format!("/proc/{}/ns/net", scene.node().pid())).context("the netns of the node")?;
    let bind = move || -> Result<TcpListener> {
        setns(&netns, CloneFlags::CLONE_NEWNET).context("enter the netns of the node")?;
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("listen on the node")
    };
    thread::spawn(bind).join().map_err(|_| anyhow!("the thread in the netns panicked"))?
}

fn kubeconfig(server: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "clusters": [{ "name": "lab", "cluster": { "server": server } }],
        "users": [{ "name": "lab", "user": { "token": "lab" } }],
    })
}

/// Answers as an API server that has this Node and these pods.
fn serve(listener: &TcpListener, is_over: &AtomicBool, pods: &[Sandbox]) -> Result<()> {
    listener.set_nonblocking(true).context("non-blocking socket")?;
    while !is_over.load(Ordering::Relaxed) {
        match listener.accept() {
            // A client that goes away is its own matter.
            Ok((stream, _)) => drop(answer(stream, pods)),
            Err(_) => thread::sleep(LOOK),
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, pods: &[Sandbox]) -> Result<()> {
    stream.set_nonblocking(false)?;
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        ensure!(length > 0, "the client went away");
        request.extend_from_slice(&piece[..length]);
    }
    let head = String::from_utf8_lossy(&request);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let items = match path.split('?').next().unwrap_or_default() {
        "/api/v1/nodes" => vec![json!({ "metadata": { "name": NODE } })],
        "/api/v1/pods" => pods.iter().map(pod).collect(),
        _ => Vec::new(),
    };
    let eviction = json!({ "name": "pods/eviction", "group": "policy", "version": "v1" });
    let body = json!({ "metadata": { "resourceVersion": "1" }, "items": items, "resources": [eviction] })
        .to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    Ok(stream.write_all(body.as_bytes())?)
}

fn pod(sandbox: &Sandbox) -> Value {
    json!({
        "metadata": {
            "namespace": sandbox.namespace, "name": sandbox.name, "uid": sandbox.uid,
            "ownerReferences": [{ "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true }],
            "managedFields": [{ "fieldsV1": { "f:status": "x".repeat(REST_OF_POD) } }],
        },
        "spec": { "nodeName": NODE, "containers": [{ "name": "pause" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }], "containerStatuses": [] },
    })
}

/// All pods of a node, with delegates that answer at once: four JOINs at a time, as `move-pods` makes them.
pub(super) fn instant_joins(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, new) =
        (stub_network("oldnet", "stub-old", "1.0.0"), stub_network("newnet", "stub-new", "1.0.0"));
    let bin = workshop.stubs.path().to_owned();
    let networks = Networks { old: &old, new: &new, attach: "old", version: "1.0.0", bin: &bin };
    let shim = workshop.install("node-joins", &networks)?;
    let count = bench.options.sandboxes;
    let pods: Vec<Attachment> = workshop
        .netns("node-joins", count)?
        .into_iter()
        .enumerate()
        .map(|(number, netns)| Attachment { id: format!("pod{number}"), netns, ifname: "eth0".to_owned() })
        .collect();
    for pod in &pods {
        give_interface(&pod.netns)?;
        shim.call_for("ADD", pod)?.run()?;
    }
    shim.attach("both")?;
    let seconds = join_all(&shim, &pods)?;
    for pod in &pods {
        shim.call_for("DEL", pod)?.run()?;
    }
    nothing_left("JOINs of a node", &shim.leftovers()?)?;
    bench.report.goal(
        &format!("{count} pods of a node joined, {AT_ONCE} at a time, with instant delegates"),
        vec![Limit::new("in all", seconds, 5.0, "s")],
    );
    Ok(())
}

/// Joins the pods, and says how many seconds it took.
fn join_all(shim: &Installation, pods: &[Attachment]) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let answers: Vec<Result<()>> = thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                shim.call_for("JOIN", pod)?.run()?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a caller panicked")))
            .collect()
    });
    answers.into_iter().collect::<Result<()>>()?;
    Ok(began.elapsed().as_secs_f64())
}

/// The interface that the stub's result names, with its route.
fn give_interface(netns: &str) -> Result<()> {
    let commands = [
        "link add eth0 type veth peer name peer",
        "address add 10.1.0.5/32 dev eth0",
        "link set eth0 up",
        "route add 169.254.1.1 dev eth0",
        "route add default via 169.254.1.1 dev eth0",
    ];
    let name = netns.rsplit('/').next().unwrap_or_default();
    for command in commands {
        let mut ip = Command::new("ip");
        command::run(ip.args(["-n", name]).args(command.split(' ')))?;
    }
    Ok(())
}
