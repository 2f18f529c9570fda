//! A control plane: etcd and kube-apiserver, and with them kube-controller-manager and kube-scheduler where there are nodes.
//!
//! It runs in the lab's own namespaces, so a lab has one; nodes reach it over the fabric.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::operator;
use super::pki::{Authority, Identity};
use super::programs::Programs;
use crate::host::command::run_line;
use crate::host::deadline::until;
use crate::host::scratch::Scratch;

/// It is up in four seconds on an idle machine.
const UP_WITHIN: Duration = Duration::from_secs(180);
/// Where the API server listens.
pub const PORT: u16 = 6443;
pub const SERVICES: &str = "10.96.0.0/16";
/// Its label among the processes.
const APISERVER: &str = "apiserver";
/// The Service `kubernetes`, which is the first address of [`SERVICES`].
const KUBERNETES: &str = "10.96.0.1";
/// How long a pod stays bound to a node that is not ready or not reachable, in seconds.
const LEAVE_AFTER: u32 = 5;
/// Requests in a second of a component that must not wait for its own limit, which is 20 to 50 otherwise.
const FAST: [&str; 2] = ["--kube-api-qps=1000", "--kube-api-burst=2000"];

/// What a control plane is started with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Where nodes and pods reach it.
    pub address: Ipv4Addr,
    /// Host names in its certificate.
    pub names: &'a [&'a str],
    /// Tokens that it takes: token, user, group.
    pub tokens: Vec<[String; 3]>,
    pub controllers: Controllers,
    /// The user whose requests are written down ([`ControlPlane::audit_log`]).
    pub audited: Option<&'a str>,
}

/// The controller manager and the scheduler of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// There are none. No controller makes ServiceAccounts, so no pod needs one.
    None,
    /// They notice within seconds that a node is gone.
    Prompt,
    /// They keep pace with thousands of pods, and never wait for a node's heartbeat.
    Hollow,
}

/// A running control plane; ended on drop.
#[derive(Debug)]
pub struct ControlPlane {
    /// Signs for everybody in the cluster.
    pub authority: Authority,
    programs: Programs,
    address: Ipv4Addr,
    processes: Vec<Process>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Process {
    label: &'static str,
    command: Command,
    child: Child,
    log: PathBuf,
}

/// A person's or a component's way in.
#[derive(Debug, Clone, Copy)]
pub enum User<'a> {
    /// May do everything.
    Admin,
    /// A component of the control plane or of a node, known by its user's name.
    Component(&'a str),
    /// A kubelet, by its Node.
    Kubelet(&'a str),
}

impl ControlPlane {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// A program is missing or ends; the message has the end of its log.
    pub fn start(setup: &Setup<'_>) -> Result<ControlPlane> {
        let programs = Programs::find()?;
        let (scratch, authority) = (Scratch::new("kubernetes")?, Authority::new()?);
        let address = setup.address;
        let mut plane = ControlPlane { authority, programs, address, processes: Vec::new(), scratch };
        plane.write_pki(setup)?;
        let etcd = plane.etcd();
        plane.run("etcd", etcd)?;
        let apiserver = plane.apiserver(setup)?;
        plane.run(APISERVER, apiserver)?;
        plane.until_ready()?;
        let admin = plane.admin()?;
        if setup.controllers != Controllers::None {
            let manager = plane.controller_manager(setup.controllers)?;
            plane.run("controller-manager", manager)?;
            let scheduler = plane.scheduler(setup.controllers)?;
            plane.run("scheduler", scheduler)?;
            let account = "/api/v1/namespaces/default/serviceaccounts/default";
            plane.wait("the first ServiceAccount", || Ok(admin.get(account)?.status == 200))?;
        }
        Ok(plane)
    }

    /// Starts one without nodes of the lab's, at an address in the lab's own network namespace; what the operator asks is audited.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub fn without_nodes(controllers: Controllers) -> Result<ControlPlane> {
        let address = Ipv4Addr::new(192, 0, 2, 51);
        // A cluster before this one has left it.
        run_line(&format!("ip address replace {address}/32 dev lo"))?;
        let audited = Some(operator::USER);
        ControlPlane::start(&Setup { address, names: &[], tokens: Vec::new(), controllers, audited })
    }

    /// The release's programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A person who may do everything.
    ///
    /// # Errors
    /// Their certificate cannot be signed.
    pub fn admin(&self) -> Result<Client> {
        self.client(&self.identity(User::Admin)?)
    }

    /// The user that a certificate names.
    ///
    /// # Errors
    /// It is none.
    pub fn client(&self, identity: &Identity) -> Result<Client> {
        Client::with_certificate(&base(), &self.authority.certificate(), identity)
    }

    /// A certificate for a user.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn identity(&self, user: User<'_>) -> Result<Identity> {
        match user {
            User::Admin => self.authority.client("admin", "system:masters"),
            User::Component(name) => self.authority.client(name, "system:authenticated"),
            User::Kubelet(node) => self.authority.kubelet(node),
        }
    }

