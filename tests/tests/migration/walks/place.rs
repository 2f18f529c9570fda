//! The place of the readers of the pages: a cluster, a node of it, and the operator's own machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use lab::build::image::{self, File};
use lab::host::fabric::Overlay;
use lab::host::node::{Daemon, Node};
use lab::host::scratch::Scratch;
use lab::install::daemonset::manifest;
use lab::kubernetes::api::node_path;
use lab::kubernetes::cnis::{Agents, Cnis};
use lab::kubernetes::operator::USER;
use lab::kubernetes::{Api, Cluster, User, Worker};
use lab::standin::agent::Agent;
use lab::standin::systemd;
use lab::walk::{Step, Walker, shell};
use lab::{build::dist, install::package};
use serde_json::{Value, json};

use crate::{cilium, flannel};

/// Where a package has the programs; a node's own PATH has the links of a package.
const PROGRAMS: &str = "/usr/libexec/crossfade";
/// The lease of a pod whose DEL never came.
const LEASE: &str = "/var/lib/cni/networks/cbr0/10.244.0.9";
/// The page that has the settings of a node.
const IN_PLACE: &str = "migrate-in-place.md";
/// Files of that page for other pairs of CNIs.
const OF_OTHERS: [&str; 2] = ["antrea.yaml", "flannel.yaml"];
/// What the lab is not, by the finding and the object.
const WAIVER: (&str, &str, &str) = ("version-kubelet", "*", "Debian's Kubernetes is older");
/// Blocks of the page that the lab carries out by other means.
const INSTALL_CILIUM: &str = "helm install cilium cilium/cilium --namespace kube-system --values cilium.yaml";
const INSTALL_PACKAGE: &str = "apt-get install ./crossfade_VERSION_amd64.deb";
/// The package's own steps for a first installation, and for its end. The lab has the settings on a disk of their own, whose directory stays.
const INSTALL: &str = "before_install; after_install";
const PURGE: &str =
    r#"rm() { command rm "$@" || [ -z "$(ls -A /etc/crossfade)" ]; }; before_removal; after_removal; purge"#;
const START_WATCH: &str = "systemctl restart crossfade-boot crossfade-watch";
const LET_AGENTS_WRITE: &str =
    "kubectl apply -f cilium-node.yaml && kubectl -n kube-system rollout restart daemonset/cilium";
/// Commands of an administrator, who has the repository.
const OF_ADMINISTRATOR: [&str; 4] = [
    "kubectl apply -f deploy/settings.yaml -f deploy/cleanup.yaml",
    "kubectl delete -f deploy/cleanup.yaml",
    "kubectl delete clusterrolebinding crossfade-finish crossfade-operator",
    "kubectl delete --ignore-not-found -f deploy/cluster/ -f deploy/settings.yaml",
];
/// The program of Crossfade's image, which is its entry point.
const PROGRAM: &str = "/usr/bin/crossfade-bootstrap";
/// What it brings to a node beside the programs, below `systemd/` of the repository.
const UNITS: [&str; 5] = [
    "/usr/lib/systemd/system/crossfade-boot.service",
    "/usr/lib/systemd/system/crossfade-watch.service",
    "/usr/lib/systemd/system/crossfade-retract.service",
    "/usr/lib/systemd/system-preset/80-crossfade.preset",
    "/usr/lib/tmpfiles.d/crossfade.conf",
];
/// Kubernetes before 1.30 refuses this field (docs/daemonset.md).
const NEW_FIELD: &str = "appArmorProfile:";
/// The directories and files that Crossfade has on a node, but for what it has set aside; the lab's own mounts stay as empty directories.
const NOTHING_OF_CROSSFADE: &str = "test \"$(ls /etc/cni/net.d)\" = 05-cilium.conflist
test -z \"$(ls -A /etc/crossfade /usr/lib/crossfade /usr/libexec/crossfade | grep -v :$)\"
test -z \"$(find /usr/bin /usr/lib/systemd /usr/lib/tmpfiles.d /opt/cni /run /etc/systemd/system -xdev -name '*crossfade*' ! -path '/run/lab*')\"
test \"$(ls -A /var/lib/crossfade)\" = set-aside";
/// Fails if a node has Flannel's interface or chains.
const NOTHING_OF_FLANNEL: &str =
    "! ip link show flannel.1 2>/dev/null && ! iptables-save | grep FLANNEL && test ! -e /run/flannel";
