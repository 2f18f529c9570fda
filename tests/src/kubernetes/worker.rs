//! A node of the cluster: containerd, kubelet and kube-proxy in a node of the lab.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::control::{ControlPlane, User};
use super::programs::GARBAGE;
use super::{DNS, DOMAIN, PODS};
use crate::host::node::{Daemon, Node, PATH};
use crate::install::crossfade::POLICY;
use crate::runtime::containerd::{Containerd, Options};
use crate::standin::systemd_run;
use crate::{host::isolate, install::package};

/// kubelet's own files, as the node sees them.
pub(super) const KUBELET: &str = "/etc/kubernetes";
/// Where kubelet takes pods from that no API server knows, as the node sees it.
pub const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// kubelet's credential, as the node sees it.
pub const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// kubelet's configuration, as the node sees it.
const CONFIG: &str = "/etc/kubernetes/kubelet.json";
/// Since this release kubelet knows one kind of runtime, and has no flag for it.
pub(super) const ONE_KIND_OF_RUNTIME: u32 = 27;
/// What kubelet sets for the whole machine, unless it finds it so. *Source*: `setupKernelTunables` of kubelet's container manager.
pub(super) const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Ends every process of the node but its init, and takes away what was in memory: mounts of pods below `$1` and kubelet's directory, the
/// runtime's state in `$1`, the pods' network namespaces, and what Crossfade keeps in /run.
const POWER_OFF: &str = r#"set -e
kill -KILL -1 2>/dev/null || true # On a node without pods nothing is left to kill.
mapfile -t mounts < <(awk -v state="$1/" 'index($2, state) == 1 || index($2, "/var/lib/kubelet/pods/") == 1 {print $2}' /proc/mounts | sort -r)
for mount in "${mounts[@]}"; do umount --lazy "$mount"; done
ip -all netns delete
iptables-save -t nat | grep -v CNI- | iptables-restore -T nat # The kernel would forget what leads a port to a pod that is gone.
find "$1" -mindepth 1 -delete
rm -rf /run/crossfade"#;
/// Takes away what a node has on its disk beside its settings: leases, kubelet's state, and Crossfade's records.
const WIPE: &str = "find /var/lib/cni /var/lib/kubelet /var/lib/crossfade -mindepth 1 -delete";

/// A node with everything on it; what runs on it ends when it is dropped, its pods with the node.
#[derive(Debug)]
pub struct Worker {
    pub node: Node,
    /// Its runtime.
    pub containerd: Containerd,
    kubelet: Option<Daemon>,
    proxy: Option<Daemon>,
    watch: Option<Daemon>,
    /// The `PATH` of `watch`.
    path: String,
    /// The end of kubelet's own command line.
    own_words: Vec<String>,
    /// An archive.
    images: PathBuf,
    _settings: TempDir,
    /// What came after it at its last start.
    last_words: Vec<String>,
    programs: super::Programs,
}

impl Worker {
    /// Lays out a node's files; nothing runs yet. Its runtime will have the images of `archive`.
    ///
    /// # Errors
    /// What the file system or the kernel says.
    pub fn prepare(node: &Node, plane: &ControlPlane, archive: &Path) -> Result<Worker> {
        let containerd = Containerd::prepare(node, &Options::default())?;
        spare_the_machine(node, &TUNABLES)?;
        masquerade(node)?;
        let settings = settings_on_disk(node)?;
        let worker = Worker {
            node: node.clone(),
            containerd,
            kubelet: None,
            proxy: None,
            watch: None,
            path: PATH.to_owned(),
            own_words: Vec::new(),
            images: archive.to_path_buf(),
            _settings: settings,
            last_words: Vec::new(),
            programs: plane.programs().clone(),
        };
        fs::create_dir_all(node.outside(STATIC_PODS)).context("the directory of static pods")?;
        node.write(Path::new(KUBELET).join("ca.pem"), plane.authority.certificate())?;
        node.write(Path::new(KUBELET).join("resolv.conf"), "")?;
        node.write(KUBECONFIG, plane.kubeconfig(User::Kubelet(node.name()))?.to_string())?;
        node.write(CONFIG, worker.config()?.to_string())?;
        let proxy = plane.kubeconfig(User::Component("system:kube-proxy"))?;
        node.write(Path::new(KUBELET).join("proxy.conf"), proxy.to_string())?;
        node.write(Path::new(KUBELET).join("proxy.json"), proxy_config(node.name()).to_string())?;
        Ok(worker)
    }

    /// The name of its Node.
    pub fn name(&self) -> &str {
        self.node.name()
    }

    fn start_runtime(&mut self) -> Result<()> {
        self.containerd.begin()?;
        self.containerd.import_images(&self.images)
    }

