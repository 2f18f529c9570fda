//! Our reading of units against systemd's own: random units and drop-ins, merged by both.
//!
//! `systemd-analyze verify` prints, when it logs everything, each unit as systemd has merged it: its drop-ins, its environment and its
//! command line, cut into words, with specifiers expanded and variables not.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootstrap::{Root, Unit};

/// Units in one run of systemd-analyze.
const UNITS: usize = 150;
/// Where drop-ins are put, first come first.
const DIRS: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];

/// What a unit comes down to.
#[derive(Debug, Default, PartialEq, Eq)]
struct MergedUnit {
    drop_ins: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    commands: Vec<Vec<String>>,
}

/// A generator of bytes that is the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.roll(items.len())]
    }
}

fn words(dice: &mut Dice) -> String {
    const PARTS: [&str; 30] = [
        "a",
        "--b=c",
        "$A",
        "${A}",
        "x${A}y",
        "\"q r\"",
        "'s t'",
        "'u\"v'",
        "\"w'x\"",
        "\\x41",
        "\\101",
        "\\s",
        "\\t",
        "\\q",
        "\\\\",
        "\\'",
        "%%",
        "%n",
        "%p",
        "%t",
        "e\"f g\"h",
        "''",
        "\\;",
        "i;j",
        "\\u00e4",
        "ä",
        "#k",
        "=",
        "l\\ m",
        "\\x4",
    ];
    const BLANKS: [&str; 5] = [" ", " ", "  ", "\t", " \\\n  "];
    let mut text = String::new();
    for _ in 0..dice.roll(6) {
        text.push_str(dice.pick(&BLANKS));
        text.push_str(dice.pick(&PARTS));
    }
    text
}

fn section(dice: &mut Dice, reset: bool) -> String {
    let mut text = String::from("[Service]\n");
    for _ in 0..=dice.roll(4) {
        match dice.roll(8) {
            0 | 1 => {
                let name = dice.pick(&["A", "B", "C", "_d"]);
                let value =
                    dice.pick(&["x", "\"y z\"", "'a'", "%%n", "$B", "\\x41", "", "k=v", "a\\sb", "\"%p\""]);
                let _ = writeln!(
                    text,
                    "Environment={name}={value} {}",
                    dice.pick(&["", "\"E=f g\"", "1bad=x", "noassignment", "'F=h'"])
                );
            }
            2 => text.push_str(dice.pick(&[
                "Environment=\n",
                "# Environment=G=no\n",
                "; x\n",
                "Environment = H=i \n",
                "\n",
            ])),
            3 if reset => text.push_str("ExecStart=\n"),
            4 => text.push_str(dice.pick(&[
                "[Unit]\nDescription=x\nEnvironment=U=no\n[Service]\n",
                "Nonsense=1\n",
                "no assignment\n",
            ])),
            5 => text.push_str("Environment=L=m \\\n  # between\n  N=o\n"),
            _ if reset => {
                let line = words(dice);
                let _ = writeln!(
                    text,
                    "ExecStart=\nExecStart={}/bin/true{line}",
                    dice.pick(&["", "-", ":", "-:", "+"])
                );
            }
            _ => {}
        }
    }
    text
}

/// Units with drop-ins of their own, of their prefix and of every service, some of them masked.
fn scatter(root: &Path, dice: &mut Dice) -> Vec<String> {
    let write = |path: PathBuf, text: Option<String>| {
        fs::create_dir_all(path.parent().expect("below")).expect("directory");
        match text {
            // Of two the first stays.
            Some(text) if path.symlink_metadata().is_err() => fs::write(&path, text).expect("file"),
            None if path.symlink_metadata().is_err() => {
                std::os::unix::fs::symlink("/dev/null", &path).expect("link")
            }
            _ => {}
        }
    };
    const NAMES: [&str; 6] = ["10-a.conf", "20-b.conf", "50.conf", "9.conf", "Z.conf", "a.conf.bak"];
    for dir in DIRS {
        fs::create_dir_all(root.join(dir)).expect("directory");
    }
    let mut names = Vec::new();
    for at in 0..UNITS {
        let name = format!("p{}-u{at}.service", at % 7);
        let line = words(dice);
        let unit = format!(
            "{}Type=oneshot\nExecStart={}/bin/true{line}\n",
            section(dice, false),
            dice.pick(&["", "-", ":"])
        );
        write(root.join(DIRS[3]).join(&name), Some(unit));
        for _ in 0..dice.roll(4) {
            let dir = format!("{}/{name}.d", dice.pick(&DIRS));
            let text = (dice.roll(6) > 0).then(|| section(dice, true));
            write(root.join(dir).join(dice.pick(&NAMES)), text);
        }
        names.push(name);
    }
    for prefix in 0..7 {
        let dir = format!("{}/p{prefix}-.service.d", dice.pick(&DIRS));
        write(root.join(dir).join(dice.pick(&NAMES)), Some(section(dice, false)));
    }
    write(root.join(DIRS[0]).join("service.d/20-b.conf"), Some(section(dice, false)));
    write(root.join(DIRS[3]).join("service.d/15-all.conf"), Some(section(dice, false)));
    names
}

