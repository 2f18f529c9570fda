//! `crossfade-bootstrap` on a node of CRI-O, played by its stand-in ([`lab::runtime::crio::daemon`]).

#[path = "crio/leaving.rs"]
mod leaving;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::build::preflight::{NODES, Need};
use lab::case::{new_conf, old_conf, stub_new, stub_old};
use lab::host::command::{run_expecting, status_and_text};
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::Fabric;
use lab::host::node::{Daemon, Node};
use lab::install::crossfade::{BIN_DIR, CONF_DIR};
use lab::install::person;
use lab::runtime::cri::{Cri, Sandbox};
use lab::standin::stub::{Event, Gate, Reply, StubDir};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES];
/// Ten times what `install` takes when nothing holds it up.
const STILL_WAITS: Duration = Duration::from_secs(15);
/// Where this CRI-O looks for plugins, which is none of the usual places.
const PLUGINS: &str = "/opt/cni/of-crio";
/// CRI-O's configuration; /etc is not the node's own.
const CONFIG: &str = "/run/crio.conf";
const POLICY: &str = "/etc/crossfade/policy.json";
/// The name of the network that the node has.
const NAME: &str = "oldnet";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            install_goes_by_crios_configuration_and_refuses_without_the_networks_name,
            install_waits_until_crio_has_read_our_conf,
            flip_is_not_confirmed_before_crio_has_read_our_conf,
            pods_of_before_are_crios_to_delete_and_do_not_block_uninstall,
            a_network_that_joined_outlives_crio_and_goes_with_the_one_del,
            uninstall_waits_until_crio_has_read_the_directory_without_our_conf,
            leaving::graduate_waits_for_the_last_sandbox_that_crio_replays,
        ]
    })
}

/// A node with CRI-O, two networks of stubs, and a policy; Crossfade is not there.
struct Lab {
    fabric: Fabric,
    stubs: StubDir,
    cri: Cri,
    socket: PathBuf,
    crio: Option<Daemon>,
}

impl Lab {
    fn new() -> Result<Lab> {
        let fabric = Fabric::new(1)?;
        let node = fabric.node(1);
        fs::create_dir_all(node.outside(BIN_DIR))?;
        let stubs = StubDir::on(node, PLUGINS)?;
        stubs.write("stub-old", &stub_old())?;
        stubs.write("stub-new", &stub_new())?;
        let conf = |file: &str| format!("{CONF_DIR}/{file}");
        let mut old = old_conf();
        old["cniVersion"] = json!("1.0.0");
        node.write(conf("10-old.conflist"), old.to_string())?;
        node.write(conf("20-new.conflist"), new_conf().to_string())?;
        let policy = json!({
            "version": 1,
            "networks": {
                "old": { "conf": [conf("10-old.conflist")], "secondary": "works" },
                "new": { "conf": [conf("20-new.conflist")], "secondary": "works" },
            },
            "attach": "old",
        });
        node.write(POLICY, policy.to_string())?;
        // The machine may have a containerd of its own.
        node.write(
            "/etc/crossfade/node.json",
            json!({"version": 1, "runtime": {"name": "cri-o"}}).to_string(),
        )?;
        let command = format!("/usr/bin/crio --config={CONFIG} --config-dir=/run/crio.conf.d");
        node.write("/run/systemd/system/crio.service", format!("[Service]\nExecStart={command}\n"))?;
        node.scratch().install(&lab::build::dist::crossfade()?, "packaged")?;
        let socket = node.scratch().join("crio.sock");
        let cri = Cri::new(&socket)?;
        Ok(Lab { stubs, cri, socket, crio: None, fabric })
    }

    /// One that is configured with the network's name, and runs.
    fn ready() -> Result<Lab> {
        let mut lab = Lab::new()?;
        lab.start(true)?;
        Ok(lab)
    }

    fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    /// Configures CRI-O, and starts it anew.
    fn start(&mut self, named: bool) -> Result<()> {
        let name = if named { NAME } else { "" };
        let config = format!(
            "[crio.api]\nlisten = '{}'\n[crio.network]\nnetwork_dir = '{CONF_DIR}/'\nplugin_dirs = ['{PLUGINS}']\ncni_default_network = '{name}'\n",
            self.socket.display()
        );
        self.node().write(CONFIG, config)?;
        if let Some(crio) = self.crio.take() {
            crio.kill()?;
        }
        let mut command = self.node().command(lab::build::dist::lab_bin("lab-crio")?);
        command.arg("--listen").arg(&self.socket).args([
            "--cni-config-dir",
            CONF_DIR,
            "--cni-plugin-dir",
            PLUGINS,
        ]);
        if named {
            command.args(["--cni-default-network", NAME]);
        }
        let mut crio = self.node().background("crio", &command)?;
        until("CRI-O's answer", LIMIT, || {
            if let Some(status) = crio.ended()? {
                bail!("it ended with {status}: {}", fs::read_to_string(crio.log())?);
            }
            Ok(self.cri.network_ready().ok())
        })?;
        self.crio = Some(crio);
        Ok(())
    }

    /// Lets CRI-O do nothing while `act` is done.
    fn stopped<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        let crio = self.crio.as_ref().context("CRI-O runs")?;
        crio.signal(Signal::SIGSTOP)?;
        let done = act();
        crio.resume()?;
        Ok(done)
    }

    fn bootstrap(&self, verb: &[&str]) -> Result<Command> {
        let mut command = person::bootstrap(self.node(), verb)?;
        if verb[0] == "install" {
            command.arg("--plugin").arg(self.node().scratch().join("packaged"));
            command.arg("--runtime-endpoint").arg(format!("unix://{}", self.socket.display()));
        }
        Ok(command)
    }

    /// Runs a command that must end so, and returns what it said.
    fn run_expecting(&self, verb: &[&str], status: i32) -> Result<String> {
        run_expecting(&mut self.bootstrap(verb)?, status)
    }

    fn run(&self, name: &str) -> Result<String> {
        self.cri.run_sandbox(&Sandbox::new(name))
    }

    /// The stubs' calls of this verb.
    fn calls(&self, verb: &str) -> Result<Vec<String>> {
        let all = self.stubs.log().events()?.into_iter();
        let calls = all.filter_map(|event| match event {
            Event::Call(call) if call.verb() == verb => Some(call.brief()),
            Event::Call(_) | Event::Spawned { .. } => None,
        });
        Ok(calls.collect())
    }

    /// How many attachments are through us.
    fn records(&self) -> Result<usize> {
        let text: Value =
            serde_json::from_str(&self.run_expecting(&["attachments", "--output", "json"], 0)?)?;
        let all = text["attachments"].as_array().context("attachments")?;
        Ok(all.iter().filter(|line| line["life"] != "inventory").count())
    }

    /// Whether CRI-O has taken over a conf of ours: the next pod has a record.
    fn expect_through_us(&self, name: &str) -> Result<()> {
        let before = self.records()?;
        self.run(name)?;
        ensure!(self.records()? == before + 1, "pod {name} passed us");
        Ok(())
    }
}

fn install_goes_by_crios_configuration_and_refuses_without_the_networks_name() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.start(false)?;
    let refused = lab.run_expecting(&["install"], 3)?;
    ensure!(refused.contains("cni_default_network = \"oldnet\""), "{refused}");
    ensure!(!lab.node().outside(CONF_DIR).join("01-crossfade.conflist").exists(), "half installed");
    lab.start(true)?;
    lab.run_expecting(&["install"], 0)?;
    let plugin = |dir: &str| lab.node().outside(dir).join("crossfade").exists();
    ensure!(plugin(PLUGINS) && !plugin(BIN_DIR), "the plugin is not where CRI-O looks, or elsewhere, too");
    lab.expect_through_us("after")?;
    // A conf that sorts first is not used, for CRI-O is configured with our name.
    let mut other = new_conf();
    other["name"] = json!("other");
    lab.node().write(format!("{CONF_DIR}/00-other.conflist"), other.to_string())?;
    // No watch runs here, and that is all that is wrong.
    let status = lab.run_expecting(&["status"], 3)?;
    ensure!(!status.contains("sorts before") && status.contains("1 problem"), "{status}");
    lab.expect_through_us("named")
}

