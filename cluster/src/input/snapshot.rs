//! The files of `--snapshot` and `--policies`.

use std::ffi::OsStr;
use std::fs::{File, FileType};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use snapshot::model::{Kind, Snapshot};
use snapshot::{Collector, GZIP, UnknownKinds, read};
use types::command::problem::Problem;

use crate::input;

/// Endings of the files that are read from a directory.
const ENDINGS: [&str; 8] =
    [".json", ".jsonl", ".yaml", ".yml", ".json.gz", ".jsonl.gz", ".yaml.gz", ".yml.gz"];
/// How much of a file is looked at that is not read for its name.
const BEGINNING: u64 = 4096;

/// Reads files into one snapshot: `-` is stdin, and a directory stands for its JSON and YAML files. `dumped` names kinds of which no object may be
/// in the files because the cluster has none. `note` hears which files of a directory are not read.
///
/// # Errors
/// Every file that cannot be read, with the reason, and what in a directory is left out and may be a dump.
pub(crate) fn gather(
    files: &[PathBuf],
    dumped: &[Kind],
    note: &mut dyn FnMut(&str),
) -> Result<Snapshot, Vec<Problem>> {
    gather_all(files, dumped, note).map(|(snapshot, _)| snapshot)
}

/// The same, with the objects of kinds that no check reads.
///
/// # Errors
/// As [`gather`].
pub(crate) fn gather_all(
    files: &[PathBuf],
    dumped: &[Kind],
    note: &mut dyn FnMut(&str),
) -> Result<(Snapshot, UnknownKinds), Vec<Problem>> {
    let mut collector = Collector::new();
    let mut problems = Vec::new();
    for file in files {
        match files_of(file, note) {
            Ok(files) => {
                problems.extend(files.iter().filter_map(|file| gather_file(&mut collector, file).err()))
            }
            Err(wrong) => problems.extend(wrong),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let unknown = collector.take_unknown();
    Ok((collector.finish(dumped), unknown))
}

fn gather_file(collector: &mut Collector, file: &Path) -> Result<(), Problem> {
    let name = file.display().to_string();
    let read = if name == "-" {
        read(collector, std::io::stdin().lock())
    } else {
        let open = input::open(file).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => {
                let fix =
                    "write what it has to a file and name that file, or name - and hand it over as stdin";
                Problem::new(format!("{name} is no regular file")).with_place(&name).fix(fix)
            }
            _ => unreadable_problem(&name, &e.to_string()),
        })?;
        read(collector, BufReader::with_capacity(1 << 16, open))
    };
    read.map_err(|why| unreadable_problem(&name, &why))
}

fn unreadable_problem(name: &str, why: &str) -> Problem {
    Problem::new(format!("read {name}: {why}"))
        .with_place(name)
        .fix("write the file again: kubectl crossfade snapshot, or kubectl get KINDS -A -o json")
}

