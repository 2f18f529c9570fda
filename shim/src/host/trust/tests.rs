use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("crossfade-trust-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).expect("scratch");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("mode");
    dir
}

fn put(path: &Path, mode: u32) {
    fs::write(path, "x").expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn a_file_of_ours_below_a_sticky_directory_is_trusted() {
    let dir = scratch("good");
    put(&dir.join("f"), 0o644);
    open(&dir.join("f")).expect("trusted");
    fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn group_and_world_writable_files_and_directories_are_not() {
    let dir = scratch("bad");
    for mode in [0o664, 0o646, 0o666] {
        put(&dir.join("f"), mode);
        assert!(matches!(open(&dir.join("f")), Err(Distrust::Mode(_, m)) if m & 0o777 == mode));
    }
    put(&dir.join("f"), 0o600);
    for mode in [0o775, 0o757] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("mode");
        assert!(matches!(open(&dir.join("f")), Err(Distrust::Mode(p, _)) if p == dir), "{mode:o}");
    }
    fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn a_link_is_followed_only_through_trusted_directories() {
    let dir = scratch("link");
    let open_dir = dir.join("open");
    fs::create_dir(&open_dir).expect("dir");
    fs::set_permissions(&open_dir, fs::Permissions::from_mode(0o755)).expect("mode");
    put(&open_dir.join("target"), 0o600);
    symlink(open_dir.join("target"), dir.join("link")).expect("link");
    open(&dir.join("link")).expect("both directories are ours");
    fs::set_permissions(&open_dir, fs::Permissions::from_mode(0o777)).expect("mode");
    assert!(matches!(open(&dir.join("link")), Err(Distrust::Mode(p, _)) if p == open_dir));
    symlink("loop", dir.join("loop")).expect("link");
    assert!(matches!(open(&dir.join("loop")), Err(Distrust::Kind(..))));
    fs::remove_dir_all(dir).expect("clean");
}

/// On a thread of its own, since a thread inspects once from the first call on.
#[test]
fn directories_that_are_inspected_once_are_told_apart() {
    let dir = scratch("once");
    put(&dir.join("f"), 0o644);
    fs::create_dir(dir.join("open")).expect("dir");
    fs::set_permissions(dir.join("open"), fs::Permissions::from_mode(0o777)).expect("mode");
    put(&dir.join("open/f"), 0o644);
    let inspect = || {
        inspect_once();
        for _ in 0..2 {
            open(&dir.join("f")).expect("trusted");
            assert!(matches!(open(&dir.join("open/f")), Err(Distrust::Mode(p, _)) if p == dir.join("open")));
        }
    };
    std::thread::scope(|scope| scope.spawn(inspect).join().expect("inspected"));
    fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn what_is_no_regular_file_is_refused_and_absence_is_told_apart() {
    let dir = scratch("kind");
    assert!(matches!(open(&dir), Err(Distrust::Kind(..))));
    assert!(open(&dir.join("gone")).is_err_and(|e| e.is_absent()));
    assert!(matches!(open(Path::new("f")), Err(Distrust::Kind(..))));
    fs::remove_dir_all(dir).expect("clean");
}
