//! A caller that behaves like CRI-O, as CRI-O 1.37 (ocicni, libcni 1.3) was measured.
//!
//! | when | what it does |
//! |---|---|
//! | an event in its directory ([`Crio::reload`]) | asks each plugin of every conf for its VERSION and leaves out a conf that it cannot run; what it holds stays as it is until then |
//! | start ([`Crio::start`]) | STATUS of the default network; then GC of *every* conf; then a CHECK of every pod, one after the other, whose failure costs the pod its address and no more |
//! | ADD ([`Crio::run_pod`]) | a CHECK follows; when either fails, a DEL |
//! | DEL ([`Crio::stop_pod`]) | once, with the conf cached at ADD. When it fails its cache entry is gone all the same, and the next stop succeeds without a DEL; where the netns is gone its error is swallowed |
//! | GC at start | files all pods under the *default* network's name. An entry of the cache that is not among them gets a DEL with the conf of the *file* of its name, at 1.0.0, too; every conf of another name gets a list that is `null` |
//! | reboot ([`Crio::reboot`]) | one DEL per pod with a netns path that is dead, also where no conf is there |
//!
//! The default network is the one that its configuration names (`cni_default_network`); else the first of the directory.

pub mod daemon;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::runtime::caller::runtime::{Runtime, Sandbox, read_dir};

/// A CRI-O: its conf directory, its plugins and result cache, and the pods it runs.
#[derive(Debug)]
pub struct Crio {
    conf_dir: PathBuf,
    runtime: Runtime,
    /// `cni_default_network`, where it is set.
    insists_on: Option<String>,
    /// The networks that it holds; none before it has looked at its directory.
    loaded: Option<Vec<Value>>,
    /// Each pod with the conf that its DEL is made with; none once that was made, whatever came of it.
    pods: BTreeMap<String, (Sandbox, Option<Value>)>,
}

impl Crio {
    /// A CRI-O that reads this directory; it has not started yet.
    pub fn new(conf_dir: &Path, runtime: Runtime) -> Self {
        let conf_dir = conf_dir.to_owned();
        Self { conf_dir, runtime, insists_on: None, loaded: None, pods: BTreeMap::new() }
    }

    /// Configures `cni_default_network`.
    pub fn insist_on(mut self, network: &str) -> Self {
        self.insists_on = Some(network.to_owned());
        self
    }

    /// Reads the directory anew, as each event in it makes CRI-O do.
    ///
    /// # Errors
    /// When the directory is not readable. A bad file is skipped, as CRI-O does.
    pub fn reload(&mut self) -> Result<()> {
        let lists = self.reader().read()?;
        self.hold(lists);
        Ok(())
    }

    /// Who reads its directory.
    pub fn reader(&self) -> Reader {
        Reader { conf_dir: self.conf_dir.clone(), runtime: self.runtime.clone() }
    }

    /// Takes over what was read.
    pub fn hold(&mut self, lists: Vec<Value>) {
        self.loaded = Some(lists);
    }

    /// The network that it holds under the default name.
    fn default_network(&mut self) -> Result<Value> {
        if self.loaded.is_none() {
            self.reload()?;
        }
        let lists = self.loaded.iter().flatten();
        let is_default = |list: &&Value| self.insists_on.as_deref().is_none_or(|name| list["name"] == name);
        let network = lists.clone().find(is_default).cloned();
        network.with_context(|| format!("no CNI configuration file in {}", self.conf_dir.display()))
    }

    /// Starts, with whatever pods ran before. Returns the ids of those whose CHECK failed: they run on without an address.
    ///
    /// # Errors
    /// When the default network is not ready, or a network's GC fails; all are tried.
    pub fn start(&mut self) -> Result<Vec<String>> {
        self.reload()?;
        let default = self.default_network()?;
        self.runtime.status(&default)?;
        self.collect(&default)?;
        let check = |(id, (sandbox, _)): (&String, &(Sandbox, Option<Value>))| {
            self.runtime.check(&default, sandbox).is_err().then(|| id.clone())
        };
        Ok(self.pods.iter().filter_map(check).collect())
    }

