//! Where the readers of the pages are: a cluster, a node of it, and the operator's own machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use lab::agent::{Agent, Answer, HttpHealth, Spec, UnixHealth};
use lab::fabric::Overlay;
use lab::kubernetes::api::node_path;
use lab::kubernetes::{Api, Cluster, User, Worker};
use lab::node::Node;
use lab::scratch::Scratch;
use lab::walk::{Step, Walker, shell};
use lab::{dist, package};
use serde_json::{Value, json};

/// Where a package has the programs; a node's own PATH has the links of a package.
const PROGRAMS: &str = "/usr/libexec/crossfade";
/// What Flannel's agent makes on a node beside its conf, but for the pods' bridge. The lab's own overlay has the port of a real one.
/// *Source*: flannel-io/flannel: pkg/trafficmngr/iptables/iptables.go, pkg/backend/vxlan/device.go.
const FLANNEL: &str = "set -e
iptables -w -t nat -N FLANNEL-POSTRTG
iptables -w -t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG
iptables -w -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment 'flanneld masq' -j RETURN
iptables -w -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment 'flanneld masq' -j RETURN
iptables -w -t filter -N FLANNEL-FWD
iptables -w -t filter -A FORWARD -m comment --comment 'flanneld forward' -j FLANNEL-FWD
iptables -w -t filter -A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
iptables -w -t filter -A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
ip link add flannel.1 type vxlan id 4095 dstport 8475 local \"$1\" nolearning
mkdir -p /run/flannel /var/lib/cni/flannel /opt/cni/bin
echo FLANNEL_NETWORK=10.244.0.0/16 >/run/flannel/subnet.env
cat >/opt/cni/bin/flannel <<'END'
#!/bin/bash
# As the real one: the delegate's conf is kept by container, and a DEL needs nothing else.
cat >/dev/null
kept=/var/lib/cni/flannel/$CNI_CONTAINERID
[[ $CNI_COMMAND != ADD ]] || cp /run/flannel/delegate.json \"$kept\"
IFS=: read -ra dirs <<<\"$CNI_PATH\"
for dir in \"${dirs[@]}\"; do
    [[ ! -x $dir/bridge ]] || bridge=$dir/bridge
done
[[ -f $kept ]] || exit 0
\"$bridge\" <\"$kept\" || exit
[[ $CNI_COMMAND != DEL ]] || rm \"$kept\"
END
chmod 0755 /opt/cni/bin/flannel";

/// The lease of a pod whose DEL never came.
const LEASE: &str = "/var/lib/cni/networks/cbr0/10.244.0.9";
/// The page that has the settings of a node.
const IN_PLACE: &str = "migrate-in-place.md";
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
    /// Cilium's stand-ins.
    agents: Vec<Agent>,
    /// The operator's directory.
    home: Scratch,
}

impl Place {
    /// Three nodes with Flannel's conf and pods, without Crossfade.
    pub(crate) fn new() -> Result<Self> {
        let mut cluster = Cluster::prepare(3)?;
        let old = cluster.old.clone();
        cluster.each(|worker| {
            flannel(&worker.node)?;
            let bridge = conf(&worker.node, &old, "cbr0", "cni0");
            worker.node.write("/run/flannel/delegate.json", bridge["plugins"][0].to_string())?;
            worker.node.write("/etc/cni/net.d/10-flannel.conflist", chained(bridge).to_string())?;
            worker.join()
        })?;
        let api = cluster.api()?;
        cluster.workers.iter().try_for_each(|worker| api.until_ready(worker.name()).map(drop))?;
        let rights = dist::workspace().join("deploy/cluster/rbac-operator.yaml");
        lab::node::run(&mut cluster.plane.kubectl(&["apply", "-f", rights.to_str().context("a path")?])?)?;
        let home = Scratch::new("operator")?;
        let kubeconfig = cluster.plane.kubeconfig(User::Admin)?;
        fs::write(home.join("kubeconfig"), kubeconfig.to_string())?;
        Ok(Self { cluster, api, at: 0, agents: Vec::new(), home })
    }

