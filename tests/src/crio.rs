//! A caller that behaves like CRI-O.
//!
//! What CRI-O (through ocicni) does differently from containerd, replayed from recorded facts: every conf file is validated
//! by asking each plugin's VERSION, and a bad one is skipped; the conf is cached at ADD and replayed on CHECK and DEL,
//! whatever has become of the file; ADD is always followed by a CHECK, whose failure fails the pod; there is exactly one
//! DEL, after which the cached result is gone, failed or not; GC runs at start for *every* conf file, with all running pods
//! filed under the *default* network's name.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::caller::runtime::{Runtime, Sandbox, read_dir};

/// A CRI-O: its conf directory, its plugins and result cache, and the pods it runs.
#[derive(Debug)]
pub struct Crio {
    conf_dir: PathBuf,
    runtime: Runtime,
    pods: BTreeMap<String, (Sandbox, Value)>,
}

impl Crio {
    /// A CRI-O that reads this directory; it has not started yet.
    pub fn new(conf_dir: &Path, runtime: Runtime) -> Self {
        Self { conf_dir: conf_dir.to_owned(), runtime, pods: BTreeMap::new() }
    }

    /// The valid networks of the directory in order; the first is the default one.
    ///
    /// # Errors
    /// When the directory is not readable. A bad file is skipped, as CRI-O does.
    pub fn networks(&self) -> Result<Vec<Value>> {
        let mut lists: Vec<Value> = Vec::new();
        for path in read_dir(&self.conf_dir)? {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if !matches!(extension, "conf" | "conflist" | "json") {
                continue;
            }
            let Some(list) = self.load(&path) else { continue };
            if !lists.iter().any(|known| known["name"] == list["name"]) {
                lists.push(list);
            }
        }
        Ok(lists)
    }

    fn load(&self, path: &Path) -> Option<Value> {
        let read: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let list = if read.get("plugins").is_some() {
            read
        } else {
            json!({"cniVersion": read["cniVersion"], "name": read["name"], "plugins": [read]})
        };
        let version = list["cniVersion"].as_str()?;
        let plugins = list["plugins"].as_array()?;
        let speaks = |plugin: &Value| {
            self.runtime.versions(plugin).is_ok_and(|all| all.iter().any(|one| one == version))
        };
        (list["name"].is_string() && !plugins.is_empty() && plugins.iter().all(speaks)).then_some(list)
    }

    /// The default network.
    ///
    /// # Errors
    /// When no file of the directory is valid.
    pub fn default_network(&self) -> Result<Value> {
        let found = self.networks()?.into_iter().next();
        found.with_context(|| format!("no CNI configuration file in {}", self.conf_dir.display()))
    }

    /// Starts: once the default network's STATUS is good, collects garbage for every conf file, all running pods being
    /// filed under the default network's name.
    ///
    /// # Errors
    /// When the default network is not ready, or a network's GC fails; all are tried.
    pub fn start(&self) -> Result<()> {
        let default = self.default_network()?;
        self.runtime.status(&default)?;
        let running: Vec<(String, String)> =
            self.pods.values().map(|(sandbox, _)| (sandbox.id.clone(), sandbox.ifname.clone())).collect();
        let mut failed = Vec::new();
        for list in self.networks()? {
            let valid = if list["name"] == default["name"] { running.as_slice() } else { &[] };
            failed.extend(self.runtime.gc(&list, valid).err().map(|error| format!("{error:#}")));
        }
        if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("; ")) }
    }

    /// Runs a pod: ADD with the default network, then CHECK.
    ///
    /// # Errors
    /// When either fails; after a failed CHECK the pod is stopped again.
    pub fn run_pod(&mut self, sandbox: Sandbox) -> Result<Value> {
        let list = self.default_network()?;
        let result = self.runtime.add(&list, &sandbox)?;
        self.pods.insert(sandbox.id.clone(), (sandbox.clone(), list.clone()));
        if let Err(error) = self.runtime.check(&list, &sandbox) {
            let stopped = self.stop_pod(&sandbox.id);
            return Err(error).with_context(|| format!("CHECK after ADD (then stopped: {stopped:?})"));
        }
        Ok(result)
    }

    /// Stops a pod: one DEL with the conf as it was at ADD, and no second one if it fails.
    ///
    /// # Errors
    /// What the DEL said; the pod is gone either way.
    pub fn stop_pod(&mut self, id: &str) -> Result<()> {
        let (sandbox, list) = self.pods.remove(id).with_context(|| format!("pod {id} does not run"))?;
        let deleted = self.runtime.del(&list, &sandbox);
        self.runtime.forget(&list, &sandbox)?;
        deleted
    }
}
