//! A node: a network namespace, and the directories of an installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use lab::host::command::run;
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use serde_json::Value;

/// A node.
pub(crate) struct Node {
    pub(crate) netns: Netns,
    pub(crate) dir: Scratch,
    bootstrap: PathBuf,
}

impl Node {
    /// A node with an uplink, a default route and a policy rule, none of which `cleanup` may touch.
    pub(crate) fn new() -> Result<Self> {
        let dir = Scratch::new("cleanup")?;
        dir.dir("net.d")?;
        dir.dir("bin")?;
        let node = Self { netns: Netns::new()?, bootstrap: lab::build::dist::bootstrap()?, dir };
        node.netns.ip("link set lo up")?;
        node.netns.ip("link add eth0 type veth peer name outside")?;
        node.netns.ip("address add 192.0.2.10/24 dev eth0")?;
        node.netns.ip("link set eth0 up")?;
        node.netns.ip("link set outside up")?;
        node.netns.ip("route add default via 192.0.2.1")?;
        node.netns.ip("rule add from 192.0.2.10 lookup 77 pref 1000")?;
        Ok(node)
    }

    /// Runs a program on the node.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run(self.netns.nsenter().args(words(line)))
    }

    /// Runs each line of a script, without those that are empty.
    pub(crate) fn script(&self, text: &str) -> Result<()> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .try_for_each(|line| self.run(line).map(drop))
    }

    /// `crossfade-bootstrap cleanup` with these arguments; `before` goes before the program.
    pub(crate) fn command(&self, before: &[&str], arguments: &[&str]) -> Command {
        let flag = |name: &str, path: &str| format!("--{name}={}", self.dir.join(path).display());
        let mut command = self.netns.nsenter();
        command
            .args(before)
            .arg(&self.bootstrap)
            .arg("cleanup")
            .args(arguments)
            .args([flag("conf-dir", "net.d"), flag("state-dir", "state"), flag("run-dir", "run")])
            .args([flag("policy", "policy.json"), flag("bin-dir", "bin")])
            .args(["--runtime-endpoint=none", "--output=json"]);
        command
    }

    /// The answer to these arguments, which ends with this exit status.
    pub(crate) fn cleanup(&self, arguments: &[&str], status: i32) -> Result<Value> {
        answer(&self.command(&[], arguments).output().context("cleanup")?, status)
    }

    /// Everything of the kernel's that a clean-up may touch, without what changes by itself.
    pub(crate) fn state(&self) -> Result<String> {
        let mut all = Vec::new();
        for line in [
            "iptables-nft-save",
            "ip6tables-nft-save",
            "iptables-legacy-save",
            "ip6tables-legacy-save",
            "nft list tables",
            "ipset list -n",
            "ip -o link",
            "ip -o -4 address",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip -4 rule",
            "ip -6 rule",
        ] {
            let text = self.run(line).with_context(|| line.to_owned())?;
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("fe80:"));
            let mut lines: Vec<_> = lines.map(stable).collect();
            if !line.contains("save") {
                // Interfaces and their addresses have no order of their own.
                lines.sort();
            }
            all.push(format!("== {line}\n{}", lines.join("\n")));
        }
        Ok(all.join("\n"))
    }
}

/// The document of an answer with this exit status.
pub(crate) fn answer(output: &Output, status: i32) -> Result<Value> {
    let report = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(status), "{}: expected {status}: {report}{wrong}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{report}{wrong}"))
}

/// The words of a line; those in single quotes are one.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| {
            if at % 2 == 1 {
                vec![part.to_owned()]
            } else {
                part.split_whitespace().map(str::to_owned).collect()
            }
        })
        .collect()
}

/// What the kernel makes of an interface on its own time: its queue, and whether there is a carrier.
const BY_ITSELF: [&str; 6] = ["noop", "noqueue", "UP", "DOWN", "UNKNOWN", "linkdown"];

/// A line without counters, indices and hardware addresses, which differ from one time to the next.
fn stable(line: &str) -> String {
    let indexed = line.split_once(": ").filter(|(index, _)| index.parse::<u32>().is_ok());
    let line = indexed.map_or(line, |(_, rest)| rest).replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
    let is_stable =
        |word: &&str| !word.starts_with('[') && word.matches(':').count() < 5 && !BY_ITSELF.contains(word);
    line.split_whitespace().filter(is_stable).collect::<Vec<_>>().join(" ")
}

/// Asserts that two states are the same, and says in which lines they are not.
pub(crate) fn same(what: &str, now: &str, expected: &str) -> Result<()> {
    let differ: Vec<_> = now
        .lines()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("+ {line}"))
        .chain(expected.lines().filter(|line| !now.contains(line)).map(|line| format!("- {line}")))
        .collect();
    ensure!(now == expected, "{what}: {differ:#?}\n{now}");
    Ok(())
}

/// Writes a file with the directories above it.
pub(crate) fn put(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().context("a directory")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The targets of the changes of an answer.
pub(crate) fn targets(answer: &Value) -> Vec<String> {
    let changes = answer["changes"].as_array().into_iter().flatten();
    changes
        .map(|change| {
            format!(
                "{} {}",
                change["action"].as_str().unwrap_or("?"),
                change["target"].as_str().unwrap_or("?")
            )
        })
        .collect()
}
