//! `crossfade-bootstrap attachments --connections` against a real kernel: a node is a network namespace, and its pods are addresses of its own.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use lab::build::preflight::{NODES, Need};
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            connections_of_pods_are_printed_with_the_pod_behind_a_service,
            connections_that_begin_later_are_printed_once,
            a_missing_right_is_named,
        ]
    })
}

/// A node with a pod at 10.244.1.2. 10.244.1.3 is no pod of the node, and is behind the Service at 10.96.0.10.
struct Node {
    netns: Netns,
    dir: Scratch,
    listener: TcpListener,
}

impl Node {
    fn new() -> Result<Self> {
        let netns = Netns::new()?;
        for line in [
            "link set lo up",
            "address add 10.244.1.2/32 dev lo",
            "address add 10.244.1.3/32 dev lo",
            "address add 192.0.2.10/32 dev lo",
            "route add 10.96.0.0/12 dev lo src 10.244.1.2",
        ] {
            netns.ip(line)?;
        }
        netns.run("iptables -t nat -A OUTPUT -d 10.96.0.10 -p tcp --dport 80 -j DNAT --to-destination 10.244.1.3:8080")?;
        let dir = Scratch::new("connections")?;
        dir.dir("net.d")?;
        fs::set_permissions(dir.dir("state")?, Permissions::from_mode(0o700))?;
        let listener = netns.inside(|| TcpListener::bind("10.244.1.3:8080").context("listen"))?;
        let node = Self { netns, dir, listener };
        node.write_inventory(&json!([
            {"containerID": "c1", "ifname": "eth0", "network": "old", "prevResult":
                {"cniVersion": "1.0.0", "ips": [{"address": "10.244.1.2/24"}]}},
            {"containerID": "c2", "ifname": "eth0", "network": "old"},
        ]))?;
        Ok(node)
    }

    fn write_inventory(&self, attachments: &Value) -> Result<()> {
        let (path, next) = (self.dir.join("state/inventory.json"), self.dir.join("state/next"));
        fs::write(&next, json!({"version": 1, "attachments": attachments}).to_string())?;
        fs::set_permissions(&next, Permissions::from_mode(0o600))?;
        fs::rename(next, path).context("the inventory")
    }

    /// A connection to the Service, and the line for it.
    fn connect(&self) -> Result<(Vec<TcpStream>, String)> {
        let client = self.netns.inside(|| TcpStream::connect("10.96.0.10:80").context("connect"))?;
        let (server, _) = self.listener.accept()?;
        let port = client.local_addr()?.port();
        let line = format!(
            "ipv4 2 tcp 6 src=10.244.1.2 dst=10.96.0.10 sport={port} dport=80 src=10.244.1.3 dst=10.244.1.2 sport=8080 dport={port}"
        );
        Ok((vec![client, server], line))
    }

    /// `crossfade-bootstrap attachments --connections`; `before` goes before the program.
    fn command(&self, before: &[&str], arguments: &[&str]) -> Result<Command> {
        let flag = |name: &str, path: &str| format!("--{name}={}", self.dir.join(path).display());
        let mut command = self.netns.nsenter();
        command
            .args(before)
            .arg(lab::build::dist::bootstrap()?)
            .args(["attachments", "--connections"])
            .args(arguments)
            .args([flag("conf-dir", "net.d"), flag("state-dir", "state"), flag("run-dir", "run")])
            .arg(flag("policy", "policy.json"));
        Ok(command)
    }
}

/// A line without the moment in front of it.
fn connection(line: &str) -> Result<&str> {
    let (moment, connection) = line.trim_end().split_once(' ').with_context(|| format!("{line:?}"))?;
    let seconds = moment.strip_prefix('[').and_then(|moment| moment.strip_suffix(']'));
    ensure!(seconds.is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{line:?}");
    Ok(connection)
}

fn connections_of_pods_are_printed_with_the_pod_behind_a_service() -> Result<()> {
    let node = Node::new()?;
    let (_streams, expected) = node.connect()?;
    let _elsewhere = node.netns.inside(|| {
        let listener = TcpListener::bind("192.0.2.10:0")?;
        Ok((TcpStream::connect(listener.local_addr()?)?, listener))
    })?;
    let output = node.command(&[], &[])?.output()?;
    let (printed, notes) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success(), "{printed}{notes}");
    let lines: Vec<&str> = printed.lines().map(connection).collect::<Result<_>>()?;
    ensure!(lines == [&expected], "{printed}");
    let note =
        "crossfade-bootstrap: 1 of 2 attachments have no recorded address; their connections are unknown\n";
    ensure!(notes == note, "{notes}");
    let document = node.command(&[], &["-o", "json"])?.output()?;
    let document: Value = serde_json::from_slice(&document.stdout)?;
    let line = document["connections"][0].as_str().context("a line")?;
    ensure!(connection(line)? == expected && document["withoutAddress"] == 1, "{document}");
    Ok(())
}

/// A record that goes on, which ends with the test.
struct Recording(Child);

impl Drop for Recording {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connections_that_begin_later_are_printed_once() -> Result<()> {
    let node = Node::new()?;
    let (_first_streams, first) = node.connect()?;
    let mut recording = Recording(node.command(&[], &["--for", "120"])?.stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(recording.0.stdout.take().context("a pipe")?).lines();
    let mut next = || lines.next().context("the record ended")?.context("a line");
    ensure!(connection(&next()?)? == first, "the connection of now");
    let (_second_streams, second) = node.connect()?;
    node.write_inventory(&json!([]))?;
    ensure!(connection(&next()?)? == second, "the new one alone, of a pod that has ended by now");
    Ok(())
}

fn a_missing_right_is_named() -> Result<()> {
    let node = Node::new()?;
    let output = node.command(&["setpriv", "--bounding-set=-net_admin"], &[])?.output()?;
    let notes = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{notes}");
    ensure!(notes.contains("takes CAP_NET_ADMIN: Operation not permitted"), "{notes}");
    ensure!(notes.contains("look at the capabilities"), "{notes}");
    Ok(())
}
