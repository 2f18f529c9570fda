//! The older back end of iptables, through its own program.
//!
//! The kernel takes only whole tables of it. So its program reads a table, changes one rule and writes the table back, and does so under a
//! lock that every other caller of the program takes as well (`/run/xtables.lock`). Crossfade never writes a table of its own making.
//! *Source*: man 8 `iptables`, `iptables-save`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::firewall::{BackEnd, Chain, FilterRule, RuleId, TABLES, Table};
use crate::host::command::{RunLimits, run};
use crate::host::program;

/// The tables that exist in this network namespace, by family. Reading them creates none, unlike a call of the program.
const NAMES: [(u8, &str, [&str; 2]); 2] = [
    (2, "/proc/net/ip_tables_names", ["iptables-legacy", "iptables"]),
    (10, "/proc/net/ip6_tables_names", ["ip6tables-legacy", "ip6tables"]),
];
/// How long the program may take, with the wait for the lock. A table of kube-proxy's may have 50,000 rules.
const LIMITS: RunLimits = RunLimits { within: Duration::from_secs(60), max_bytes: 256 << 20 };
/// How long the program waits for the lock, in seconds.
const WAIT: &str = "30";

/// The tables that exist. What keeps one from being read is added to `unread`.
#[must_use]
pub fn gather(unread: &mut Vec<String>) -> Vec<Table> {
    let mut all = Vec::new();
    for (family, names, programs) in NAMES {
        let Ok(names) = std::fs::read_to_string(names) else { continue };
        let names: Vec<_> = names.lines().filter(|name| TABLES.contains(name)).collect();
        if names.is_empty() {
            continue;
        }
        let found = find(programs);
        for name in names {
            let read = found.clone().and_then(|program| read(family, name, program));
            match read {
                Ok(table) => all.push(table),
                Err(why) => unread.push(format!("table {name} of the legacy iptables: {why}")),
            }
        }
    }
    all
}

/// Runs the program once, which changes one thing.
///
/// # Errors
/// What it says.
pub fn change(program: &PathBuf, table: &str, arguments: &[String]) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args(["-w", WAIT, "-t", table]).args(arguments);
    let answer = run(&mut command, LIMITS)?;
    answer.check_success().map_err(io::Error::other)
}

/// The program of this back end: the one that is called so, or the plain one if it says that it is this one.
fn find(names: [&str; 2]) -> Result<PathBuf, String> {
    let [own, plain] = names;
    if let Ok(path) = program::find(own) {
        return Ok(path);
    }
    let missing = || format!("{own} is in no directory of PATH; install it, then run the command again");
    let path = program::find(plain).map_err(|_| missing())?;
    let answer =
        run(Command::new(&path).arg("--version"), LIMITS).map_err(|why| format!("{plain}: {why}"))?;
    // Before 1.8 there was no other back end, and no word for it.
    if answer.stdout_text().contains("nf_tables") { Err(missing()) } else { Ok(path) }
}

fn read(family: u8, name: &str, program: PathBuf) -> Result<Table, String> {
    let mut command = Command::new(&program);
    command.args(["-w", WAIT, "-t", name, "-S"]);
    let answer = run(&mut command, LIMITS).map_err(|why| why.to_string())?;
    answer.check_success()?;
    let chains = parse(&answer.stdout_text())?;
    Ok(Table { back_end: BackEnd::Legacy(program), family, name: name.to_owned(), chains })
}

/// The chains of `iptables -S`: `-P CHAIN POLICY`, `-N CHAIN`, `-A CHAIN RULE`.
pub(crate) fn parse(text: &str) -> Result<Vec<Chain>, String> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut places = BTreeMap::new();
    for line in lines(text) {
        let words = words(line).ok_or_else(|| format!("a line that cannot be read: {line:?}"))?;
        match words.as_slice() {
            [flag, name, ..] if flag == "-P" || flag == "-N" => {
                places.insert(name.clone(), chains.len());
                chains.push(Chain { name: name.clone(), built_in: flag == "-P", rules: Vec::new() });
            }
            [flag, name, spec @ ..] if flag == "-A" => {
                let place = places.get(name).ok_or_else(|| format!("a rule of no chain: {line:?}"))?;
                chains[*place].rules.push(rule(spec));
            }
            [] => {}
            _ => return Err(format!("a line that cannot be read: {line:?}")),
        }
    }
    Ok(chains)
}

