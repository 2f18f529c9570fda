//! One call of a plugin, and a netns to call it for.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Where the standard plugins are.
pub(crate) const PLUGINS: &str = "/usr/lib/cni";

/// What a plugin answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether it exited with 0.
    pub(crate) ok: bool,
    /// Its stdout.
    pub(crate) stdout: Vec<u8>,
    /// Its stderr.
    pub(crate) stderr: String,
}

impl Answer {
    /// Its stdout as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_default()
    }

    /// The code of its error; none if it succeeded.
    pub(crate) fn code(&self) -> Option<u64> {
        self.json()["code"].as_u64().filter(|_| !self.ok)
    }
}

/// One pod of one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// A program of the lab.
    pub(crate) plugin: &'static str,
    /// CNI_CONTAINERID.
    pub(crate) id: String,
    /// CNI_NETNS.
    pub(crate) netns: PathBuf,
    /// CNI_ARGS.
    pub(crate) args: String,
}

impl Caller {
    /// Calls the plugin for `eth0`.
    pub(crate) fn call(&self, verb: &str, conf: &Value) -> Result<Answer> {
        self.call_for("eth0", verb, conf)
    }

    /// Calls the plugin for an interface.
    pub(crate) fn call_for(&self, ifname: &str, verb: &str, conf: &Value) -> Result<Answer> {
        let program = lab::build::dist::lab_bin(self.plugin)?;
        let mut child = Command::new(&program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", ifname)
            .env("CNI_ARGS", &self.args)
            .env("CNI_PATH", PLUGINS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let stdin = child.stdin.take().context("a plugin's stdin")?;
        { stdin }.write_all(conf.to_string().as_bytes()).context("write the conf")?;
        let output = child.wait_with_output().context("wait for a plugin")?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Answer { ok: output.status.success(), stdout: output.stdout, stderr })
    }

    /// Calls the plugin and expects it to succeed.
    pub(crate) fn succeed(&self, verb: &str, conf: &Value) -> Result<Answer> {
        self.succeed_for("eth0", verb, conf)
    }

    /// Calls the plugin for an interface and expects it to succeed.
    pub(crate) fn succeed_for(&self, ifname: &str, verb: &str, conf: &Value) -> Result<Answer> {
        let answer = self.call_for(ifname, verb, conf)?;
        let message = String::from_utf8_lossy(&answer.stdout);
        ensure!(answer.ok, "{verb} failed: {message} {}", answer.stderr);
        Ok(answer)
    }
}

/// A bare netns, removed on drop.
#[derive(Debug)]
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    /// `name` is unique in this process.
    pub(crate) fn new(name: &str) -> Result<Self> {
        run("ip", &format!("netns add {name}"))?;
        let netns = Self { name: name.to_owned() };
        netns.run("ip link set lo up")?;
        Ok(netns)
    }

    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs a program inside; its stdout.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run("nsenter", &format!("--net={} -- {line}", self.path().display()))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _gone_already = run("ip", &format!("netns delete {}", self.name));
    }
}

/// Runs a program to its end; its stdout.
pub(crate) fn run(program: &str, line: &str) -> Result<String> {
    let output = Command::new(program)
        .args(line.split_whitespace())
        .output()
        .with_context(|| format!("run {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {line}: {}", stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
