//! The shim's own directories: links in their place, and directories that others could write or read.

pub(crate) mod links;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::{Reply, StubDir};
use serde_json::json;

use crate::{
    case::{Case, stub_new, stub_old},
    files::{Fault, STRANGER, chmod},
    trials,
};
use links::the_record;

trials![
    directories_that_are_a_strangers_links_are_refused,
    directories_that_are_links_of_roots_are_followed,
    state_below_a_directory_of_others_is_not_even_made,
    run_below_a_directory_of_others_is_not_even_made,
    lock_directory_is_closed_to_others,
    lock_directory_that_was_opened_is_closed_again,
];

/// The shim's directories, outermost first, once an ADD has made them all.
const DIRECTORIES: [&str; 5] = ["state", "state/attachments", "state/attachments/SHARD", "run", "run/locks"];

/// The directory of that name in a case.
fn directory(case: &Case, name: &str) -> Result<PathBuf> {
    match name.strip_suffix("SHARD") {
        None => Ok(case.path(name)),
        Some(_) => Ok(the_record(case)?.parent().context("a shard")?.to_path_buf()),
    }
}

/// A case with a record whose directory of that name is a link; the link, and what it leads to.
fn linked(name: &str) -> Result<(Case, PathBuf, PathBuf)> {
    let case = Case::attach("new")?;
    case.added()?;
    let dir = directory(&case, name)?;
    let real = case.path("elsewhere");
    fs::rename(&dir, &real)?;
    symlink(&real, &dir)?;
    Ok((case, dir, real))
}

/// S5: each of them, wherever the link leads; what it leads to stays as it was.
fn directories_that_are_a_strangers_links_are_refused() -> Result<()> {
    for name in DIRECTORIES {
        let (case, dir, real) = linked(name)?;
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
        let (case, _, real) = linked(name)?;
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
    let mut paths = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
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
    case.add()?.result().context("in a sticky directory of root's no other user can replace it")?;
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
    let message = String::from_utf8_lossy(&tried.stderr).into_owned();
    ensure!(
        !tried.status.success() && message.contains("ermission denied"),
        "a stranger opened the lock: {message}"
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
