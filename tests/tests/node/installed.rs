//! `crossfade-bootstrap` on a node whose pods run already, with a real containerd.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::{BIN_DIR, OURS};
use lab::runtime::containerd::Release;
use lab::runtime::cri::Sandbox;
use lab::scene::{Scene, Setup};
use lab::standin::stub::{CallLog, Gate, Reply, Stub, StubDir};
use serde_json::json;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            running_pods_are_taken_over,
            a_pod_in_the_middle_of_its_add_is_not_missed,
            what_the_runtime_forgot_is_swept,
            what_ended_with_an_earlier_boot_is_swept_though_it_is_listed,
            what_the_cache_does_not_know_is_a_refusal,
            a_process_that_looks_like_an_add_holds_nothing_up,
            the_runtimes_own_setup_counts,
            a_node_that_is_switched_off_is_left_alone,
        ]
    })
}

/// A node with pods on its only network; a policy is there, Crossfade is not.
fn running() -> Result<Scene> {
    let scene = Setup::bare().packaged().start()?;
    scene.crossfade.policy(json!({ "attach": "old", "gc": { "graceSeconds": 0 } }))?;
    Ok(scene)
}

/// Ends what runs in a sandbox behind the runtime's back, as a reboot does.
fn end_task(lab: &Scene, id: &str) -> Result<()> {
    lab::host::command::run(&mut lab.containerd.ctr(&["tasks", "kill", "--signal", "SIGKILL", id])).map(drop)
}

/// One pass of the sweep to which everything that is recorded is of an earlier boot.
fn swept_in_another_boot(lab: &Scene) -> Result<String> {
    let boot_id = lab.node().scratch().join("boot_id");
    std::fs::write(&boot_id, "11111111-2222-4333-8444-555555555555\n")?;
    let script = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$@\"", boot_id.display());
    let mut command = lab.node().command("unshare");
    command.args(["--mount", "sh", "-c", &script, "another-boot"]).arg(lab::build::dist::bootstrap()?);
    command::run_expecting(
        command.args(["unit", "sweep", "--runtime-endpoint"]).arg(lab.containerd.socket()),
        0,
    )
}

/// The conf of the new network comes.
fn new_arrives(lab: &Scene) -> Result<()> {
    lab.crossfade.network(&lab.new, &lab.new.conflist(1))
}

/// Runs a pod on a network that nothing holds up.
fn run_through_us(lab: &Scene) -> Result<String> {
    new_arrives(lab)?;
    lab.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
    lab.run("next")
}

/// Puts a stub at the end of old's chain that holds every ADD until the gate opens.
fn hold(lab: &Scene, gate: &Gate) -> Result<CallLog> {
    let stubs = StubDir::on(lab.node(), BIN_DIR)?;
    stubs.write("hold", &Stub::answering(Reply::pass().behind(gate)))?;
    lab.crossfade.network(&lab.old, &lab.old.conflist_with(1, &["hold"]))?;
    Ok(stubs.log())
}

fn running_pods_are_taken_over() -> Result<()> {
    let lab = running()?;
    let before = [lab.cri().run_sandbox(&Sandbox::new("exposed").exposed(18080))?, lab.run("plain")?];
    let addresses = lab.old.leases(lab.node())?;
    let planned = lab.run_expecting(&["install", "--dry-run"], 0)?;
    ensure!(lab.attachments()? == (0, 0), "a dry run changed something");
    let applied = lab.run_expecting(&["install"], 0)?;
    let lines = |text: &str| text.lines().filter(|l| !l.starts_with("note")).map(str::to_owned).collect();
    let (planned, applied): (Vec<_>, Vec<_>) = (lines(&planned), lines(&applied));
    ensure!(planned == applied, "planned {planned:#?}, applied {applied:#?}");
    ensure!(lab.attachments()? == (0, 2), "{:?}", lab.attachments()?);
    ensure!(lab.old.leases(lab.node())? == addresses, "running pods were touched");
    let again = lab.run_expecting(&["install"], 0)?;
    ensure!(again.lines().all(|l| l.starts_with("keep") || l.starts_with("note")), "{again}");

    let after = lab.run("after")?;
    ensure!(lab.attachments()? == (1, 2), "{:?}", lab.attachments()?);
    new_arrives(&lab)?;
    // The node's own directories are in memory.
    lab.run_expecting(&["policy", "set", "both-old"], 3)?;
    lab.run_expecting(&["policy", "set", "both-old", "--runtime"], 0)?;
    let both = lab.run("both")?;
    ensure!(lab.leases()? == (4, 1), "{:?}", lab.leases()?);
    lab.run_expecting(&["uninstall"], 3)?;

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

    lab.run_expecting(&["uninstall"], 0)?;
    let bare = lab.run("bare")?;
    ensure!(lab.leases()? == (1, 0) && lab.attachments()? == (0, 0), "the conf is still used");
    lab.end(&bare)
}

