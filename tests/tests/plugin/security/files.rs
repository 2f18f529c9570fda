//! The objects in the place of a checked file that the shim takes or refuses: the policy, a conf, a plugin binary.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::StubDir;
use nix::{
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        stat::{Mode, SFlag, makedev, mknod},
    },
    unistd::mkfifo,
};
use serde_json::json;

use crate::{
    case::{Case, stub_new},
    trials,
};

trials![
    policy_of_every_kind,
    conf_of_every_kind,
    binary_of_every_kind,
    fifo_and_device_are_not_even_opened,
    directory_above_of_every_kind,
];

/// A uid that no user has here.
pub(crate) const STRANGER: u32 = 4321;

/// A fault and how to put it at a path.
pub(crate) type Fault = (&'static str, fn(&Path) -> Result<()>);

/// Something that may lie at a path.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Puts it at the path; a good file lies beside it, under this second path.
    pub(crate) make: fn(&Path, &Path) -> Result<()>,
    /// Whether the shim takes it.
    pub(crate) taken: bool,
}

const fn kind(name: &'static str, taken: bool, make: fn(&Path, &Path) -> Result<()>) -> Kind {
    Kind { name, make, taken }
}

/// The kinds of file there are, by what they are, whose they are and who may write them.
pub(crate) const KINDS: [Kind; 16] = [
    kind("a file of root's", true, |path, good| copy(good, path, 0o755)),
    kind("a read-only file of root's", true, |path, good| copy(good, path, 0o555)),
    kind("a group-writable file", false, |path, good| copy(good, path, 0o775)),
    kind("a world-writable file", false, |path, good| copy(good, path, 0o757)),
    kind("a stranger's file", false, |path, good| {
        copy(good, path, 0o755)?;
        Ok(chown(path, Some(STRANGER), None)?)
    }),
    kind("a second name of root's file", true, |path, good| Ok(fs::hard_link(good, path)?)),
    kind("a second name of root's file where others may add names", false, |path, good| {
        fs::hard_link(good, path)?;
        chmod(path.parent().context("a directory")?, 0o1777)
    }),
    kind("root's link to it", true, |path, good| Ok(symlink(good, path)?)),
    kind("a stranger's link to it", false, |path, good| {
        symlink(good, path)?;
        Ok(lchown(path, Some(STRANGER), None)?)
    }),
    kind("root's link to a stranger's file", false, |path, good| {
        let theirs = path.with_extension("theirs");
        copy(good, &theirs, 0o755)?;
        chown(&theirs, Some(STRANGER), None)?;
        Ok(symlink(theirs, path)?)
    }),
    kind("a link to nothing", false, |path, _| Ok(symlink("gone", path)?)),
    kind("a link to itself", false, |path, _| Ok(symlink(path, path)?)),
    kind("a FIFO", false, |path, _| Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?)),
    kind("a directory", false, |path, _| Ok(fs::create_dir(path)?)),
    kind("a device", false, |path, _| device(path)),
    kind("a socket", false, |path, _| {
        drop(UnixListener::bind(path)?);
        Ok(())
    }),
];

/// A second /dev/zero.
pub(crate) fn device(path: &Path) -> Result<()> {
    Ok(mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 5))?)
}

fn copy(good: &Path, path: &Path, mode: u32) -> Result<()> {
    lab::host::scratch::install(good, path)?;
    chmod(path, mode)
}

pub(crate) fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("chmod {}", path.display()))
}

/// Puts a kind at `path`, where a good file lies; that one goes to `aside` on the same file system.
fn put(kind: &Kind, path: &Path, aside: &Path) -> Result<()> {
    fs::rename(path, aside).with_context(|| format!("move {} aside", path.display()))?;
    (kind.make)(path, aside).with_context(|| kind.name.to_owned())
}

/// A case whose policy lies in a directory of its own, at 1.1.0 so that it can be asked for STATUS.
fn with_policy_apart() -> Result<(Case, PathBuf)> {
    let mut case = Case::attach("new")?;
    let policy = case.make_dir("policies")?.join("policy.json");
    fs::rename(case.policy_path(), &policy)?;
    case.shim["policy"] = json!(policy);
    case.shim["cniVersion"] = json!("1.1.0");
    Ok((case, policy))
}

/// S6, and the matrix of kinds: what is refused is refused by every verb that decides, and DEL needs no policy.
fn policy_of_every_kind() -> Result<()> {
    for kind in &KINDS {
        let (case, policy) = with_policy_apart()?;
        case.added()?;
        put(kind, &policy, &case.path("aside"))?;
        let add = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?;
        let status = case.call("STATUS").run()?;
        if kind.taken {
            add.result().context(kind.name)?;
            status.silent().context(kind.name)?;
            case.call("DEL").env("CNI_CONTAINERID", "c2").run()?.silent().context(kind.name)?;
        } else {
            let refusal = add.refused(7).context(kind.name)?;
            ensure!(refusal.text().contains("polic"), "{}: {refusal:?}", kind.name);
            status.refused(50).context(kind.name)?;
            case.expect_calls(&[]).context(kind.name)?;
        }
        case.stubs.log().clear()?;
        case.del()?.silent().context(kind.name)?;
        case.expect_calls(&["stub-new DEL eth0"]).context(kind.name)?;
    }
    Ok(())
}

