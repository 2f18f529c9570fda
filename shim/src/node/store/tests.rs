//! The name of a key on disk.

use types::attachment::{FORMAT, Leg};
use types::json::raw::raw_string;

use super::*;

/// What an ADD to two networks is about to do.
fn intent() -> Intent {
    let leg = |network: &str, ifname: &str, primary| Leg {
        network: network.into(),
        profile: "generic".into(),
        conf_path: None,
        ifname: ifname.into(),
        primary,
        tolerated: false,
        host_route: false,
        conf: raw_string("conf"),
        runtime_config: None,
    };
    Intent {
        version: FORMAT,
        container_id: "c1".into(),
        ifname: "eth0".into(),
        began_at: crate::host::boot::now().expect("now"),
        netns: "/n".into(),
        netns_id: None,
        netns_cookie: None,
        cni_args: None,
        cni_path: None,
        route: None,
        legs: vec![leg("oldnet", "eth0", true), leg("newnet", "net1", false)],
    }
}

#[test]
fn long_ids_are_hashed_and_do_not_collide_on_a_common_prefix() {
    let prefix = "a".repeat(255);
    let names: Vec<_> =
        ["", "1", "2"].map(|end| Key::new(format!("{prefix}{end}"), "eth0").file_name()).into();
    assert!(names.iter().all(|name| name.len() < 64), "{names:?}");
    assert!(names[0] != names[1] && names[1] != names[2]);
    assert_eq!(Key::new("c1", "eth0").file_name(), "c1@eth0");
}

#[test]
fn what_is_no_name_cannot_lead_elsewhere() {
    for bad in ["..", "a/b", "", "/etc/passwd", "a\0b"] {
        let names = [Key::new(bad, "eth0").file_name(), Key::new("c1", bad).file_name()];
        assert!(names.iter().all(|name| name.contains('~') && !name.contains(['/', '\0'])), "{names:?}");
    }
}

#[test]
fn the_hash_of_an_id_never_changes() {
    // Records written by one release are looked up by the next.
    assert_eq!(Key::new("a".repeat(300), "e").file_name(), "~49b31b1a9cf9b4220d1abe38f67a387d@e");
}

/// A store in a directory of its own, and that directory.
fn store(name: &str) -> (Store, PathBuf) {
    let dir = std::env::temp_dir().join(format!("crossfade-store-{}-{name}", std::process::id()));
    let layout = Layout { state_dir: dir.join("state"), run_dir: dir.join("run"), policy: None };
    std::fs::create_dir_all(layout.attachments()).expect("state");
    for made in [&dir, &layout.state_dir, &layout.attachments()] {
        chmod(made, 0o700);
    }
    (Store::new(&layout), dir)
}

fn chmod(path: &Path, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("mode");
}