    /// Puts Crossfade on the node as an image has it, in private mode, with this policy and these keys of node.json beside those that
    /// every node of a cluster has. kubelet gets `words` at the end of its own command line. Nothing runs yet.
    ///
    /// # Errors
    /// The programs are not built, or what the generator says.
    pub fn bake(&mut self, policy: &Value, more: Value, words: &[&str]) -> Result<()> {
        self.own_words = words.iter().map(|word| (*word).to_owned()).collect();
        let command = self.kubelet_line();
        let mut settings =
            json!({ "desired": "node-annotation", "allowed": ["old", "both-old", "both-new", "new"] });
        if let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) {
            settings.extend(more);
        }
        self.node.write(POLICY, policy.to_string())?;
        package::bake_with_kubelet(&self.node, &self.containerd, &command, settings)
    }

    /// Boots a node of such an image: what its units run, in their order, with runtime and kubelet between them.
    ///
    /// # Errors
    /// What `crossfade-bootstrap` says, or the runtime does not start.
    pub fn boot(&mut self) -> Result<()> {
        package::run(&self.node, &["unit", "boot"])?;
        package::run(&self.node, &["unit", "render", "--runtime"])?;
        self.containerd.start_with(&package::told_config(&self.node)?);
        self.start_runtime()?;
        self.start_watch()?;
        package::run(&self.node, &["unit", "gate"])?;
        package::run(&self.node, &["unit", "render"])?;
        self.start_kubelet(&package::kubelet_words(&self.node)?)?;
        self.start_proxy()
    }

    /// Starts a node on which nothing of Crossfade's is: its runtime, kubelet and kube-proxy.
    ///
    /// # Errors
    /// One of them is missing, or the runtime does not start.
    pub fn join(&mut self) -> Result<()> {
        let command = self.kubelet_line();
        package::units(&self.node, &self.containerd, &command)?;
        self.start_runtime()?;
        self.start_kubelet(&[])?;
        self.start_proxy()
    }

    /// kubelet's own command line.
    fn kubelet_line(&self) -> String {
        [vec![self.programs.path("kubelet").display().to_string()], self.kubelet_command()].concat().join(" ")
    }

    /// Gives the node a `systemd-run`, so that `watch` starts units from its next start on.
    ///
    /// # Errors
    /// What the disk says.
    pub fn give_systemd_run(&mut self) -> Result<()> {
        self.path = systemd_run::write(&self.node.dir().join("systemd"))?;
        Ok(())
    }

    /// Starts `watch`, as its unit does; one that runs is ended.
    ///
    /// # Errors
    /// The node is gone, or the one that runs does not end.
    pub fn start_watch(&mut self) -> Result<()> {
        self.stop_watch()?;
        let mut command = self.node.command(package::program());
        command.args(["unit", "watch"]).env("PATH", &self.path);
        self.watch = Some(self.node.background("watch", &command)?);
        Ok(())
    }

    /// Ends `watch`, if it runs.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop_watch(&mut self) -> Result<()> {
        let Some(mut watch) = self.watch.take() else { return Ok(()) };
        if watch.ended()?.is_some() {
            return Ok(()); // Switched off, it ends by itself.
        }
        watch.terminate().map(drop)
    }

    /// Starts kubelet, with these words at the end of its command line.
    ///
    /// # Errors
    /// It is missing.
    pub fn start_kubelet(&mut self, last: &[String]) -> Result<()> {
        let mut command = self.node.command(self.programs.path("kubelet"));
        command.env(GARBAGE.0, GARBAGE.1);
        command.args(self.kubelet_command()).args(last);
        self.last_words = last.to_vec();
        self.kubelet = Some(self.node.background("kubelet", &command)?);
        Ok(())
    }

    /// Starts kubelet with the words of its last start.
    ///
    /// # Errors
    /// As [`Worker::start_kubelet`].
    pub fn start_kubelet_again(&mut self) -> Result<()> {
        let words = self.last_words.clone();
        self.start_kubelet(&words)
    }

    /// Cuts the node off the wire and kills what it runs, as when a machine loses its power.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn crash(mut self) -> Result<()> {
        self.node.run(&["ip", "link", "set", "eth0", "down"])?;
        // kubelet first, which would note that its runtime is gone.
        let daemons = [self.kubelet.take(), self.watch.take(), self.proxy.take()];
        daemons.into_iter().flatten().try_for_each(|daemon| daemon.kill().map(drop))?;
        self.containerd.kill()
    }

    /// Kills everything that runs on the node, its pods too, and takes away what a machine has in memory alone. Its disk stays.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn power_off(&mut self) -> Result<()> {
        let daemons = [self.kubelet.take(), self.watch.take(), self.proxy.take()];
        daemons.into_iter().flatten().try_for_each(|daemon| daemon.kill().map(drop))?;
        self.containerd.kill()?;
        let state = self.containerd.state();
        let line = ["bash", "-c", POWER_OFF, "power-off", &state.to_string_lossy()];
        self.node.run(&line).map(drop)
    }

    /// Gives the node an empty disk and another Crossfade, as [`Worker::bake`] does: a new machine of the same name. It is off.
    ///
    /// # Errors
    /// As [`Worker::bake`].
    pub fn replace(&mut self, policy: &Value, more: Value) -> Result<()> {
        self.containerd.wipe()?;
        self.node.run(&["bash", "-c", WIPE])?;
        self.bake(policy, more, &[])
    }

    /// Boots the node once more, with this boot id.
    ///
    /// # Errors
    /// As [`Worker::boot`].
    pub fn boot_again(&mut self, boot_id: &str) -> Result<()> {
        self.node.reboot_id(boot_id)?;
        self.boot()
    }

    /// Ends kubelet; its pods run on.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop_kubelet(&mut self) -> Result<()> {
        self.kubelet.take().context("kubelet does not run")?.terminate().map(drop)
    }

    fn start_proxy(&mut self) -> Result<()> {
        let mut command = self.node.command(self.programs.path("kube-proxy"));
        command.env(GARBAGE.0, GARBAGE.1);
        command.arg(format!("--config={KUBELET}/proxy.json"));
        self.proxy = Some(self.node.background("kube-proxy", &command)?);
        Ok(())
    }

    fn kubelet_command(&self) -> Vec<String> {
        let mut words = vec![
            format!("--config={CONFIG}"),
            format!("--kubeconfig={KUBECONFIG}"),
            format!("--hostname-override={}", self.node.name()),
            format!("--node-ip={}", self.node.address()),
            format!("--container-runtime-endpoint=unix://{}", self.containerd.socket().display()),
            "--runtime-cgroups=/".to_owned(),
            "--v=2".to_owned(),
        ];
        if self.programs.minor() < ONE_KIND_OF_RUNTIME {
            words.push("--container-runtime=remote".to_owned());
        }
        words.extend(self.own_words.iter().cloned());
        words
    }

    fn config(&self) -> Result<Value> {
        let mut config = kubelet_config();
        config["cgroupDriver"] = json!("cgroupfs");
        config["cgroupRoot"] = json!(cgroup_root(&self.node)?);
        config["enforceNodeAllocatable"] = json!(["pods"]);
        Ok(config)
    }
}

