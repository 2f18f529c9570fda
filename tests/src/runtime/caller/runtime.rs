//! Runs a conflist as libcni does.
//!
//! The rules are libcni's (`libcni/api.go`, CNI specification 1.1 sections 3 and 4): each plugin's conf gets the list's
//! name and version, the part of the offered capability arguments that it declares, and the result so far (ADD) or the
//! cached one (CHECK and DEL). Results are cached as libcni caches them, in a directory of the caller's choice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::{Outcome, Plugin};

/// A runtime: where it looks for plugins and keeps results.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// CNI_PATH, first to last.
    pub bin_dirs: Vec<PathBuf>,
    /// The result cache (libcni's default is /var/lib/cni/results).
    pub cache_dir: PathBuf,
}

/// One attachment as the runtime sees it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Sandbox {
    /// CNI_CONTAINERID.
    pub id: String,
    /// CNI_NETNS, empty when it is gone.
    pub netns: String,
    /// CNI_IFNAME.
    pub ifname: String,
    /// CNI_ARGS.
    pub args: String,
    /// Capability arguments on offer; each plugin gets those it declares.
    pub capability_args: Map<String, Value>,
}

impl Sandbox {
    /// A sandbox with `eth0` and the arguments that Kubernetes runtimes pass.
    pub fn new(id: &str, netns: &str) -> Self {
        Self {
            id: id.to_owned(),
            netns: netns.to_owned(),
            ifname: "eth0".to_owned(),
            args: format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME={id};K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={id}"
            ),
            capability_args: Map::new(),
        }
    }
}

impl Runtime {
    /// Runs ADD through the chain and caches the result.
    ///
    /// # Errors
    /// When a plugin fails (the text holds its answer) or the cache cannot be written.
    pub fn add(&self, list: &Value, sandbox: &Sandbox) -> Result<Value> {
        let mut previous = None;
        for plugin in plugins(list)? {
            let stdin = plugin_conf(list, plugin, Some(sandbox), previous.as_ref());
            previous = Some(self.call(plugin, "ADD", Some(sandbox), &stdin)?.result()?);
        }
        let result = previous.context("the list has no plugins")?;
        self.write_cache(list, sandbox, &result)?;
        Ok(result)
    }

    /// Runs CHECK through the chain with the cached result; where nothing is cached, without one. Lists older than 0.4.0 and with
    /// `disableCheck` pass unasked.
    ///
    /// # Errors
    /// When a plugin fails.
    pub fn check(&self, list: &Value, sandbox: &Sandbox) -> Result<()> {
        if !at_least(list, (0, 4)) || list["disableCheck"] == true {
            return Ok(());
        }
        let cached = self.cached(list, sandbox);
        for plugin in plugins(list)? {
            let stdin = plugin_conf(list, plugin, Some(sandbox), cached.as_ref());
            self.call(plugin, "CHECK", Some(sandbox), &stdin)?.succeeded()?;
        }
        Ok(())
    }

    /// Runs DEL through the chain in reverse and drops the cached result.
    ///
    /// # Errors
    /// When a plugin fails; the cached result then stays.
    pub fn del(&self, list: &Value, sandbox: &Sandbox) -> Result<()> {
        let cached = if at_least(list, (0, 4)) { self.cached(list, sandbox) } else { None };
        for plugin in plugins(list)?.into_iter().rev() {
            let stdin = plugin_conf(list, plugin, Some(sandbox), cached.as_ref());
            self.call(plugin, "DEL", Some(sandbox), &stdin)?.succeeded()?;
        }
        self.forget(list, sandbox)
    }

    /// Runs STATUS of every plugin; lists older than 1.1.0 pass unasked.
    ///
    /// # Errors
    /// When a plugin is not ready.
    pub fn status(&self, list: &Value) -> Result<()> {
        if !at_least(list, (1, 1)) {
            return Ok(());
        }
        for plugin in plugins(list)? {
            self.call(plugin, "STATUS", None, &plugin_conf(list, plugin, None, None))?.succeeded()?;
        }
        Ok(())
    }

