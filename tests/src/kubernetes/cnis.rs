//! Real CNIs in place of the lab's overlays, where a person has their programs: Flannel is the old network, Cilium the new one.
//!
//! Their agents run on the nodes as programs, not as pods. `docs/proof/real-cnis.md` says where the programs come from.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::worker::spare_the_machine;
use super::{Api, Cluster, MERGE, User, Worker};
use crate::host::deadline::until;
use crate::host::node::{Daemon, Node, PATH};
use crate::install::crossfade::CONF_DIR;
use crate::kubernetes::api::{WITHIN, node_path};

/// Names the directory with the programs.
const VARIABLE: &str = "CROSSFADE_CNIS";
/// What must be in it, beside the programs that these call: `clang` and `bpftool`.
const PROGRAMS: [&str; 7] = [
    "flanneld",
    "flannel",
    "cilium-agent",
    "cilium-cni",
    "cilium-operator-generic",
    "cilium-dbg",
    "cilium-bpf",
];
/// Of all pods of either network.
const CIDRS: [&str; 2] = ["10.244.0.0/16", "10.245.0.0/16"];
/// The agents' credential, as the node sees it.
const KUBECONFIG: &str = "/etc/kubernetes/agents.conf";
/// Flannel's settings, as the node sees them.
const FLANNEL: &str = "/etc/kubernetes/flannel.json";
/// What Cilium's agent writes when it is asked to.
const CILIUM_CONF: &str = "05-cilium.conflist";
/// What Cilium's agent sets for the whole machine.
const TUNABLES: [(&str, &str); 2] =
    [("kernel/unprivileged_bpf_disabled", "1"), ("kernel/timer_migration", "0")];
/// Flags of Cilium's agent. The maps are small, for each node has its own.
const AGENT: &str = "--cluster-name=default --cluster-id=0 --identity-allocation-mode=crd --ipam=cluster-pool \
    --enable-ipv4=true --enable-ipv6=false --routing-mode=tunnel --tunnel-protocol=vxlan --tunnel-port=8473 --devices=eth0 \
    --kube-proxy-replacement=false --bpf-lb-sock=false --enable-host-legacy-routing=true --enable-ipv4-masquerade=true \
    --enable-bpf-masquerade=false --enable-l7-proxy=false --external-envoy-proxy=false --enable-hubble=false \
    --enable-health-checking=false --enable-endpoint-health-checking=false --enable-health-check-nodeport=false \
    --enable-policy=never --cni-exclusive=false --lib-dir=/var/lib/cilium --state-dir=/var/run/cilium --bpf-root=/sys/fs/bpf \
    --cgroup-root=/run/cilium/cgroupv2 --mesh-auth-enabled=false --bpf-ct-global-tcp-max=65536 --bpf-ct-global-any-max=32768 \
    --bpf-nat-global-max=65536 --bpf-neigh-global-max=65536 --bpf-policy-map-max=1024 --bpf-lb-map-max=4096 \
    --bpf-auth-map-max=1024 --bpf-sock-rev-map-max=4096";
/// Flags of Cilium's operator. There are no pods of Cilium that it could look for.
const OPERATOR: &str = "--ipam=cluster-pool --cluster-pool-ipv4-mask-size=24 --enable-ipv4=true --enable-ipv6=false \
    --identity-allocation-mode=crd --cluster-name=default --cluster-id=0 --k8s-namespace=kube-system \
    --cilium-pod-namespace=kube-system --unmanaged-pod-watcher-interval=0 --remove-cilium-node-taints=false \
    --set-cilium-is-up-condition=false --synchronize-k8s-services=false --synchronize-k8s-nodes=false \
    --operator-api-serve-addr=127.0.0.1:9234 --enable-metrics=false";
/// Takes away what the agents have in the memory of a machine: links, rules, programs of the kernel and files.
const POWER_OFF: &str = r#"set -e
umount /run/cilium/cgroupv2 /sys/fs/bpf
rm -rf /run/cilium /run/flannel
for link in cilium_host cilium_vxlan flannel.1 cni0; do ip link delete "$link"; done
for table in raw mangle filter nat; do
    iptables-save -t "$table" | grep -v -e CILIUM_ -e FLANNEL | iptables-restore -T "$table"
done"#;
/// Gives the agents what they find on a machine that has booted.
const POWER_ON: &str =
    "mkdir -p /run/cilium && ln -s /run/netns /run/cilium/netns && mount -t bpf bpf /sys/fs/bpf";

/// A directory with the programs of Flannel and Cilium.
#[derive(Debug, Clone)]
pub struct Cnis {
    directory: PathBuf,
}