    /// Writes a file of the node's, with what the lab has to add.
    fn with(&mut self, path: &str, text: &str, more: &Value) -> Result<()> {
        let mut object: Value = serde_json::from_str(text)?;
        let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) else {
            bail!("no object")
        };
        object.extend(more.clone());
        self.worker().node.write(path, serde_json::to_vec_pretty(object)?)
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.cluster.workers[self.at]
    }

    /// Cilium's agent on every node, which writes no conf yet.
    pub(crate) fn new_agents(&mut self) -> Result<()> {
        for worker in &self.cluster.workers {
            let spec = Spec {
                name: "cilium".into(),
                unix: Some(UnixHealth { path: "/run/cilium/cilium.sock".into(), answer: Answer::Ready }),
                http: Some(HttpHealth {
                    header: Some("brief: true".into()),
                    ..HttpHealth::plain("127.0.0.1:9879".parse()?, Answer::Ready)
                }),
                ..Spec::default()
            };
            fs::create_dir_all(worker.node.outside("/run/cilium"))?;
            self.agents.push(Agent::start(spec, Some(worker.node.pid().as_raw().cast_unsigned()))?);
        }
        Ok(())
    }

    /// What the label of Cilium's migration has its agent do on a node.
    pub(crate) fn new_conf(&self, at: usize) -> Result<()> {
        let node = &self.cluster.workers[at].node;
        let conf = conf(node, &self.cluster.new, "cilium", "cni-new");
        node.write("/etc/cni/net.d/05-cilium.conflist", conf.to_string())
    }

    /// Root goes to another node.
    pub(crate) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The settings of the page, and what the lab is not: a cluster with both CNIs, and one with half an hour.
    fn settings(&self, text: &str) -> Result<()> {
        let mut settings: Value = serde_saphyr::from_str(text).context("YAML")?;
        let limits =
            settings["roll"].as_object_mut().context("roll")?.entry("limits").or_insert_with(|| json!({}));
        let limits = limits.as_object_mut().context("limits")?;
        for (limit, seconds) in LIMITS {
            limits.entry(limit).or_insert(json!(seconds));
        }
        self.set(&settings)?;
        let mut waived = BTreeSet::new();
        for strategy in ["double", "bridge"] {
            let check = format!(
                "kubectl crossfade check --from flannel --to cilium --strategy {strategy} --config crossfade.yaml -o json"
            );
            let answer: Value =
                serde_json::from_slice(&self.operator(&check)?.output()?.stdout).context("check")?;
            let all = answer["findings"].as_array().context("findings")?.iter();
            let blocking = all.filter(|finding| finding["severity"] == "blocks");
            waived.extend(blocking.filter_map(|finding| finding["code"].as_str().map(str::to_owned)));
        }
        let waiver = |code| json!({ "finding": code, "reason": "the lab has neither CNI" });
        settings["waivers"] = waived.into_iter().map(waiver).collect();
        self.set(&settings)
    }

    /// JSON is YAML.
    fn set(&self, settings: &Value) -> Result<()> {
        fs::write(self.home.join("crossfade.yaml"), settings.to_string()).context("the settings")
    }

    /// A command of the operator's own, which is content.
    pub(crate) fn content(&self, name: &str) -> Result<()> {
        lab::scratch::install(Path::new("/bin/true"), &self.home.join(name))
    }

    /// Crossfade on every node, in phase `old`, and the confs of both networks.
    pub(crate) fn crossfade(&mut self) -> Result<()> {
        self.new_agents()?;
        for at in 0..self.cluster.workers.len() {
            self.go_to(at);
            package::unpack(&self.worker().node)?;
            for (path, text) in
                lab::walk::files(IN_PLACE)?.into_iter().filter(|(path, _)| path.starts_with('/'))
            {
                self.write(&path, &text)?;
            }
            package::run(&self.worker().node, &["install"])?;
            self.new_conf(at)?;
            package::run(&self.worker().node, &["boot"])?;
            self.worker().start_watch()?;
            self.api.until(&node_path(self.cluster.workers[at].name()), "is in phase old", |node| {
                node["metadata"]["labels"]["crossfade/phase"] == "old"
            })?;
        }
        Ok(())
    }

    fn operator(&self, line: &str) -> Result<Command> {
        let kubectl = self.cluster.plane.programs().path("kubectl");
        let of = |path: &Path| path.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
        let mut command = Command::new("bash");
        command.env_clear().current_dir(self.home.path()).env("HOME", self.home.path());
        command.env("PATH", format!("{}:{}:{}", of(&kubectl), of(&dist::kubectl()?), lab::node::PATH));
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
        bash.env("PATH", format!("{PROGRAMS}:{}", lab::node::PATH));
        Ok(shell(bash, line))
    }

    fn write(&mut self, path: &str, text: &str) -> Result<()> {
        match path {
            // What has ended is swept at once; a node of the lab has no systemd to start a proof.
            "/etc/crossfade/policy.json" => self.with(path, text, &json!({ "gc": { "graceSeconds": 0 } })),
            "/etc/crossfade/node.json" => self.with(path, text, &json!({ "proof": "probe" })),
            "crossfade.yaml" => self.settings(text),
            // Neither CNI is here; tests of the page hold these to what Crossfade knows of them.
            "cilium.yaml" | "cilium-node.yaml" => Ok(()),
            _ => bail!("nobody knows this file"),
        }
    }

    fn by_hand(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            let line = line.split(" # ").next().unwrap_or_default().trim();
            match line {
                "helm install cilium cilium/cilium --namespace kube-system --values cilium.yaml" => {
                    self.new_agents()?
                }
                "kubectl apply -f cilium-node.yaml" => {}
                "kubectl label node n1 io.cilium.migration/cilium-default=true" => self.new_conf(self.at)?,
                "kubectl -n kube-system delete pod -l k8s-app=cilium --field-selector spec.nodeName=n1" => {}
                "apt-get install ./crossfade_VERSION_amd64.deb" => package::unpack(&self.worker().node)?,
                "systemctl restart crossfade-boot crossfade-watch" => {
                    package::run(&self.worker().node, &["boot"])?;
                    self.worker().start_watch()?;
                }
                "kubectl label node n1 io.cilium.migration/cilium-default-" => {}
                "systemctl disable --now crossfade-watch" => self.worker().stop_watch()?,
                // Its agents have written their confs already.
                "kubectl delete -f cilium-node.yaml" => {}
                // It has no process here. Once in a while it leaves a lease.
                "kubectl -n kube-flannel delete daemonset kube-flannel-ds" => {
                    let leave = |worker: &Worker| worker.node.write(LEASE, "a-pod-that-is-gone\r\neth0");
                    self.cluster.workers.iter().try_for_each(leave)?;
                }
                _ if line.starts_with("helm upgrade cilium cilium/cilium ") => {}
                "rm -f /etc/crossfade/disabled" | "systemctl daemon-reload" => {}
                _ => bail!("nobody knows how to: {line}"),
            }
        }
        Ok(())
    }
}

/// Makes what Flannel has on a node.
fn flannel(node: &Node) -> Result<()> {
    node.run(&["bash", "-c", FLANNEL, "flannel", &node.address().to_string()]).map(drop)
}

/// The conf of a network by its CNI's names; the plugins are the standard ones.
fn conf(node: &Node, overlay: &Overlay, name: &str, bridge: &str) -> Value {
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

/// The same by Flannel's plugin.
fn chained(mut conf: Value) -> Value {
    conf["plugins"][0] =
        json!({ "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } });
    conf
}