    /// Runs GC: first a DEL for each cached attachment of this network that is not in `valid` (pairs of container id and
    /// ifname), then the verb itself if the list is 1.1.0 and does not disable it. Without a list none is valid, and the verb's is
    /// `null`.
    ///
    /// # Errors
    /// When any of it fails; everything is tried.
    pub fn gc(&self, list: &Value, valid: Option<&[(String, String)]>) -> Result<()> {
        if list["disableGC"] == true {
            return Ok(());
        }
        let mut errors = Vec::new();
        for sandbox in self.cached_sandboxes(list)? {
            let attachment = (sandbox.id.clone(), sandbox.ifname.clone());
            if !valid.is_some_and(|valid| valid.contains(&attachment))
                && let Err(error) = self.del(list, &sandbox)
            {
                errors.push(format!("{error:#}"));
            }
        }
        if at_least(list, (1, 1)) {
            let entry = |(id, ifname): &(String, String)| json!({"containerID": id, "ifname": ifname});
            let entries: Option<Vec<Value>> = valid.map(|valid| valid.iter().map(entry).collect());
            for plugin in plugins(list)? {
                let mut stdin = plugin_conf(list, plugin, None, None);
                stdin["cni.dev/valid-attachments"] = json!(entries);
                stdin["cni.dev/attachments"] = json!(entries);
                let done = self.call(plugin, "GC", None, &stdin).and_then(|outcome| outcome.succeeded());
                errors.extend(done.err().map(|error| format!("{error:#}")));
            }
        }
        if errors.is_empty() { Ok(()) } else { bail!("{}", errors.join("; ")) }
    }

    /// Asks one plugin for its versions, as a runtime that validates its directory does.
    ///
    /// # Errors
    /// When the plugin is absent or does not answer.
    pub fn versions(&self, plugin: &Value) -> Result<Vec<String>> {
        let stdin = json!({"cniVersion": "1.0.0"});
        let answer = self
            .program(plugin)?
            .env("CNI_COMMAND", "VERSION")
            .env("CNI_NETNS", "dummy")
            .env("CNI_IFNAME", "dummy")
            .env("CNI_PATH", "dummy")
            .stdin(&stdin.to_string())
            .run()?
            .result()?;
        let versions = answer["supportedVersions"].as_array().context("supportedVersions")?;
        Ok(versions.iter().filter_map(|version| version.as_str().map(str::to_owned)).collect())
    }

    /// The cached result of an attachment.
    pub fn cached(&self, list: &Value, sandbox: &Sandbox) -> Option<Value> {
        let text = fs::read(self.cache_path(list, sandbox)).ok()?;
        serde_json::from_slice::<Value>(&text).ok().map(|entry| entry["result"].clone())
    }

    /// Drops the cached result of an attachment.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn forget(&self, list: &Value, sandbox: &Sandbox) -> Result<()> {
        let path = self.cache_path(list, sandbox);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Every attachment of this network in the cache.
    ///
    /// # Errors
    /// When the cache is not readable.
    pub fn cached_sandboxes(&self, list: &Value) -> Result<Vec<Sandbox>> {
        let mut sandboxes = Vec::new();
        for entry in read_dir(&self.cache_dir)? {
            let text = fs::read(&entry).with_context(|| format!("read {}", entry.display()))?;
            let entry: Value = serde_json::from_slice(&text)?;
            if entry["networkName"] == list["name"] {
                sandboxes.push(sandbox_of(&entry));
            }
        }
        Ok(sandboxes)
    }

