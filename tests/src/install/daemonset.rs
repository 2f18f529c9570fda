//! Pods of the manifests in `deploy/`, run on a node's real runtime as kubelet would: sandbox, init containers in their order,
//! containers, mounts, rights, probes. Nothing of the manifests is said a second time here.

pub mod manifest;
mod translate;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_cri::v1 as api;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use crate::host::deadline::until;
use crate::runtime::cri::Cri;

/// Tells a container that ends from one that does not.
const LIMIT: Duration = Duration::from_secs(60);
/// Where pods' volumes and logs are, as the node sees it.
const PODS: &str = "/run/lab-pods";

/// Where a path of a node's is for the lab.
pub type Outside<'a> = Box<dyn Fn(&Path) -> Result<PathBuf> + 'a>;

/// A node as kubelet sees it.
pub struct Kubelet<'a> {
    /// Its runtime.
    pub cri: &'a Cri,
    /// Where a path of the node's is for the lab.
    pub outside: Outside<'a>,
}

impl fmt::Debug for Kubelet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubelet").finish_non_exhaustive()
    }
}

/// A pod of a DaemonSet.
#[derive(Debug)]
pub struct Pod<'a> {
    kubelet: &'a Kubelet<'a>,
    spec: PodSpec,
    sandbox: String,
    config: api::PodSandboxConfig,
    /// The node's paths of its volumes, by name.
    volumes: BTreeMap<String, PathBuf>,
    /// Images in the place of those that the manifest names.
    image: Option<String>,
    /// The last one of each name.
    containers: BTreeMap<String, String>,
    started: u32,
}

impl Kubelet<'_> {
    /// Makes the sandbox and the volumes of a DaemonSet's pod. `settings` are in the place of its ConfigMap.
    ///
    /// # Errors
    /// What a hostPath's type forbids, or the runtime's.
    pub fn pod<'a>(&'a self, set: &DaemonSet, settings: &BTreeMap<String, String>) -> Result<Pod<'a>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let template = &set.spec.as_ref().context("a spec")?.template;
        let spec = template.spec.clone().context("a pod's spec")?;
        let uid = format!("pod-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut volumes = BTreeMap::new();
        for volume in spec.volumes.iter().flatten() {
            let path = self.volume(volume, &uid, settings);
            volumes.insert(volume.name.clone(), path.with_context(|| format!("volume {}", volume.name))?);
        }
        let logs = Path::new(PODS).join(&uid).join("logs");
        fs::create_dir_all((self.outside)(&logs)?).context("logs")?;
        let config = translate::sandbox(set, &spec, &uid, &logs)?;
        let sandbox = self.cri.run_configured(&config)?;
        Ok(Pod {
            kubelet: self,
            spec,
            sandbox,
            config,
            volumes,
            image: None,
            containers: BTreeMap::new(),
            started: 0,
        })
    }

    fn volume(&self, volume: &Volume, uid: &str, settings: &BTreeMap<String, String>) -> Result<PathBuf> {
        if let Some(host) = &volume.host_path {
            let path = PathBuf::from(&host.path);
            let outside = (self.outside)(&path)?;
            match host.type_.as_deref().unwrap_or_default() {
                "" => {}
                "DirectoryOrCreate" => fs::create_dir_all(&outside).context("creating it")?,
                "Directory" => ensure!(outside.is_dir(), "{} is no directory", path.display()),
                "File" => ensure!(outside.is_file(), "{} is no file", path.display()),
                other => bail!("the lab's kubelet does not know the type {other}"),
            }
            return Ok(path);
        }
        ensure!(volume.config_map.is_some(), "neither a hostPath nor a ConfigMap");
        // As kubelet writes it: every file is a link through `..data`, in a directory that everybody may write to.
        let dir = Path::new(PODS).join(uid).join(&volume.name);
        let outside = (self.outside)(&dir)?;
        fs::create_dir_all(outside.join("..first")).context("a ConfigMap's directory")?;
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).context("its mode")?;
        symlink("..first", outside.join("..data")).context("..data")?;
        for (name, text) in settings {
            fs::write(outside.join("..first").join(name), text).context("a file of it")?;
            symlink(Path::new("..data").join(name), outside.join(name)).context("a link to it")?;
        }
        Ok(dir)
    }
}

