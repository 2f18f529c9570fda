//! A node whose pods run already, on its old network, and has our image.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::{BIN_DIR, CONF_DIR, OURS};
use lab::install::daemonset::{Kubelet, manifest};
use lab::scene::{Scene, Setup};
use serde_json::json;

use crate::image;

/// Our plugin where the runtime looks.
pub(crate) const PLUGIN: &str = "/opt/cni/bin/crossfade";

/// A scene that pods of a DaemonSet find as they find a node.
pub(crate) struct Running(Scene);

impl Deref for Running {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.0
    }
}

impl Running {
    /// A containerd with two networks, of which it uses the old one, and our image.
    pub(crate) fn new() -> Result<Running> {
        let scene = Setup::bare().start()?;
        scene.crossfade.network(&scene.new, &scene.new.conflist(1))?;
        let node = scene.node();
        // Installers put files there, no links to elsewhere, which a pod would not find.
        let real = format!(
            "for f in {BIN_DIR}/*; do cp --remove-destination \"$(readlink -f \"$f\")\" \"$f\"; done"
        );
        node.run(&["sh", "-ec", &real])?;
        // As systemd leaves it: mounts of the node appear in pods that asked for them.
        node.run(&["mount", "--make-rshared", "/"])?;
        // Where a node has its runtime's socket, in a directory that holds all that it leads to.
        node.run(&["mkdir", "-p", "/run/containerd"])?;
        let socket = scene.containerd.socket();
        let text = |path: Option<&Path>| path.and_then(Path::to_str).map(str::to_owned).context("a path");
        let (dir, name) = (text(socket.parent())?, text(socket.file_name().map(Path::new))?);
        node.run(&["ln", "-s", &name, &format!("{dir}/containerd.sock")])?;
        node.run(&["mount", "--bind", &dir, "/run/containerd"])?;
        let running = Running(scene);
        running.import(&image::archive()?, &image::name(image::version()))?;
        Ok(running)
    }

    pub(crate) fn import(&self, archive: &Path, name: &str) -> Result<()> {
        lab::host::command::run(self.containerd.ctr(&["images", "import"]).arg(archive))?;
        until(&format!("image {name}"), LIMIT, || Ok(self.cri().has_image(name)?.then_some(())))
    }

    pub(crate) fn kubelet(&self) -> Kubelet<'_> {
        Kubelet { cri: self.cri(), outside: Box::new(|path| Ok(self.outside(path))) }
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
