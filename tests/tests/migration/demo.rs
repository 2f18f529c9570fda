//! The demonstration as a whole: a small one that must succeed, one that is sabotaged and must say so, one that is
//! interrupted and must leave nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use lab::build::dist;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::demo::report::{Forwarding, Leftovers, Report};
use lab::demo::strategy::{Arrival, Network, Strategy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

fn main() -> Result<ExitCode> {
    // A demo counts losses, and the last test looks at every process there is.
    lab::build::preflight::main_in_turn(|| {
        lab::trials_of![
            NEEDS;
            a_small_migration_loses_nothing,
            a_cut_overlay_is_told,
            an_interrupted_demo_leaves_nothing,
        ]
    })
}

fn demo(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(dist::lab_bin("lab-demo")?);
    command.args(["--output", "json", "--probes", "3"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// The report that a demo wrote, and nothing but the report.
fn report(stdout: &[u8]) -> Result<Report> {
    serde_json::from_slice(stdout).with_context(|| String::from_utf8_lossy(stdout).into_owned())
}

fn a_small_migration_loses_nothing() -> Result<()> {
    let output = demo(&["--nodes", "2", "--pods", "2"])?.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = report(&output.stdout).context(stderr.to_string())?;
    ensure!(output.status.success() && report.problems.is_empty(), "{:?}\n{stderr}", report.problems);
    ensure!((report.version, report.nodes, report.pods_per_node) == (1, 2, 2), "{report:?}");
    ensure!(report.naive.leases_leaked == 2 && report.naive.pods_moved_silently == 1, "{:?}", report.naive);
    let [double, bridge] = report.migrations.as_slice() else {
        bail!("{} migrations", report.migrations.len());
    };
    for (run, strategy, arrival, changes, names) in [
        (
            double,
            Strategy::Double,
            Arrival::Installed,
            2,
            "before install scouts both-old both-new new old removed",
        ),
        (bridge, Strategy::Bridge, Arrival::Booted, 0, "before new agents scouts new old removed"),
    ] {
        ensure!((run.strategy, run.arrival, run.untouched) == (strategy, arrival, 4), "{run:?}");
        // Every pod once, and one per node when the old network is gone.
        ensure!(run.recreated == 4 + 2, "{strategy}: {} re-created", run.recreated);
        ensure!(run.changed == 4 * changes, "{strategy}: {} changed", run.changed);
        let phases: Vec<&str> = run.phases.iter().map(|phase| phase.phase.as_str()).collect();
        ensure!(phases.join(" ") == names, "{phases:?}");
        for phase in &run.phases {
            // Twelve directed pairs, three probes each over UDP and over TCP, in the least of phases.
            ensure!(phase.lost == 0 && phase.answered >= 72, "{strategy}: {phase:?}");
        }
        for (network, counts) in &run.asked {
            ensure!(
                counts.adds == counts.dels && counts.foreign_dels == 0,
                "{strategy} {network:?}: {counts:?}"
            );
        }
        ensure!(
            run.left == Leftovers::default() && run.misplaced.is_empty(),
            "{:?} {:?}",
            run.left,
            run.misplaced
        );
    }
    // Every pod is made on old, and once more on both; new joins each before that. At the end, and as scouts, pods are made on new.
    ensure!(
        double.asked[&Network::Old].adds == 8 && double.asked[&Network::New].adds == 12,
        "{:?}",
        double.asked
    );
    ensure!(
        bridge.asked[&Network::Old].adds == 4 && bridge.asked[&Network::New].adds == 8,
        "{:?}",
        bridge.asked
    );
    ensure!(
        matches!(double.forwarding, Some(Forwarding::Blocked { packets: 1.. })),
        "{:?}",
        double.forwarding
    );
    ensure!(bridge.forwarding == Some(Forwarding::Open), "{:?}", bridge.forwarding);
    Ok(())
}

/// A firewall rule that is not ours drops what a node gets from the old overlay, in the middle of a phase.
fn a_cut_overlay_is_told() -> Result<()> {
    let mut demo = Running::start(&["--nodes", "2", "--pods", "1", "--strategy", "double"])?;
    demo.until(|line| line.contains("n2 -> both-old"))?;
    let cut = ["-p", "udp", "--dport", "8472", "-j", "DROP"];
    let node = node_init(demo.child.id())?;
    iptables(node, "-I", &cut)?;
    demo.until(|line| line.contains("lost ") && !line.contains("lost 0"))?;
    iptables(node, "-D", &cut)?;
    let (status, stdout, stderr) = demo.end()?;
    let report = report(&stdout).context(stderr.clone())?;
    ensure!(status == Some(1), "exit status {status:?}\n{stderr}");
    let text = report.problems.iter().find(|problem| problem.contains("probes lost in phase both-old"));
    ensure!(text.is_some(), "{:?}", report.problems);
    let losses = &report.migrations[0].losses;
    let between = |src, dst| losses.iter().any(|loss| loss.src == src && loss.dst == dst);
    ensure!(between("n1-1", "n2-1") && between("n2-1", "n1-1"), "{losses:?}");
    Ok(())
}

fn an_interrupted_demo_leaves_nothing() -> Result<()> {
    let mut demo = Running::start(&["--nodes", "2", "--pods", "1"])?;
    demo.until(|line| line.contains("crossfade is installed"))?;
    let launcher = demo.child.id();
    ensure!(descendants(launcher)?.len() > 10, "{:?}", descendants(launcher)?);
    kill(Pid::from_raw(i32::try_from(launcher)?), Signal::SIGINT)?;
    let (status, stdout, stderr) = demo.end()?;
    ensure!(status == Some(130) && stdout.is_empty(), "exit status {status:?}\n{stderr}");
    let mut left = pids()?;
    left.retain(|pid| {
        name(*pid).is_some_and(|name| name.starts_with("lab-") || name.starts_with("containerd"))
    });
    ensure!(left.is_empty(), "processes left: {left:?}");
    Ok(())
}

/// A demo under way; killed on drop.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    heard: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Result<Running> {
        let mut child = demo(arguments)?.spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("stderr")?);
        Ok(Running { child, stderr, heard: String::new() })
    }

    /// Reads on until a line of progress is the one waited for.
    fn until(&mut self, has_come: impl Fn(&str) -> bool) -> Result<()> {
        loop {
            let from = self.heard.len();
            ensure!(self.stderr.read_line(&mut self.heard)? > 0, "it ended early:\n{}", self.heard);
            if has_come(&self.heard[from..]) {
                return Ok(());
            }
        }
    }

    /// Waits for its end: exit code, stdout, stderr.
    fn end(mut self) -> Result<(Option<i32>, Vec<u8>, String)> {
        self.stderr.read_to_string(&mut self.heard)?;
        let mut stdout = Vec::new();
        self.child.stdout.take().context("stdout")?.read_to_end(&mut stdout)?;
        Ok((self.child.wait()?.code(), stdout, std::mem::take(&mut self.heard)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The init of one of the demo's nodes, the first that has the old overlay, as we see its pid.
fn node_init(launcher: u32) -> Result<u32> {
    let has_overlay = |pid: &u32| {
        let mut ip = Command::new("nsenter");
        ip.args(["--net", "--target", &pid.to_string(), "ip", "link", "show", "vx-old"]);
        ip.output().is_ok_and(|output| output.status.success())
    };
    let mut inits = descendants(launcher)?;
    inits.retain(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == b"CROSSFADE_LAB_ROLE=node-init")
    });
    inits.into_iter().find(has_overlay).context("no node of the demo has the old overlay")
}

fn iptables(node: u32, verb: &str, rule: &[&str]) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args(["--net", "--target", &node.to_string(), "iptables", "-w", verb, "INPUT"]).args(rule);
    lab::host::command::run(&mut command).map(drop)
}

/// Every process below one, itself excluded.
fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut descendants = vec![root];
    let pids = pids()?;
    let mut at = 0;
    while let Some(parent) = descendants.get(at).copied() {
        descendants.extend(pids.iter().filter(|pid| parent_of(**pid) == Some(parent)));
        at += 1;
    }
    descendants.remove(0);
    Ok(descendants)
}

fn pids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}
