//! Strangers in the shim's own directories, in the place of its files: links, FIFOs, devices, directories, second names.
//!
//! Those directories are root's alone, so only root can put it there, or a user who was given write access by mistake.
//! Whatever it is: nothing behind it is touched, no call waits for ever, and what has a sound record is deleted.

use std::{
    fs,
    os::unix::fs::{MetadataExt, lchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::json;

use crate::{
    case::Case,
    files::{Fault, STRANGER, chmod, device},
    trials,
};

trials![
    record_that_is_something_else_is_set_aside,
    record_that_others_could_write_is_not_believed,
    lock_that_is_something_else_holds_up_add_and_not_del,
    ledger_that_is_something_else_is_never_followed_nor_waited_for,
    inventory_that_is_something_else_stops_no_recorded_del,
    marker_that_is_something_else_is_none,
    temporary_names_are_never_followed,
];

/// Puts something at a path; the second path is the victim, which must stay as it is.
type Make = fn(&Path, &Path) -> Result<()>;

const THINGS: [(&str, Make); 6] = [
    ("a link to the victim", |path, victim| Ok(symlink(victim, path)?)),
    ("a stranger's link to the victim", |path, victim| {
        symlink(victim, path)?;
        Ok(lchown(path, Some(STRANGER), None)?)
    }),
    ("a link to nothing beside the victim", |path, victim| Ok(symlink(victim.with_extension("made"), path)?)),
    ("a FIFO", |path, _| Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?)),
    ("a device", |path, _| device(path)),
    ("a directory", |path, _| Ok(fs::create_dir(path)?)),
];

/// A file in a directory of its own that nothing may change.
struct Victim {
    path: PathBuf,
    inode: u64,
}

const PRECIOUS: &str = "precious\n";

impl Victim {
    fn new(case: &Case) -> Result<Self> {
        let path = case.make_dir("victims")?.join("victim");
        fs::write(&path, PRECIOUS)?;
        chmod(&path, 0o600)?;
        let inode = fs::metadata(&path)?.ino();
        Ok(Self { path, inode })
    }

    fn is_untouched(&self) -> Result<()> {
        ensure!(fs::read_to_string(&self.path)? == PRECIOUS, "the victim was written");
        ensure!(fs::metadata(&self.path)?.ino() == self.inode, "the victim was replaced");
        let beside = fs::read_dir(self.path.parent().context("its directory")?)?.count();
        ensure!(beside == 1, "something was made beside the victim");
        Ok(())
    }
}

pub(crate) fn the_record(case: &Case) -> Result<PathBuf> {
    case.records()?.pop().context("a record")
}

/// S5: as a damaged record, so its DEL still finds its network and the next ADD a clean place.
fn record_that_is_something_else_is_set_aside() -> Result<()> {
    let second_name: (&str, Make) =
        ("a second name of the victim", |path, victim| Ok(fs::hard_link(victim, path)?));
    for (what, make) in THINGS.into_iter().chain([second_name]) {
        let case = Case::attach("new")?;
        case.change_policy(|policy| drop(policy["networks"].as_object_mut().map(|all| all.remove("old"))))?;
        case.change_policy(|policy| drop(policy.as_object_mut().map(|policy| policy.remove("both"))))?;
        let victim = Victim::new(&case)?;
        case.added()?;
        let record = the_record(&case)?;
        fs::remove_file(&record)?;
        make(&record, &victim.path)?;
        case.add()?.refused(102).context(what)?;
        case.expect_calls(&[]).context(what)?;
        case.del()?.silent().context(what)?;
        case.expect_calls(&["stub-new DEL eth0"]).context(what)?;
        victim.is_untouched().context(what)?;
        if what != "a directory" {
            case.expect_records(0).context(what)?;
            case.add()?.result().context(what)?;
            case.del()?.silent().context(what)?;
        }
        victim.is_untouched().context(what)?;
    }
    Ok(())
}

/// S5, S13: what a record names is run as root.
fn record_that_others_could_write_is_not_believed() -> Result<()> {
    let faults: [Fault; 3] = [
        ("world-writable", |record| chmod(record, 0o606)),
        ("group-writable", |record| chmod(record, 0o660)),
        ("a stranger's", |record| Ok(std::os::unix::fs::chown(record, Some(STRANGER), None)?)),
    ];
    for (what, make) in faults {
        let case = Case::attach("new")?;
        case.added()?;
        // Another network's DEL is what such a record would ask for.
        case.flip("old")?;
        make(&the_record(&case)?)?;
        case.call("CHECK").run()?.error().context(what)?;
        case.expect_calls(&[]).context(what)?;
        case.del()?.silent().context(what)?;
        let mut briefs = case.stubs.log().briefs()?;
        briefs.sort();
        assert_eq!(briefs, ["stub-new DEL eth0", "stub-old DEL eth0"], "{what}: every network is asked");
    }
    Ok(())
}

/// S5, S27: two calls at once are kept apart by it, and its first bytes are written by its holder.
fn lock_that_is_something_else_holds_up_add_and_not_del() -> Result<()> {
    let second_name: (&str, Make) =
        ("a second name of the victim", |path, victim| Ok(fs::hard_link(victim, path)?));
    for (what, make) in THINGS.into_iter().chain([second_name]) {
        let case = Case::attach("new")?;
        let victim = Victim::new(&case)?;
        case.added()?;
        let locks = case.path("run/locks");
        for id in ["c1", "c2"] {
            make(&locks.join(format!("{id}@eth0")), &victim.path)?;
        }
        case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.refused(5).context(what)?;
        case.expect_calls(&[]).context(what)?;
        case.del()?.silent().context(what)?;
        case.expect_calls(&["stub-new DEL eth0"]).context(what)?;
        case.expect_records(0).context(what)?;
        victim.is_untouched().context(what)?;
    }
    Ok(())
}

/// S5: what cannot be written there goes to the journal; no account keeps a pod from ending.
fn ledger_that_is_something_else_is_never_followed_nor_waited_for() -> Result<()> {
    for (what, make) in THINGS {
        let case = Case::attach("old")?;
        let victim = Victim::new(&case)?;
        case.added()?;
        case.stubs.remove("stub-old")?;
        case.change_policy(|policy| {
            policy["attach"] = json!("new");
            policy["retired"] = json!([{"network": "old", "forceAfterSeconds": 0}]);
        })?;
        make(&case.path("state/ledger.jsonl"), &victim.path)?;
        let outcome = case.del()?;
        outcome.silent().context(what)?;
        ensure!(outcome.stderr.contains("network=oldnet"), "{what}: the line is told: {}", outcome.stderr);
        case.expect_records(0).context(what)?;
        victim.is_untouched().context(what)?;
    }
    Ok(())
}

/// S5.
fn inventory_that_is_something_else_stops_no_recorded_del() -> Result<()> {
    for (what, make) in THINGS {
        let case = Case::attach("new")?;
        let victim = Victim::new(&case)?;
        case.added()?;
        make(&case.path("state/inventory.json"), &victim.path)?;
        let add = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?;
        if what == "a link to nothing beside the victim" {
            // Absent, as it is on most nodes.
            add.result().context(what)?;
            case.call("DEL").env("CNI_CONTAINERID", "c2").run()?.silent().context(what)?;
        } else {
            add.refused(5).context(what)?;
            case.expect_calls(&[]).context(what)?;
        }
        case.stubs.log().clear()?;
        case.del()?.silent().context(what)?;
        case.expect_calls(&["stub-new DEL eth0"]).context(what)?;
        victim.is_untouched().context(what)?;
    }
    Ok(())
}

/// S5: what is no marker of ours makes no network ready, and a STATUS waits for none.
fn marker_that_is_something_else_is_none() -> Result<()> {
    for (what, make) in THINGS {
        let mut case = Case::attach("new")?;
        case.shim["cniVersion"] = json!("1.1.0");
        let victim = Victim::new(&case)?;
        case.added()?;
        let marker = case.path("run/ready/newnet");
        let text = fs::read(&marker)?;
        case.change_policy(|policy| {
            policy["networks"]["new"]["ready"] = json!([{"file": case.path("none")}])
        })?;
        case.call("STATUS").run()?.silent().context("marked")?;
        fs::remove_file(&marker)?;
        make(&marker, &victim.path)?;
        case.call("STATUS").run()?.refused(50).context(what)?;
        case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([]))?;
        case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.result().context(what)?;
        victim.is_untouched().context(what)?;
        if marker.is_file() {
            ensure!(fs::read(&marker)? == text, "{what}: marked anew");
        }
    }
    // Nor is one that others could have written.
    let mut case = Case::attach("new")?;
    case.shim["cniVersion"] = json!("1.1.0");
    case.added()?;
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([{"file": case.path("none")}]))?;
    chmod(&case.path("run/ready/newnet"), 0o666)?;
    case.call("STATUS").run()?.refused(50)?;
    Ok(())
}

/// S5: the shim's own pid makes a temporary name, so the process that starts the shim knows it beforehand.
fn temporary_names_are_never_followed() -> Result<()> {
    let case = Case::attach("new")?;
    let victim = Victim::new(&case)?;
    case.added()?;
    case.del()?.silent()?;
    let script = format!(
        "for dir in {0}/attachments/*; do ln -s {1} $dir/.tmp-$$-0; ln -s {1}.made $dir/.tmp-$$-1; \
         mkfifo $dir/.tmp-$$-2; mkdir $dir/.tmp-$$-3; done; exec \"$@\"",
        case.path("state").display(),
        victim.path.display()
    );
    case.call("ADD").wrapped(&["sh", "-c", &script, "expecting"]).run()?.result()?;
    let records: Vec<PathBuf> =
        case.records()?.into_iter().filter(|path| path.ends_with("c1@eth0")).collect();
    ensure!(records.len() == 1 && fs::symlink_metadata(&records[0])?.is_file(), "{records:?}");
    victim.is_untouched()?;
    case.del()?.silent()
}