/// Its ADD began under the old conf and ends after the inventory was taken; its DEL comes to us.
fn a_pod_in_the_middle_of_its_add_is_not_missed() -> Result<()> {
    let lab = running()?;
    let gate = Gate::closed(&lab.node().dir().join("gate"))?;
    let log = hold(&lab, &gate)?;
    let conf = lab.outside(OURS);
    let held = std::thread::scope(|scope| -> Result<String> {
        let held = scope.spawn(|| lab.run("held"));
        log.wait_for("hold ADD eth0", 1)?;
        let install = scope.spawn(|| lab.run_expecting(&["install"], 0));
        // The next pod comes through us while the one before us is still held. containerd 2 loads no conf meanwhile, and so makes it wait.
        let loads = lab.containerd.release() < Release(2, 0, 0);
        let next = until("our conf", LIMIT, || Ok(conf.exists().then_some(())))
            .and_then(|()| if loads { lab.expect_loaded("crossfade") } else { Ok(()) })
            .and_then(|()| if loads { run_through_us(&lab).map(Some) } else { Ok(None) });
        let waits = !install.is_finished();
        gate.open()?;
        let next = match next? {
            Some(next) => next,
            None => lab.expect_loaded("crossfade").and_then(|()| run_through_us(&lab))?,
        };
        let (Ok(held), Ok(install)) = (held.join(), install.join()) else { bail!("a caller panicked") };
        let output = install?;
        ensure!(waits, "install did not wait for the ADD that runs past us: {output}");
        ensure!(output.contains("1 attachments were made during the installation"), "{output}");
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
    let mut lab = running()?;
    let before = lab.run("before")?;
    lab.run_expecting(&["install"], 0)?;
    let after = lab.run("after")?;
    ensure!(!lab.run_expecting(&["unit", "sweep"], 0)?.contains("close"), "a living pod is swept");
    for id in [&before, &after] {
        lab.containerd.forget(id)?;
    }
    lab.containerd.restart()?;
    ensure!(lab.cri().list()?.is_empty(), "{:?}", lab.cri().list()?);
    let doubted = lab.run_expecting(&["unit", "sweep"], 75)?;
    ensure!(doubted.contains("lists no sandbox at all"), "{doubted}");
    ensure!(lab.leases()? == (2, 0), "swept by an answer that is not believed");

    let living = lab.run("living")?;
    let swept = lab.run_expecting(&["unit", "sweep"], 0)?;
    ensure!(swept.lines().filter(|line| line.starts_with("close")).count() == 2, "{swept}");
    ensure!(lab.leases()? == (1, 0) && lab.attachments()? == (1, 0), "{:?} {swept}", lab.leases()?);
    lab.end(&living)
}

/// After a reboot the runtime goes on listing what was there before it, until kubelet removes it; switched off, its DEL goes past us.
fn what_ended_with_an_earlier_boot_is_swept_though_it_is_listed() -> Result<()> {
    let lab = running()?;
    let before = lab.run("before")?;
    lab.run_expecting(&["install"], 0)?;
    let (ended, living) = (lab.run("ended")?, lab.run("living")?);
    for id in [&before, &ended] {
        end_task(&lab, id)?;
        until("the sandbox is not ready", LIMIT, || Ok((!lab.cri().status(id)?.ready).then_some(())))?;
    }
    let listed: Vec<String> = lab.cri().list()?.into_iter().map(|sandbox| sandbox.id).collect();
    ensure!(listed.len() == 3, "{listed:?}");
    let swept = lab.run_expecting(&["unit", "sweep"], 0)?;
    ensure!(!swept.contains("close"), "in its own boot the runtime owes the DEL: {swept}");

    let swept = swept_in_another_boot(&lab)?;
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

/// The result cache was wiped: pods of before would get no DEL, and it would go unnoticed.
fn what_the_cache_does_not_know_is_a_refusal() -> Result<()> {
    let lab = running()?;
    let (known, lost) = (lab.run("known")?, lab.run("lost")?);
    let mut host = Sandbox::new("host");
    host.host_network = true;
    let host = lab.cri().run_sandbox(&host)?;
    let ended = lab.run("ended")?;
    lab.cri().stop(&ended)?;
    lab.node().run(&["sh", "-c", "rm /var/lib/cni/results/*\"$1\"*", "sh", &lost])?;
    let refused = lab.run_expecting(&["install"], 3)?;
    ensure!(refused.contains(&lost) && refused.contains("default/lost"), "{refused}");
    ensure!(refused.contains("runs 1 sandboxes") && refused.contains("--uncached"), "{refused}");
    for other in [&known, &host, &ended] {
        ensure!(!refused.contains(other.as_str()), "{other} is known, has nothing, or is over: {refused}");
    }
    ensure!(
        !lab.loaded()?.contains(&"crossfade".to_owned()) && lab.attachments()? == (0, 0),
        "a refusal changed something"
    );
    lab.run_expecting(&["install", "--dry-run", "--ignore-sandbox", &lost], 0)?;
    lab.run_expecting(&["install", "--uncached", "old"], 0)?;
    ensure!(lab.attachments()? == (0, 2), "{:?}", lab.attachments()?);
    ensure!(lab.run_expecting(&["install"], 0)?.contains("2 listed already") || lab.attachments()? == (0, 2));
    for id in [&known, &lost] {
        lab.end(id)?;
    }
    ensure!(lab.leases()? == (0, 0) && lab.attachments()? == (0, 0), "left: {:?}", lab.leases()?);
    lab.end(&host)
}

/// Any user may start a process whose environment is that of an ADD, and its container id may be anything.
fn a_process_that_looks_like_an_add_holds_nothing_up() -> Result<()> {
    let lab = running()?;
    let before = lab.run("before")?;
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
    let installed = lab.run_expecting(&["install"], 0)?;
    ensure!(!installed.contains('\u{1b}') && !installed.contains("red"), "{installed}");
    lab.end(&before)?;
    let removed = lab.run_expecting(&["uninstall"], 0)?;
    ensure!(!removed.contains('\u{1b}') && !removed.contains("red"), "{removed}");
    decoy.kill().map(drop)
}

fn the_runtimes_own_setup_counts() -> Result<()> {
    let lab = running()?;
    let refused =
        lab.run_expecting(&["install", "--conf-dir", "/etc/cni", "--bin-dir", "/usr/lib/cni"], 3)?;
    ensure!(refused.contains("the runtime reads /etc/cni/net.d, not /etc/cni"), "{refused}");
    ensure!(refused.contains("the runtime looks for plugins in /opt/cni/bin"), "{refused}");
    Ok(())
}

/// `watch` would take Crossfade's conf away again, so that the node would have two owners in turn.
fn a_node_that_is_switched_off_is_left_alone() -> Result<()> {
    let lab = running()?;
    lab.node().write("/etc/crossfade/disabled", "")?;
    for arguments in [&["install"][..], &["install", "--dry-run"]] {
        let output = lab.run_expecting(arguments, 3)?;
        ensure!(output.contains("switched off: /etc/crossfade/disabled is there"), "{output}");
        ensure!(!lab.node().outside(OURS).exists() && lab.attachments()? == (0, 0), "{output}");
    }
    std::fs::remove_file(lab.node().outside("/etc/crossfade/disabled"))?;
    lab.run_expecting(&["install"], 0).map(drop)
}