fn ours(root: &Root, name: &str) -> MergedUnit {
    let unit = Unit::load(root, name).expect("readable").expect("there");
    let mut environment: Vec<_> = unit.environment().clone().into_iter().collect();
    environment.sort();
    let commands = unit.exec_start().iter().flat_map(|line| line.commands().0).map(|mut command| {
        // Variables stay as they are written, as systemd prints them.
        command.prefixes.push(':');
        command.expand(name, unit.environment()).into_iter().map(|word| word.text).collect()
    });
    MergedUnit { drop_ins: unit.files()[1..].to_vec(), environment, commands: commands.collect() }
}

/// What systemd makes of the units, in their order; none where it takes one for unusable.
fn theirs(root: &Path, names: &[String]) -> Vec<Option<MergedUnit>> {
    // systemd-analyze puts the directory of what it is asked for first, so that must be one without drop-ins.
    let units = root.join("asked");
    fs::create_dir_all(&units).expect("directory");
    for name in names {
        std::os::unix::fs::symlink(root.join(DIRS[3]).join(name), units.join(name)).expect("link");
    }
    let path: Vec<String> = [&units]
        .into_iter()
        .cloned()
        .chain(DIRS.map(|dir| root.join(dir)))
        .map(|dir| dir.display().to_string())
        .collect();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(names.iter().map(|name| units.join(name)))
        .env("SYSTEMD_UNIT_PATH", path.join(":"))
        .env("SYSTEMD_LOG_LEVEL", "debug")
        .output()
        .expect("systemd-analyze, of the package systemd");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all = Vec::new();
    for name in names {
        let Some((_, rest)) = text.split_once(&format!("-> Unit {name}:\n")) else {
            all.push(None);
            continue;
        };
        let own = rest.split("\t-> Unit ").next().expect("its lines");
        let mut merged = MergedUnit::default();
        for line in own.lines().map(str::trim_start) {
            if let Some(path) = line.strip_prefix("DropIn Path: ") {
                let path = Path::new(path).strip_prefix(root).expect("below the root");
                merged.drop_ins.push(Path::new("/").join(path));
            } else if let Some((name, value)) =
                line.strip_prefix("Environment: ").and_then(|pair| pair.split_once('='))
            {
                merged.environment.push((name.into(), value.into()));
            } else if let Some(line) = line.strip_prefix("Command Line: ") {
                merged.commands.push(unquoted(line));
            }
        }
        merged.environment.sort();
        all.push(Some(merged));
    }
    all
}

/// Words that were quoted for a shell.
fn unquoted(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => (quoted, any) = (!quoted, true),
            '\\' => match letters.next().expect("something is escaped") {
                't' => word.push('\t'),
                other => word.push(other),
            },
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => word.push(other),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn random_units_are_merged_as_systemd_merges_them() {
    let dir = tempfile::tempdir().expect("scratch");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let names = scatter(dir.path(), &mut dice);
    let root = Root::new(dir.path());
    let (mut with_drop_ins, mut with_words, mut unusable) = (0, 0, 0);
    for (name, theirs) in names.iter().zip(theirs(dir.path(), &names)) {
        let ours = ours(&root, name);
        let Some(theirs) = theirs else {
            assert!(ours.commands.is_empty(), "{name}: systemd has no use for {ours:?}");
            unusable += 1;
            continue;
        };
        // A masked drop-in is one of systemd's, and says nothing.
        let masked = |path: &PathBuf| fs::read_link(root.entry(path)).is_ok();
        let theirs = MergedUnit {
            drop_ins: theirs.drop_ins.into_iter().filter(|path| !masked(path)).collect(),
            ..theirs
        };
        assert_eq!(ours, theirs, "{name}");
        with_drop_ins += usize::from(theirs.drop_ins.len() > 3);
        with_words += usize::from(theirs.commands.first().is_some_and(|words| words.len() > 2));
    }
    let enough = with_drop_ins > UNITS / 10 && with_words > UNITS / 3 && unusable < UNITS / 3;
    assert!(enough, "{with_drop_ins} {with_words} {unusable} of {UNITS}");
}