/// The agents of one node; killed on drop.
#[derive(Debug)]
pub struct Agents {
    cnis: Cnis,
    node: Node,
    flannel: Option<Daemon>,
    cilium: Option<Daemon>,
    operator: Option<Daemon>,
    /// Flags of Cilium's agent beside [`AGENT`]; they count more.
    own: Vec<String>,
}

impl Cnis {
    /// Those that the environment names, if it does.
    ///
    /// # Errors
    /// A program is not there.
    pub fn find() -> Result<Option<Cnis>> {
        let Some(directory) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Ok(None) };
        let lacking: Vec<&str> = PROGRAMS.into_iter().filter(|name| !directory.join(name).exists()).collect();
        ensure!(
            lacking.is_empty(),
            "{VARIABLE}={} lacks {}; docs/proof/real-cnis.md says where to get them",
            directory.display(),
            lacking.join(", ")
        );
        Ok(Some(Cnis { directory }))
    }

    /// A policy between the two networks, of which pods get Flannel.
    pub fn policy(&self) -> Value {
        let [old, new] = CIDRS;
        let conf = |file: &str| format!("{CONF_DIR}/{file}");
        json!({
            "version": 1, "attach": "old", "unrecorded": "old",
            "networks": {
                "old": { "profile": "flannel", "conf": [conf("10-flannel.conflist")], "cidrs": [old] },
                "new": { "profile": "cilium", "conf": [conf(CILIUM_CONF)], "cidrs": [new] },
            },
        })
    }

    /// Gives a node the plugins, Flannel's conf, and what the agents find on a machine of their own. Nothing runs yet.
    ///
    /// # Errors
    /// What the file system or the kernel says.
    pub fn prepare(&self, cluster: &Cluster, node: &Node) -> Result<()> {
        spare_the_machine(node, &TUNABLES)?;
        let own = node.scratch().dir("cilium")?;
        let script = format!(
            "mkdir -p /var/lib/cilium /opt/cni/bin && mount --bind {own} /var/lib/cilium && cp -r {bpf} /var/lib/cilium/bpf && \
             ln -sf {dir}/flannel {dir}/cilium-cni /opt/cni/bin/ && {POWER_ON}",
            own = own.display(),
            bpf = self.directory.join("cilium-bpf").display(),
            dir = self.directory.display(),
        );
        node.run(&["bash", "-c", &script])?;
        node.write(KUBECONFIG, cluster.plane.kubeconfig(User::Admin)?.to_string())?;
        let settings =
            json!({ "Network": CIDRS[0], "EnableNFTables": false, "Backend": { "Type": "vxlan" } });
        node.write(FLANNEL, settings.to_string())?;
        let conf = json!({
            "cniVersion": "0.3.1", "name": "cbr0", "plugins": [
                { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        node.write(format!("{CONF_DIR}/10-flannel.conflist"), conf.to_string())
    }

    /// Starts the agents of a node that has its Node; those of the first node have Cilium's operator with them. Waits until Cilium's agent is ready.
    ///
    /// # Errors
    /// A program does not start, or the agent is not ready in time.
    pub fn start(&self, api: &Api, worker: &Worker) -> Result<Agents> {
        let mut agents = self.start_flannel(api, worker)?;
        agents.start_operator(&[])?;
        agents.start_cilium(vec![format!("--write-cni-conf-when-ready={CONF_DIR}/{CILIUM_CONF}")])?;
        Ok(agents)
    }

    /// Starts Flannel's agent of a node that has its Node, and none of Cilium's.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_flannel(&self, api: &Api, worker: &Worker) -> Result<Agents> {
        let node = &worker.node;
        let range = format!("10.244.{}.0/24", node.index());
        api.until(&node_path(node.name()), "is registered", |_| true)?;
        let patch = json!({ "spec": { "podCIDR": range, "podCIDRs": [range] } });
        api.client.patch(&node_path(node.name()), MERGE, &patch)?.object()?;
        let mut agents = Agents {
            cnis: self.clone(),
            node: node.clone(),
            flannel: None,
            cilium: None,
            operator: None,
            own: Vec::new(),
        };
        agents.begin_flannel()?;
        Ok(agents)
    }

    fn command(&self, node: &Node, program: &str) -> std::process::Command {
        let mut command = node.command(self.directory.join(program));
        command.env("PATH", format!("{}:{PATH}", self.directory.display()));
        command
    }

    fn background(&self, node: &Node, program: &str, flags: &str, more: &[&str]) -> Result<Daemon> {
        let mut command = self.command(node, program);
        command.env("K8S_NODE_NAME", node.name()).env("CILIUM_K8S_NAMESPACE", "kube-system");
        command.args(flags.split_whitespace()).args(more).arg(format!("--k8s-kubeconfig-path={KUBECONFIG}"));
        node.background(program, &command)
    }
}

impl Agents {
    /// Starts Flannel's agent; one that runs is killed.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin_flannel(&mut self) -> Result<()> {
        let mut flanneld = self.cnis.command(&self.node, "flanneld");
        flanneld.env("NODE_NAME", self.node.name());
        flanneld.args(["--ip-masq", "--kube-subnet-mgr", "--iface=eth0", "--healthz-ip=127.0.0.1"]);
        flanneld.args([&format!("--kubeconfig-file={KUBECONFIG}"), &format!("--net-config-path={FLANNEL}")]);
        self.flannel = Some(self.node.background("flanneld", &flanneld)?);
        Ok(())
    }

    /// Ends Flannel's agent, as when its pod goes.
    ///
    /// # Errors
    /// It does not end.
    pub fn end_flannel(&mut self) -> Result<()> {
        self.flannel.take().map_or(Ok(()), |agent| agent.terminate().map(drop))
    }

    /// Starts Cilium's operator with these flags beside its own if this is the first node; one that runs is ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_operator(&mut self, more: &[&str]) -> Result<()> {
        if self.node.index() != 1 {
            return Ok(());
        }
        if let Some(operator) = self.operator.take() {
            operator.kill()?;
        }
        let pool = format!("--cluster-pool-ipv4-cidr={}", CIDRS[1]);
        let more = [&[pool.as_str()], more].concat();
        self.operator = Some(self.cnis.background(&self.node, "cilium-operator-generic", OPERATOR, &more)?);
        Ok(())
    }

    /// Takes away what the agents had in the memory of a node that has lost its power ([`Worker::power_off`]), and they with it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn power_off(&mut self) -> Result<()> {
        self.cilium = None;
        self.flannel = None;
        self.operator = None;
        self.node.run(&["bash", "-c", POWER_OFF]).map(drop)
    }

    /// Starts the agents of a node that has booted again.
    ///
    /// # Errors
    /// As [`Cnis::start`].
    pub fn boot(&mut self) -> Result<()> {
        self.node.run(&["bash", "-c", POWER_ON])?;
        self.begin_flannel()?;
        self.start_operator(&[])?;
        self.begin_cilium()
    }

    /// Kills Cilium's agent and starts it again.
    ///
    /// # Errors
    /// As [`Cnis::start`].
    pub fn kill_cilium(&mut self) -> Result<()> {
        self.begin_cilium()
    }

    /// Starts Cilium's agent with these flags beside those that every agent has; one that runs is killed. Waits until it is ready.
    ///
    /// # Errors
    /// As [`Cnis::start`].
    pub fn start_cilium(&mut self, own: Vec<String>) -> Result<()> {
        self.own = own;
        self.begin_cilium()
    }

    /// Kills Cilium's agent and starts it again with another value of a flag, such as `--enable-policy=`.
    ///
    /// # Errors
    /// As [`Cnis::start`].
    pub fn set_cilium_flag(&mut self, flag: &str, value: &str) -> Result<()> {
        self.own.retain(|own| !own.starts_with(flag));
        self.own.push(format!("{flag}{value}"));
        self.begin_cilium()
    }

    fn begin_cilium(&mut self) -> Result<()> {
        if let Some(agent) = self.cilium.take() {
            agent.kill()?;
        }
        let own: Vec<&str> = self.own.iter().map(String::as_str).collect();
        self.cilium = Some(self.cnis.background(&self.node, "cilium-agent", AGENT, &own)?);
        let what = format!("Cilium's agent on {}", self.node.name());
        until(&what, WITHIN, || Ok(self.ask(&["status", "--brief"]).ok())).map(drop)?;
        let written = self.own.iter().find_map(|flag| flag.strip_prefix("--write-cni-conf-when-ready="));
        let Some(written) = written else { return Ok(()) };
        until(written, WITHIN, || Ok(self.node.outside(written).exists().then_some(())))
    }

    /// The pods that Cilium has an endpoint for, as namespace and name.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn endpoints(&self) -> Result<Vec<String>> {
        let output = self.ask(&["endpoint", "list", "-o", "json"])?;
        let all: Vec<Value> = serde_json::from_str(&output).context("Cilium's endpoints")?;
        let pod = |endpoint: &Value| {
            let names = &endpoint["status"]["external-identifiers"];
            let (namespace, name) = (names["k8s-namespace"].as_str()?, names["k8s-pod-name"].as_str()?);
            Some(format!("{namespace}/{name}"))
        };
        Ok(all.iter().filter_map(pod).collect())
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        crate::host::command::run(self.cnis.command(&self.node, "cilium-dbg").args(words))
    }
}
