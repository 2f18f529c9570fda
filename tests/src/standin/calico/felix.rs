//! The library's end of one felix: its process, and what it publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{build::dist, host::deadline};

/// Tells a felix that works from one that hangs: ten passes and more take a fraction of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one felix is to do; the options of `lab-felix`.
#[derive(Debug, Clone, Args)]
pub struct Spec {
    /// The node whose endpoints are its own.
    #[arg(long)]
    pub nodename: String,
    /// The datastore's directory.
    #[arg(long)]
    pub datastore: PathBuf,
    /// Where it publishes a `State`.
    #[arg(long)]
    pub state: PathBuf,
    /// Begins the name of every interface of its own; the plugin's `hostPrefix`.
    #[arg(long, default_value = "cali")]
    pub prefix: String,
    /// Addresses of the node: what no pod has of them is dropped.
    #[arg(long = "block")]
    pub blocks: Vec<String>,
    /// Milliseconds between two passes.
    #[arg(long, default_value_t = 100)]
    pub every_ms: u64,
    /// Passes after which an address that looks leaked is released; never if absent.
    #[arg(long)]
    pub leak_grace: Option<u64>,
}

impl Spec {
    pub(super) fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { nodename, datastore, state, prefix, blocks, every_ms, leak_grace } = self;
        let mut arguments = vec![
            format!("--nodename={nodename}"),
            format!("--datastore={}", datastore.display()),
            format!("--state={}", state.display()),
            format!("--prefix={prefix}"),
            format!("--every-ms={every_ms}"),
        ];
        arguments.extend(blocks.iter().map(|block| format!("--block={block}")));
        arguments.extend(leak_grace.map(|grace| format!("--leak-grace={grace}")));
        arguments
    }
}

/// What a felix has done since it was started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Passes that are over.
    pub passes: u64,
    /// The addresses that a policy knows each pod by, by interface, as of the last pass.
    pub sets: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Addresses that were released as leaked.
    pub released: Vec<IpAddr>,
    /// What the kernel refused.
    pub troubles: Vec<String>,
}

/// A running felix. Dropping it kills it; what it has made stays.
#[derive(Debug)]
pub struct Felix {
    spec: Spec,
    node: Option<u32>,
    child: Mutex<Child>,
    stderr: fs::File,
}

impl Felix {
    /// Starts one, in the mount and net namespace of process `node` if given. Returns after its first pass.
    ///
    /// # Errors
    /// The program is not built, or it has ended, with what it said.
    pub fn start(spec: Spec, node: Option<u32>) -> Result<Self> {
        let program = dist::lab_bin("lab-felix")?;
        let stderr = tempfile::tempfile().context("file for felix' stderr")?;
        let mut command = Command::new(&program);
        command.args(spec.arguments()).stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(stderr.try_clone().context("file for felix' stderr")?);
        command.args(node.map(|pid| format!("--node={pid}")));
        // A predecessor's count would be taken for its own.
        if spec.state.exists() {
            fs::remove_file(&spec.state).context("remove a predecessor's state")?;
        }
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let felix = Self { spec, node, child: Mutex::new(child), stderr };
        felix.reach(1)?;
        Ok(felix)
    }

    /// What it has done.
    ///
    /// # Errors
    /// It has published nothing yet.
    pub fn state(&self) -> Result<State> {
        let bytes = fs::read(&self.spec.state).context("read felix' state")?;
        serde_json::from_slice(&bytes).context("parse felix' state")
    }

    /// Waits until so many passes have begun and ended from now on; what was done by then.
    ///
    /// # Errors
    /// It has ended, or passes take far too long.
    pub fn wait_passes(&self, passes: u64) -> Result<State> {
        // One may be under way that has read the datastore already.
        let target = self.state()?.passes + passes + 1;
        self.reach(target)
    }

    /// Killed and started again with the same options.
    ///
    /// # Errors
    /// As [`Felix::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.end();
        *self = Self::start(self.spec.clone(), self.node)?;
        Ok(())
    }

    fn reach(&self, passes: u64) -> Result<State> {
        let what = format!("pass {passes} of {}", self.spec.nodename);
        deadline::until(&what, PATIENCE, || {
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            if let Some(status) = ended.context("look at felix")? {
                bail!("felix has ended with {status}: {}", self.stderr_text());
            }
            let state = if self.spec.state.exists() { self.state()? } else { State::default() };
            Ok((state.passes >= passes).then_some(state))
        })
    }

    fn stderr_text(&self) -> String {
        let mut text = vec![0; 4096];
        let length = self.stderr.read_at(&mut text, 0).unwrap_or_default();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    }

    fn end(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ended_already = child.kill();
        let _reaped_already = child.wait();
    }
}

impl Drop for Felix {
    fn drop(&mut self) {
        self.end();
    }
}