/// How long the waits of a run are, in seconds, unless the page says it: nodes have time, since the machine may be busy.
const LIMITS: [(&str, u32); 5] = [
    ("settleSeconds", 1),
    ("soakSeconds", 1),
    ("claimSeconds", 600),
    ("flipSeconds", 600),
    ("proveSeconds", 900),
];

/// The cluster, and what its readers have done.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
    /// The node on which root is, from 0.
    at: usize,
    /// Stand-ins of Cilium's agents.
    agents: Vec<Agent>,
    /// What runs `watch` on nodes that DaemonSets bring it to.
    systemd: Vec<Daemon>,
    /// The agents of real CNIs, a node's each; none where the networks are the lab's own.
    real: Vec<Agents>,
    /// The operator's directory.
    home: Scratch,
}

impl Place {
    /// Three nodes with Flannel's conf and pods, without Crossfade.
    pub(crate) fn new() -> Result<Self> {
        let mut cluster = Cluster::prepare(3)?;
        let networks = [cluster.old.clone(), cluster.new.clone()];
        let cnis = Cnis::find()?;
        if let Some(cnis) = &cnis {
            networks.iter().try_for_each(|overlay| cluster.fabric.remove_overlay(&overlay.name))?;
            cluster.workers.iter().try_for_each(|worker| cnis.prepare(&cluster, &worker.node))?;
        }
        cluster.each(|worker| {
            if cnis.is_none() {
                flannel::install_on(&worker.node, &networks[0])?;
            }
            worker.join()
        })?;
        let api = cluster.api()?;
        let start =
            |cnis: &Cnis| cluster.workers.iter().map(|worker| cnis.start_flannel(&api, worker)).collect();
        let real = cnis.as_ref().map_or_else(|| Ok(Vec::new()), start)?;
        cluster.workers.iter().try_for_each(|worker| api.until_ready(worker.name()).map(drop))?;
        flannel::create(&cluster)?;
        if real.is_empty() {
            cluster.workers.iter().try_for_each(|worker| flannel::annotate(&api, &worker.node))?;
        }
        let rights = dist::workspace().join("deploy/cluster/rbac-operator.yaml");
        lab::host::command::run(&mut cluster.plane.kubectl(&[
            "apply",
            "-f",
            rights.to_str().context("a path")?,
        ])?)?;
        let home = Scratch::new("operator")?;
        let place = Self { cluster, api, at: 0, agents: Vec::new(), systemd: Vec::new(), real, home };
        place.may_administer()?;
        Ok(place)
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.cluster.workers[self.at]
    }

    /// The agent of the node on which root is starts again, as its pod does.
    fn restart_cilium(&mut self) -> Result<()> {
        cilium::until_started(&self.api)?;
        self.restart_agent(self.at)
    }

    fn restart_agent(&mut self, at: usize) -> Result<()> {
        let node = &self.cluster.workers[at].node;
        match self.real.get_mut(at) {
            Some(agents) => agents.start_cilium(cilium::flags(&self.api, node.name())?),
            None => cilium::restart_agent(&self.api, node, &self.cluster.new),
        }
    }