#[test]
fn a_place_that_others_can_write_is_refused_whatever_lies_in_it() {
    let (store, dir) = store("trust");
    let key = Key::new("c1", "eth0");
    store.check_trust().expect("ours alone");
    assert!(matches!(store.find(&key), Ok(StoredRecord::Absent)), "no shard yet");
    for made in [store.layout.attachments(), store.layout.state_dir.clone()] {
        chmod(&made, 0o722);
        assert!(store.check_trust().is_err() && store.find(&key).is_err(), "{}", made.display());
        chmod(&made, 0o700);
    }
    std::fs::remove_dir(store.layout.attachments()).expect("gone");
    store.check_trust().expect("an absent directory holds nothing of others");
    chmod(&store.layout.state_dir, 0o722);
    assert!(store.check_trust().is_err(), "what is above it counts");
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn a_shard_that_others_can_write_is_refused_and_what_is_no_file_is_damaged() {
    let (store, dir) = store("shard");
    let key = Key::new("c1", "eth0");
    let shard = store.shard("c1");
    std::fs::create_dir(&shard).expect("shard");
    chmod(&shard, 0o722);
    assert!(store.find(&key).is_err(), "the record could be made up");
    chmod(&shard, 0o700);
    assert!(matches!(store.find(&key), Ok(StoredRecord::Absent)));
    std::fs::write(dir.join("x"), "x").expect("a record, of sorts");
    chmod(&dir.join("x"), 0o600);
    std::os::unix::fs::symlink(dir.join("x"), store.path(&key)).expect("link");
    assert!(
        matches!(store.find(&key), Ok(StoredRecord::Damaged(why)) if why.contains("regular file")),
        "not followed"
    );
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn what_is_too_long_for_a_record_is_a_damaged_one() {
    let (store, dir) = store("long");
    let key = Key::new("c1", "eth0");
    std::fs::create_dir(store.shard("c1")).expect("shard");
    chmod(&store.shard("c1"), 0o700);
    let file = File::create(store.path(&key)).expect("record");
    // A hole: it takes no space.
    file.set_len(MAX_BYTES as u64 + 1).expect("length");
    chmod(&store.path(&key), 0o600);
    assert!(matches!(store.find(&key), Ok(StoredRecord::Damaged(_))));
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn a_torn_tail_stays_as_a_line_and_a_sound_record_as_it_is() {
    let (store, dir) = store("tail");
    let intent = intent();
    let key = Key::new(&intent.container_id, &intent.ifname);
    drop(store.begin(intent, &[]).expect("begun"));
    let opened = |store: &Store| match store.find(&key) {
        Ok(StoredRecord::Sound(record)) => store.open(*record),
        other => panic!("{other:?}"),
    };
    let sound = std::fs::read(store.path(&key)).expect("record");
    assert!(opened(&store).file.is_some());
    assert_eq!(std::fs::read(store.path(&key)).expect("record"), sound);
    let torn = [sound.as_slice(), b"torn"].concat();
    std::fs::write(store.path(&key), &torn).expect("torn");
    let mut open = opened(&store);
    assert_eq!(std::fs::read(store.path(&key)).expect("record"), [torn.as_slice(), b"\n"].concat());
    assert_eq!(open.attachment.sound_bytes, torn.len() as u64 + 1);
    // What a failed write is cut back to.
    open.append(&[Event::Started { leg: 1 }, Event::Started { leg: 0 }]).expect("appended");
    assert_eq!(open.attachment.sound_bytes, store.path(&key).metadata().expect("record").len());
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn a_record_whose_place_is_taken_is_not_written() {
    let (store, dir) = store("taken");
    let intent = intent();
    let key = Key::new(&intent.container_id, &intent.ifname);
    let open = store.begin(intent, &[]).expect("begun");
    let moved = dir.join("moved");
    std::fs::rename(store.path(&key), &moved).expect("moved");
    std::os::unix::fs::symlink(&moved, store.path(&key)).expect("link");
    assert!(store.open(open.attachment).file.is_none());
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn only_an_absent_record_is_as_good_as_removed() {
    let (store, dir) = store("remove");
    let key = Key::new("c1", "eth0");
    store.remove(&key).expect("nothing there");
    std::fs::create_dir_all(store.path(&key)).expect("not to be unlinked");
    assert!(store.remove(&key).is_err());
    assert!(list(&store.path(&key)).is_ok_and(|files| files.is_empty()));
    std::fs::write(store.path(&key).join("file"), "").expect("file");
    assert!(
        list(&store.path(&key).join("file")).is_err(),
        "a shard that cannot be listed is not an empty one"
    );
    std::fs::remove_dir_all(dir).expect("clean");
}

#[test]
fn a_temporary_file_is_abandoned_once_its_writer_is_gone() {
    let (store, dir) = store("temps");
    let shard = store.shard("c1");
    std::fs::create_dir(&shard).expect("shard");
    let temp = |pid: &str| shard.join(format!("{}{pid}-0", file::TEMP_PREFIX));
    // Above the kernel's largest pid.
    for path in [temp("4194305"), temp(&std::process::id().to_string()), shard.join("c1@eth0")] {
        std::fs::write(path, "").expect("written");
    }
    assert_eq!(store.abandoned_temps().expect("listed"), [temp("4194305")]);
    std::fs::remove_dir_all(dir).expect("clean");
}