    fn call(&self, plugin: &Value, verb: &str, sandbox: Option<&Sandbox>, stdin: &Value) -> Result<Outcome> {
        let text = |field: fn(&Sandbox) -> &str| sandbox.map_or("", field);
        let bin_dirs: Vec<String> = self.bin_dirs.iter().map(|dir| dir.display().to_string()).collect();
        self.program(plugin)?
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", text(|sandbox| &sandbox.id))
            .env("CNI_NETNS", text(|sandbox| &sandbox.netns))
            .env("CNI_IFNAME", text(|sandbox| &sandbox.ifname))
            .env("CNI_ARGS", text(|sandbox| &sandbox.args))
            .env("CNI_PATH", &bin_dirs.join(":"))
            .stdin(&stdin.to_string())
            .run()
            .with_context(|| format!("{verb} of plugin {}", plugin["type"]))
    }

    fn program(&self, plugin: &Value) -> Result<Plugin> {
        let name = plugin["type"].as_str().context("a plugin needs a type")?;
        let program = self.bin_dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        Ok(Plugin::new(
            &program.with_context(|| format!("failed to find plugin {name:?} in {:?}", self.bin_dirs))?,
        ))
    }

    fn cache_path(&self, list: &Value, sandbox: &Sandbox) -> PathBuf {
        let name = list["name"].as_str().unwrap_or_default();
        self.cache_dir.join(format!("{name}-{}-{}", sandbox.id, sandbox.ifname))
    }

    fn write_cache(&self, list: &Value, sandbox: &Sandbox, result: &Value) -> Result<()> {
        fs::create_dir_all(&self.cache_dir)?;
        let entry = cache_entry(list, sandbox, result);
        let path = self.cache_path(list, sandbox);
        fs::write(&path, entry.to_string()).with_context(|| format!("write {}", path.display()))
    }
}

/// A result cache entry in libcni's format (`libcni/api.go`, `cachedInfo`; the config, which libcni adds in base64, is
/// left out: nothing here reads it).
pub fn cache_entry(list: &Value, sandbox: &Sandbox, result: &Value) -> Value {
    let args: Vec<[&str; 2]> = sandbox
        .args
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| [key, value])
        .collect();
    json!({
        "kind": "cniCacheV1",
        "containerId": sandbox.id,
        "ifName": sandbox.ifname,
        "networkName": list["name"],
        "netns": sandbox.netns,
        "cniArgs": args,
        "capabilityArgs": sandbox.capability_args,
        "result": result,
    })
}

fn sandbox_of(entry: &Value) -> Sandbox {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let args: Vec<String> = entry["cniArgs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some(format!("{}={}", pair[0].as_str()?, pair[1].as_str()?)))
        .collect();
    Sandbox {
        id: text("containerId"),
        netns: text("netns"),
        ifname: text("ifName"),
        args: args.join(";"),
        capability_args: entry["capabilityArgs"].as_object().cloned().unwrap_or_default(),
    }
}

fn plugins(list: &Value) -> Result<Vec<&Value>> {
    Ok(list["plugins"].as_array().context("a conflist needs plugins")?.iter().collect())
}

/// The conf of one plugin of a list: without a sandbox there are no capability arguments (STATUS, GC).
fn plugin_conf(list: &Value, plugin: &Value, sandbox: Option<&Sandbox>, previous: Option<&Value>) -> Value {
    let mut conf = plugin.clone();
    conf["name"] = list["name"].clone();
    conf["cniVersion"] = list["cniVersion"].clone();
    if let Some(previous) = previous {
        conf["prevResult"] = previous.clone();
    }
    let offered = sandbox.map(|sandbox| sandbox.capability_args.clone()).unwrap_or_default();
    let taken: Map<String, Value> =
        offered.into_iter().filter(|(name, _)| plugin["capabilities"][name.as_str()] == true).collect();
    if !taken.is_empty() {
        conf["runtimeConfig"] = Value::Object(taken);
    }
    conf
}

/// Whether the list's version is at least this major and minor number.
fn at_least(list: &Value, lowest: (u32, u32)) -> bool {
    let version = list["cniVersion"].as_str().unwrap_or("0.1.0");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= lowest
}

/// The files of a directory in order of their names; none if there is no directory.
pub fn read_dir(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", dir.display())),
    };
    paths.sort();
    Ok(paths)
}