    /// Root goes to another node.
    pub(crate) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The settings of the page, with shorter waits and [`WAIVER`].
    fn settings(&self, text: &str) -> Result<()> {
        let mut settings: Value = serde_saphyr::from_str(text).context("YAML")?;
        let object = settings.as_object_mut().context("settings")?;
        let roll = object.entry("roll").or_insert_with(|| json!({})).as_object_mut().context("roll")?;
        let limits = roll.entry("limits").or_insert_with(|| json!({})).as_object_mut().context("limits")?;
        for (limit, seconds) in LIMITS {
            limits.entry(limit).or_insert(json!(seconds));
        }
        // A test has no day for a soak.
        settings["finish"] = json!({ "soakHours": 0 });
        let (finding, object, reason) = WAIVER;
        settings["waivers"] = json!([{ "finding": finding, "object": object, "reason": reason }]);
        // JSON is YAML.
        fs::write(self.home.join("crossfade.yaml"), settings.to_string()).context("the settings")
    }

    /// A command of the operator's own, which is content.
    pub(crate) fn content(&self, name: &str) -> Result<()> {
        lab::host::scratch::install(Path::new("/bin/true"), &self.home.join(name))
    }

    /// Writes the files that the page for nodes that stay shows for this pair of CNIs, on the operator's machine and on each node.
    pub(crate) fn write_files(&mut self) -> Result<()> {
        let files =
            lab::walk::files(IN_PLACE)?.into_iter().filter(|(path, _)| !OF_OTHERS.contains(&path.as_str()));
        let (of_nodes, of_operator): (Vec<_>, Vec<_>) = files.partition(|(path, _)| path.starts_with('/'));
        of_operator.iter().try_for_each(|(path, text)| self.write(path, text))?;
        (0..self.cluster.workers.len()).try_for_each(|at| {
            self.go_to(at);
            of_nodes.iter().try_for_each(|(path, text)| self.write(path, text))
        })
    }

    /// Writes the operator's files of that page, and the manifests of `deploy/` with its settings of nodes; every node gets what their pods need.
    pub(crate) fn write_manifests(&mut self) -> Result<()> {
        let files = lab::walk::files(IN_PLACE)?;
        for (path, text) in
            files.iter().filter(|(path, _)| ["cilium.yaml", "crossfade.yaml"].contains(&&**path))
        {
            self.write(path, text)?;
        }
        let copy = format!(
            "cp -r {} . && sed -i /{NEW_FIELD}/d deploy/*.yaml",
            dist::workspace().join("deploy").display()
        );
        self.run_operator(&copy)?;
        let mut documents = manifest::documents("settings.yaml")?;
        let map =
            documents.iter_mut().find(|document| document["kind"] == "ConfigMap").context("a ConfigMap")?;
        for (path, text) in files.iter().filter(|(path, _)| path.starts_with('/')) {
            let name = Path::new(path).file_name().and_then(|name| name.to_str()).context("a name")?;
            map["data"][name] = json!(settings_of_node(path, text)?);
        }
        // JSON is YAML.
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": documents });
        fs::write(self.home.join("deploy/settings.yaml"), list.to_string()).context("settings.yaml")?;
        self.give_image()?;
        self.systemd =
            self.cluster.workers.iter().map(|worker| systemd::start(&worker.node)).collect::<Result<_>>()?;
        Ok(())
    }

    /// Crossfade on every node, in phase `old`, and the confs of both networks, as the page for nodes that stay says.
    pub(crate) fn crossfade(&mut self) -> Result<()> {
        self.write_files()?;
        self.by_hand(INSTALL_CILIUM)?;
        self.by_hand("kubectl apply -f cilium-node.yaml")?;
        for at in 0..self.cluster.workers.len() {
            self.go_to(at);
            self.by_hand(INSTALL_PACKAGE)?;
            package::run(&self.worker().node, &["install"])?;
            self.by_hand("kubectl label node n1 io.cilium.migration/cilium-default=true")?;
            self.restart_cilium()?;
            self.by_hand(START_WATCH)?;
            self.api.until(&node_path(self.cluster.workers[at].name()), "is in phase old", |node| {
                node["metadata"]["labels"]["crossfade/phase"] == "old"
            })?;
        }
        Ok(())
    }

    /// The operator may do everything.
    pub(crate) fn may_administer(&self) -> Result<()> {
        let kubeconfig = self.cluster.plane.kubeconfig(User::Admin)?;
        fs::write(self.home.join("kubeconfig"), kubeconfig.to_string()).context("a kubeconfig")
    }

