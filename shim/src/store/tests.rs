//! What a key is called on disk.

use super::*;

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
