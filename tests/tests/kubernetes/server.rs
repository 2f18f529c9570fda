//! etcd and kube-apiserver, one of each for all cases: every case has a Node of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::deadline::until;
use lab::scratch::Scratch;

use super::client::Client;
use super::pki::{Authority, Identity};

/// It is up in four seconds where nobody else works.
const UP_WITHIN: Duration = Duration::from_secs(180);
/// Where it listens.
pub(crate) const PORT: u16 = 6443;
/// A name that only the host's own sources know.
pub(crate) const NAME: &str = "api.crossfade.test";

/// Tokens of kubelets, by Node.
pub(crate) const TOKENS: [(&str, &str); 5] = [
    ("by-token", "canary-inline-4c1d"),
    ("by-token-file", "canary-file-88e0"),
    ("by-plugin", "canary-plugin-1fb2"),
    ("by-plugin-beta", "canary-beta-93aa"),
    ("by-name", "canary-name-6d27"),
];
const ADMIN: &str = "admin-token";

/// A cluster without nodes.
pub(crate) struct Server {
    pub(crate) authority: Authority,
    processes: Vec<Child>,
    scratch: Scratch,
}

impl Server {
    /// Starts both and waits until they are ready.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        let scratch = Scratch::new("kubernetes")?;
        let authority = Authority::new()?;
        write_pki(&scratch, &authority)?;
        let mut hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        hosts.push_str(&format!("127.0.0.1 {NAME}\n"));
        fs::write("/etc/hosts", hosts).context("the lab's /etc/hosts")?;
        let etcd = start(
            Command::new(programs.join("etcd"))
                .arg(format!("--data-dir={}", scratch.join("etcd").display()))
                .args(["--unsafe-no-fsync", "--logger=zap", "--log-level=error"])
                .args([
                    "--listen-client-urls=http://127.0.0.1:2379",
                    "--advertise-client-urls=http://127.0.0.1:2379",
                ])
                .args(["--listen-peer-urls=http://127.0.0.1:2380"]),
            &scratch.join("etcd.log"),
        )?;
        let mut server = Self { authority, processes: vec![etcd], scratch };
        let apiserver = start(&mut server.apiserver(&programs), &server.scratch.join("apiserver.log"))?;
        server.processes.push(apiserver);
        let admin = server.admin()?;
        until("kube-apiserver is ready", UP_WITHIN, || {
            for process in &mut server.processes {
                if let Some(status) = process.try_wait()? {
                    bail!("ended with {status}: {}", tail(&server.scratch.join("apiserver.log")));
                }
            }
            let ready = admin.get("/readyz").is_ok_and(|answer| answer.status == 200);
            Ok(ready.then_some(()))
        })?;
        Ok(server)
    }

    fn apiserver(&self, programs: &Path) -> Command {
        let mut command = Command::new(programs.join("kube-apiserver"));
        for (flag, file) in [
            ("client-ca-file", "ca.pem"),
            ("tls-cert-file", "server.pem"),
            ("tls-private-key-file", "server.key"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-signing-key-file", "accounts.key"),
            ("service-account-key-file", "accounts.pem"),
            ("cert-dir", ""),
        ] {
            command.arg(format!("--{flag}={}", self.scratch.join(file).display()));
        }
        command.arg(format!("--secure-port={PORT}")).args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=127.0.0.1",
            "--advertise-address=192.0.2.50",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
            "--profiling=false",
        ]);
        command
    }

    /// A person who may do everything.
    pub(crate) fn admin(&self) -> Result<Client> {
        Client::with_token(&base(), &self.authority.certificate(), ADMIN)
    }

    /// A kubelet, by its certificate.
    pub(crate) fn kubelet(&self, node: &str) -> Result<Client> {
        self.client(&self.authority.kubelet(node)?)
    }

    /// Whoever a certificate says.
    pub(crate) fn client(&self, identity: &Identity) -> Result<Client> {
        Client::with_certificate(&base(), &self.authority.certificate(), identity)
    }
}

/// Where the API server is, for those who go straight there.
pub(crate) fn base() -> String {
    format!("https://127.0.0.1:{PORT}")
}

/// The directory of the built programs.
fn programs() -> Result<PathBuf> {
    let directory = std::env::var_os("CROSSFADE_KUBERNETES");
    directory.map(PathBuf::from).context("CROSSFADE_KUBERNETES is not set: run `make test-kubernetes`")
}

fn write_pki(scratch: &Scratch, authority: &Authority) -> Result<()> {
    let server = authority.server(&["127.0.0.1", "localhost", NAME])?;
    let accounts = authority.client("accounts", "none")?;
    let mut tokens = format!("{ADMIN},admin,admin,\"system:masters\"\n");
    for (node, token) in TOKENS {
        tokens.push_str(&format!("{token},system:node:{node},{node},\"system:nodes\"\n"));
    }
    for (file, text) in [
        ("ca.pem", authority.certificate()),
        ("server.pem", server.certificate),
        ("server.key", server.key),
        ("accounts.pem", accounts.certificate),
        ("accounts.key", accounts.key),
        ("tokens.csv", tokens),
    ] {
        fs::write(scratch.join(file), text).with_context(|| format!("write {file}"))?;
    }
    Ok(())
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Its output goes to a file: a pipe that nobody reads would stop it, and one that it keeps open would stop CI.
fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::create(log).context("a log")?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    child.with_context(|| format!("start {}", command.get_program().display()))
}