/// CRI-O sends the DEL of such a pod past us, whether we are there or have left; it is asked for its name to know.
fn pods_of_before_are_crios_to_delete_and_do_not_block_uninstall() -> Result<()> {
    let lab = Lab::ready()?;
    let before = lab.run("before")?;
    lab.run_expecting(&["install"], 0)?;
    let text: Value = serde_json::from_str(&lab.run_expecting(&["attachments", "--output", "json"], 0)?)?;
    ensure!(text["attachments"][0]["deletedBy"] == "runtime", "{text}");
    let shown = lab.run_expecting(&["attachments"], 0)?;
    ensure!(shown.contains("the runtime sends its DEL"), "{shown}");
    let since = lab.run("since")?;
    let refused = lab.run_expecting(&["uninstall"], 3)?;
    ensure!(
        refused.contains("1 attachments would lose their DEL") && !refused.contains(&before),
        "{refused}"
    );
    lab.cri.stop(&since)?;
    lab.cri.remove(&since)?;
    lab.stubs.log().clear()?;
    let planned = lab.run_expecting(&["uninstall", "--purge", "--dry-run"], 0)?;
    ensure!(planned.contains("zz-crossfade-leaving.conflist lies beside it"), "{planned}");
    let done = lab.run_expecting(&["uninstall", "--purge"], 0)?;
    ensure!(done == planned, "the dry run said {planned}, what ran {done}");
    lab.cri.stop(&before)?;
    lab.cri.remove(&before)?;
    let dels: Vec<String> = lab.calls("DEL")?;
    ensure!(dels == ["stub-old DEL eth0"], "one DEL, from CRI-O: {dels:?}");
    Ok(())
}

/// CRI-O replays the conf of the ADD in each CHECK and DEL, and collects garbage when it starts: the network that joined meanwhile is in the record alone.
fn a_network_that_joined_outlives_crio_and_goes_with_the_one_del() -> Result<()> {
    let mut lab = Lab::ready()?;
    lab.run_expecting(&["install"], 0)?;
    let pod = lab.run("pod")?;
    let netns = Path::new("/run/netns").join(&pod);
    // The interface that the stub's result names.
    for line in [
        "link add eth0 type veth peer name peer",
        "address add 10.1.0.5/32 dev eth0",
        "link set eth0 up",
        "route add 10.255.255.1 dev eth0",
        "route add default via 10.255.255.1 dev eth0",
    ] {
        let words: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
        lab.node().run_in(&netns, &words)?;
    }
    let mut policy: Value = serde_json::from_slice(&fs::read(lab.node().outside(POLICY))?)?;
    policy["attach"] = json!("both");
    policy["both"] = json!({ "primary": "old", "defaultRoute": "old" });
    lab.node().write(POLICY, policy.to_string())?;
    lab.stubs.log().clear()?;
    person::change_network(lab.node(), PLUGINS, "JOIN", &pod, &netns)?;
    ensure!(lab.calls("ADD")? == ["stub-new ADD net1"], "{:?}", lab.calls("ADD")?);

    lab.restart(NAME)?;
    let checks = until("the CHECKs of its start", LIMIT, || {
        let checks = lab.calls("CHECK")?;
        Ok((checks.len() == 2).then_some(checks))
    })?;
    ensure!(checks == ["stub-old CHECK eth0", "stub-new CHECK net1"], "{checks:?}");
    ensure!(lab.records()? == 1, "its start has closed the attachment");
    lab.cri.stop(&pod)?;
    lab.cri.remove(&pod)?;
    let dels = lab.calls("DEL")?;
    ensure!(dels == ["stub-old DEL eth0", "stub-new DEL net1"], "{dels:?}");
    ensure!(lab.records()? == 0, "a record is left");
    Ok(())
}

