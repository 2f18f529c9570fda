//! `crossfade-bootstrap` on a node whose pods run already, with a real containerd.

use std::process::{ExitCode, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::containerd::{Containerd, Options};
use lab::cri::{PortMapping, Protocol, Sandbox};
use lab::crossfade::{BIN_DIR, CONF_DIR};
use lab::deadline::until;
use lab::fabric::{Fabric, Overlay};
use lab::node::Node;
use lab::preflight::{CONTAINERD, NODES, Need, PLUGINS, trial};
use lab::stub::{Act, CallLog, Gate, Reply, Stub, StubDir};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("running_pods_are_taken_over", NEEDS, running_pods_are_taken_over),
        trial(
            "a_pod_in_the_middle_of_its_add_is_not_missed",
            NEEDS,
            a_pod_in_the_middle_of_its_add_is_not_missed,
        ),
        trial("what_the_runtime_forgot_is_swept", NEEDS, what_the_runtime_forgot_is_swept),
        trial(
            "what_ended_with_an_earlier_boot_is_swept_though_it_is_listed",
            NEEDS,
            what_ended_with_an_earlier_boot_is_swept_though_it_is_listed,
        ),
        trial("what_the_cache_does_not_know_is_a_refusal", NEEDS, what_the_cache_does_not_know_is_a_refusal),
        trial(
            "a_process_that_looks_like_an_add_holds_nothing_up",
            NEEDS,
            a_process_that_looks_like_an_add_holds_nothing_up,
        ),
        trial("the_runtimes_own_setup_counts", NEEDS, the_runtimes_own_setup_counts),
    ];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// The plugin as a package would bring it, in the node's directory.
const PACKAGED: &str = "packaged-crossfade";

/// A node with containerd and its only network, `old`; a policy is there, Crossfade is not.
struct Lab {
    fabric: Fabric,
    old: Overlay,
    new: Overlay,
    containerd: Containerd,
}

impl Lab {
    fn new() -> Result<Lab> {
        let fabric = Fabric::new(1)?;
        let old = fabric.overlay("old", 1, 8472, "10.244")?;
        let new = fabric.overlay("new", 2, 8473, "10.245")?;
        let node = fabric.node(1);
        network(node, "10-old.conflist", &old.conflist(1))?;
        let conf = |name: &str| format!("{CONF_DIR}/{name}.conflist");
        let policy = json!({
            "version": 1,
            "networks": {
                "old": { "conf": [conf("10-old")], "secondary": "works" },
                "new": { "conf": [conf("20-new")], "secondary": "works" },
            },
            "attach": "old",
            "gc": { "graceSeconds": 0 },
        });
        node.write("/etc/crossfade/policy.json", policy.to_string())?;
        // A package's plugin is root's, whoever built this one.
        node.scratch().install(&lab::dist::crossfade()?, PACKAGED)?;
        let containerd = Containerd::start(node, &Options::default())?;
        Ok(Lab { fabric, old, new, containerd })
    }

    fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    fn run(&self, sandbox: &Sandbox) -> Result<String> {
        self.containerd.cri().run_sandbox(sandbox)
    }

    fn end(&self, id: &str) -> Result<()> {
        self.containerd.cri().stop(id)?;
        self.containerd.cri().remove(id)
    }

