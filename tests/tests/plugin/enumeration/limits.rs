//! A node that is short of something: descriptors, processes, memory, space.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use lab::case::invariants::CallExit;
use nix::{
    libc::SIGKILL,
    mount::{MntFlags, MsFlags, mount, umount2},
};

use crate::{
    enumerate::on_all_cores,
    miniature::{Miniature, POD},
    mode::Mode,
    play::{go_on, set},
    point::{Runtime, Situation, State, Verb},
};

/// Every verb that touches an attachment, in every mode.
fn situations() -> impl Iterator<Item = Situation> {
    let verbs = |situation: &Situation| {
        situation.verb != Verb::Version && matches!(situation.state, State::Fresh | State::Attached)
    };
    Situation::all().into_iter().filter(verbs)
}

/// Plays a situation under a wrapper, which may end the call by SIGKILL where `killed` says so.
fn play_under(situation: Situation, wrapper: &[String], killed: bool) -> Result<bool> {
    let mut miniature = set(situation)?;
    miniature.refused = true;
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let outcome = miniature.run(situation.verb.as_str(), POD, &wrapper, true)?;
    let ended = CallExit::from(outcome.status);
    if !(killed && matches!(ended, CallExit::Signalled(SIGKILL))) {
        miniature.take(lab::case::invariants::answer(situation.verb.as_str(), ended, &outcome.stdout));
    }
    go_on(&mut miniature, situation, Runtime::Dels, &outcome, None)?;
    ensure!(
        miniature.problems.is_empty(),
        "{situation} under `{}`: {}",
        wrapper.join(" "),
        miniature.problems.join("\n    ")
    );
    Ok(outcome.status.success())
}

