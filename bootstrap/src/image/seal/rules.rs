//! The rules for a golden image, as data: one table per owner of the files.
//!
//! *Removed* is what running programs generated and what is worth nothing, or does harm, on another machine: they make it anew.
//! *Refused* is what only a person can judge: what the builder may have put there on purpose, what tells that something still lives, and
//! secrets. Each rule names where the fact is from.

mod cloud;
mod cni;
mod credentials;
mod firewall;
mod kernel;
mod kubernetes;
mod machine;
mod own_files;
mod runtime;

/// One kind of thing, wherever it may lie.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Where: absolute, as the node sees it, with `*` for what is between two slashes.
    pub paths: &'static [&'static str],
    /// Which of the things at those places.
    pub only: ContentFilter,
    pub verdict: Verdict,
    /// What it is, and what it would do in an image.
    pub why: &'static str,
    /// Where the fact is from.
    #[cfg_attr(not(test), expect(dead_code, reason = "each rule has one for its reader"))]
    pub source: &'static str,
}

/// Which of the things at a place a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentFilter {
    Any,
    Files,
    /// Regular files with one of these words, in a line that is no comment.
    Holding(&'static [&'static str]),
    /// Regular files whose content, blanks around it left out, is none of these.
    Other(&'static [&'static str]),
    /// Kubeconfigs with a credential in them.
    Credentials,
    /// Other settings with a credential in them.
    Secrets,
}

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is removed, a directory with all that is in it.
    Remove,
    /// It stays, without content.
    Empty,
    /// A person has to decide; what to do.
    Refuse {
        /// What a person does about it.
        fix: &'static str,
    },
}

/// Every rule by its owner, in the order in which they are held against a tree; the first that fits a path counts.
const GROUPS: [(&str, &[Rule]); 9] = [
    ("Crossfade", own_files::RULES),
    ("CNI plugins", cni::RULES),
    ("Container runtime", runtime::RULES),
    ("kubelet and kubeadm", kubernetes::RULES),
    ("Credentials", credentials::RULES),
    ("Firewall", firewall::RULES),
    ("Kernel", kernel::RULES),
    ("Machine", machine::RULES),
    ("cloud-init", cloud::RULES),
];

pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    GROUPS.into_iter().flat_map(|(_, rules)| rules)
}

const fn remove(paths: &'static [&'static str], why: &'static str, source: &'static str) -> Rule {
    Rule { paths, only: ContentFilter::Any, verdict: Verdict::Remove, why, source }
}

const fn refuse(
    paths: &'static [&'static str],
    why: &'static str,
    fix: &'static str,
    source: &'static str,
) -> Rule {
    Rule { paths, only: ContentFilter::Any, verdict: Verdict::Refuse { fix }, why, source }
}

impl Rule {
    /// The same for some of the things at its places.
    const fn with_filter(self, only: ContentFilter) -> Self {
        Self { only, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_says_where_why_and_from_where() {
        let mut seen = BTreeSet::new();
        for rule in all() {
            assert!(!rule.paths.is_empty() && !rule.why.is_empty() && !rule.source.is_empty(), "{rule:?}");
            for path in rule.paths {
                assert!(path.starts_with('/') && !path.ends_with('/') && !path.contains(".."), "{path}");
                assert!(seen.insert((path, format!("{:?}", rule.only))), "{path} is named twice");
            }
            if let Verdict::Refuse { fix } = rule.verdict {
                assert!(!fix.is_empty(), "{rule:?}");
            }
        }
    }

    /// The rules as docs/seal.md has them; `UPDATE_GOLDEN=1` writes them there.
    #[test]
    fn the_table_for_people_is_this_one() {
        let mut table = String::from("| where | | why |\n|---|---|---|\n");
        for (owner, rules) in GROUPS {
            table.push_str(&format!("| **{owner}** | | |\n"));
            for rule in rules {
                let paths: Vec<_> = rule.paths.iter().map(|path| format!("`{path}`")).collect();
                let only = match rule.only {
                    ContentFilter::Any | ContentFilter::Files => String::new(),
                    ContentFilter::Holding(words) => format!(" with {}", words.join(", ")),
                    ContentFilter::Other(_) => " unless empty or `uninitialized`".into(),
                    ContentFilter::Credentials | ContentFilter::Secrets => " with a credential".into(),
                };
                let verdict = match rule.verdict {
                    Verdict::Remove => "removed",
                    Verdict::Empty => "emptied",
                    Verdict::Refuse { .. } => "refused",
                };
                table.push_str(&format!("| {}{only} | {verdict} | {} |\n", paths.join(", "), rule.why));
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/seal.md");
        let text = std::fs::read_to_string(path).expect("docs/seal.md");
        let (before, rest) = text.split_once("<!-- rules -->\n").expect("the table's begin");
        let (_, after) = rest.split_once("<!-- end of the rules -->").expect("the table's end");
        let expected = format!("{before}<!-- rules -->\n{table}<!-- end of the rules -->{after}");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &expected).expect("docs/seal.md");
        }
        assert!(text == expected, "docs/seal.md is not what the rules say; UPDATE_GOLDEN=1 writes it");
    }

    #[test]
    fn nothing_that_a_package_brings_is_removed() {
        let packaged =
            ["/usr", "/bin", "/opt", "/etc/crossfade", "/etc/cni", "/etc/kubernetes", "/boot/grub"];
        for rule in all().filter(|rule| !matches!(rule.verdict, Verdict::Refuse { .. })) {
            for path in rule.paths {
                assert!(!packaged.iter().any(|dir| path.starts_with(dir)), "{path}");
                assert!(
                    path.matches('/').count() >= 2 || rule.only == ContentFilter::Files,
                    "{path} is too much"
                );
            }
        }
    }
}
