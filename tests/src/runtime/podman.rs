//! Podman as a second caller.
//!
//! Podman 4 calls CNI plugins itself, with habits of its own: VERSION first, no `K8S_POD_NAMESPACE`, one DEL, and a new
//! namespace with every start.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::build::image;
use crate::host::command;
use crate::host::node::Node;
use crate::runtime::cri::{PortMapping, Protocol};

/// A podman of its own in a node: storage, state and networks are not the machine's.
#[derive(Debug)]
pub struct Podman {
    node: Node,
    dir: PathBuf,
    conf_dir: PathBuf,
}

impl Podman {
    /// Prepares podman in a node, with the sandbox image, the networks in `conf_dir` and the plugins in `bin_dir`.
    ///
    /// Its files are in `dir()/podman` of the node, so a node has one.
    ///
    /// # Errors
    /// The image cannot be loaded; the message has podman's.
    pub fn new(node: &Node, conf_dir: &Path, bin_dir: &Path) -> Result<Podman> {
        let dir = node.scratch().dir("podman")?;
        for sub in ["root", "runroot", "tmp", "home"] {
            node.scratch().dir(Path::new("podman").join(sub))?;
        }
        let outside = node.outside(conf_dir);
        fs::create_dir_all(&outside).with_context(|| format!("creating {}", outside.display()))?;
        let write = |name: &str, text: String| {
            fs::write(dir.join(name), text).with_context(|| format!("podman's {name}"))
        };
        write("containers.conf", containers_conf(conf_dir, bin_dir))?;
        write("storage.conf", storage_conf(&dir))?;
        write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned())?;
        let podman = Podman { node: node.clone(), dir, conf_dir: conf_dir.to_path_buf() };
        let archive = podman.dir.join("pause.tar");
        image::pause_tar(&archive)?;
        let mut load = podman.command("load");
        load.arg("--quiet").arg("--signature-policy").arg(podman.dir.join("policy.json"));
        command::run(load.arg("--input").arg(&archive)).context("loading the sandbox image")?;
        Ok(podman)
    }

    /// Runs a container on a network and returns its id.
    ///
    /// # Errors
    /// Podman's, such as what the CNI plugin said.
    pub fn run(&self, name: &str, network: &str, ports: &[PortMapping]) -> Result<String> {
        let mut run = self.command("run");
        run.args(["--detach", "--name", name, "--network", network]);
        run.args(["--cgroup-parent", &crate::host::isolate::cgroup_parent()?]);
        for port in ports {
            let protocol = match port.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            run.args(["--publish", &format!("{}:{}/{protocol}", port.host_port, port.container_port)]);
        }
        let id = command::run(run.arg(image::PAUSE)).with_context(|| format!("podman run {name}"))?;
        Ok(id.trim().to_owned())
    }

    /// Stops a container; its network is taken away.
    ///
    /// # Errors
    /// Podman's.
    pub fn stop(&self, name: &str) -> Result<()> {
        // The image's sleep is pid 1 of its namespace and deaf to SIGTERM.
        command::run(self.command("stop").args(["--time", "0", name])).map(drop)
    }

    /// Starts a stopped container, with a new network.
    ///
    /// # Errors
    /// Podman's.
    pub fn start(&self, name: &str) -> Result<()> {
        command::run(self.command("start").arg(name)).map(drop)
    }

    /// Removes a container, stopping it first if it runs.
    ///
    /// # Errors
    /// Podman's.
    pub fn remove(&self, name: &str) -> Result<()> {
        command::run(self.command("rm").args(["--force", "--time", "0", name])).map(drop)
    }

    /// The container's address on a network; none while it is stopped.
    ///
    /// # Errors
    /// Podman's, or an answer that is not understood.
    pub fn ip(&self, name: &str, network: &str) -> Result<Option<IpAddr>> {
        let answer = self.inspect(name)?;
        let ip = answer["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap_or_default();
        if ip.is_empty() { Ok(None) } else { ip.parse().map(Some).context(ip.to_owned()) }
    }

    /// The container's first process as the node sees it; 0 while it is stopped.
    ///
    /// # Errors
    /// Podman's.
    pub fn pid(&self, name: &str) -> Result<i64> {
        self.inspect(name)?["State"]["Pid"].as_i64().context("State.Pid")
    }

    /// What `podman inspect` says about a container.
    ///
    /// # Errors
    /// There is no such container.
    pub fn inspect(&self, name: &str) -> Result<Value> {
        let text = command::run(self.command("inspect").args(["--type", "container", name]))?;
        let mut answer: Value = serde_json::from_str(&text).context("podman inspect")?;
        Ok(answer[0].take())
    }

    /// Any other podman command, with this instance's settings.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = self.node.command("podman");
        command.env("CONTAINERS_CONF", self.dir.join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.dir.join("storage.conf"));
        command.env("HOME", self.dir.join("home")).env("TMPDIR", self.dir.join("tmp"));
        command.arg("--tmpdir").arg(self.dir.join("tmp"));
        command.arg("--network-config-dir").arg(&self.conf_dir).arg(verb);
        command
    }
}

fn containers_conf(conf_dir: &Path, bin_dir: &Path) -> String {
    format!(
        r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{}"]
network_config_dir = "{}"
"#,
        bin_dir.display(),
        conf_dir.display()
    )
}

fn storage_conf(dir: &Path) -> String {
    let dir = dir.display();
    format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{dir}/root\"\nrunroot = \"{dir}/runroot\"\n")
}
