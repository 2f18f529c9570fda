//! The calls of the plugin by which a network joins or leaves a pod that runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use convergence::commands::move_pods::apply::{NetworkChange, NetworkChangeError};
use convergence::node::conf::name::DEFAULT_NAME;
use convergence::node::conf::plugin_input;
use convergence::node::facts::NodeFacts;
use convergence::runtime::Sandbox;
use serde_json::{Map, Value, json};
use shim::attachment::local_cleanup;
use shim::call::reply::code;
use shim::call::request::POD_ANNOTATIONS;
use shim::host::netns::Netns;
use shim::node::inventory;
use shim::node::layout::Layout;
use shim::node::store::{Key, Store, StoredRecord};
use types::attachment::Attachment;

use crate::host::command::{RunLimits, StderrTo, run_with};
use crate::host::root::Root;
use crate::node::plugins::bin_dirs::BinDirSources;
use crate::node::plugins::{join_dirs, plugin_in_use};

/// The number of calls at once. One that hangs keeps one pod waiting, and not the others.
const AT_ONCE: usize = 4;
/// Longer than any deadline of a policy: the plugin ends its own calls and undoes what it began.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(7200), max_bytes: 16 << 20 };
/// The longest part of a plugin's message that is shown, in characters.
const MOST_CHARACTERS: usize = 600;

/// The plugin of a node, and what its calls need.
#[derive(Debug)]
pub(super) struct PluginCaller {
    plugin: PathBuf,
    /// `CNI_PATH`, for attachments whose record names none.
    search: String,
    layout: Layout,
    /// The name of Crossfade's network.
    name: String,
}

/// An attachment as its calls name it.
struct RecordedCall {
    args: String,
    path: Option<String>,
    runtime_config: Map<String, Value>,
}

impl PluginCaller {
    pub(super) fn from_node(node: &NodeFacts) -> Self {
        let sources =
            BinDirSources { config: node.runtime.config(), ..BinDirSources::from_node(&node.settings) };
        let dirs = sources.search(&Root::new(&node.root));
        Self {
            plugin: plugin_in_use(&dirs),
            search: join_dirs(&dirs),
            layout: node.dirs.layout.clone(),
            name: node.name.clone().ok().flatten().unwrap_or_else(|| DEFAULT_NAME.into()),
        }
    }

    /// Carries all changes out, several at once. One answer for each.
    pub(super) fn change_all(&self, changes: &[NetworkChange]) -> Vec<Result<(), NetworkChangeError>> {
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Option<Result<(), NetworkChangeError>>>> =
            changes.iter().map(|_| Mutex::default()).collect();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(changes.len()) {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let Some((change, answer)) = changes.get(nth).zip(answers.get(nth)) else { break };
                        let outcome = self.change(change);
                        if let Ok(mut answer) = answer.lock() {
                            *answer = Some(outcome);
                        }
                    }
                });
            }
        });
        let ended = |answer: Mutex<Option<_>>| answer.into_inner().ok().flatten();
        let lost = || Err(NetworkChangeError::Failed("its call was not made".into()));
        answers.into_iter().map(|answer| ended(answer).unwrap_or_else(lost)).collect()
    }

    fn change(&self, change: &NetworkChange) -> Result<(), NetworkChangeError> {
        let NetworkChange { sandbox, ifname, annotations, joins } = change;
        let failed = NetworkChangeError::Failed;
        // Whose netns is not to be found or not its own is left to a restart, which gives the pod another one.
        let netns = netns_of(sandbox).map_err(NetworkChangeError::NeedsRestart)?;
        let call = self.recorded_call(sandbox, ifname).map_err(failed)?;
        let mut command = Command::new(&self.plugin);
        command
            .env("CNI_COMMAND", if *joins { "JOIN" } else { "LEAVE" })
            .env("CNI_CONTAINERID", &sandbox.id)
            .env("CNI_IFNAME", ifname)
            .env("CNI_NETNS", &netns)
            .env("CNI_ARGS", &call.args)
            .env("CNI_PATH", call.path.as_ref().unwrap_or(&self.search));
        let input = self.input(annotations, call.runtime_config).map_err(failed)?;
        let output = run_with(&mut command, LIMITS, input, StderrTo::Nowhere)
            .map_err(|e| failed(format!("{}: {e}", self.plugin.display())))?;
        if output.status.success() {
            return Ok(());
        }
        Err(refusal(&output.stdout).unwrap_or_else(|| {
            failed(format!("{} ended with {} and no CNI error", self.plugin.display(), output.status))
        }))
    }

    /// The plugin's conf on stdin, with the attachment's `runtimeConfig` and the pod's annotations.
    fn input(
        &self,
        annotations: &BTreeMap<String, String>,
        mut runtime_config: Map<String, Value>,
    ) -> Result<Vec<u8>, String> {
        let mut input = plugin_input(&self.layout, &self.name).map_err(|e| e.to_string())?;
        runtime_config.insert(POD_ANNOTATIONS.into(), json!(annotations));
        input["runtimeConfig"] = Value::Object(runtime_config);
        Ok(input.to_string().into_bytes())
    }

    /// What the attachment's ADD was called with, by its record; else by its inventory entry and the runtime.
    fn recorded_call(&self, sandbox: &Sandbox, ifname: &str) -> Result<RecordedCall, String> {
        let key = Key::new(&sandbox.id, ifname);
        if let Some(record) = self.record(&key)? {
            let primary = record.intent.legs.iter().find(|leg| leg.primary);
            let runtime_config = primary.and_then(|leg| leg.runtime_config.as_ref());
            return Ok(RecordedCall {
                args: record.intent.cni_args.unwrap_or_default(),
                path: record.intent.cni_path,
                runtime_config: object(runtime_config.map(|raw| raw.get())),
            });
        }
        let inventory = inventory::load(&self.layout).map_err(|e| e.to_string())?;
        let entry = inventory.find(&key).ok_or("no record and no inventory entry names its attachment")?;
        Ok(RecordedCall {
            args: entry.cni_args.clone().unwrap_or_else(|| sandbox.cni_args()),
            path: None,
            runtime_config: object(entry.runtime_config.as_ref().map(|raw| raw.get())),
        })
    }

    /// The record of an attachment; none also if it is damaged.
    fn record(&self, key: &Key) -> Result<Option<Attachment>, String> {
        match Store::new(&self.layout).find(key).map_err(|e| e.to_string())? {
            StoredRecord::Sound(record) => Ok(Some(*record)),
            StoredRecord::Absent | StoredRecord::Damaged(_) => Ok(None),
        }
    }

    /// The addresses of the network that is second in a sandbox, by its record.
    pub(super) fn second_addresses(&self, change: &NetworkChange) -> Result<Vec<IpAddr>, String> {
        let record = self.record(&Key::new(&change.sandbox.id, &change.ifname))?;
        Ok(addresses_of_second(&record.ok_or("no record names its networks")?))
    }
}