/// The lines of the program's answer. A line end inside quotes belongs to a comment, which any program may have given its rule.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split_terminator(move |letter| {
        let escapes = is_quoted && !is_escaped && letter == '\\';
        is_quoted ^= letter == '"' && !is_escaped;
        is_escaped = escapes;
        letter == '\n' && !is_quoted
    })
}

fn rule(spec: &[String]) -> FilterRule {
    let after = |flags: &'static [&'static str]| {
        spec.windows(2).filter(move |pair| flags.contains(&pair[0].as_str())).map(|pair| pair[1].clone())
    };
    FilterRule {
        jump: after(&["-j", "-g"]).next_back(),
        comments: after(&["--comment"]).collect(),
        id: RuleId::Spec(spec.to_vec()),
    }
}

/// The words of a line: quoted where a word has blanks, with a backslash before a quote. *Source*: iptables, `xtables_save_string`.
fn words(line: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().push(letters.next()?),
            ' ' if !is_quoted => all.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    all.extend(word);
    (!is_quoted).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_s_lines_are_read_back_as_its_arguments() {
        let text = concat!(
            "-P FORWARD ACCEPT\n-N cali-FORWARD\n-N KUBE-FORWARD\n",
            "-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD\n",
            "-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n",
            "-A FORWARD -s 10.0.0.0/8 -m comment --comment \"say \\\"-j cali-FORWARD\\\" \\\\ twice\" -j ACCEPT\n",
            "-A cali-FORWARD -i cali+ -g cali-from\n",
        );
        let chains = parse(text).expect("read");
        let summary: Vec<_> =
            chains.iter().map(|chain| (chain.name.as_str(), chain.built_in, chain.rules.len())).collect();
        assert_eq!(summary, [("FORWARD", true, 3), ("cali-FORWARD", false, 1), ("KUBE-FORWARD", false, 0)]);
        let forward = &chains[0].rules;
        assert_eq!(forward[0].jump.as_deref(), Some("cali-FORWARD"));
        assert_eq!(forward[0].comments, ["cali:wUHhoiAYhphO9Mso"]);
        assert_eq!(forward[2].jump.as_deref(), Some("ACCEPT"));
        assert_eq!(forward[2].comments, ["say \"-j cali-FORWARD\" \\ twice"]);
        assert_eq!(chains[1].rules[0].jump.as_deref(), Some("cali-from"));
        let RuleId::Spec(spec) = &forward[2].id else { panic!("a spec") };
        assert_eq!(spec.len(), 8);
    }

    #[test]
    fn a_comment_may_have_line_ends_and_no_rule_is_made_of_what_is_in_it() {
        let text = concat!(
            "-P FORWARD ACCEPT\n-N cali-FORWARD\n",
            "-A FORWARD -m comment --comment \"one\n-A FORWARD -j cali-FORWARD\n\\\"two\\\\\" -j ACCEPT\n",
            "-A FORWARD -m comment --comment \"\n\" -j cali-FORWARD\n",
        );
        let chains = parse(text).expect("read");
        let rules = &chains[0].rules;
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0].comments, ["one\n-A FORWARD -j cali-FORWARD\n\"two\\"]);
        assert_eq!(rules[0].jump.as_deref(), Some("ACCEPT"));
        assert_eq!((rules[1].comments[0].as_str(), rules[1].jump.as_deref()), ("\n", Some("cali-FORWARD")));
    }

    #[test]
    fn what_cannot_be_read_is_no_table() {
        for text in
            ["-A FORWARD -j ACCEPT\n", "-P FORWARD ACCEPT\n-A FORWARD --comment \"open\n", "*filter\n"]
        {
            parse(text).expect_err(text);
        }
    }
}
