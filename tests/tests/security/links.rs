//! What lies in the shim's own directories in the place of its files: links, FIFOs, devices, directories, second names.
//!
//! Those directories are root's alone, so only root, or whoever could write there by somebody's mistake, can put it there.
//! Whatever it is: nothing behind it is touched, nobody waits for ever, and what has a sound record is deleted.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::stub::{Reply, StubDir};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::json;

use crate::{
    case::{Case, stub_new, stub_old},
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
    directories_that_are_a_strangers_links_are_refused,
    directories_that_are_links_of_roots_are_followed,
    state_below_a_directory_of_others_is_not_even_made,
    run_below_a_directory_of_others_is_not_even_made,
    lock_directory_is_closed_to_others,
    lock_directory_that_was_opened_is_closed_again,
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

fn the_record(case: &Case) -> Result<PathBuf> {
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

/// S5, S27: two calls at once are kept apart by it, and its first bytes are written by whoever holds it.
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

/// S5: what cannot be told there is told to the journal; no account keeps a pod from ending.
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

/// S5: its own pid makes a temporary name, so whoever starts the shim knows it beforehand.
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

/// The shim's directories, outermost first, once an ADD has made them all.
const DIRECTORIES: [&str; 5] = ["state", "state/attachments", "state/attachments/SHARD", "run", "run/locks"];

/// The directory of that name in a case.
fn directory(case: &Case, name: &str) -> Result<PathBuf> {
    match name.strip_suffix("SHARD") {
        None => Ok(case.path(name)),
        Some(_) => Ok(the_record(case)?.parent().context("a shard")?.to_path_buf()),
    }
}

/// S5: each of them, wherever the link leads; what it leads to stays as it was.
fn directories_that_are_a_strangers_links_are_refused() -> Result<()> {
    for name in DIRECTORIES {
        let case = Case::attach("new")?;
        case.added()?;
        let dir = directory(&case, name)?;
        let real = case.path("elsewhere");
        fs::rename(&dir, &real)?;
        symlink(&real, &dir)?;
        lchown(&dir, Some(STRANGER), None)?;
        let before = tree(&real)?;
        // In the same shard as c1: an id's hash is nothing to rely on, so by another ifname.
        case.call("ADD").env("CNI_IFNAME", "eth9").run()?.refused(5).context(name)?;
        case.expect_calls(&[]).context(name)?;
        ensure!(tree(&real)? == before, "{name}: something was made behind the link");
    }
    Ok(())
}

/// S5: root may keep them on another disk.
fn directories_that_are_links_of_roots_are_followed() -> Result<()> {
    for name in DIRECTORIES {
        let case = Case::attach("new")?;
        case.added()?;
        let dir = directory(&case, name)?;
        let real = case.path("elsewhere");
        fs::rename(&dir, &real)?;
        symlink(&real, &dir)?;
        case.call("ADD").env("CNI_IFNAME", "eth9").run()?.result().context(name)?;
        case.call("DEL").env("CNI_IFNAME", "eth9").run()?.silent().context(name)?;
        case.del()?.silent().context(name)?;
        // But not to a place where others could write.
        chmod(&real, 0o777)?;
        case.add()?.refused(5).context(name)?;
    }
    Ok(())
}

/// Every path below a directory.
fn tree(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Places where a directory of the shim's must not be made, each made from a directory of root's.
const WRONG_PLACES: [Fault; 3] = [
    ("world-writable", |dir| chmod(dir, 0o777)),
    ("group-writable", |dir| chmod(dir, 0o775)),
    ("a stranger's", |dir| Ok(std::os::unix::fs::chown(dir, Some(STRANGER), None)?)),
];

fn refused_below_wrong_places(key: &str, leftover: &str) -> Result<()> {
    for (what, make) in WRONG_PLACES {
        for below in ["own", "deep/down/own"] {
            let mut case = Case::attach("new")?;
            let place = case.make_dir("place")?;
            make(&place)?;
            case.shim[key] = json!(place.join(below));
            case.add()?.refused(5).with_context(|| format!("{leftover} below a {what} directory"))?;
            case.expect_calls(&[])?;
            ensure!(tree(&place)?.is_empty(), "{what}: left behind {:?}", tree(&place)?);
        }
    }
    let mut case = Case::attach("new")?;
    let place = case.make_dir("place")?;
    chmod(&place, 0o1777)?;
    case.shim[key] = json!(place.join("deep/own"));
    case.add()?.result().context("in a sticky directory of root's nobody else can replace it")?;
    case.del()?.silent()
}

/// S5: the attempt alone would be a directory of root's making wherever a link there leads.
fn state_below_a_directory_of_others_is_not_even_made() -> Result<()> {
    refused_below_wrong_places("stateDir", "state")
}

/// S5, S27: and a lock that others can reach kills whom they name in it.
fn run_below_a_directory_of_others_is_not_even_made() -> Result<()> {
    refused_below_wrong_places("runDir", "run")
}

/// S27: who cannot open a lock cannot hold it.
fn lock_directory_is_closed_to_others() -> Result<()> {
    let case = Case::attach("new")?;
    let gate = case.gate("gate")?;
    let answer = Reply::json(&case.rn("eth0")).behind(&gate);
    let stubs: &StubDir = &case.stubs;
    stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let add = case.call("ADD").spawn()?;
    stubs.log().wait_for("stub-new ADD eth0", 1)?;
    let lock = case.path("run/locks/c1@eth0");
    ensure!(lock.is_file(), "the lock is there while its ADD runs");
    let uid = format!("--reuid={STRANGER}");
    let tried = std::process::Command::new("setpriv")
        .args([&uid, "--regid=4321", "--clear-groups", "--no-new-privs", "flock", "--nonblock"])
        .arg(&lock)
        .arg("true")
        .output()
        .context("start setpriv")?;
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    ensure!(
        !tried.status.success() && said.contains("ermission denied"),
        "a stranger opened the lock: {said}"
    );
    for file in [the_record(&case)?, lock] {
        let read = std::process::Command::new("setpriv")
            .args([&uid, "--regid=4321", "--clear-groups", "cat"])
            .arg(&file)
            .output()?;
        ensure!(!read.status.success(), "a stranger read {}", file.display());
    }
    gate.open()?;
    add.wait()?.result()?;
    case.del()?.silent()
}

/// S27: a umask or a hand that made them readable is enough for a stranger to hold them. Every lock of ours is looked at: of
/// the attachment, of its container's choice, of the shared files.
fn lock_directory_that_was_opened_is_closed_again() -> Result<()> {
    let case = Case::attach("both")?;
    case.make_state_dir("run")?;
    let locks = case.make_dir("run/locks")?;
    fs::set_permissions(&locks, fs::Permissions::from_mode(0o755))?;
    for name in ["c1@eth0", "c1@", "inventory.lock"] {
        fs::write(locks.join(name), "")?;
        fs::set_permissions(locks.join(name), fs::Permissions::from_mode(0o644))?;
    }
    case.write_inventory(&json!([{"containerID": "before", "ifname": "eth0", "network": "old"}]))?;
    let gate = case.gate("gate")?;
    case.stubs.write("stub-old", &stub_old().on("ADD", Reply::json(&case.ro()).behind(&gate)))?;
    let add = case.call("ADD").spawn()?;
    case.stubs.log().wait_for("stub-old ADD eth0", 1)?;
    case.call("DEL").env("CNI_CONTAINERID", "before").run()?.silent()?;
    let mode = |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    ensure!(mode(&locks)? == 0o700, "the directory has mode {:o}", mode(&locks)?);
    let mut names = Vec::new();
    for entry in fs::read_dir(&locks)? {
        let path = entry?.path();
        ensure!(mode(&path)? == 0o600, "{} has mode {:o}", path.display(), mode(&path)?);
        names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    // The choice was over when the delegate began.
    assert_eq!(names, ["c1@eth0", "inventory.lock"]);
    gate.open()?;
    add.wait()?.succeeded()?;
    case.del()?.silent()
}
