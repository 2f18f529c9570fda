//! Units in trees of files.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn tree(files: &[(&str, &str)]) -> (TempDir, Root) {
    let dir = tempfile::tempdir().expect("scratch");
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directory");
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).expect("link"),
            None => fs::write(path, text).expect("file"),
        }
    }
    let root = Root::new(dir.path());
    (dir, root)
}

fn command(files: &[(&str, &str)]) -> String {
    let (_dir, root) = tree(files);
    let unit = Unit::load(&root, "kubelet.service").expect("readable").expect("there");
    unit.command().expect("one command").join(" ")
}

const UNIT: (&str, &str) =
    ("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/k $A $B\nEnvironment=A=unit\n");

#[test]
fn drop_ins_are_merged_by_name_and_the_higher_directory_masks() {
    let ten = |dir: &str| {
        (
            format!("{dir}/systemd/system/kubelet.service.d/10-a.conf"),
            format!("[Service]\nEnvironment=A={dir}\n"),
        )
    };
    let dirs = ["etc", "run", "usr/local/lib", "usr/lib"];
    let files: Vec<_> = dirs.iter().map(|dir| ten(dir)).collect();
    for (index, dir) in dirs.iter().enumerate() {
        let mut all = vec![UNIT];
        all.extend(files[index..].iter().map(|(path, text)| (path.as_str(), text.as_str())));
        assert_eq!(command(&all), format!("/k {dir}"));
    }
    let masked = [
        UNIT,
        ("etc/systemd/system/kubelet.service.d/10-a.conf", "-> /dev/null"),
        (files[3].0.as_str(), files[3].1.as_str()),
    ];
    assert_eq!(command(&masked), "/k unit");
}

#[test]
fn an_empty_assignment_resets_and_names_decide_the_order() {
    let reset = "[Service]\nExecStart=\nExecStart=/late $A $B\n";
    for (path, expected) in [
        ("usr/lib/systemd/system/kubelet.service.d/20-b.conf", "/late unit"),
        ("usr/lib/systemd/system/service.d/20-b.conf", "/late unit"),
        ("usr/lib/systemd/system/kubelet.service.d/.hidden.conf", "/k unit"),
        ("usr/lib/systemd/system/kubelet.service.d/20-b.conf.bak", "/k unit"),
        ("run/systemd/generator/kubelet.service.d/zz-crossfade.conf", "/k unit"),
        ("run/systemd/generator/kubelet.service.d/zz-other.conf", "/late unit"),
    ] {
        assert_eq!(command(&[UNIT, (path, reset)]), expected, "{path}");
    }
    let specific = [
        UNIT,
        ("etc/systemd/system/service.d/20-b.conf", "[Service]\nEnvironment=B=generic\n"),
        ("usr/lib/systemd/system/kubelet.service.d/20-b.conf", "[Service]\nEnvironment=B=own\n"),
    ];
    assert_eq!(command(&specific), "/k unit own", "the unit's own drop-in masks that of all services");
}

#[test]
fn a_link_is_followed_below_the_root_and_its_other_names_count() {
    let files = [
        ("usr/lib/systemd/system/real.service", UNIT.1),
        ("etc/systemd/system/kubelet.service", "-> /usr/lib/systemd/system/real.service"),
        ("etc/systemd/system/third.service", "-> /usr/lib/systemd/system/real.service"),
        ("etc/systemd/system/real.service.d/a.conf", "[Service]\nEnvironment=A=real\n"),
        ("etc/systemd/system/third.service.d/b.conf", "[Service]\nEnvironment=B=third\n"),
        ("lib", "-> usr/lib"),
    ];
    assert_eq!(command(&files), "/k real third");
    for masked in
        [("etc/systemd/system/kubelet.service", "-> /dev/null"), ("etc/systemd/system/kubelet.service", "")]
    {
        let (_dir, root) = tree(&[UNIT, masked]);
        assert_eq!(Unit::load(&root, "kubelet.service"), Ok(None));
    }
    assert_eq!(Unit::load(&Root::new(Path::new("/nowhere")), "kubelet.service"), Ok(None));
}

#[test]
fn files_win_over_lines_and_later_ones_over_earlier_ones() {
    let unit = |lines: &str| format!("[Service]\nExecStart=/k $A $B\n{lines}");
    let files = [("etc/one", "A=one\nB=one\n"), ("etc/two.env", "A=two\n"), ("etc/ten.env", "A=ten\n")];
    for (lines, expected) in [
        ("EnvironmentFile=/etc/one\nEnvironment=A=line", "/k one one"),
        ("EnvironmentFile=/etc/one\nEnvironmentFile=-/etc/two.env", "/k two one"),
        ("EnvironmentFile=/etc/one\nEnvironmentFile=\n", "/k"),
        ("EnvironmentFile=-/etc/none\nEnvironment=A=line", "/k line"),
        ("EnvironmentFile=/etc/t*.env", "/k two"),
        ("EnvironmentFile=/etc/t[a-e]?.env", "/k ten"),
        ("EnvironmentFile=/etc/t[!w]*.env", "/k ten"),
        ("EnvironmentFile=relative", "/k"),
        ("EnvironmentFile=/etc/one\nUnsetEnvironment=A", "/k one"),
        ("EnvironmentFile=/etc/one\nUnsetEnvironment=A=other B=one", "/k one"),
    ] {
        let text = unit(lines);
        let mut all = vec![(UNIT.0, text.as_str())];
        all.extend(files);
        assert_eq!(command(&all), expected, "{lines}");
    }
    let (_dir, root) = tree(&[(UNIT.0, "[Service]\nExecStart=/k\nEnvironmentFile=/etc/none\n")]);
    let unit = Unit::load(&root, "kubelet.service").expect("readable").expect("there");
    assert_eq!(unit.absent_files(), [PathBuf::from("/etc/none")]);
}

#[test]
fn one_command_is_expected() {
    for (text, count) in [
        ("[Service]\n", 0),
        ("[Service]\nExecStart=/a\nExecStart=/b\n", 2),
        ("[Service]\nExecStart=/a ; /b\n", 2),
    ] {
        let (_dir, root) = tree(&[(UNIT.0, text)]);
        let unit = Unit::load(&root, "kubelet.service").expect("readable").expect("there");
        let why = unit.command().expect_err(text);
        assert!(why.contains(&format!("found {count}")), "{why}");
    }
}
