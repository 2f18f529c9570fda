//! One control plane for all cases: every case has a Node of its own.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;

use anyhow::{Context, Result};
use lab::host::deadline::until;
use lab::kubernetes::{Client, ControlPlane, Controllers, Setup, User};

use crate::publisher::WITHIN;

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
/// The address that it advertises; no client here connects to it.
const ADVERTISED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);

/// A cluster without nodes.
pub(crate) struct Server(ControlPlane);

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start() -> Result<Self> {
        let mut hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        hosts.push_str(&format!("127.0.0.1 {NAME}\n"));
        fs::write("/etc/hosts", hosts).context("the lab's /etc/hosts")?;
        let token = |(node, token): &(&str, &str)| {
            [(*token).to_owned(), format!("system:node:{node}"), "system:nodes".to_owned()]
        };
        let setup = Setup {
            address: ADVERTISED,
            names: &[NAME],
            tokens: TOKENS.iter().map(token).collect(),
            controllers: Controllers::None,
            audited: None,
        };
        let server = Self(ControlPlane::start(&setup)?);
        // The API server is ready a moment before it has made the namespace of cases that need no other.
        let admin = server.admin()?;
        let namespace = || Ok((admin.get("/api/v1/namespaces/default")?.status == 200).then_some(()));
        until("the namespace default", WITHIN, namespace)?;
        Ok(server)
    }

    /// A kubelet, by its certificate.
    pub(crate) fn kubelet(&self, node: &str) -> Result<Client> {
        self.client(&self.identity(User::Kubelet(node))?)
    }
}

impl Deref for Server {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.0
    }
}