/// S2, S7: a conf says what runs as root. One that is not there is one that is not there yet.
fn conf_of_every_kind() -> Result<()> {
    for kind in &KINDS {
        let mut case = Case::attach("new")?;
        case.shim["cniVersion"] = json!("1.1.0");
        case.added()?;
        fs::remove_dir_all(case.path("run"))?;
        put(kind, &case.conf_path("new"), &case.path("aside"))?;
        let add = case.call("ADD").env("CNI_CONTAINERID", "c2").run()?;
        if kind.taken {
            add.result().context(kind.name)?;
            case.call("DEL").env("CNI_CONTAINERID", "c2").run()?.silent().context(kind.name)?;
        } else {
            let code = if kind.name == "a link to nothing" { 11 } else { 7 };
            add.refused(code).context(kind.name)?;
            case.call("STATUS").run()?.refused(50).context(kind.name)?;
            case.expect_calls(&[]).context(kind.name)?;
        }
        case.stubs.log().clear()?;
        case.del()?.silent().context(kind.name)?;
        case.expect_calls(&["stub-new DEL eth0"]).context(kind.name)?;
    }
    Ok(())
}

/// S4: neither ADD nor DEL runs what the shim would not take.
fn binary_of_every_kind() -> Result<()> {
    for kind in &KINDS {
        let case = Case::attach("new")?;
        case.added()?;
        let bin = case.make_dir("opt/cni")?;
        let stubs = StubDir::new(&bin, &case.path("calls.jsonl"), case.stubs.template());
        stubs.write("stub-new", &stub_new())?;
        // Under its own name: a program knows by its path which script is its own.
        stubs.remove("stub-new")?;
        lab::host::scratch::install(case.stubs.template(), &stubs.program("stub-new"))?;
        let aside = case.make_dir("aside")?.join("stub-new");
        fs::copy(bin.join("stub-new.script"), case.path("aside/stub-new.script"))?;
        put(kind, &stubs.program("stub-new"), &aside)?;
        let path = bin.display().to_string();
        let add = case.call("ADD").env("CNI_PATH", &path).env("CNI_CONTAINERID", "c2").run()?;
        if kind.taken {
            add.result().context(kind.name)?;
            case.expect_calls(&["stub-new ADD eth0"]).context(kind.name)?;
        } else {
            let refusal = add.refused(101).context(kind.name)?;
            ensure!(refusal.text().contains("stub-new"), "{}: {refusal:?}", kind.name);
            case.expect_calls(&[]).context(kind.name)?;
            case.expect_records(1).context(kind.name)?;
        }
    }
    Ok(())
}

/// To open a device may be to act on it (a watchdog starts, a tape rewinds), and to open a FIFO wakes who waits for a reader.
fn fifo_and_device_are_not_even_opened() -> Result<()> {
    for make in [device, |path: &Path| Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?)] {
        let (case, policy) = with_policy_apart()?;
        case.added()?;
        let inventory = case.path("state/inventory.json");
        let checked = [policy, case.conf_path("new"), inventory, case.stubs.program("stub-new")];
        for path in &checked {
            let aside = case.path("aside");
            let was = path.exists();
            if was {
                fs::rename(path, &aside)?;
            }
            make(path)?;
            let watch = Inotify::init(InitFlags::IN_NONBLOCK)?;
            watch.add_watch(path, AddWatchFlags::IN_OPEN)?;
            case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.error()?;
            case.call("STATUS").run()?.error().ok();
            let events = watch.read_events().map(|events| events.len()).unwrap_or_default();
            ensure!(events == 0, "{} was opened {events} times", path.display());
            fs::remove_file(path)?;
            if was {
                fs::rename(&aside, path)?;
            }
        }
    }
    Ok(())
}

/// S4, S6: a directory above decides as much as the file; one that is a link counts at both ends.
fn directory_above_of_every_kind() -> Result<()> {
    let kinds: [Kind; 8] = [
        kind("root's", true, |_, _| Ok(())),
        kind("group-writable", false, |dir, _| chmod(dir, 0o775)),
        kind("world-writable", false, |dir, _| chmod(dir, 0o757)),
        kind("sticky", true, |dir, _| chmod(dir, 0o1777)),
        kind("a stranger's", false, |dir, _| Ok(chown(dir, Some(STRANGER), None)?)),
        kind("a stranger's and sticky", false, |dir, _| {
            chmod(dir, 0o1777)?;
            Ok(chown(dir, Some(STRANGER), None)?)
        }),
        kind("root's link", true, |dir, aside| {
            fs::rename(dir, aside)?;
            Ok(symlink(aside, dir)?)
        }),
        kind("a stranger's link", false, |dir, aside| {
            fs::rename(dir, aside)?;
            symlink(aside, dir)?;
            Ok(lchown(dir, Some(STRANGER), None)?)
        }),
    ];
    for kind in &kinds {
        for levels in [1, 2] {
            let mut case = Case::attach("new")?;
            let policy = case.make_dir("above/near")?.join("policy.json");
            fs::rename(case.policy_path(), &policy)?;
            case.shim["policy"] = json!(policy);
            let dir = policy.ancestors().nth(levels).context("a directory above")?;
            (kind.make)(dir, &case.path("aside"))?;
            let add = case.add()?;
            let what = || format!("{} directory, {levels} above", kind.name);
            if kind.taken {
                add.result().with_context(what)?;
            } else {
                add.refused(7).with_context(what)?;
                case.expect_calls(&[]).with_context(what)?;
            }
        }
    }
    Ok(())
}