    /// A kubeconfig in which everything is written out.
    ///
    /// # Errors
    /// The user's certificate cannot be signed.
    pub fn kubeconfig(&self, user: User<'_>) -> Result<Value> {
        let Identity { certificate, key } = self.identity(user)?;
        let server = format!("https://{}:{PORT}", self.address);
        let encode = |pem: &str| data_encoding::BASE64.encode(pem.as_bytes());
        Ok(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
            "clusters": [{ "name": "lab", "cluster": {
                "server": server, "certificate-authority-data": encode(&self.authority.certificate()),
            } }],
            "users": [{ "name": "lab", "user": {
                "client-certificate-data": encode(&certificate), "client-key-data": encode(&key),
            } }],
        }))
    }

    /// `kubectl` as a person who may do everything.
    ///
    /// # Errors
    /// What the file system says.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Command> {
        let config = self.scratch.join("admin.kubeconfig");
        if !config.exists() {
            fs::write(&config, self.kubeconfig(User::Admin)?.to_string()).context("a kubeconfig")?;
        }
        let mut command = Command::new(self.programs.path("kubectl"));
        command.env_clear().env("HOME", self.scratch.path()).env("PATH", crate::host::node::PATH);
        // Not by a flag: no flag may stand before a plugin's name.
        command.env("KUBECONFIG", config).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// What the API server wrote down of the audited user: an audit event of `audit.k8s.io/v1` in each line, one for each request that ended.
    pub fn audit_log(&self) -> PathBuf {
        self.scratch.join("audit.jsonl")
    }

    /// Kills the API server, does something, and starts the API server again on the same data, whatever came of it.
    ///
    /// # Errors
    /// What `act` says, or the API server does not start again.
    pub fn without_apiserver<T>(&mut self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let apiserver = self.process(APISERVER)?;
        apiserver.child.kill().context("kube-apiserver")?;
        apiserver.child.wait().context("kube-apiserver")?;
        let outcome = act();
        let apiserver = self.process(APISERVER)?;
        apiserver.child = apiserver.command.spawn().context("kube-apiserver")?;
        let is_back = self.until_ready();
        let outcome = outcome?;
        is_back.map(|()| outcome)
    }

    fn process(&mut self, label: &str) -> Result<&mut Process> {
        let mut processes = self.processes.iter_mut();
        processes.find(|process| process.label == label).with_context(|| format!("{label} was never started"))
    }

    fn until_ready(&mut self) -> Result<()> {
        let admin = self.admin()?;
        self.wait("kube-apiserver is ready", || Ok(admin.get("/readyz").is_ok_and(|it| it.status == 200)))
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        until(what, UP_WITHIN, || {
            for Process { child, log, .. } in &mut self.processes {
                if let Some(status) = child.try_wait()? {
                    bail!("{} says that it ended with {status}: {}", log.display(), tail(log));
                }
            }
            Ok(is_so()?.then_some(()))
        })
    }

    fn run(&mut self, label: &'static str, mut command: Command) -> Result<()> {
        let log = self.scratch.join(format!("{label}.log"));
        let child = start(&mut command, &log)?;
        self.processes.push(Process { label, command, child, log });
        Ok(())
    }

    fn etcd(&self) -> Command {
        let mut command = self.programs.command("etcd");
        command
            .arg(format!("--data-dir={}", self.scratch.join("etcd").display()))
            .args(["--unsafe-no-fsync", "--logger=zap", "--log-level=error"])
            .args([
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
            ])
            .arg("--listen-peer-urls=http://127.0.0.1:2380");
        command
    }

    fn apiserver(&self, setup: &Setup<'_>) -> Result<Command> {
        let mut command = self.programs.command("kube-apiserver");
        for (flag, file) in [
            ("client-ca-file", "ca.pem"),
            ("tls-cert-file", "server.pem"),
            ("tls-private-key-file", "server.key"),
            ("kubelet-client-certificate", "apiserver.pem"),
            ("kubelet-client-key", "apiserver.key"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-signing-key-file", "accounts.key"),
            ("service-account-key-file", "accounts.pem"),
            ("cert-dir", ""),
        ] {
            command.arg(format!("--{flag}={}", self.scratch.join(file).display()));
        }
        command
            .arg(format!("--secure-port={PORT}"))
            .arg(format!("--advertise-address={}", self.address))
            .arg(format!("--service-cluster-ip-range={SERVICES}"))
            .arg(format!("--default-not-ready-toleration-seconds={LEAVE_AFTER}"))
            .arg(format!("--default-unreachable-toleration-seconds={LEAVE_AFTER}"))
            .args([
                "--etcd-servers=http://127.0.0.1:2379",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--kubelet-preferred-address-types=InternalIP",
                "--allow-privileged=true",
                "--profiling=false",
            ]);
        if setup.controllers == Controllers::None {
            command.arg("--disable-admission-plugins=ServiceAccount");
        }
        if let Some(user) = setup.audited {
            let policy = self.scratch.join("audit-policy.json");
            fs::write(&policy, audit_policy(user).to_string()).context("the policy of the audit")?;
            command.arg(format!("--audit-policy-file={}", policy.display()));
            command.arg(format!("--audit-log-path={}", self.audit_log().display()));
            // In MiB; a log that is full would be moved away.
            command.arg("--audit-log-maxsize=4096");
        }
        Ok(command)
    }

    fn controller_manager(&self, controllers: Controllers) -> Result<Command> {
        let mut command = self.component("kube-controller-manager")?;
        for (flag, file) in [("service-account-private-key-file", "accounts.key"), ("root-ca-file", "ca.pem")]
        {
            command.arg(format!("--{flag}={}", self.scratch.join(file).display()));
        }
        command.arg("--use-service-account-credentials=true");
        if controllers == Controllers::Hollow {
            command.args(["--node-monitor-grace-period=24h", "--node-startup-grace-period=24h"]).args(FAST);
        } else {
            // A node that is gone is noticed in seconds, not in the 40 of a real cluster.
            command.args(["--node-monitor-period=1s", "--node-monitor-grace-period=12s"]);
        }
        Ok(command)
    }

    fn scheduler(&self, controllers: Controllers) -> Result<Command> {
        let mut command = self.component("kube-scheduler")?;
        if controllers == Controllers::Hollow {
            command.args(FAST);
        }
        Ok(command)
    }

    /// A component that leads alone and is known by the user `system:NAME`.
    fn component(&self, program: &str) -> Result<Command> {
        let config = self.scratch.join(format!("{program}.kubeconfig"));
        let user = format!("system:{program}");
        fs::write(&config, self.kubeconfig(User::Component(&user))?.to_string()).context("a kubeconfig")?;
        let mut command = self.programs.command(program);
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{flag}={}", config.display()));
        }
        command.arg(format!("--cert-dir={}", self.scratch.join(program).display()));
        command.args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
        Ok(command)
    }

    fn write_pki(&self, setup: &Setup<'_>) -> Result<()> {
        let own = setup.address.to_string();
        let mut names = vec!["127.0.0.1", "localhost", &own, KUBERNETES, "kubernetes.default.svc"];
        names.extend(setup.names);
        let server = self.authority.server(&names)?;
        let (accounts, apiserver) = (
            self.authority.client("accounts", "none")?,
            self.authority.client("apiserver", "system:masters")?,
        );
        let tokens: String = setup
            .tokens
            .iter()
            .map(|[token, user, group]| format!("{token},{user},{user},\"{group}\"\n"))
            .collect();
        for (file, text) in [
            ("ca.pem", self.authority.certificate()),
            ("server.pem", server.certificate),
            ("server.key", server.key),
            ("apiserver.pem", apiserver.certificate),
            ("apiserver.key", apiserver.key),
            ("accounts.pem", accounts.certificate),
            ("accounts.key", accounts.key),
            ("tokens.csv", tokens),
        ] {
            fs::write(self.scratch.join(file), text).with_context(|| format!("writing {file}"))?;
        }
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // In the order of who speaks to whom.
        for Process { child, .. } in self.processes.iter_mut().rev() {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

/// Writes down each request of a user when it ends, without its body; nothing of other users.
fn audit_policy(user: &str) -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{ "level": "Metadata", "users": [user] }, { "level": "None" }],
    })
}

/// Where the API server is, for those in the lab's own namespaces.
pub fn base() -> String {
    format!("https://127.0.0.1:{PORT}")
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Its output goes to a file: a pipe without a reader would stop it, and one that it keeps open would stop CI.
fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::create(log).context("a log")?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    child.with_context(|| format!("starting {}", command.get_program().display()))
}
