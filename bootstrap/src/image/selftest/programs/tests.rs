//! Every fault of a program, and what cannot be told.

use super::super::check::Status;
use super::*;

fn sound_file() -> ProgramFile {
    ProgramFile {
        is_file: true,
        uid: 0,
        gid: 0,
        is_ours: true,
        mode: MODE,
        has_capabilities: false,
        distrust: None,
        sha256: Some("aa".into()),
        image: Ok(Image { machine: machine().expect("a machine that is built for"), interpreter: None }),
        version: Some(Ok(VERSION.into())),
    }
}

fn programs(change: impl FnOnce(&mut ProgramFile)) -> Programs {
    let mut plugin = sound_file();
    change(&mut plugin);
    let release = Release {
        version: 1,
        release: VERSION.into(),
        files: [BOOTSTRAP, PACKAGED_PLUGIN].map(|path| (path.to_owned(), "AA".to_owned())).into(),
    };
    Programs {
        all: vec![
            Program { path: BOOTSTRAP, file: Some(sound_file()) },
            Program { path: PACKAGED_PLUGIN, file: Some(plugin) },
        ],
        release: Ok(Some(release)),
    }
}

fn failed(programs: &Programs) -> Vec<(&'static str, String)> {
    let checks = programs.checks();
    assert!(checks.iter().all(|check| (check.status == Status::Failed) == check.fix.is_some()));
    let failed = checks.into_iter().filter(|check| check.status == Status::Failed);
    failed.map(|check| (check.id, check.observation)).collect()
}

#[test]
fn what_is_as_it_was_packaged_is_well() {
    let checks = programs(|_| {}).checks();
    assert!(checks.iter().all(|check| check.status == Status::Ok), "{checks:#?}");
    assert_eq!(checks.len(), 5);
}

#[test]
fn each_fault_is_found_by_its_check() {
    type Change = fn(&mut ProgramFile);
    let table: [(Change, &str, &str); 12] = [
        (|program| program.is_file = false, "program.present", "no regular file"),
        (|program| (program.uid, program.is_ours) = (7, false), "program.owner", "belongs to 7:0"),
        (|program| program.mode = 0o4755, "program.owner", "mode 4755"),
        (|program| program.mode = 0o700, "program.owner", "mode 0700"),
        (|program| program.has_capabilities = true, "program.owner", "file capabilities"),
        (|program| program.distrust = Some("/usr is theirs".into()), "program.owner", "/usr is theirs"),
        (|program| program.image = Err("bad magic".into()), "program.static", "no ELF"),
        (
            |program| program.image = Ok(Image { machine: 243, interpreter: None }),
            "program.static",
            "another machine (ELF machine 243)",
        ),
        (
            |program| {
                program.image =
                    Ok(Image { machine: machine().unwrap_or(0), interpreter: Some("/lib/ld.so".into()) });
            },
            "program.static",
            "needs /lib/ld.so",
        ),
        (|program| program.version = Some(Ok("9.9.9".into())), "program.version", "\"9.9.9\""),
        (|program| program.version = Some(Err("it failed".into())), "program.version", "it failed"),
        (|program| program.sha256 = Some("bb".into()), "program.release", "not the file of release"),
    ];
    for (change, id, text) in table {
        let failed = failed(&programs(change));
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0].0 == id && failed[0].1.contains(text), "{failed:?}");
    }
}

#[test]
fn what_cannot_be_told_is_skipped_and_an_absent_program_is_none() {
    let mut unasked = programs(|program| program.version = None);
    unasked.all.remove(0);
    unasked.release = Ok(None);
    let states: Vec<_> = unasked.checks().iter().map(|check| (check.id, check.status)).collect();
    assert_eq!(states[3..], [("program.version", Status::Skipped), ("program.release", Status::Skipped)]);
    let mut older = programs(|program| program.version = None);
    older.all.remove(0);
    if let Ok(Some(release)) = &mut older.release {
        release.release = "0.0.1".into();
    }
    assert!(failed(&older).iter().any(|(id, what)| *id == "program.version" && what.contains("0.0.1")));
    let absent = Programs { all: vec![Program { path: BOOTSTRAP, file: None }], release: Ok(None) };
    assert_eq!(failed(&absent), [("program.present", format!("{BOOTSTRAP} is missing"))]);
}