/// Plays every situation at every size of a limit; how many succeeded, by situation.
fn play_all<T: Copy + Sync>(
    sizes: &[T],
    killed: bool,
    limit: impl Fn(T) -> Result<Limit> + Sync,
) -> Result<BTreeMap<Situation, usize>> {
    let plays: Vec<(Situation, T)> =
        situations().flat_map(|situation| sizes.iter().map(move |size| (situation, *size))).collect();
    let succeeded = Mutex::new(BTreeMap::new());
    let failures = Mutex::new(Vec::new());
    on_all_cores(&plays, |(situation, size)| {
        let played = limit(*size).and_then(|limit| play_under(*situation, &limit.wrapper, killed));
        match played {
            Ok(success) => *lock(&succeeded).entry(*situation).or_default() += usize::from(success),
            Err(error) => lock(&failures).push(format!("{error:#}")),
        }
    });
    let failures = lock(&failures);
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(std::mem::take(&mut *lock(&succeeded)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The largest size must be enough for everything, and some must not be: else nothing was tried. (Not so for each situation:
/// there are some that start no delegate.)
fn some_and_not_all(succeeded: &BTreeMap<Situation, usize>, sizes: usize) -> Result<()> {
    for situation in situations() {
        ensure!(
            succeeded.get(&situation).is_some_and(|count| *count > 0),
            "no size is enough for {situation}"
        );
    }
    let all = succeeded.values().sum::<usize>();
    ensure!(all < succeeded.len() * sizes, "every size is enough for everything");
    Ok(())
}

/// Descriptors run out at every place: whole or refused, never half.
pub(crate) fn few_descriptors() -> Result<()> {
    let sizes: Vec<u32> = (3..=24).chain([32]).collect();
    let succeeded = play_all(&sizes, false, |descriptors| {
        let wrapper = ["prlimit".to_owned(), format!("--nofile={descriptors}"), "--".to_owned()];
        Ok(Limit { wrapper: wrapper.into(), group: None })
    })?;
    some_and_not_all(&succeeded, sizes.len())
}

/// No process can be started, or one at a time only.
pub(crate) fn few_processes() -> Result<()> {
    let succeeded =
        play_all(&["1", "2"], false, |processes| Limit::group("pids", &[("pids.max", processes)]))?;
    some_and_not_all(&succeeded, 2)
}

/// Memory runs out at the shim's or a delegate's expense: whichever the kernel kills, nothing is lost.
pub(crate) fn little_memory() -> Result<()> {
    let kibibytes = [256_u32, 512, 768, 1024, 1536, 2048, 3072, 4096, 65536];
    let succeeded = play_all(&kibibytes, true, |kibibytes| {
        let bytes = (kibibytes * 1024).to_string();
        Limit::group("memory", &[("memory.limit_in_bytes", &bytes), ("memory.max", &bytes)])
    })?;
    some_and_not_all(&succeeded, kibibytes.len())
}

/// DEL needs no space: neither in the state directory nor in the run directory.
pub(crate) fn del_on_full_disks() -> Result<()> {
    for mode in Mode::OF_ADD {
        for full in [&["state"][..], &["run"], &["state", "run"]] {
            let mut miniature = Miniature::new(mode)?;
            let disks: Vec<Disk> = ["state", "run"]
                .into_iter()
                .map(|name| Disk::new(&miniature, name))
                .collect::<Result<_>>()?;
            miniature.attach(POD)?;
            for disk in disks.iter().filter(|disk| full.contains(&disk.name)) {
                disk.fill()?;
            }
            let outcome = miniature.call("DEL", POD)?;
            ensure!(outcome.status.success(), "mode {mode}, {full:?} full: {outcome:?}");
            disks.iter().try_for_each(Disk::clear)?;
            miniature.end()?;
            ensure!(miniature.problems.is_empty(), "mode {mode}, {full:?} full: {:?}", miniature.problems);
            drop(disks);
        }
    }
    Ok(())
}

/// A small file system of a miniature's directory.
struct Disk {
    name: &'static str,
    path: PathBuf,
}

impl Disk {
    fn new(miniature: &Miniature, name: &'static str) -> Result<Self> {
        let path = miniature.path(name);
        fs::create_dir(&path)?;
        let none: Option<&str> = None;
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("mode=0700,size=64k"))
            .or_else(|_| mount(none, &path, Some("tmpfs"), MsFlags::empty(), Some("mode=0700,size=64k")))
            .context("mount a small tmpfs")?;
        Ok(Self { name, path })
    }

    fn fill(&self) -> Result<()> {
        ensure!(
            fs::write(self.path.join("filler"), vec![0; 1 << 20]).is_err(),
            "a megabyte fits into 64 KiB"
        );
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        match fs::remove_file(self.path.join("filler")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.context("remove the filler"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The lab's mount namespace ends with the process anyhow.
        let _unmounted = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

/// What a call runs under.
struct Limit {
    wrapper: Vec<String>,
    group: Option<PathBuf>,
}

impl Limit {
    /// A cgroup of this lab. `limits` are files and what is written to them; those of the other cgroup version are absent.
    fn group(controller: &str, limits: &[(&str, &str)]) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let parent =
            hierarchy(controller)?.join(lab::host::isolate::cgroup_parent()?.trim_start_matches('/'));
        let path = parent.join(format!("{controller}{number}"));
        fs::create_dir_all(&path).with_context(|| format!("make cgroup {}", path.display()))?;
        let mut written = 0;
        for (file, value) in limits {
            let file = path.join(file);
            if file.exists() {
                fs::write(&file, value).with_context(|| format!("write {value} to {}", file.display()))?;
                written += 1;
            }
        }
        ensure!(written > 0, "cgroup {} has none of {limits:?}", path.display());
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", path.display());
        let wrapper = ["sh", "-c", &script, "inside"].map(str::to_owned).into();
        Ok(Self { wrapper, group: Some(path) })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            // Busy while an orphan ends; the lab removes its cgroups at its own end.
            let _removed = fs::remove_dir(group);
        }
    }
}

/// Where the controller's hierarchy is mounted: its own (version 1), or the one of all (version 2).
fn hierarchy(controller: &str) -> Result<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let mounts: Vec<(&str, &str)> = table.lines().filter_map(|line| line.split_once(" - ")).collect();
    let point = |mount: &str| mount.split(' ').nth(4).map(PathBuf::from);
    let own = mounts.iter().find(|(_, kind)| {
        kind.starts_with("cgroup ")
            && kind
                .split(' ')
                .nth(2)
                .is_some_and(|options| options.split(',').any(|option| option == controller))
    });
    let of_all = || mounts.iter().find(|(_, kind)| kind.starts_with("cgroup2 "));
    own.or_else(of_all)
        .and_then(|(mount, _)| point(mount))
        .with_context(|| format!("no cgroup hierarchy with {controller}"))
}