    fn collect(&self, default: &Value) -> Result<()> {
        let running: Vec<(String, String)> =
            self.pods.values().map(|(sandbox, _)| (sandbox.id.clone(), sandbox.ifname.clone())).collect();
        let mut failed = Vec::new();
        for list in self.loaded.iter().flatten() {
            let valid = (list["name"] == default["name"]).then_some(running.as_slice());
            failed.extend(self.runtime.gc(list, valid).err().map(|error| format!("{error:#}")));
        }
        if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("; ")) }
    }

    /// Runs a pod: ADD with the default network, then CHECK.
    ///
    /// # Errors
    /// When either fails; a DEL has followed.
    pub fn run_pod(&mut self, mut sandbox: Sandbox) -> Result<Value> {
        let list = self.default_network()?;
        // CRI-O maps ports itself and tells every plugin that asks for it the pod's control group.
        sandbox.capability_args.remove("portMappings");
        sandbox.capability_args.insert("cgroupPath".into(), json!(format!("/kubepods/{}", sandbox.id)));
        let added = self.runtime.add(&list, &sandbox);
        let result = match added {
            Ok(result) => result,
            Err(error) => {
                let undone = self.runtime.del(&list, &sandbox);
                return Err(error).with_context(|| format!("ADD (then DEL: {undone:?})"));
            }
        };
        self.pods.insert(sandbox.id.clone(), (sandbox.clone(), Some(list.clone())));
        if let Err(error) = self.runtime.check(&list, &sandbox) {
            let stopped = self.stop_pod(&sandbox.id);
            self.remove_pod(&sandbox.id);
            return Err(error).with_context(|| format!("CHECK after ADD (then stopped: {stopped:?})"));
        }
        Ok(result)
    }

    /// Stops a pod: one DEL with the conf as it was at ADD. A stop after that does nothing.
    ///
    /// # Errors
    /// What the DEL said, unless the pod's netns is gone. The pod is listed until [`Crio::remove_pod`].
    pub fn stop_pod(&mut self, id: &str) -> Result<()> {
        let (sandbox, conf) = self.pods.get_mut(id).with_context(|| format!("pod {id} does not run"))?;
        let Some(list) = conf.take() else { return Ok(()) };
        let deleted = self.runtime.del(&list, sandbox);
        self.runtime.forget(&list, sandbox)?;
        if Path::new(&sandbox.netns).exists() { deleted } else { Ok(()) }
    }

    /// Forgets a pod, as kubelet asks for after it was stopped.
    pub fn remove_pod(&mut self, id: &str) {
        self.pods.remove(id);
    }

    /// Its pods, as it keeps them on the disk.
    ///
    /// # Errors
    /// None that is known.
    pub fn kept(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.pods).context("the pods")
    }

    /// Takes up the pods that one before it has kept.
    ///
    /// # Errors
    /// The bytes are not what it keeps.
    pub fn take_up(&mut self, kept: &[u8]) -> Result<()> {
        self.pods = serde_json::from_slice(kept).context("the pods")?;
        Ok(())
    }

    /// Ids of the pods that it lists.
    pub fn pods(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }

    /// The machine boots anew: every pod's netns is gone. Where there is a conf, what it does at start; then each pod is stopped.
    ///
    /// # Errors
    /// When a network's GC fails, or a result cannot be forgotten.
    pub fn reboot(&mut self) -> Result<()> {
        for (sandbox, _) in self.pods.values_mut() {
            sandbox.netns = format!("/run/netns/gone-{}", sandbox.id);
        }
        self.reload()?;
        if let Ok(default) = self.default_network() {
            self.collect(&default)?;
        }
        let all: Vec<String> = self.pods.keys().cloned().collect();
        for id in all {
            self.stop_pod(&id)?;
            self.remove_pod(&id);
        }
        Ok(())
    }
}

/// Reads the directory, with nothing of the runtime held up meanwhile.
#[derive(Debug, Clone)]
pub struct Reader {
    conf_dir: PathBuf,
    runtime: Runtime,
}

impl Reader {
    /// The networks of the directory, in its order; each plugin is asked for its versions.
    ///
    /// # Errors
    /// When the directory is not readable. A bad file is skipped.
    pub fn read(&self) -> Result<Vec<Value>> {
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
            self.runtime.versions(plugin).is_ok_and(|all| all.iter().any(|known| known == version))
        };
        (list["name"].is_string() && !plugins.is_empty() && plugins.iter().all(speaks)).then_some(list)
    }
}
