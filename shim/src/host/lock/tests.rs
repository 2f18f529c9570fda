//! A call that waits for a lock whose holder is not known yet.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::attempt::{Attempt, try_flock};
use super::*;

#[test]
fn a_holder_is_asked_to_stop_as_soon_as_it_is_known() {
    let dir = std::env::temp_dir().join(format!("crossfade-lock-{}", std::process::id()));
    let layout = Layout { run_dir: dir.clone(), ..Layout::default() };
    let key = Key::new("sandbox", "eth0");
    let path = prepare(&layout, &key.file_name()).expect("directory");
    let Attempt::Taken(held) = try_flock(open(&path).expect("file"), &path).expect("flock") else {
        panic!("no other process has it");
    };
    let mut holder = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let pid = holder.id().cast_signed();
    // The holder is not in the file when the other call may already ask it, and is there soon after.
    let waiting = std::thread::spawn(move || {
        let now = Instant::now();
        let patience = Patience { until: now + Duration::from_secs(20), ask_from: Some(now) };
        let signals = Signals::receive().expect("signals");
        Lock::take(&layout, &key, Verb::Del, patience, &signals).map(drop)
    });
    std::thread::sleep(PAUSE * 20);
    let mut known = Holder::current(Verb::Add);
    known.holder = Process::seen_now(pid).ok();
    held.write_all_at(&known.to_line(), 0).expect("written");
    let end = Instant::now() + Duration::from_secs(10);
    let stopped = loop {
        match holder.try_wait().expect("a child") {
            None if Instant::now() < end => std::thread::sleep(PAUSE),
            other => break other,
        }
    };
    let _ = holder.kill();
    let _ = holder.wait();
    drop(held);
    assert_eq!(stopped.and_then(|status| status.signal()), Some(nix::libc::SIGTERM));
    waiting.join().expect("no panic").expect("the lock was free at last");
    std::fs::remove_dir_all(dir).expect("clean");
}
