//! Checked files: policy, state, confs and plugin binaries must be root's or the shim's own user's, and no other user may write to them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    case::{Case, new_conf, stub_new},
    trials,
};

trials![
    policy_of_others_is_refused_and_del_still_works,
    conf_of_others_is_refused_and_del_still_works,
    binary_of_others_is_never_run,
    state_of_others_is_refused,
    sticky_directory_above_is_fine,
    symbolic_link_out_of_a_trusted_place_does_not_help,
    files_of_the_effective_uid_are_trusted,
    state_and_run_directories_are_made_for_root_alone,
];

/// Makes a path something that the shim must not trust.
type Fault = (&'static str, fn(&Path) -> Result<()>);

fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("chmod {}", path.display()))
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

fn parent(path: &Path) -> Result<&Path> {
    path.parent().context("a parent")
}

/// Each for a file (or directory) that has a directory of its own above it.
const FAULTS: [Fault; 8] = [
    ("group-writable", |path| chmod(path, mode(path)? | 0o020)),
    ("world-writable", |path| chmod(path, mode(path)? | 0o002)),
    ("of a foreign owner", |path| Ok(chown(path, Some(4321), None)?)),
    ("below a group-writable directory", |path| chmod(parent(path)?, 0o775)),
    ("below a world-writable directory", |path| chmod(parent(path)?, 0o757)),
    ("below a foreign directory", |path| Ok(chown(parent(path)?, Some(4321), None)?)),
    ("two levels below a world-writable directory", |path| chmod(parent(parent(path)?)?, 0o757)),
    ("foreign in a sticky directory", |path| {
        chmod(parent(path)?, 0o1777)?;
        Ok(chown(path, Some(4321), None)?)
    }),
];

/// A case with policy, conf, state and binary each two directories of their own below the case's.
fn spread(attach: &str) -> Result<Case> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!("1.1.0");
    let policy = case.make_dir("policies/mine")?.join("policy.json");
    fs::rename(case.policy_path(), &policy)?;
    case.shim["policy"] = json!(policy);
    case.shim["stateDir"] = json!(case.make_dir("var/lib")?.join("state"));
    Ok(case)
}

fn policy_of(case: &Case) -> PathBuf {
    case.path("policies/mine/policy.json")
}

fn policy_of_others_is_refused_and_del_still_works() -> Result<()> {
    for (what, make) in FAULTS {
        let case = spread("both")?;
        case.added()?;
        make(&policy_of(&case))?;
        let outcome = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?;
        let refusal = outcome.refused(7).with_context(|| format!("policy {what}"))?;
        ensure!(refusal.text().contains("polic"), "{what}: {refusal:?}");
        case.call("STATUS").run()?.refused(50).with_context(|| format!("policy {what}"))?;
        case.expect_calls(&[])?;
        case.del()?.silent().with_context(|| format!("policy {what}"))?;
        case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    }
    Ok(())
}

/// Section 3.
fn conf_of_others_is_refused_and_del_still_works() -> Result<()> {
    for (what, make) in FAULTS {
        let case = spread("new")?;
        let conf = case.make_dir("cni/net.d")?.join("new.conflist");
        case.write(&conf, &new_conf().to_string())?;
        let mut policy: serde_json::Value = serde_json::from_slice(&fs::read(policy_of(&case))?)?;
        policy["networks"]["new"]["conf"] = json!([conf]);
        case.write(&policy_of(&case), &policy.to_string())?;
        case.added()?;
        fs::remove_dir_all(case.path("run"))?;
        make(&conf)?;
        let outcome = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?;
        outcome.refused(7).with_context(|| format!("conf {what}"))?;
        case.call("STATUS").run()?.refused(50).with_context(|| format!("conf {what}"))?;
        case.expect_calls(&[])?;
        case.del()?.silent().with_context(|| format!("conf {what}"))?;
        case.expect_calls(&["stub-new DEL eth0"])?;
    }
    Ok(())
}

