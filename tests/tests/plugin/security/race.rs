//! An attacker who changes things between the shim's looking and its using, as fast as a loop goes, for a number of rounds.
//!
//! The attacker of these tests is root and so can do more than a real one; what counts is that the shim never takes what it
//! would not take at rest.

use std::{
    fs,
    os::unix::fs::{chown, lchown, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, ensure};
use lab::runtime::caller::Outcome;
use serde_json::json;

use crate::{case::Case, files::STRANGER, trials};

trials![
    policy_that_changes_between_look_and_use,
    binary_that_changes_between_look_and_use,
    state_directory_that_comes_and_goes,
];

/// Calls per race: a wrong one is found in the first dozen.
const ROUNDS: usize = 60;

/// Makes one thing at a path.
type Thing = Box<dyn Fn(&Path) -> Result<()> + Send>;

/// A loop that puts one thing after another at a path until it is dropped.
struct Attacker {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Attacker {
    /// Renames each of `things` over `target` in turn; each is made anew by its function every time.
    fn swapping(target: PathBuf, things: Vec<Thing>) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = thread::spawn(move || {
            let made = target.with_extension("attack");
            for thing in things.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                thing(&made)?;
                if made.symlink_metadata().is_ok() {
                    fs::rename(&made, &target).context("the attacker's rename")?;
                } else {
                    let _gone_already = fs::remove_file(&target);
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, swaps, thread: Some(thread) }
    }

    /// Ends the loop; how often it swapped.
    fn stop(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("stopped once")?;
        thread.join().map_err(|_| anyhow::anyhow!("the attacker panicked"))??;
        Ok(self.swaps.load(Ordering::Relaxed))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Root's good file and a stranger's bad one by turns, the bad one by itself and behind links.
fn by_turns(good: &Path, bad: &Path) -> Result<Vec<Thing>> {
    chown(bad, Some(STRANGER), None)?;
    let (good, bad, linked, root_linked) = (good.to_owned(), bad.to_owned(), bad.to_owned(), bad.to_owned());
    Ok(vec![
        Box::new(move |path| Ok(fs::hard_link(&good, path)?)),
        Box::new(move |path| Ok(fs::hard_link(&bad, path)?)),
        Box::new(move |path| {
            symlink(&linked, path)?;
            Ok(lchown(path, Some(STRANGER), None)?)
        }),
        Box::new(move |path| Ok(symlink(&root_linked, path)?)),
    ])
}

/// S6: what is read is what was checked. The stranger's policy names the other network.
fn policy_that_changes_between_look_and_use() -> Result<()> {
    let mut case = Case::attach("new")?;
    let target = case.make_dir("policies")?.join("policy.json");
    let bad = case.path("bad.json");
    fs::write(&bad, case.policy()?.to_string().replace(r#""attach":"new""#, r#""attach":"old""#))?;
    case.shim["policy"] = json!(target);
    let attacker = Attacker::swapping(target, by_turns(&case.policy_path(), &bad)?);
    for round in 0..ROUNDS {
        let call = case.call("ADD").env("CNI_CONTAINERID", &format!("c{round}"));
        refused_or(&call.run()?, 7).with_context(|| format!("round {round}"))?;
    }
    ensure!(attacker.stop()? > ROUNDS, "the attacker was at work");
    let briefs = case.stubs.log().briefs()?;
    ensure!(briefs.iter().all(|brief| brief == "stub-new ADD eth0"), "{briefs:?}");
    Ok(())
}

/// A success, or this code; another code comes of having used what was put there.
fn refused_or(outcome: &Outcome, code: u64) -> Result<()> {
    if outcome.status.success() { Ok(()) } else { outcome.refused(code).map(drop) }
}

/// S4: what is run is what was checked. The stranger's program says nothing, which is no result.
fn binary_that_changes_between_look_and_use() -> Result<()> {
    let case = Case::attach("new")?;
    let bin = case.make_dir("swapped")?;
    // Both in that directory, and the good one under the name by which it finds its script.
    let (good, bad) = (case.make_dir("swapped/good")?.join("stub-new"), bin.join("bad"));
    lab::host::scratch::install(case.stubs.template(), &good)?;
    lab::host::scratch::install(Path::new("/bin/true"), &bad)?;
    for dir in [&bin, &case.path("swapped/good")] {
        fs::copy(case.stubs.path().join("stub-new.script"), dir.join("stub-new.script"))?;
        // A name that goes while it runs.
        fs::copy(case.stubs.path().join("stub-new.script"), dir.join("stub-new.attack.script"))?;
    }
    let attacker = Attacker::swapping(bin.join("stub-new"), by_turns(&good, &bad)?);
    let path = bin.display().to_string();
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        let outcome = case.call("ADD").env("CNI_PATH", &path).env("CNI_CONTAINERID", &id).run()?;
        refused_or(&outcome, 101).with_context(|| format!("round {round}"))?;
    }
    ensure!(attacker.stop()? > ROUNDS, "the attacker was at work");
    Ok(())
}

/// S5: absent at the look, a link at the making.
fn state_directory_that_comes_and_goes() -> Result<()> {
    let mut case = Case::attach("new")?;
    let theirs = case.make_dir("theirs")?;
    chown(&theirs, Some(STRANGER), None)?;
    let victims = case.make_state_dir("victims")?;
    case.shim["stateDir"] = json!(theirs.join("state"));
    let target = victims.clone();
    let link: Thing = Box::new(move |path| Ok(symlink(&target, path)?));
    let nothing: Thing = Box::new(|_| Ok(()));
    let attacker = Attacker::swapping(theirs.join("state"), vec![link, nothing]);
    for round in 0..ROUNDS {
        case.add()?.refused(5).with_context(|| format!("round {round}"))?;
        ensure!(fs::read_dir(&victims)?.count() == 0, "round {round}: something was made behind the link");
    }
    ensure!(attacker.stop()? > ROUNDS, "the attacker was at work");
    case.expect_calls(&[])
}
