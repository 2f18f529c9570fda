//! Calico as the second network of a Pod that stays: what its plugin writes on the Pod, what its DEL leaves there, and that a sweep ends it.
//!
//! The shim and the sweep are the real ones, and so is the API server. Calico's plugin is the stand-in, which writes its annotations as the real one does.

use anyhow::{Context, Result, ensure};
use lab::host::netns::Netns;
use lab::host::scratch::install;
use lab::install::crossfade::BIN_DIR;
use lab::runtime::caller::{Outcome, Plugin};
use serde_json::{Value, json};

use crate::node::annotations::{ADDRESS, AnnotatedNode, ID, KUBECONFIG, target};
use crate::tree::POLICY;

lab::trials![a_pod_that_stays_loses_what_calico_left_once_its_sandbox_is_gone];

const POD: &str = "second-stays";

/// The node, with one Pod whose sandboxes come and go.
struct Second {
    node: AnnotatedNode,
    netns: Netns,
}

impl Second {
    fn new() -> Result<Self> {
        let node = AnnotatedNode::new("second")?;
        let bin = node.tree.path(&BIN_DIR[1..]);
        install(&lab::build::dist::lab_bin("lab-calico")?, &bin.join("calico"))?;
        install(&lab::build::dist::crossfade()?, &bin.join("crossfade"))?;
        let kubeconfig = json!({ "kubeconfig": node.tree.path(KUBECONFIG) });
        for (name, address, prefix, kubernetes) in
            [("old", "10.1.0.7", "cali", kubeconfig), ("new", "10.2.0.7", "lxc", Value::Null)]
        {
            let plugin = json!({ "type": "calico", "addresses": [address], "hostPrefix": prefix,
                "existingDefault": "keep", "kubernetes": kubernetes });
            let conf = json!({ "cniVersion": "1.0.0", "name": name, "plugins": [plugin] });
            node.tree.write(&format!("etc/cni/net.d/10-{name}.conflist"), &conf.to_string())?;
        }
        let second = Self { node, netns: Netns::new()? };
        second.phase("both")?;
        second.node.made(POD, "", |pod| pod["metadata"]["annotations"] = json!({ "other": "stays" }))?;
        Ok(second)
    }

    /// `both` is the phase both-new.
    fn phase(&self, attach: &str) -> Result<()> {
        let network = |name: &str, profile: &str| {
            json!({ "profile": profile, "secondary": "works",
                    "conf": [self.node.tree.path(&format!("etc/cni/net.d/10-{name}.conflist"))] })
        };
        let policy = json!({ "version": 1, "attach": attach, "both": { "primary": "new" },
            "networks": { "old": network("old", "calico"), "new": network("new", "cilium") } });
        self.node.tree.write(POLICY, &policy.to_string())
    }

    /// The runtime calls the shim for a sandbox of the Pod.
    fn call(&self, verb: &str, sandbox: &str) -> Result<Outcome> {
        let tree = &self.node.tree;
        let conf = json!({
            "cniVersion": "1.0.0", "name": "crossfade", "type": "crossfade", "policy": tree.path(POLICY),
            "stateDir": tree.path("var/lib/crossfade"), "runDir": tree.path("run/crossfade"),
        });
        let bin = tree.path(&BIN_DIR[1..]);
        Plugin::new(&bin.join("crossfade"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", &bin.display().to_string())
            .env("CNI_CONTAINERID", sandbox)
            .env("CNI_NETNS", &self.netns.path().display().to_string())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", &format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={POD}"))
            .stdin(&conf.to_string())
            .run()
    }

    /// The Pod names this sandbox and its address.
    fn names(&self, sandbox: &str) -> Result<()> {
        let now = self.node.annotations(POD)?;
        ensure!(now[ID] == sandbox && now[ADDRESS] == "10.1.0.7/32" && now["other"] == "stays", "{now}");
        Ok(())
    }

    /// A pass that finds nothing to remove.
    fn sweep_keeps(&self, listed: &[&str], sandbox: &str) -> Result<()> {
        let (changes, _) = self.node.sweep_listed(listed, &[])?;
        ensure!(!changes.iter().any(|change| change.0 == target(POD)), "{changes:?}");
        self.names(sandbox)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Of a test that failed.
        for sandbox in ["s1", "s2", "s3"] {
            let _done_already = self.call("DEL", sandbox);
        }
    }
}

fn a_pod_that_stays_loses_what_calico_left_once_its_sandbox_is_gone() -> Result<()> {
    let second = Second::new()?;
    second.call("ADD", "s1")?.result().context("on both networks")?;
    second.names("s1")?;
    second.sweep_keeps(&["s1"], "s1")?;
    // Its record alone keeps them as well.
    second.sweep_keeps(&[], "s1")?;

    // The sandbox is made anew in another phase, and Calico's DEL for net1 finds no endpoint.
    second.phase("new")?;
    second.call("DEL", "s1")?.silent()?;
    second.names("s1")?;
    second.call("ADD", "s2")?.result().context("on the new network alone")?;
    second.names("s1")?;
    let planned = second.node.sweep_listed(&["s2"], &["--dry-run"])?.0;
    ensure!(planned == [(target(POD), String::new())], "{planned:?}");
    let done = second.node.sweep_listed(&["s2"], &[])?.0;
    ensure!(done == [(target(POD), "done".into())], "{done:?}");
    second.node.mended(POD)?;

    // The way back.
    second.phase("both")?;
    second.call("DEL", "s2")?.silent()?;
    second.call("ADD", "s3")?.result().context("on both networks again")?;
    second.sweep_keeps(&["s3"], "s3")?;
    second.call("DEL", "s3")?.silent()
}
