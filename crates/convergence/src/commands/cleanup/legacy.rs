//! The rules of the older back end of iptables, as `iptables-save` prints them.

use std::collections::BTreeMap;

use crate::commands::cleanup::firewall::{Chain, FilterRule, RuleId};

/// The chains of `iptables -S`: `-P CHAIN POLICY`, `-N CHAIN`, `-A CHAIN RULE`.
pub fn parse(text: &str) -> Result<Vec<Chain>, String> {
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
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
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