/// A KubeletConfiguration, but for cgroups.
pub(super) fn kubelet_config() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": format!("{KUBELET}/ca.pem") },
        },
        "authorization": { "mode": "Webhook" },
        "clusterDNS": [DNS], "clusterDomain": DOMAIN,
        "resolvConf": format!("{KUBELET}/resolv.conf"),
        "staticPodPath": STATIC_PODS,
        "failSwapOn": false,
        // The machine's disk and memory are not this node's.
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "1s",
        "fileCheckFrequency": "1s",
        "syncFrequency": "10s",
        "volumePluginDir": "/var/lib/kubelet/plugins/exec",
    })
}

/// A KubeProxyConfiguration for the node of this name.
pub(super) fn proxy_config(node: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": format!("{KUBELET}/proxy.conf") },
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": node,
        "bindAddress": "0.0.0.0",
        // Of the whole machine.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

/// Shows the node these settings of the machine, below `/proc/sys`, as a program wants them: it leaves them alone, or writes to the node's own.
pub(super) fn spare_the_machine(node: &Node, settings: &[(&str, &str)]) -> Result<()> {
    let dir = node.scratch().dir("tunables")?;
    for (setting, value) in settings {
        let file = dir.join(setting.replace('/', "-"));
        fs::write(&file, format!("{value}\n")).with_context(|| format!("writing {}", file.display()))?;
        let target = PathBuf::from("/proc/sys").join(setting);
        node.run(&["mount".as_ref(), "--bind".as_ref(), file.as_os_str(), target.as_os_str()])?;
    }
    Ok(())
}

/// Puts the node's settings onto the machine's disk: a phase that the cluster asks for must outlive a reboot, so `crossfade-bootstrap`
/// refuses to write one into memory, where the rest of a node lies.
///
/// Below `/var/cache`, which a node shares with the machine; a checkout below `/tmp` is often in memory as well.
fn settings_on_disk(node: &Node) -> Result<TempDir> {
    let readable = fs::Permissions::from_mode(0o755);
    let dir = tempfile::Builder::new()
        .prefix("crossfade-lab-settings-")
        .permissions(readable)
        .tempdir_in("/var/cache")
        .context("a directory in /var/cache")?;
    let target = Path::new("/etc/crossfade");
    node.run(&["mount".as_ref(), "--bind".as_ref(), dir.path().as_os_str(), target.as_os_str()])?;
    Ok(dir)
}

/// What pods say to a node or to the API server comes from their node's address: nothing outside has a route to a pod.
fn masquerade(node: &Node) -> Result<()> {
    let rule =
        ["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", PODS, "!", "-d", PODS, "-j", "MASQUERADE"];
    node.run(&rule).map(drop)
}

/// Makes the cgroup that kubelet puts the node's pods into, and names it: below the lab's, which sweeps it.
fn cgroup_root(node: &Node) -> Result<String> {
    let root = format!(
        "{}/{}",
        isolate::cgroup_parent()?,
        node.dir().file_name().unwrap_or_default().to_string_lossy()
    );
    isolate::make_cgroup(&root)?;
    Ok(root)
}