impl Pod<'_> {
    /// Another image than the manifest names, for containers that are started from now on.
    pub fn use_image(&mut self, name: &str) {
        self.image = Some(name.to_owned());
    }

    /// Runs everything: init containers to their end, then the containers.
    ///
    /// # Errors
    /// An init container fails; the message has its log.
    pub fn run(&mut self) -> Result<()> {
        for container in self.spec.init_containers.clone().unwrap_or_default() {
            let code = self.run_init(&container.name)?;
            ensure!(code == 0, "{} ended with {code}:\n{}", container.name, self.log(&container.name)?);
        }
        self.start_containers()
    }

    /// Runs one init container to its end; its exit status.
    ///
    /// # Errors
    /// It does not end.
    pub fn run_init(&mut self, name: &str) -> Result<i32> {
        self.start(name)?;
        until(&format!("the end of {name}"), LIMIT, || self.ended(name))
            .with_context(|| self.log(name).unwrap_or_default())
    }

    /// Starts the containers that are no init containers.
    ///
    /// # Errors
    /// The runtime's.
    pub fn start_containers(&mut self) -> Result<()> {
        for container in self.spec.containers.clone() {
            self.start(&container.name)?;
        }
        Ok(())
    }

    /// Starts one container of either kind, for the first time or again.
    ///
    /// # Errors
    /// The runtime's.
    pub fn start(&mut self, name: &str) -> Result<()> {
        let container = self.container(name)?.clone();
        let mut config = translate::container(&self.spec, &container, &self.volumes, self.started)?;
        if let (Some(image), Some(named)) = (&self.image, &mut config.image) {
            named.image.clone_from(image);
        }
        self.started += 1;
        let id = self.kubelet.cri.start_container(&self.sandbox, &self.config, config);
        self.containers.insert(name.to_owned(), id.with_context(|| format!("container {name}"))?);
        Ok(())
    }

    /// How a container ended; none while it runs.
    ///
    /// # Errors
    /// It was not started.
    pub fn ended(&self, name: &str) -> Result<Option<i32>> {
        Ok(self.kubelet.cri.container_state(self.id(name)?)?.exit_code)
    }

    /// Pid of a container that runs, as the node sees it.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, name: &str) -> Result<i32> {
        self.kubelet.cri.container_state(self.id(name)?)?.pid.with_context(|| format!("{name} does not run"))
    }

    /// Asks every container's readiness probe; the first that says no, and what it says.
    ///
    /// # Errors
    /// The runtime's.
    pub fn unready(&self) -> Result<Option<String>> {
        for container in &self.spec.containers {
            let Some(probe) = &container.readiness_probe else { continue };
            let command = probe.exec.as_ref().and_then(|exec| exec.command.clone());
            let command = command.context("a probe that is no command")?;
            let output = self.kubelet.cri.exec(self.id(&container.name)?, &command)?;
            if output.exit_code != 0 {
                return Ok(Some(format!("{}: {}", output.exit_code, output.text)));
            }
        }
        Ok(None)
    }

    /// Waits until the pod is ready.
    ///
    /// # Errors
    /// It does not get so; the message has what the probe said, and the logs.
    pub fn until_ready(&self) -> Result<()> {
        let mut last = None;
        until("a ready pod", LIMIT, || {
            last = self.unready()?;
            Ok(last.is_none().then_some(()))
        })
        .with_context(|| format!("{last:?}\n{}", self.logs()))
    }

    /// What a container has said, all of its lives.
    ///
    /// # Errors
    /// The pod is of no node any more.
    pub fn log(&self, name: &str) -> Result<String> {
        let path =
            (self.kubelet.outside)(&Path::new(&self.config.log_directory).join(format!("{name}.log")))?;
        let text = fs::read_to_string(path).unwrap_or_default();
        // TIME STREAM TAG MESSAGE; kubernetes/design-proposals, kubelet-cri-logging.
        let lines = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
        Ok(lines.map(|line| format!("{line}\n")).collect())
    }

    /// What all of them have said.
    pub fn logs(&self) -> String {
        let logs =
            self.containers.keys().map(|name| format!("{name}:\n{}", self.log(name).unwrap_or_default()));
        logs.collect()
    }

    /// Ends the pod as its deletion does.
    ///
    /// # Errors
    /// The runtime's.
    pub fn end(self) -> Result<()> {
        let grace = self.spec.termination_grace_period_seconds.unwrap_or(30);
        for id in self.containers.values() {
            self.kubelet.cri.stop_container(id, grace)?;
        }
        self.kubelet.cri.stop(&self.sandbox)?;
        self.kubelet.cri.remove(&self.sandbox)
    }

    fn container(&self, name: &str) -> Result<&Container> {
        let mut all = self.spec.init_containers.iter().flatten().chain(&self.spec.containers);
        all.find(|container| container.name == name).with_context(|| format!("a container {name}"))
    }

    fn id(&self, name: &str) -> Result<&str> {
        self.containers.get(name).map(String::as_str).with_context(|| format!("{name} was not started"))
    }
}
