//! The commands of units, which `crossfade-bootstrap image explain` expands as systemd does: random command lines, variables and files of
//! variables, each started by a real systemd and recorded by the program that it starts.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::{Machine, furniture};
use lab::build::dist;
use lab::build::preflight::{BOOT, CONTAINERD, Need};
use libtest_mimic::Trial;
use serde_json::Value;

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT];
/// Units in the boot.
const UNITS: usize = 80;
/// Where the recorder puts the words that it was started with, a NUL behind each.
const RECORDS: &str = "/var/lib/records";
const RECORDER: &str = "#!/bin/sh\nname=$1\nshift\nprintf '%s\\0' begin \"$@\" >/var/lib/records/$name.new\n\
                        mv /var/lib/records/$name.new /var/lib/records/$name\n";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_unit_s_command_is_read_as_systemd_starts_it,
    ]
}

/// A generator of bytes that is the same everywhere.
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        items[usize::try_from(self.0 >> 33).unwrap_or_default() % items.len()]
    }

    fn some(&mut self, most: &[&str], items: &[&str]) -> String {
        let count = self.pick(most).len();
        (0..count).map(|_| self.pick(items)).collect()
    }
}

/// Counts, as so many letters.
const FEW: [&str; 5] = ["", "x", "xx", "xxx", "xxxx"];

/// The first systemd that takes variables away only after it has put them into the command line. Crossfade reads a unit as earlier ones do.
/// *Source*: systemd's change 43471.
const UNSETS_LATE: u32 = 262;

fn unit(dice: &mut Dice, at: usize, unset: &[&str]) -> String {
    let words = dice.some(
        &FEW,
        &[
            " $A",
            " ${A}",
            " $B",
            " x${B}y",
            " $NONE",
            " ${NONE}",
            " $$A",
            " --c=$A",
            " \"$B\"",
            " '${C} d'",
            " $C",
            " %%",
            " ${A",
            " $A$B",
            " \\x24A",
            " \"e f\"",
            " \\;",
            " $D",
            " ${D}",
        ],
    );
    let values = [
        "x",
        "\"a b\"",
        "'--l=\"p q\" r'",
        "\"it\\'s\"",
        "%%n",
        "'a\\\\ b'",
        "",
        "\"'open\"",
        "\"  two  blanks \"",
    ];
    let mut text = format!("[Service]\nType=oneshot\nUser=0\nEnvironmentFile=-/etc/lab/env/{at}\n");
    for name in ["A", "B", "C"] {
        let _ = writeln!(text, "Environment={name}={}", dice.pick(&values));
    }
    let _ = writeln!(text, "{}ExecStart=/usr/local/bin/record %n{words}", dice.pick(unset));
    text
}

fn environment(dice: &mut Dice) -> String {
    dice.some(
        &FEW,
        &[
            "A=file\n",
            "B=\"one two\"\n",
            "C='s \"t\" u'\n",
            "D=--n=\"k v\" w\n",
            "# comment\n; A=no\n",
            "A = spaced  \n",
            "B=\"a\\\"b\\$c\\d\"\n",
            "C=x\\\n  y\n",
            "D=\"m\nn\"\n",
            "export A=no\n",
            "A=p\\ q\\\"r\n",
            "B=\"u\" v'w'\n",
            "C=\n",
            "no assignment\n",
            "D='back\\slash'\n",
            "  A=indented\n",
            "B=a\"b c\"\n",
        ],
    )
}

fn a_unit_s_command_is_read_as_systemd_starts_it() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.script("/usr/local/bin/record", RECORDER)?;
    machine.write(Path::new(RECORDS).join("none"), "")?;
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    let unset: &[&str] =
        if furniture::systemd()? < UNSETS_LATE { &["", "", "UnsetEnvironment=B\n"] } else { &[""] };
    let names: Vec<String> = (0..UNITS).map(|at| format!("record{at}.service")).collect();
    for (at, name) in names.iter().enumerate() {
        machine.unit(name, &unit(&mut dice, at, unset))?;
        machine.write(format!("/etc/lab/env/{at}"), environment(&mut dice))?;
    }
    machine.boot()?;
    machine.until("every record", |machine| {
        Ok(names.iter().all(|name| machine.disk(Path::new(RECORDS).join(name)).exists()))
    })?;
    machine.halt()?;
    let mut expanded = 0;
    for name in &names {
        let recorded = machine.read(Path::new(RECORDS).join(name))?;
        let recorded: Vec<&str> = recorded.trim_end_matches('\0').split('\0').skip(1).collect();
        let answer = explained_words(&machine, name)?;
        // The program, the unit's name, then the words.
        ensure!(
            answer.get(2..).is_some_and(|words| words == recorded || same_but_last_empty(words, &recorded)),
            "{name}: systemd started {recorded:?}, explained is {answer:?}\n{}\n{}",
            machine.read(Path::new("/etc/systemd/system").join(name))?,
            machine.read(format!("/etc/lab/env/{}", &name[6..name.len() - 8]))?
        );
        expanded += usize::from(recorded.len() > 2);
    }
    ensure!(expanded > UNITS / 4, "{expanded} of {UNITS} commands have more than two words");
    Ok(())
}

/// Empty words at the end look like the end of the record.
fn same_but_last_empty(words: &[String], recorded: &[&str]) -> bool {
    let full = words.iter().rposition(|word| !word.is_empty()).map_or(0, |last| last + 1);
    words[..full].iter().eq(recorded.iter())
}

/// The command of a unit, as explained for the machine's disk.
fn explained_words(machine: &Machine, name: &str) -> Result<Vec<String>> {
    machine.write("/etc/crossfade/node.json", format!(r#"{{"version":1,"kubelet":{{"unit":"{name}"}}}}"#))?;
    let mut explain = Command::new(dist::bootstrap()?);
    explain.args(["image", "explain", "--output", "json", "--root"]).arg(machine.disk("/"));
    let output = explain.output().context("explain")?;
    let document: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("explain of {name}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let unit = document["units"].as_array().and_then(|units| units.iter().find(|unit| unit["name"] == name));
    let words =
        unit.and_then(|unit| unit["command"].as_array()).with_context(|| format!("{name} in {document}"))?;
    Ok(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
