//! A node whose pods run already, on its old network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lab::containerd::{Containerd, Options};
use lab::cri::Sandbox;
use lab::crossfade::{BIN_DIR, CONF_DIR};
use lab::daemonset::{Kubelet, manifest};
use lab::deadline::until;
use lab::fabric::{Fabric, Overlay};
use lab::node::Node;
use serde_json::{Value, json};

use crate::{LIMIT, image};

/// Our conf.
pub(crate) const OURS: &str = "/etc/cni/net.d/01-crossfade.conflist";
/// Our plugin where the runtime looks.
pub(crate) const PLUGIN: &str = "/opt/cni/bin/crossfade";

/// The node.
pub(crate) struct Scene {
    pub(crate) containerd: Containerd,
    pub(crate) old: Overlay,
    pub(crate) new: Overlay,
    // Last, for all of the above is on its node.
    fabric: Fabric,
}

impl Scene {
    /// A containerd with two networks, of which it uses the old one, and our image.
    pub(crate) fn new() -> Result<Scene> {
        let fabric = Fabric::new(1)?;
        let old = fabric.overlay("old", 1, 8472, "10.244")?;
        let new = fabric.overlay("new", 2, 8473, "10.245")?;
        let node = fabric.node(1);
        for (file, overlay) in [("10-old", &old), ("20-new", &new)] {
            let conflist = serde_json::to_vec_pretty(&overlay.conflist(1))?;
            node.write(format!("{CONF_DIR}/{file}.conflist"), conflist)?;
        }
        let containerd = Containerd::start(node, &Options::default())?;
        // Installers put files there, no links to elsewhere, which a pod would not find.
        let real = format!(
            "for f in {BIN_DIR}/*; do cp --remove-destination \"$(readlink -f \"$f\")\" \"$f\"; done"
        );
        node.run(&["sh", "-ec", &real])?;
        // As systemd leaves it: mounts of the node appear in pods that asked for them.
        node.run(&["mount", "--make-rshared", "/"])?;
        // Where a node has its runtime's socket, in a directory that holds all that it leads to.
        node.run(&["mkdir", "-p", "/run/containerd"])?;
        let socket = containerd.socket();
        let text = |path: Option<&Path>| path.and_then(Path::to_str).map(str::to_owned).context("a path");
        let (dir, name) = (text(socket.parent())?, text(socket.file_name().map(Path::new))?);
        node.run(&["ln", "-s", &name, &format!("{dir}/containerd.sock")])?;
        node.run(&["mount", "--bind", &dir, "/run/containerd"])?;
        let scene = Scene { containerd, old, new, fabric };
        scene.import(&image::archive()?, &image::name(image::version()))?;
        Ok(scene)
    }

    pub(crate) fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    pub(crate) fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.node().outside(path)
    }

    pub(crate) fn import(&self, archive: &Path, name: &str) -> Result<()> {
        let mut import = self.node().command("ctr");
        import.arg("--address").arg(self.containerd.socket()).args([
            "--namespace",
            "k8s.io",
            "images",
            "import",
        ]);
        let output = import.arg(archive).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let cri = self.containerd.cri();
        until(&format!("image {name}"), LIMIT, || Ok(cri.has_image(name)?.then_some(())))
    }

    pub(crate) fn kubelet(&self) -> Kubelet<'_> {
        Kubelet { cri: self.containerd.cri(), outside: Box::new(|path| Ok(self.outside(path))) }
    }

    pub(crate) fn run(&self, name: &str) -> Result<String> {
        self.containerd.cri().run_sandbox(&Sandbox::new(name))
    }

    pub(crate) fn end(&self, id: &str) -> Result<()> {
        self.containerd.cri().stop(id)?;
        self.containerd.cri().remove(id)
    }

    /// How many addresses of the old and of the new network are given away.
    pub(crate) fn leases(&self) -> Result<(usize, usize)> {
        Ok((self.old.leases(self.node())?.len(), self.new.leases(self.node())?.len()))
    }

    /// Attachments through us, and from before.
    pub(crate) fn attachments(&self) -> Result<(usize, usize)> {
        let told = self.bootstrap(&["attachments", "--output", "json"])?;
        let told: Value = serde_json::from_str(&told)?;
        let all = told["attachments"].as_array().context("attachments")?;
        let before = all.iter().filter(|line| line["life"] == "inventory").count();
        Ok((all.len() - before, before))
    }

    /// What a person on the node says.
    pub(crate) fn bootstrap(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        let output = command.args(arguments).output().context("crossfade-bootstrap")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        Ok(text(&output.stdout))
    }

    pub(crate) fn status(&self) -> Result<Value> {
        let text = fs::read(self.outside("/run/crossfade/status.json")).context("status.json")?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn until_loaded(&self) -> Result<()> {
        until("the runtime uses our conf", LIMIT, || {
            let plugins = self.containerd.cri().conf_plugins()?;
            Ok(plugins.iter().any(|plugin| plugin == "crossfade").then_some(()))
        })
    }

    /// Whether anything of ours is where the runtime would use it.
    pub(crate) fn has_ours(&self) -> bool {
        self.outside(OURS).exists() || self.outside(PLUGIN).exists()
    }
}

/// The ConfigMap that brings pods to a phase of the node's two networks; everything else of it is the example's.
pub(crate) fn settings(attach: &str) -> Result<BTreeMap<String, String>> {
    let mut all = manifest::settings()?;
    let conf = |file: &str| json!({ "conf": [format!("{CONF_DIR}/{file}.conflist")], "secondary": "works" });
    let policy = json!({
        "version": 1,
        "networks": { "old": conf("10-old"), "new": conf("20-new") },
        "attach": attach,
        "gc": { "graceSeconds": 0 },
    });
    ensure!(all.insert("policy.json".to_owned(), policy.to_string()).is_some(), "the example has no policy");
    Ok(all)
}