/// Section 3: an untrusted plugin does not run as root, on any verb; an earlier one in the path is not passed over.
fn binary_of_others_is_never_run() -> Result<()> {
    for (what, make) in FAULTS {
        let case = spread("new")?;
        let bin = case.make_dir("opt/cni")?;
        let stubs = lab::standin::stub::StubDir::new(&bin, &case.path("calls.jsonl"), case.stubs.template());
        stubs.write("stub-new", &stub_new())?;
        // A file of its own: the stubs elsewhere are links to one inode, whose mode and owner they share.
        stubs.remove("stub-new")?;
        fs::copy(case.stubs.template(), stubs.program("stub-new"))?;
        make(&stubs.program("stub-new"))?;
        let path = format!("{}:{}", bin.display(), case.stubs.path().display());
        let outcome = case.call("ADD").env("CNI_PATH", &path).run()?;
        let refusal = outcome.error().with_context(|| format!("binary {what}"))?;
        ensure!(refusal.code == 7 || refusal.code == 101, "{what}: {refusal:?}");
        ensure!(refusal.text().contains("stub-new"), "{what}: {refusal:?}");
        case.call("STATUS")
            .env("CNI_PATH", &path)
            .run()?
            .refused(50)
            .with_context(|| format!("binary {what}"))?;
        case.expect_calls(&[])?;
        case.expect_records(0)?;

        case.added()?;
        let refusal = case.call("DEL").env("CNI_PATH", &path).run()?.error()?;
        ensure!(!refusal.text().contains("not found"), "{what}: {refusal:?}");
        case.expect_calls(&[])?;
        case.del()?.silent()?;
        case.expect_calls(&["stub-new DEL eth0"])?;
    }
    Ok(())
}

/// Section 3: state is checked before anything is written into it.
fn state_of_others_is_refused() -> Result<()> {
    for (what, make) in FAULTS {
        let case = spread("new")?;
        let state = case.make_state_dir("var/lib/state")?;
        make(&state)?;
        let outcome = case.add()?;
        outcome.refused(5).with_context(|| format!("state {what}"))?;
        case.expect_calls(&[])?;
    }
    Ok(())
}

/// Section 3.
fn sticky_directory_above_is_fine() -> Result<()> {
    let case = spread("new")?;
    // A file of its own: one right in a sticky directory may have no second name.
    case.stubs.remove("stub-new")?;
    lab::host::scratch::install(case.stubs.template(), &case.stubs.program("stub-new"))?;
    for dir in ["policies/mine", "policies", "var/lib", "bin", "net.d"] {
        chmod(&case.path(dir), 0o1777)?;
    }
    case.add()?.result()?;
    case.call("STATUS").run()?.silent()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])
}

/// Section 3: what counts is the file that is run, wherever the link to it lies.
fn symbolic_link_out_of_a_trusted_place_does_not_help() -> Result<()> {
    let case = Case::attach("new")?;
    let theirs = case.make_dir("theirs")?;
    let target = theirs.join("evil");
    fs::copy(case.stubs.template(), &target)?;
    chown(&target, Some(4321), None)?;
    case.stubs.remove("stub-new")?;
    std::os::unix::fs::symlink(&target, case.stubs.program("stub-new"))?;
    case.add()?.error()?;
    case.expect_calls(&[])?;
    case.expect_records(0)
}

/// Section 3: root's or our effective uid's.
fn files_of_the_effective_uid_are_trusted() -> Result<()> {
    let case = Case::attach("new")?;
    let uid = 4321;
    let state = case.make_state_dir("state")?;
    let run = case.make_dir("run")?;
    for path in [&state, &run, &case.policy_path(), &case.conf_path("new")] {
        chown(path, Some(uid), None)?;
    }
    fs::write(case.path("calls.jsonl"), "")?;
    chmod(&case.path("calls.jsonl"), 0o666)?;
    let as_user = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];
    assert_eq!(case.call("ADD").wrapped(&as_user).run()?.result()?, case.rn("eth0"));
    case.call("DEL").wrapped(&as_user).run()?.silent()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])
}

/// Section 3: state is 0700/0600.
fn state_and_run_directories_are_made_for_root_alone() -> Result<()> {
    let case = Case::attach("both")?;
    let masked = ["sh", "-c", "umask 000; exec \"$@\"", "masked"];
    case.call("ADD").wrapped(&masked).run()?.result()?;
    let mut dirs = vec![case.path("state")];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        assert_eq!(mode(&dir)?, 0o700, "{}", dir.display());
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                assert_eq!(mode(&path)?, 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    ensure!(files > 0, "there is a record");
    assert_eq!(mode(&case.path("run"))? & 0o022, 0, "root alone may write the run directory");
    Ok(())
}
