//! A netns is told from a later one, whatever its path and its number.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lab::{deadline::until, netns::pin};
use nix::mount::{MntFlags, umount2};
use serde_json::json;

use crate::{case::Case, trials};

trials![netns_that_was_given_the_number_of_the_recorded_one_is_another];

/// A netns with a path that may be taken down and made again.
#[derive(Debug)]
struct Reused(PathBuf);

impl Reused {
    fn unpin(&self) -> Result<()> {
        umount2(&self.0, MntFlags::MNT_DETACH).context("unmount the netns")?;
        fs::remove_file(&self.0).context("remove the netns")
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        // Gone already where the test ended between two.
        drop(self.unpin());
    }
}

fn number(path: &Path) -> Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// A pod on these networks whose netns went, and in whose place is another of the same path, device and inode number: the
/// kernel gives the lowest free number out. Whoever else makes a namespace on this machine may get that number first and keep
/// it, so there are some pods to try with.
fn replaced(attach: &str) -> Result<(Case, Reused)> {
    for _ in 0..10 {
        // Those that got another number are kept for so long, so that no lower one is free.
        let mut others = Vec::new();
        let mut case = Case::attach(attach)?;
        case.shim["cniVersion"] = json!("1.1.0");
        case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
        let path = PathBuf::from(format!("{}-reused", case.netns_path()));
        pin(&path)?;
        let netns = Reused(path);
        let recorded = number(&netns.0)?;
        case.call("ADD").env("CNI_NETNS", &netns.0.display().to_string()).run()?.succeeded()?;
        case.stubs.log().clear()?;
        netns.unpin()?;
        // The kernel takes a netns down some time after its last user has gone.
        let found = until("a netns of the same number", Duration::from_secs(3), || {
            pin(&netns.0)?;
            if number(&netns.0)? == recorded {
                return Ok(Some(()));
            }
            others.push(fs::File::open(&netns.0)?);
            netns.unpin()?;
            Ok(None)
        });
        if found.is_ok() {
            return Ok((case, netns));
        }
    }
    bail!("the kernel gave none of 10 numbers out again")
}

/// Holds when these DELs were called, and told of no netns.
fn expect_none_told(case: &Case, dels: &[&str]) -> Result<()> {
    case.expect_calls(dels)?;
    for call in case.calls()? {
        let told = call.var("CNI_NETNS");
        ensure!(told.is_empty(), "{} was sent into another's netns, {told:?}", call.brief());
    }
    case.expect_records(0)
}

/// Promise 3, 7: the DEL, and GC, run without a netns. One after the other, for each would take the other's numbers.
fn netns_that_was_given_the_number_of_the_recorded_one_is_another() -> Result<()> {
    let both = ["stub-new DEL net1", "stub-old DEL eth0"].as_slice();
    for (attach, dels) in [("both", both), ("old", &both[1..])] {
        let (case, netns) = replaced(attach)?;
        case.call("DEL").env("CNI_NETNS", &netns.0.display().to_string()).run()?.silent()?;
        expect_none_told(&case, dels)?;
        drop(netns);
        let (case, _netns) = replaced(attach)?;
        case.call_with("GC", &json!({"cni.dev/valid-attachments": []})).run()?.silent()?;
        expect_none_told(&case, dels)?;
    }
    Ok(())
}