    /// The operator has the rights that `finish` needs and no other, and calls the cluster `production`.
    pub(crate) fn may_finish(&self) -> Result<()> {
        let file = dist::workspace().join("deploy/cluster/rbac-finish.yaml");
        self.run_operator(&format!("kubectl apply -f {}", file.display()))?;
        for words in [
            "clusterrolebinding crossfade-finish --clusterrole=crossfade-finish",
            "clusterrolebinding crossfade-operator --clusterrole=crossfade-operator",
            "rolebinding crossfade-operator --role=crossfade-operator -n crossfade",
            // The page's own commands about Nodes and namespaces are an administrator's.
            "clusterrolebinding by-hand --clusterrole=by-hand",
        ] {
            if words.ends_with("by-hand") {
                let rules = "--verb=get,list,watch,patch,delete --resource=nodes,namespaces,pods";
                self.run_operator(&format!("kubectl create clusterrole by-hand {rules}"))?;
            }
            self.run_operator(&format!("kubectl create {words} --user={USER}"))?;
        }
        let mut kubeconfig = self.cluster.plane.kubeconfig(User::Component(USER))?;
        kubeconfig["clusters"][0]["name"] = json!("production");
        kubeconfig["contexts"][0]["context"]["cluster"] = json!("production");
        fs::write(self.home.join("kubeconfig"), kubeconfig.to_string())?;
        self.run_operator("mkdir -m 700 kept")
    }

    /// Where the agents of the old network are real, they end with their pods, or begin with them.
    pub(crate) fn flannel_runs(&mut self, runs: bool) -> Result<()> {
        let act = |agents: &mut Agents| if runs { agents.begin_flannel() } else { agents.end_flannel() };
        self.real.iter_mut().try_for_each(act)
    }

