//! The program that is executed: the file that was checked, from places that no other user can fill.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::{PATIENCE, StubDir};

use crate::{
    case::{Case, stub_new},
    files::{Fault, STRANGER, chmod},
    trials,
};

trials![
    what_replaced_a_checked_binary_is_not_run,
    script_that_others_could_replace_is_not_run,
    script_is_run_by_its_path,
    plugin_of_the_working_directory_is_not_run,
    places_of_others_are_not_passed_on,
    places_that_others_could_make_are_not_passed_on,
];

/// S4: while the file is open for writing the kernel refuses to run it, and the shim, which has checked it by then, waits.
fn what_replaced_a_checked_binary_is_not_run() -> Result<()> {
    let case = Case::attach("new")?;
    let program = case.stubs.program("stub-new");
    case.stubs.remove("stub-new")?;
    lab::host::scratch::install(case.stubs.template(), &program)?;
    let checked = fs::metadata(&program)?.ino();
    let writer = fs::File::options().append(true).open(&program)?;

    let add = case.call("ADD").spawn()?;
    let fds = format!("/proc/{}/fd", add.pid());
    lab::host::deadline::until("the shim to have the binary open", PATIENCE, || {
        // A descriptor may go while the directory is read.
        let held =
            fs::read_dir(&fds)?.flatten().any(|fd| fs::metadata(fd.path()).is_ok_and(|m| m.ino() == checked));
        Ok(held.then_some(()))
    })?;
    // Trusted as well, so that only the descriptor tells them apart.
    let other = case.path("other");
    lab::host::scratch::install(Path::new("/bin/true"), &other)?;
    fs::rename(&other, &program)?;
    drop(writer);

    assert_eq!(add.wait()?.result()?, case.rn("eth0"), "the file that was checked answers");
    case.expect_calls(&["stub-new ADD eth0"])
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("mode of a script")
}

/// S4: a script is opened once more, by its interpreter, by its path; so its directories are what keeps it the same one.
fn script_that_others_could_replace_is_not_run() -> Result<()> {
    let faults: [Fault; 4] = [
        ("world-writable", |path| chmod(path, 0o757)),
        ("a stranger's", |path| Ok(chown(path, Some(STRANGER), None)?)),
        ("in a world-writable directory", |path| chmod(path.parent().context("a directory")?, 0o777)),
        ("in a stranger's directory", |path| {
            Ok(chown(path.parent().context("a directory")?, Some(STRANGER), None)?)
        }),
    ];
    for (what, make) in faults {
        let case = Case::attach("new")?;
        let bin = case.make_dir("scripts")?;
        let ran = case.path("ran");
        script(&bin.join("stub-new"), &format!("touch {}", ran.display()))?;
        make(&bin.join("stub-new"))?;
        let path = bin.display().to_string();
        case.call("ADD").env("CNI_PATH", &path).run()?.refused(101).context(what)?;
        ensure!(!ran.exists(), "a script {what} was run");
    }
    Ok(())
}

/// docs/security.md says so: what `$0` names is the script, not a descriptor of ours.
fn script_is_run_by_its_path() -> Result<()> {
    let case = Case::attach("new")?;
    let program = case.stubs.program("stub-new");
    case.stubs.remove("stub-new")?;
    let (zero, answer) = (case.path("zero"), case.path("answer"));
    fs::write(&answer, case.rn("eth0").to_string())?;
    script(&program, &format!("echo \"$0\" > {}; cat {}", zero.display(), answer.display()))?;
    case.add()?.result()?;
    assert_eq!(fs::read_to_string(zero)?.trim(), program.display().to_string());
    Ok(())
}

/// Stubs of a stranger's making below a directory of the case.
fn trap(case: &Case, dir: &str) -> Result<()> {
    let dir = case.make_dir(dir)?;
    let stubs = StubDir::new(&dir, &case.path("trapped.jsonl"), case.stubs.template());
    stubs.write("stub-new", &stub_new())
}

/// S3: neither an empty nor a relative entry of CNI_PATH leads to where the runtime happens to stand.
fn plugin_of_the_working_directory_is_not_run() -> Result<()> {
    let case = Case::attach("new")?;
    trap(&case, "here")?;
    trap(&case, "here/below")?;
    let script = format!("cd {} && exec \"$@\"", case.path("here").display());
    let wrapper = ["sh", "-c", &script, "standing"];
    let good = case.stubs.path().display().to_string();
    for (path, refused) in [
        (format!(":{good}"), false),
        (format!("{good}::"), false),
        ("below".to_owned(), true),
        (format!("./:{good}"), true),
    ] {
        for verb in ["ADD", "DEL"] {
            let outcome = case.call(verb).env("CNI_PATH", &path).wrapped(&wrapper).run()?;
            if refused && verb == "ADD" {
                outcome.refused(101).with_context(|| path.clone())?;
            } else {
                outcome.succeeded().with_context(|| path.clone())?;
            }
        }
        ensure!(!case.path("trapped.jsonl").exists(), "{path}: a plugin of the working directory was run");
    }
    Ok(())
}

/// S3: a delegate finds its IPAM in CNI_PATH, and does not check its owner.
fn places_of_others_are_not_passed_on() -> Result<()> {
    let faults: [Fault; 3] = [
        ("world-writable", |dir| chmod(dir, 0o777)),
        ("sticky", |dir| chmod(dir, 0o1777)),
        ("a stranger's", |dir| Ok(chown(dir, Some(STRANGER), None)?)),
    ];
    for (what, make) in faults {
        let case = Case::attach("new")?;
        let theirs = case.make_dir("theirs")?;
        make(&theirs)?;
        let good = case.stubs.path().display().to_string();
        let path = format!("{}:relative::{good}", theirs.display());
        for verb in ["ADD", "CHECK", "DEL"] {
            case.call(verb).env("CNI_PATH", &path).run()?.succeeded().context(what)?;
        }
        let calls = case.calls()?;
        ensure!(calls.len() == 3, "{what}: {:?}", case.stubs.log().briefs()?);
        for call in calls {
            assert_eq!(call.var("CNI_PATH"), good, "{what}, {}", call.brief());
        }
    }
    Ok(())
}

/// S3: a directory that is not there yet belongs to the users who can make it. One that no other user can make stays.
fn places_that_others_could_make_are_not_passed_on() -> Result<()> {
    let case = Case::attach("new")?;
    let theirs = case.make_dir("theirs")?;
    chmod(&theirs, 0o1777)?;
    let good = case.stubs.path().display().to_string();
    let absent = case.path("absent/bin").display().to_string();
    let path = format!("{}:{absent}:{good}", theirs.join("soon").display());
    case.call("ADD").env("CNI_PATH", &path).run()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.var("CNI_PATH"), format!("{absent}:{good}"));
    Ok(())
}