/// What CRI-O attaches with the conf that it still holds is attached through us: it would lose its plugin.
fn uninstall_waits_until_crio_has_read_the_directory_without_our_conf() -> Result<()> {
    let lab = Lab::ready()?;
    lab.run_expecting(&["install"], 0)?;
    let gate = Gate::closed(&lab.node().dir().join("gate"))?;
    let versions = json!({"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]});
    lab.stubs.write("stub-old", &stub_old().on("VERSION", Reply::json(&versions).behind(&gate)))?;
    let before = lab.calls("VERSION")?.len();
    // CRI-O watches the directory of plugins as well: it reads anew, finds our conf, and is held up before it comes to our plugin.
    lab.stubs.write("stub-new", &stub_new())?;
    until("a question while our conf is there", LIMIT, || {
        Ok((lab.calls("VERSION")?.len() > before).then_some(()))
    })?;
    let conf = lab.node().outside(CONF_DIR).join("01-crossfade.conflist");
    std::thread::scope(|scope| -> Result<()> {
        let uninstall = scope.spawn(|| status_and_text(&mut lab.bootstrap(&["uninstall", "--purge"])?));
        until("our conf's removal", LIMIT, || Ok((!conf.exists()).then_some(())))?;
        let late = lab.run("late");
        let finished =
            until("the end of uninstall", STILL_WAITS, || Ok(uninstall.is_finished().then_some(()))).is_ok();
        gate.open()?;
        let Ok(ended) = uninstall.join() else { bail!("uninstall panicked") };
        let (status, text) = ended?;
        ensure!(!finished, "uninstall did not wait until CRI-O had read the directory: {text}");
        ensure!(status == Some(75) && text.contains("is back"), "{text}");
        let late = late?;
        lab.cri.stop(&late)?;
        lab.cri.remove(&late)?;
        Ok(())
    })?;
    until("the conf that is back", LIMIT, || {
        let status = lab.bootstrap(&["status"])?.output()?;
        Ok(String::from_utf8_lossy(&status.stdout).contains("installed     yes").then_some(()))
    })?;
    lab.run_expecting(&["uninstall", "--purge"], 0)?;
    let left: Vec<_> = fs::read_dir(lab.node().outside(CONF_DIR))?.flatten().map(|e| e.file_name()).collect();
    ensure!(!left.iter().any(|name| name.to_string_lossy().contains("crossfade")), "{left:?}");
    Ok(())
}

/// CRI-O asks the plugins of all confs before it takes one over; until then pods pass us, and nothing says otherwise.
fn install_waits_until_crio_has_read_our_conf() -> Result<()> {
    let lab = Lab::ready()?;
    let gate = Gate::closed(&lab.node().dir().join("gate"))?;
    let versions = json!({"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]});
    lab.stubs.write("stub-old", &stub_old().on("VERSION", Reply::json(&versions).behind(&gate)))?;
    let questions = || -> Result<usize> {
        let all = lab.stubs.log().events()?;
        let is_it = |event: &Event| matches!(event, Event::Call(call) if call.brief().starts_with("stub-old VERSION"));
        Ok(all.iter().filter(|event| is_it(event)).count())
    };
    let before = questions()?;
    std::thread::scope(|scope| -> Result<()> {
        let install = scope.spawn(|| lab.run_expecting(&["install"], 0));
        until("the question behind our conf", LIMIT, || Ok((questions()? > before).then_some(())))?;
        let past = lab.run("past");
        let finished =
            until("the end of install", STILL_WAITS, || Ok(install.is_finished().then_some(()))).is_ok();
        gate.open()?;
        let Ok(text) = install.join() else { bail!("install panicked") };
        let text = text?;
        past?;
        ensure!(!finished, "install did not wait until CRI-O had read our conf: {text}");
        ensure!(text.contains("1 attachments"), "the pod that passed us is not listed: {text}");
        Ok(())
    })?;
    lab.expect_through_us("after")
}

/// A flip is of no use to pods that pass us: it is made, and said not to be confirmed.
fn flip_is_not_confirmed_before_crio_has_read_our_conf() -> Result<()> {
    let lab = Lab::ready()?;
    lab.run_expecting(&["install"], 0)?;
    lab.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
    // Its conf is written anew, as an upgrade does, while CRI-O does nothing.
    let path = format!("{CONF_DIR}/01-crossfade.conflist");
    let conf = fs::read(lab.node().outside(&path))?;
    let text = lab.stopped(|| {
        lab.node().write(&path, conf)?;
        lab.run_expecting(&["policy", "set", "both-old", "--runtime"], 75)
    })??;
    ensure!(text.contains("new -> both-old") && text.contains("not confirmed"), "{text}");
    until("CRI-O's reading", LIMIT, || {
        Ok((lab.bootstrap(&["policy", "set", "both-old"])?.output()?.status.success()).then_some(()))
    })?;
    lab.expect_through_us("both")
}