/// The addresses of an attachment's second network. Where the plugin could not look at the pod after the ADD, those that the ADD answered count: without
/// them, the network would leave under the connections that use it.
fn addresses_of_second(record: &Attachment) -> Vec<IpAddr> {
    let Some(second) = record.second_leg().map(|leg| &record.progress[leg]) else { return Vec::new() };
    if let Some(present) = &second.present {
        return present.iter().flat_map(|interface| interface.addresses.clone()).collect();
    }
    let answered = second.result.as_ref().map(|result| local_cleanup::addresses(result.get().as_bytes()));
    answered.into_iter().flatten().map(|address| address.ip()).collect()
}

/// The path of a sandbox's network namespace, which is the one of its first process.
fn netns_of(sandbox: &Sandbox) -> Result<PathBuf, String> {
    let path = sandbox.netns.clone().ok_or("the runtime does not say where its network namespace is")?;
    let open =
        |path: &Path| Netns::open(path).map_err(|e| format!("its network namespace {}: {e}", path.display()));
    let named = open(&path)?;
    if let Some(pid) = sandbox.pid {
        let of_process = PathBuf::from(format!("/proc/{pid}/ns/net"));
        if open(&of_process)?.id() != named.id() {
            return Err(format!(
                "its first process, {pid}, is not in the network namespace {}",
                path.display()
            ));
        }
    }
    Ok(path)
}

/// The CNI error that the plugin answered with.
fn refusal(stdout: &[u8]) -> Option<NetworkChangeError> {
    let answer: Value = serde_json::from_slice(stdout).ok()?;
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    let separator = if text("details").is_empty() { "" } else { ": " };
    let what = format!("{}{separator}{}", text("msg"), text("details"));
    let what: String = what.chars().filter(|c| !c.is_control()).take(MOST_CHARACTERS).collect();
    Some(match answer["code"].as_u64()? {
        // The netns or the arguments are not those of its ADD: the call has no other environment that can be wrong for one pod alone.
        restart if [code::RESTART, code::ENVIRONMENT].map(u64::from).contains(&restart) => {
            NetworkChangeError::NeedsRestart(what)
        }
        _ => NetworkChangeError::Failed(what),
    })
}

fn object(text: Option<&str>) -> Map<String, Value> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use types::attachment::{Event, Intent, PodInterface};

    use super::*;

    /// An attachment of two networks, of which the second is at the address that its ADD answered.
    fn attachment(present: Option<Vec<PodInterface>>) -> Attachment {
        let leg = |network: &str, ifname: &str, primary: bool| json!({"network": network, "profile": "flannel", "ifname": ifname, "primary": primary, "conf": {}});
        let intent: Intent = serde_json::from_value(json!({
            "version": 1, "containerID": "c1", "ifname": "eth0", "netns": "/run/netns/c1",
            "begun": {"bootID": "b", "boottimeMs": 1, "wallSecs": 1},
            "legs": [leg("old", "net1", false), leg("new", "eth0", true)],
        }))
        .expect("an intent");
        let mut record = Attachment::begin(intent);
        let result = to_raw_value(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}]}));
        let result = result.expect("a result");
        record.apply(Event::Added { leg: 0, result, present });
        record
    }

    #[test]
    fn a_pod_that_was_not_looked_at_has_the_addresses_of_its_add() {
        let address: IpAddr = "10.1.0.9".parse().expect("an address");
        let interface = PodInterface { name: "net1".into(), addresses: vec![address] };
        for (present, expected) in [
            (Some(vec![interface]), vec!["10.1.0.9"]),
            (None, vec!["10.1.0.5"]),
            (Some(Vec::new()), Vec::new()),
        ] {
            let addresses = addresses_of_second(&attachment(present));
            assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_pod_in_another_netns_than_recorded_needs_a_restart() {
        let answered = |code: u32| refusal(json!({"code": code, "msg": "m"}).to_string().as_bytes());
        for code in [code::ENVIRONMENT, code::RESTART] {
            assert_eq!(answered(code), Some(NetworkChangeError::NeedsRestart("m".into())));
        }
        assert_eq!(answered(code::TRY_LATER), Some(NetworkChangeError::Failed("m".into())));
    }
}
