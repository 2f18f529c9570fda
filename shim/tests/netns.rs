//! Entering a network namespace and coming back.

mod namespaces;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use namespaces::{Space, ample, privileged};
use shim::attachment::route::Budget;
use shim::host::netns::Netns;

#[test]
fn a_file_that_is_no_namespace_is_refused_by_name() {
    let path = std::env::current_exe().expect("this executable");
    let error = Netns::open(&path).expect_err("an ordinary file");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), format!("{} is not a network namespace", path.display()));
    assert_eq!(Netns::open(Path::new("/nowhere/at/all")).expect_err("absent").kind(), ErrorKind::NotFound);
}

#[test]
fn the_id_is_the_namespaces_not_the_paths() {
    let direct = Netns::open(Path::new("/proc/self/ns/net")).expect("own netns");
    let current = Netns::current().expect("own netns");
    assert_eq!(direct.id(), current.id());
    let metadata = std::fs::metadata("/proc/self/ns/net").expect("own netns");
    assert_eq!((current.id().dev, current.id().ino), (metadata.dev(), metadata.ino()));
    let written = serde_json::to_string(&current.id()).expect("an id as JSON");
    assert_eq!(
        serde_json::from_str::<types::attachment::NetnsId>(&written).expect("an id from JSON"),
        current.id()
    );
}

#[test]
fn another_type_of_namespace_is_an_error_at_the_socket() {
    if !privileged() {
        return;
    }
    let mount = Netns::open(Path::new("/proc/self/ns/mnt")).expect("an nsfs file");
    assert_eq!(mount.conversation().expect_err("a mount namespace").kind(), ErrorKind::InvalidInput);
    assert!(Netns::current().is_ok());
}

#[test]
fn names_are_read_over_there_and_the_thread_is_back_here() {
    if !privileged() {
        return;
    }
    let here = Netns::current().expect("own netns");
    let (first, second) = (Space::new("cfns"), Space::new("cfns"));
    first.ip("link add eth0 type veth peer name host0");
    let opened = first.open();
    assert_ne!(opened.id(), here.id());
    assert_ne!(opened.id(), second.open().id());
    let mut names = opened.interface_names(ample()).expect("names");
    names.sort();
    assert_eq!(names, ["eth0", "host0", "lo"]);
    assert_eq!(second.open().interface_names(ample()).expect("names"), ["lo"]);
    assert_eq!(Netns::current().expect("own netns").id(), here.id());
}

#[test]
fn a_namespace_stays_as_long_as_it_is_open() {
    if !privileged() {
        return;
    }
    let space = Space::new("cfns");
    let (opened, path) = (space.open(), space.path());
    drop(space);
    assert_eq!(opened.interface_names(ample()).expect("names"), ["lo"]);
    assert_eq!(Netns::open(&path).expect_err("the path is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn many_interfaces_do_not_overflow_a_dump() {
    if !privileged() {
        return;
    }
    let space = Space::new("cfns");
    let lines: String = (0..150).map(|n| format!("link add a{n} type veth peer name b{n}\n")).collect();
    let batch = std::env::temp_dir().join(&space.name);
    std::fs::write(&batch, lines).expect("a batch file");
    space.ip(&format!("-batch {}", batch.display()));
    std::fs::remove_file(&batch).expect("the batch file");
    let opened = space.open();
    assert_eq!(opened.interface_names(ample()).expect("names").len(), 301);
    // The kernel does not begin another dump on a socket before the last one is read.
    let no_time = Budget::new(Instant::now(), None);
    assert_eq!(opened.interface_names(no_time).expect_err("no time").kind(), ErrorKind::TimedOut);
    assert_eq!(opened.interface_names(ample()).expect("names").len(), 301);
}

#[test]
fn an_idle_conversation_is_reused_and_never_shared_by_two_callers() {
    if !privileged() {
        return;
    }
    let space = Space::new("cfns");
    let opened = space.open();
    let first = opened.conversation().expect("a socket inside");
    let second = opened.conversation().expect("another socket inside");
    assert!(!Arc::ptr_eq(&first, &second), "the first is in use");
    let last = Arc::as_ptr(&second);
    drop((first, second));
    let third = opened.conversation().expect("a socket inside");
    assert_eq!(Arc::as_ptr(&third), last, "it is idle");
    drop(third);
    let cookie = opened.cookie();
    assert_eq!(opened.interface_names(ample()).expect("names"), ["lo"]);
    assert_eq!(
        (opened.interface_names(ample()).expect("names"), opened.cookie()),
        (vec!["lo".to_owned()], cookie)
    );
}

#[test]
fn a_cookie_is_the_namespaces_own_and_learned_from_any_socket_in_it() {
    if !privileged() {
        return;
    }
    let (space, other_space) = (Space::new("cfns"), Space::new("cfns"));
    let (first, again, other) = (space.open(), space.open(), other_space.open());
    drop(first.conversation().expect("a socket inside"));
    let cookie = first.cookie().expect("this kernel has cookies");
    assert_eq!(again.cookie(), Some(cookie));
    assert!(other.cookie().is_some_and(|theirs| theirs != cookie));
}