/// The file itself, or those of a directory in the order of their names.
fn files_of(file: &Path, note: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, Vec<Problem>> {
    if !file.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let name = file.display().to_string();
    let wrong = |why: String| Problem::new(format!("read directory {name}: {why}")).with_place(&name);
    let entries = std::fs::read_dir(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|e| vec![wrong(e.to_string())])?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let (mut files, mut left_out, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        match judge_entry(&path) {
            Entry::Read => files.push(path),
            Entry::LeftOut => left_out.push(path.file_name().map_or_else(String::new, display_name)),
            Entry::Wrong(why, fix) => {
                let path = path.display().to_string();
                problems.push(
                    Problem::new(format!("read directory {name}: {path} {why}")).with_place(&path).fix(fix),
                );
            }
        }
    }
    if !left_out.is_empty() {
        note(&format!(
            "{name}: not read, since they are no dumps by name and content: {}",
            left_out.join(", ")
        ));
    }
    if files.is_empty() && problems.is_empty() {
        problems
            .push(wrong("no file of JSON or YAML is in it".into()).fix("name the directory with the dumps"));
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn display_name(name: &OsStr) -> String {
    name.to_string_lossy().escape_debug().to_string()
}

/// What becomes of an entry of a directory.
enum Entry {
    Read,
    /// Nothing of it is in a snapshot, and nothing in it looks as if it should be.
    LeftOut,
    /// What is wrong with it, and what to do.
    Wrong(&'static str, &'static str),
}

fn judge_entry(path: &Path) -> Entry {
    let name = path.file_name().map_or_else(String::new, display_name);
    let is_named = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let is_hidden = name.starts_with('.');
    // What a link leads to.
    let Ok(metadata) = std::fs::metadata(path) else {
        return Entry::Wrong("cannot be looked at", "remove it, or grant the right to read it");
    };
    let kind: FileType = metadata.file_type();
    if kind.is_dir() {
        if is_hidden {
            return Entry::LeftOut;
        }
        return Entry::Wrong(
            "is a directory of its own, and its files are not read",
            "name it with --snapshot as well, or move it elsewhere",
        );
    }
    if !kind.is_file() {
        // A pipe without a writer never ends.
        return Entry::Wrong("is no regular file", "write what it has to a file, and remove it");
    }
    if is_named && metadata.len() == 0 {
        return Entry::Wrong(
            "is empty, as after a command that failed",
            "write the file again, and look at what the command says; remove it if the cluster does not have the kind",
        );
    }
    match (is_named, begins_as_dump(path)) {
        (true, _) => Entry::Read,
        (false, Ok(false)) => Entry::LeftOut,
        (false, Ok(true)) => Entry::Wrong(
            "begins as a dump, and a file of a directory is read for its ending alone",
            "let its name end in .json, .jsonl, .yaml or .yml, with .gz behind it if it is compressed; or move it elsewhere",
        ),
        (false, Err(_)) => Entry::Wrong("cannot be read", "remove it, or grant the right to read it"),
    }
}

/// Whether a file begins as objects of the API do, in JSON or YAML, compressed or not.
fn begins_as_dump(path: &Path) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BEGINNING).read_to_end(&mut bytes)?;
    if bytes.starts_with(&GZIP) {
        let mut plain = Vec::new();
        // Its end is cut off, so an error says nothing.
        let _ = MultiGzDecoder::new(bytes.as_slice()).take(BEGINNING).read_to_end(&mut plain);
        bytes = plain;
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_key = |line: &str| {
        ["apiVersion:", "kind:", "items:"].iter().any(|key| line.trim_start_matches("- ").starts_with(key))
    };
    Ok(text.trim_start().starts_with('{') || text.lines().any(is_key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;
    use std::io::Write as _;

    const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}"#;

    fn gathered(dir: &Path) -> (Result<Snapshot, String>, String) {
        let mut notes = String::new();
        let snapshot = gather(&[dir.to_owned()], &[], &mut |note| notes.push_str(note));
        let first =
            |problems: Vec<Problem>| problems.iter().map(|problem| format!("{}\n", problem.what)).collect();
        (snapshot.map_err(first), notes)
    }

    #[test]
    fn what_is_in_a_directory_is_read_or_said() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path().join("nodes.json"), NODE).expect("written");
        write(dir.path().join("README.md"), "# Dumps of Monday\n").expect("written");
        write(dir.path().join("dump.sh"), "#!/bin/sh\nkubectl get nodes -o json >nodes.json\n")
            .expect("written");
        let (snapshot, notes) = gathered(dir.path());
        assert_eq!(snapshot.expect("a snapshot").nodes.len(), 1);
        assert!(notes.contains("README.md") && notes.contains("dump.sh"), "{notes}");
        assert!(!notes.contains("nodes.json"), "{notes}");
    }

    #[test]
    fn what_may_be_a_dump_is_never_left_out() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(NODE.as_bytes()).expect("written");
        let gzip = gzip.finish().expect("written");
        let yaml = b"# of Monday\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n";
        for (name, bytes, why) in [
            ("pods.txt", NODE.as_bytes(), "begins as a dump"),
            ("pods", yaml.as_slice(), "begins as a dump"),
            ("pods.gz", &gzip, "begins as a dump"),
            ("pods.json", b"", "is empty"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            write(dir.path().join("nodes.json"), NODE).expect("written");
            write(dir.path().join(name), bytes).expect("written");
            let why_not = gathered(dir.path()).0.expect_err(name);
            assert!(why_not.contains(name) && why_not.contains(why), "{why_not}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path().join("nodes.json"), NODE).expect("written");
        std::fs::create_dir(dir.path().join(".git")).expect("made");
        assert!(gathered(dir.path()).0.is_ok());
        std::fs::create_dir(dir.path().join("more.json")).expect("made");
        let why = gathered(dir.path()).0.expect_err("a directory");
        assert!(why.contains("more.json is a directory"), "{why}");
    }

    /// A device may never end, and the program that opens a pipe waits for a writer.
    #[test]
    fn a_device_and_a_pipe_are_named_by_themselves_and_not_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("pods.json");
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
        for file in [Path::new("/dev/null"), &link] {
            let why = gathered(file).0.expect_err("a device");
            assert!(why.contains(&format!("{} is no regular file", file.display())), "{why}");
        }
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let problems = gather(&[pipe], &[], &mut |_| {}).expect_err("a pipe");
        assert!(problems[0].what.contains("pods.json is no regular file"), "{problems:?}");
        assert!(problems[0].fix.contains("name - "), "{problems:?}");
    }

    /// A reader would wait for a writer.
    #[test]
    fn a_pipe_in_a_directory_is_not_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path().join("nodes.json"), NODE).expect("written");
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("pods.json")).status();
        assert!(made.expect("mkfifo").success());
        let why = gathered(dir.path()).0.expect_err("a pipe");
        assert!(why.contains("pods.json is no regular file"), "{why}");
    }
}