    fn bootstrap(&self, verb: &[&str]) -> Result<Output> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        command.args(verb);
        if matches!(verb[0], "install" | "uninstall" | "sweep") {
            command.arg("--runtime-endpoint").arg(self.containerd.socket());
        }
        if verb[0] == "install" {
            command.arg("--plugin").arg(self.node().scratch().join(PACKAGED));
        }
        command.output().context("crossfade-bootstrap")
    }

    /// Runs a command that must end so, and returns its stdout.
    fn told(&self, verb: &[&str], status: i32) -> Result<String> {
        let output = self.bootstrap(verb)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.code() == Some(status), "{verb:?}: {}\n{out}\n{err}", output.status);
        Ok(out + &err)
    }

    fn leases(&self) -> Result<(usize, usize)> {
        Ok((self.old.leases(self.node())?.len(), self.new.leases(self.node())?.len()))
    }

    /// Attachments by how far they are: through us, and from before.
    fn attachments(&self) -> Result<(usize, usize)> {
        let told: Value = serde_json::from_str(&self.told(&["attachments", "--output", "json"], 0)?)?;
        let all = told["attachments"].as_array().context("attachments")?;
        let before = all.iter().filter(|line| line["life"] == "inventory").count();
        Ok((all.len() - before, before))
    }

    fn uses_ours(&self) -> Result<Option<()>> {
        let plugins = self.containerd.cri().conf_plugins()?;
        Ok(plugins.iter().any(|plugin| plugin == "crossfade").then_some(()))
    }

    /// Ends what runs in a sandbox behind the runtime's back, as a reboot does.
    fn end_task(&self, id: &str) -> Result<()> {
        let mut command = self.node().command("ctr");
        command.arg("--address").arg(self.containerd.socket()).args(["--namespace", "k8s.io"]);
        let output = command.args(["tasks", "kill", "--signal", "SIGKILL", id]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// One pass of the sweep to which everything that is recorded is of an earlier boot.
    fn swept_in_another_boot(&self) -> Result<String> {
        let boot_id = self.node().scratch().join("boot_id");
        std::fs::write(&boot_id, "11111111-2222-4333-8444-555555555555\n")?;
        let script =
            format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", boot_id.display());
        let mut command = self.node().command("unshare");
        command.args(["--mount", "sh", "-c", &script, "another-boot"]).arg(lab::dist::bootstrap()?);
        command.args(["sweep", "--runtime-endpoint"]).arg(self.containerd.socket());
        let output = command.output()?;
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{}: {told}", output.status);
        Ok(told)
    }

    /// Runs a pod on a network that nothing holds up.
    fn run_through_us(&self) -> Result<String> {
        network(self.node(), "20-new.conflist", &self.new.conflist(1))?;
        self.told(&["policy", "set", "new", "--runtime"], 0)?;
        self.run(&Sandbox::new("next"))
    }

    /// Puts a stub at the end of old's chain that holds every ADD until the gate opens.
    fn hold(&self, gate: &Gate) -> Result<CallLog> {
        let bin = self.node().outside(BIN_DIR);
        let program = bin.join("lab-stub");
        lab::scratch::install(&lab::dist::lab_bin("lab-stub")?, &program)?;
        let stubs = StubDir::new(&bin, &self.node().dir().join("calls"), &program);
        stubs.write("hold", &Stub::answering(Reply(vec![Act::PrintPrevResult]).behind(gate)))?;
        let mut conflist = self.old.conflist(1);
        conflist["plugins"].as_array_mut().context("plugins")?.push(json!({ "type": "hold" }));
        network(self.node(), "10-old.conflist", &conflist)?;
        Ok(stubs.log())
    }
}

fn network(node: &Node, file: &str, conflist: &Value) -> Result<()> {
    node.write(format!("{CONF_DIR}/{file}"), serde_json::to_vec_pretty(conflist)?)
}

fn running_pods_are_taken_over() -> Result<()> {
    let lab = Lab::new()?;
    let mut exposed = Sandbox::new("exposed");
    exposed.port_mappings =
        vec![PortMapping { protocol: Protocol::Tcp, host_port: 18080, container_port: 8080 }];
    let before = [lab.run(&exposed)?, lab.run(&Sandbox::new("plain"))?];
    let addresses = lab.old.leases(lab.node())?;
    let planned = lab.told(&["install", "--dry-run"], 0)?;
    ensure!(lab.attachments()? == (0, 0), "a dry run changed something");
    let applied = lab.told(&["install"], 0)?;
    let lines = |text: &str| text.lines().filter(|l| !l.starts_with("note")).map(str::to_owned).collect();
    let (planned, applied): (Vec<_>, Vec<_>) = (lines(&planned), lines(&applied));
    ensure!(planned == applied, "planned {planned:#?}, applied {applied:#?}");
    ensure!(lab.attachments()? == (0, 2), "{:?}", lab.attachments()?);
    ensure!(lab.old.leases(lab.node())? == addresses, "running pods were touched");
    let again = lab.told(&["install"], 0)?;
    ensure!(again.lines().all(|l| l.starts_with("keep") || l.starts_with("note")), "{again}");

    let after = lab.run(&Sandbox::new("after"))?;
    ensure!(lab.attachments()? == (1, 2), "{:?}", lab.attachments()?);
    network(lab.node(), "20-new.conflist", &lab.new.conflist(1))?;
    // The node's own directories are in memory.
    lab.told(&["policy", "set", "both-old"], 3)?;
    lab.told(&["policy", "set", "both-old", "--runtime"], 0)?;
    let both = lab.run(&Sandbox::new("both"))?;
    ensure!(lab.leases()? == (4, 1), "{:?}", lab.leases()?);
    lab.told(&["uninstall"], 3)?;

    for id in &before {
        lab.end(id)?;
    }
    ensure!(lab.leases()? == (2, 1), "pods from before keep leases: {:?}", lab.leases()?);
    let rules = lab.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    ensure!(!rules.contains("18080"), "a pod from before leaves its port:\n{rules}");
    ensure!(lab.attachments()? == (2, 0), "{:?}", lab.attachments()?);
    lab.end(&after)?;
    lab.end(&both)?;
    ensure!(lab.leases()? == (0, 0) && lab.attachments()? == (0, 0), "left: {:?}", lab.leases()?);

    lab.told(&["uninstall"], 0)?;
    let bare = lab.run(&Sandbox::new("bare"))?;
    ensure!(lab.leases()? == (1, 0) && lab.attachments()? == (0, 0), "the conf is still used");
    lab.end(&bare)
}

/// Its ADD began under the old conf and ends after the inventory was taken; its DEL comes to us.
fn a_pod_in_the_middle_of_its_add_is_not_missed() -> Result<()> {
    let lab = Lab::new()?;
    let gate = Gate::closed(&lab.node().dir().join("gate"))?;
    let log = lab.hold(&gate)?;
    let conf = lab.node().outside(format!("{CONF_DIR}/01-crossfade.conflist"));
    let held = std::thread::scope(|scope| -> Result<String> {
        let held = scope.spawn(|| lab.run(&Sandbox::new("held")));
        log.wait_for("hold ADD eth0", 1)?;
        let install = scope.spawn(|| lab.told(&["install"], 0));
        // The next pod comes through us while the one before us is still held.
        let next = until("our conf", LIMIT, || Ok(conf.exists().then_some(())))
            .and_then(|()| until("the runtime uses it", LIMIT, || lab.uses_ours()))
            .and_then(|()| lab.run_through_us());
        let waits = !install.is_finished();
        gate.open()?;
        let next = next?;
        let (Ok(held), Ok(install)) = (held.join(), install.join()) else { bail!("a caller panicked") };
        let told = install?;
        ensure!(waits, "install did not wait for the ADD that runs past us: {told}");
        ensure!(told.contains("1 attachments were made while we installed"), "{told}");
        lab.end(&next)?;
        held
    })?;
    ensure!(lab.attachments()? == (0, 1), "{:?}", lab.attachments()?);
    lab.end(&held)?;
    ensure!(log.briefs()?.contains(&"hold DEL eth0".to_owned()), "{:?}", log.briefs()?);
    ensure!(lab.leases()? == (0, 0) && lab.attachments()? == (0, 0), "left: {:?}", lab.leases()?);
    Ok(())
}

fn what_the_runtime_forgot_is_swept() -> Result<()> {
    let mut lab = Lab::new()?;
    let before = lab.run(&Sandbox::new("before"))?;
    lab.told(&["install"], 0)?;
    let after = lab.run(&Sandbox::new("after"))?;
    ensure!(!lab.told(&["sweep"], 0)?.contains("close"), "a living pod is swept");
    for id in [&before, &after] {
        let socket = lab.containerd.socket();
        let ctr = |line: &[&str]| -> Result<Option<()>> {
            let mut command = lab.node().command("ctr");
            command.arg("--address").arg(&socket).args(["--namespace", "k8s.io"]).args(line).arg(id);
            let output = command.output()?;
            // The runtime sees the task end, too, and may be the one that deletes it.
            let gone = String::from_utf8_lossy(&output.stderr).contains("not found");
            Ok((output.status.success() || gone).then_some(()))
        };
        until("the task is gone", LIMIT, || ctr(&["tasks", "delete", "--force"]))?;
        until("the container is gone", LIMIT, || ctr(&["containers", "delete"]))?;
    }
    lab.containerd.restart()?;
    ensure!(lab.containerd.cri().list()?.is_empty(), "{:?}", lab.containerd.cri().list()?);
    let doubted = lab.told(&["sweep"], 75)?;
    ensure!(doubted.contains("lists no sandbox at all"), "{doubted}");
    ensure!(lab.leases()? == (2, 0), "swept by an answer that is not believed");

    let living = lab.run(&Sandbox::new("living"))?;
    let swept = lab.told(&["sweep"], 0)?;
    ensure!(swept.lines().filter(|line| line.starts_with("close")).count() == 2, "{swept}");
    ensure!(lab.leases()? == (1, 0) && lab.attachments()? == (1, 0), "{:?} {swept}", lab.leases()?);
    lab.end(&living)
}

/// After a reboot the runtime goes on listing what was there before it, until kubelet removes it; switched off, its DEL goes past us.
fn what_ended_with_an_earlier_boot_is_swept_though_it_is_listed() -> Result<()> {
    let lab = Lab::new()?;
    let before = lab.run(&Sandbox::new("before"))?;
    lab.told(&["install"], 0)?;
    let (ended, living) = (lab.run(&Sandbox::new("ended"))?, lab.run(&Sandbox::new("living"))?);
    for id in [&before, &ended] {
        lab.end_task(id)?;
        until("the sandbox is not ready", LIMIT, || {
            Ok((!lab.containerd.cri().status(id)?.ready).then_some(()))
        })?;
    }
    let listed: Vec<String> = lab.containerd.cri().list()?.into_iter().map(|one| one.id).collect();
    ensure!(listed.len() == 3, "{listed:?}");
    let swept = lab.told(&["sweep"], 0)?;
    ensure!(!swept.contains("close"), "in its own boot the runtime owes the DEL: {swept}");

    let swept = lab.swept_in_another_boot()?;
    let closed: Vec<&str> = swept
        .lines()
        .filter(|line| line.starts_with("close"))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    ensure!(
        closed.len() == 2 && closed.contains(&before.as_str()) && closed.contains(&ended.as_str()),
        "{swept}"
    );
    ensure!(lab.leases()? == (1, 0) && lab.attachments()? == (1, 0), "{:?} {swept}", lab.leases()?);
    // The DELs that the runtime then sends after all find nothing to do.
    for id in [&before, &ended, &living] {
        lab.end(id)?;
    }
    ensure!(lab.leases()? == (0, 0) && lab.attachments()? == (0, 0), "left: {:?}", lab.leases()?);
    Ok(())
}

/// The result cache was wiped: pods of before would get no DEL, and nobody would know.
fn what_the_cache_does_not_know_is_a_refusal() -> Result<()> {
    let lab = Lab::new()?;
    let (known, lost) = (lab.run(&Sandbox::new("known"))?, lab.run(&Sandbox::new("lost"))?);
    let mut host = Sandbox::new("host");
    host.host_network = true;
    let host = lab.run(&host)?;
    let ended = lab.run(&Sandbox::new("ended"))?;
    lab.containerd.cri().stop(&ended)?;
    lab.node().run(&["sh", "-c", "rm /var/lib/cni/results/*\"$1\"*", "sh", &lost])?;
    let refused = lab.told(&["install"], 3)?;
    ensure!(refused.contains(&lost) && refused.contains("default/lost"), "{refused}");
    ensure!(refused.contains("runs 1 sandboxes") && refused.contains("--uncached"), "{refused}");
    for other in [&known, &host, &ended] {
        ensure!(!refused.contains(other.as_str()), "{other} is known, has nothing, or is over: {refused}");
    }
    ensure!(lab.uses_ours()?.is_none() && lab.attachments()? == (0, 0), "a refusal changed something");
    lab.told(&["install", "--dry-run", "--ignore-sandbox", &lost], 0)?;
    lab.told(&["install", "--uncached", "old"], 0)?;
    ensure!(lab.attachments()? == (0, 2), "{:?}", lab.attachments()?);
    ensure!(lab.told(&["install"], 0)?.contains("2 listed already") || lab.attachments()? == (0, 2));
    for id in [&known, &lost] {
        lab.end(id)?;
    }
    ensure!(lab.leases()? == (0, 0) && lab.attachments()? == (0, 0), "left: {:?}", lab.leases()?);
    lab.end(&host)
}

/// Anybody may start a process whose environment is that of an ADD, and its container id may be anything.
fn a_process_that_looks_like_an_add_holds_nothing_up() -> Result<()> {
    let lab = Lab::new()?;
    let before = lab.run(&Sandbox::new("before"))?;
    // One past us, and one that bears our mark.
    let script = "export CNI_COMMAND=ADD CNI_IFNAME=eth0 CNI_CONTAINERID=\"$(printf 'x\\033[31mred')\"\n\
                  setpriv --reuid=65534 --regid=65534 --clear-groups sleep 100000 &\n\
                  exec env CROSSFADE_DEPTH=1 setpriv --reuid=65534 --regid=65534 --clear-groups sleep 100000";
    let mut command = lab.node().command("sh");
    command.args(["-c", script]);
    let decoy = lab.node().background("decoy", &command)?;
    until("the decoys", LIMIT, || {
        let count = lab.node().run(&["sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^sleep$' || true"])?;
        Ok((count.trim() == "2").then_some(()))
    })?;
    let installed = lab.told(&["install"], 0)?;
    ensure!(!installed.contains('\u{1b}') && !installed.contains("red"), "{installed}");
    lab.end(&before)?;
    let removed = lab.told(&["uninstall"], 0)?;
    ensure!(!removed.contains('\u{1b}') && !removed.contains("red"), "{removed}");
    decoy.kill().map(drop)
}

fn the_runtimes_own_setup_counts() -> Result<()> {
    let lab = Lab::new()?;
    let refused = lab.told(&["install", "--conf-dir", "/etc/cni", "--bin-dir", "/usr/lib/cni"], 3)?;
    ensure!(refused.contains("the runtime reads /etc/cni/net.d, not /etc/cni"), "{refused}");
    ensure!(refused.contains("the runtime looks for plugins in /opt/cni/bin"), "{refused}");
    Ok(())
}