    /// Gives every node the image of the DaemonSets, as far as they need it.
    fn give_image(&self) -> Result<()> {
        let set = manifest::daemonset("host.yaml")?;
        let container = set.spec.and_then(|spec| spec.template.spec?.containers.into_iter().next());
        let name = container.and_then(|container| container.image).context("an image")?;
        let plugin = Path::new(PROGRAMS).join("crossfade");
        let programs = [(PROGRAM.into(), dist::bootstrap()?, 0o755), (plugin, dist::crossfade()?, 0o755)];
        let unit = |path: &str| (path.into(), dist::workspace().join("systemd").join(&path[1..]), 0o644);
        let files = programs.into_iter().chain(UNITS.map(unit)).map(|(path, source, mode)| {
            let content = fs::read(&source).with_context(|| source.display().to_string())?;
            Ok(File { path, content, mode })
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        let archive = self.home.join("crossfade.tar");
        fs::write(&archive, image::archive(&[&name], &[PROGRAM], &files)?).context("an image")?;
        self.cluster.workers.iter().try_for_each(|worker| {
            // As systemd leaves it: pods get the mounts of the node's.
            worker.node.run(&["mount", "--make-rshared", "/"])?;
            worker.containerd.import_images(&archive)
        })
    }

    /// No node has anything of the old network's data plane.
    pub(crate) fn is_clean(&self) -> Result<()> {
        let look = |worker: &Worker| worker.node.run(&["sh", "-ec", NOTHING_OF_FLANNEL]).map(drop);
        self.cluster.workers.iter().try_for_each(look)
    }

    /// No node has anything of Crossfade's.
    pub(crate) fn is_left(&self) -> Result<()> {
        let look = |worker: &Worker| worker.node.run(&["sh", "-exc", NOTHING_OF_CROSSFADE]).map(drop);
        self.cluster.workers.iter().try_for_each(look)
    }

    /// Each pod of the applications, by its UID, with how often its containers were started again.
    pub(crate) fn pods(&self) -> Result<Vec<[String; 2]>> {
        let pods = self.api.list("/api/v1/namespaces/web/pods")?;
        let pod = |pod: &Value| {
            [&pod["metadata"]["uid"], &pod["status"]["containerStatuses"][0]["restartCount"]]
                .map(Value::to_string)
        };
        let mut pods: Vec<_> = pods.iter().map(pod).collect();
        pods.sort();
        Ok(pods)
    }

    /// Runs kubectl as an administrator who has the manifests.
    fn administer(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let mut kubectl = self.cluster.plane.kubectl(&words)?;
        lab::host::command::run(kubectl.current_dir(self.home.path()))
            .map(drop)
            .with_context(|| line.to_owned())
    }

    /// Runs a command of the operator's.
    fn run_operator(&self, line: &str) -> Result<()> {
        lab::host::command::run(&mut self.operator(line)?).map(drop).with_context(|| line.to_owned())
    }

    fn operator(&self, line: &str) -> Result<Command> {
        let kubectl = self.cluster.plane.programs().path("kubectl");
        let parent_dir = |path: &Path| path.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
        let mut command = Command::new("bash");
        command.env_clear().current_dir(self.home.path()).env("HOME", self.home.path());
        command.env(
            "PATH",
            format!("{}:{}:{}", parent_dir(&kubectl), parent_dir(&dist::kubectl()?), lab::host::node::PATH),
        );
        command.env("KUBECONFIG", self.home.join("kubeconfig")).env("XDG_STATE_HOME", self.home.path());
        command.env("USER", "alice").env("HOSTNAME", "laptop").stdin(std::process::Stdio::null());
        Ok(shell(command, line))
    }
}

impl Walker for Place {
    fn command(&mut self, step: &Step, line: &str) -> Result<Command> {
        if !step.on_node {
            return self.operator(line);
        }
        let mut bash = self.worker().node.command("bash");
        bash.env("PATH", format!("{PROGRAMS}:{}", lab::host::node::PATH));
        Ok(shell(bash, line))
    }

    fn write(&mut self, path: &str, text: &str) -> Result<()> {
        match path {
            _ if path.starts_with('/') => {
                let text = settings_of_node(path, text)?;
                self.worker().node.write(path, text)
            }
            "crossfade.yaml" => self.settings(text),
            "cilium.yaml" | "cilium-node.yaml" => fs::write(self.home.join(path), text).context("a file"),
            _ => bail!("a walk writes no such file"),
        }
    }

    fn by_hand(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            let line = line.split(" # ").next().unwrap_or_default().trim();
            match line {
                INSTALL_CILIUM => {
                    let values = fs::read_to_string(self.home.join("cilium.yaml")).context("cilium.yaml")?;
                    cilium::install(&self.cluster, &values)?;
                    match self.real.first_mut() {
                        Some(first) => first.start_operator(&[])?,
                        None => self.agents = cilium::start_agents(&self.cluster)?,
                    }
                    (0..self.cluster.workers.len()).try_for_each(|at| self.restart_agent(at))?;
                }
                "kubectl apply -f cilium-node.yaml" | "kubectl delete -f cilium-node.yaml" => {
                    self.run_operator(line)?;
                }
                INSTALL_PACKAGE => {
                    package::unpack(&self.worker().node)?;
                    run_package_steps(&self.worker().node, INSTALL)?;
                }
                LET_AGENTS_WRITE => {
                    self.run_operator(line)?;
                    cilium::until_started(&self.api)?;
                    (0..self.cluster.workers.len()).try_for_each(|at| self.restart_agent(at))?;
                }
                START_WATCH => {
                    package::run(&self.worker().node, &["unit", "boot"])?;
                    self.worker().start_watch()?;
                }
                "systemctl disable --now crossfade-watch" => self.worker().stop_watch()?,
                // The agents have no process that keeps addresses. Once in a while a pod's lease is left over.
                "kubectl -n kube-flannel delete daemonset kube-flannel-ds" => {
                    self.run_operator(line)?;
                    self.flannel_runs(false)?;
                    let leave = |worker: &Worker| worker.node.write(LEASE, "a-pod-that-is-gone\r\neth0");
                    self.cluster.workers.iter().try_for_each(leave)?;
                }
                _ if OF_ADMINISTRATOR.contains(&line) => self.administer(line)?,
                "apt-get purge crossfade" => run_package_steps(&self.worker().node, PURGE)?,
                "systemctl daemon-reload" => {}
                // Debian's kubectl has no such option.
                _ if line.starts_with("kubectl patch node n1 --subresource=status ") => {
                    let condition =
                        json!({ "type": "NetworkUnavailable", "status": "False", "reason": "Migrated" });
                    let mut names = self.cluster.workers.iter().map(Worker::name);
                    names.try_for_each(|name| flannel::set_condition(&self.api, name, &condition))?;
                }
                _ if line.starts_with("helm upgrade cilium cilium/cilium ") => {
                    let interval = cilium::upgrade(&self.api, line)?;
                    // What the command does not restart runs on with the settings of before.
                    let restarts = |workload: &str| line.split(' ').any(|word| word == workload);
                    if let Some(first) =
                        self.real.first_mut().filter(|_| restarts("deployment/cilium-operator"))
                    {
                        first.start_operator(&[&format!("--unmanaged-pod-watcher-interval={interval}")])?;
                    }
                    if restarts("daemonset/cilium") {
                        (0..self.cluster.workers.len()).try_for_each(|at| self.restart_agent(at))?;
                    }
                }
                _ if line.starts_with("kubectl label node n1 ") => {
                    let name = self.worker().name().to_owned();
                    self.run_operator(&line.replace(" n1 ", &format!(" {name} ")))?;
                }
                _ if line.starts_with("kubectl -n kube-system delete pod -l k8s-app=cilium ") => {
                    let name = self.worker().name().to_owned();
                    self.run_operator(&line.replace("nodeName=n1", &format!("nodeName={name}")))?;
                    self.restart_cilium()?;
                }
                _ => bail!("the lab has no step for: {line}"),
            }
        }
        Ok(())
    }
}

/// A file of the node's settings, with what the lab has to add.
fn settings_of_node(path: &str, text: &str) -> Result<String> {
    let more = match path {
        // What has ended is swept at once; a node of the lab has no systemd to start a proof.
        "/etc/crossfade/policy.json" => json!({ "gc": { "graceSeconds": 0 } }),
        "/etc/crossfade/node.json" => json!({ "proof": "probe" }),
        _ => bail!("a walk writes no such file"),
    };
    let mut object: Value = serde_json::from_str(text)?;
    let (Some(settings), Some(more)) = (object.as_object_mut(), more.as_object()) else { bail!("no object") };
    settings.extend(more.clone());
    Ok(serde_json::to_string_pretty(&object)?)
}

/// Runs steps of the package's own; `systemctl` stands for a systemd by which kubelet runs.
fn run_package_steps(node: &Node, steps: &str) -> Result<()> {
    let systemctl = node.scratch().dir("package")?;
    for name in ["systemctl", "systemd-tmpfiles"] {
        lab::host::scratch::install(Path::new("/bin/true"), &systemctl.join(name))?;
    }
    let file = dist::workspace().join("packages/node/steps");
    let line = format!("PATH={}:{PROGRAMS}:$PATH; . {}; {steps}", systemctl.display(), file.display());
    node.run(&["sh", "-ec", &line]).map(drop)
}

/// The conf of a network by its CNI's names; the plugins are the standard ones.
pub(crate) fn conf(node: &Node, overlay: &Overlay, name: &str, bridge: &str) -> Value {
    let mut conf = overlay.conflist(node.index());
    conf["name"] = json!(name);
    let version = conf["cniVersion"].clone();
    let first = &mut conf["plugins"][0];
    first["bridge"] = json!(bridge);
    // As a plugin finds them that is called by another one.
    first["name"] = json!(name);
    first["cniVersion"] = version;
    conf
}
