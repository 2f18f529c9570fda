//! A Cilium-like stand-in CNI plugin: what a runtime sees of cilium-cni up to 1.17.5, without Cilium's agent.
//!
//! Measured on the real one: endpoints are keyed by container id and ifname, but DEL goes by the container id alone; a DEL whose
//! netns is gone deletes the endpoint first and fails then (999); with its agent down an ADD fails (999) in words that look
//! much the same, and a DEL is queued and succeeds; CHECK panics without a prevResult; STATUS and GC are not known (1), nor is
//! any verb at 1.1.0. Unlike the real one it does not wait half a minute for its agent.
//!
//! Its conf, beside `cniVersion`, `name` and `type`: `state`, a directory. The agent is up where `STATE/agent` is there; an
//! endpoint is a file `STATE/endpoints/ID@IFNAME` that holds the host end's name, a queued DEL a file `STATE/deleteQueue/ID`.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{ErrorKind, Read, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use lab::standin::stub::interface;
use serde_json::{Value, json};

/// The errors of ADD and CHECK while the agent is down.
const NO_AGENT: &str = "unable to connect to Cilium agent: failed to create cilium agent client after 30.000000 seconds timeout: \
    Get \"http://localhost/v1/config\": dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\n\
    Is the agent running?";
/// The agent's own address, which is every pod's gateway.
const ROUTER: &str = "10.20.0.8";

struct Failure {
    code: u32,
    msg: String,
}

type Outcome = Result<Option<Value>, Failure>;

fn fail(code: u32, msg: impl Into<String>) -> Failure {
    Failure { code, msg: msg.into() }
}

/// What the real one tells as an internal error.
fn internal(error: impl std::fmt::Display) -> Failure {
    fail(999, error.to_string())
}

struct Call {
    id: String,
    ifname: String,
    netns: String,
    state: PathBuf,
    prev_result: Option<Value>,
}

impl Call {
    fn read(conf: &Value) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self {
            id: variable("CNI_CONTAINERID"),
            ifname: variable("CNI_IFNAME"),
            netns: variable("CNI_NETNS"),
            state: conf["state"].as_str().unwrap_or_default().into(),
            prev_result: conf.get("prevResult").cloned(),
        }
    }

    fn agent_is_up(&self) -> bool {
        self.state.join("agent").exists()
    }

    fn endpoint(&self) -> PathBuf {
        self.state.join("endpoints").join(format!("{}@{}", self.id, self.ifname))
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.state, &self.id, &self.ifname).hash(&mut hasher);
        hasher.finish()
    }

    fn add(&self, version: &str) -> Outcome {
        if self.prev_result.is_some() {
            return Err(internal(
                "CNI PrevResult supplied, but not in chaining mode -- this is invalid, please set chaining-mode in CNI configuration",
            ));
        }
        if !self.agent_is_up() {
            return Err(internal(NO_AGENT));
        }
        self.open_netns()?;
        // Its temporary link has the first five characters of the id in its name.
        if self.id.len() < 5 {
            return Err(internal("unable to set up veth on host side: invalid argument"));
        }
        let host = format!("lxc{:012x}", self.digest() & 0xffff_ffff_ffff);
        let address = Ipv4Addr::new(10, 20, 0, (self.digest() % 200) as u8 + 20);
        interface::plug(Path::new(&self.netns), &self.ifname, &host, address).map_err(internal)?;
        fs::create_dir_all(self.state.join("endpoints")).map_err(internal)?;
        fs::write(self.endpoint(), &host).map_err(internal)?;
        let mut ip = json!({"address": format!("{address}/32"), "gateway": ROUTER, "interface": 1});
        if version != "1.0.0" {
            ip["version"] = json!("4");
        }
        Ok(Some(json!({
            "cniVersion": version,
            "interfaces": [
                {"name": host, "mac": "fa:66:08:21:1d:c0"},
                {"name": self.ifname, "mac": "6e:84:e2:bb:94:3a", "sandbox": self.netns}
            ],
            "ips": [ip],
            "routes": [{"dst": format!("{ROUTER}/32")}, {"dst": "0.0.0.0/0", "gw": ROUTER}]
        })))
    }

    fn del(&self) -> Outcome {
        if !self.agent_is_up() {
            let queue = self.state.join("deleteQueue");
            fs::create_dir_all(&queue)
                .and_then(|()| fs::write(queue.join(&self.id), ""))
                .map_err(internal)?;
            return Ok(None);
        }
        let mut hosts = Vec::new();
        let entries = match fs::read_dir(self.state.join("endpoints")) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            entries => Some(entries.map_err(internal)?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(internal)?;
            if entry.file_name().to_string_lossy().starts_with(&format!("{}@", self.id)) {
                hosts.push(fs::read_to_string(entry.path()).map_err(internal)?);
                fs::remove_file(entry.path()).map_err(internal)?;
            }
        }
        if hosts.is_empty() {
            let _ignored = writeln!(std::io::stderr(), "level=warning msg=\"deleteEndpointNotFound\"");
        }
        self.open_netns()?;
        hosts.iter().try_for_each(|host| interface::unplug(host)).map_err(internal)?;
        Ok(None)
    }

    fn check(&self) -> Outcome {
        assert!(
            self.prev_result.is_some(),
            "runtime error: invalid memory address or nil pointer dereference"
        );
        if !self.agent_is_up() {
            return Err(fail(11, NO_AGENT));
        }
        if !self.endpoint().exists() {
            return Err(fail(100, "endpoint not found"));
        }
        Ok(None)
    }

    fn open_netns(&self) -> Result<(), Failure> {
        let path = &self.netns;
        let opened = if path.is_empty() { Err(ErrorKind::NotFound.into()) } else { fs::File::open(path) };
        opened.map(drop).map_err(|error| {
            let why = if error.kind() == ErrorKind::NotFound {
                "no such file or directory".to_owned()
            } else {
                error.to_string()
            };
            internal(format!("opening netns pinned at {path}: open {path}: {why}"))
        })
    }
}

fn main() -> ExitCode {
    let mut stdin = String::new();
    let read = std::io::stdin().read_to_string(&mut stdin);
    let conf: Value = serde_json::from_str(&stdin).unwrap_or_default();
    let version = conf["cniVersion"].as_str().unwrap_or_default().to_owned();
    let call = Call::read(&conf);
    let verb = std::env::var("CNI_COMMAND").unwrap_or_default();
    let outcome = match (read, verb.as_str(), version.as_str()) {
        (Err(error), _, _) => Err(internal(error)),
        (_, "VERSION", _) => Ok(Some(json!({
            "cniVersion": "1.0.0",
            "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]
        }))),
        (_, "STATUS" | "GC", _) => Err(fail(1, format!("config version does not allow {verb}"))),
        (_, _, "1.1.0") => Err(fail(1, "incompatible CNI versions")),
        (_, "ADD", version) => call.add(version),
        (_, "DEL", _) => call.del(),
        (_, "CHECK", _) => {
            // A Go program that panics ends with 2, and says no CNI error.
            match std::panic::catch_unwind(|| call.check()) {
                Ok(outcome) => outcome,
                Err(_) => return ExitCode::from(2),
            }
        }
        _ => Err(fail(4, format!("unknown CNI_COMMAND: {verb}"))),
    };
    let (document, code) = match outcome {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(document)) => (document, ExitCode::SUCCESS),
        Err(Failure { code, msg }) => {
            (json!({"cniVersion": version, "code": code, "msg": msg}), ExitCode::FAILURE)
        }
    };
    match std::io::stdout().write_all(document.to_string().as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
