//! A netns is distinguished from a later one, whatever its path and its number.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lab::host::{deadline::until, netns::pin};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::{case::Case, trials};

trials![netns_that_was_given_the_number_of_the_recorded_one_is_another];

/// A netns with a path that may be taken down and made again.
#[derive(Debug)]
struct ReusedPath(PathBuf);

impl ReusedPath {
    fn unpin(&self) -> Result<()> {
        umount2(&self.0, MntFlags::MNT_DETACH).context("unmount the netns")?;
        fs::remove_file(&self.0).context("remove the netns")
    }
}

impl Drop for ReusedPath {
    fn drop(&mut self) {
        // Gone already where the test ended between two.
        drop(self.unpin());
    }
}

fn number(path: &Path) -> Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Pods on these networks whose netns all went. In the place of one is another netns of the same path, device and inode number.
struct ReplacedPod {
    case: Case,
    /// The pod whose netns has been replaced.
    id: String,
    /// The netns at its path, and those of the other pods, which are gone.
    paths: Vec<ReusedPath>,
    at: usize,
}

/// How many pods there are: the kernel gives the lowest free inode number out, and other processes of this machine that create namespaces take some
/// of the pods' numbers, but hardly all.
const PODS: usize = 24;

/// How many netns of other numbers are kept.
const KEPT: usize = 64;

fn replaced(attach: &str) -> Result<ReplacedPod> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!("1.1.0");
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    let path = |name: String| PathBuf::from(format!("{}-{name}", case.netns_path()));
    let mut paths = Vec::new();
    let mut numbers = Vec::new();
    for pod in 0..PODS {
        let netns = path(format!("reused{pod}"));
        pin(&netns)?;
        paths.push(ReusedPath(netns.clone()));
        numbers.push(number(&netns)?);
        let add = case.call("ADD").env("CNI_CONTAINERID", &format!("pod{pod}"));
        add.env("CNI_NETNS", &netns.display().to_string()).run()?.succeeded()?;
    }
    case.stubs.log().clear()?;
    paths.iter().try_for_each(ReusedPath::unpin)?;
    // Those that got another number are kept, so that no lower one is free. But each also takes numbers for its files in /proc, and
    // these may come to be all that the pods had: so after some time they are given back.
    let mut others = Vec::new();
    let new = ReusedPath(path("new".to_owned()));
    // The kernel takes a netns down some time after its last user has gone.
    let at = until("a netns of one of these numbers", Duration::from_secs(120), || {
        pin(&new.0)?;
        let number = number(&new.0)?;
        if let Some(at) = numbers.iter().position(|earlier| *earlier == number) {
            return Ok(Some(at));
        }
        if others.len() == KEPT {
            others.clear();
        }
        others.push(fs::File::open(&new.0)?);
        new.unpin()?;
        Ok(None)
    })?;
    let none: Option<&str> = None;
    fs::File::create(&paths[at].0)?;
    mount(Some(&new.0), &paths[at].0, none, MsFlags::MS_BIND, none).context("bind it at the pod's path")?;
    ensure!(number(&paths[at].0)? == numbers[at]);
    Ok(ReplacedPod { case, id: format!("pod{at}"), paths, at })
}

impl ReplacedPod {
    fn path(&self) -> String {
        self.paths[self.at].0.display().to_string()
    }

    /// Holds when its DELs were these, and told of no netns.
    fn expect_none_told(&self, dels: &[&str]) -> Result<()> {
        let calls = self.case.calls()?;
        let own: Vec<_> = calls.iter().filter(|call| call.var("CNI_CONTAINERID") == self.id).collect();
        let briefs: Vec<String> = own.iter().map(|call| call.brief()).collect();
        ensure!(briefs == dels, "calls were {briefs:?}, expected {dels:?}");
        for call in own {
            let output = call.var("CNI_NETNS");
            ensure!(output.is_empty(), "{} was sent into another's netns, {output:?}", call.brief());
        }
        Ok(())
    }
}

/// The DEL, and GC, run without a netns.
fn netns_that_was_given_the_number_of_the_recorded_one_is_another() -> Result<()> {
    let both = ["stub-new DEL net1", "stub-old DEL eth0"].as_slice();
    for (attach, dels) in [("both", both), ("old", &both[1..])] {
        let replaced = replaced(attach)?;
        let case = &replaced.case;
        let del = case.call("DEL").env("CNI_CONTAINERID", &replaced.id);
        del.env("CNI_NETNS", &replaced.path()).run()?.silent()?;
        replaced.expect_none_told(dels)?;
        case.expect_records(PODS - 1)?;
        // One after the other, for each would take the other's numbers.
        drop(replaced);
        let replaced = self::replaced(attach)?;
        replaced.case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?;
        replaced.expect_none_told(dels)?;
        replaced.case.expect_records(0)?;
    }
    Ok(())
}
