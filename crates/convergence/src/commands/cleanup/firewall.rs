//! The tables of iptables, whichever back end holds them.

use std::path::PathBuf;

/// The tables of iptables. *Source*: man 8 `iptables`.
pub const TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];

/// Which of the two back ends of iptables holds a table. A node may have rules in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackEnd {
    /// nftables, where each rule has a handle.
    Nft,
    /// The older one, with the program that changes it.
    Legacy(PathBuf),
}

impl BackEnd {
    /// The word for it, as iptables' own version names it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Nft => "nf_tables",
            Self::Legacy(_) => "legacy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which back end holds it.
    pub back_end: BackEnd,
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    pub name: String,
    pub chains: Vec<Chain>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    /// Whether the kernel sends packets there by itself.
    pub built_in: bool,
    /// Its rules, in order.
    pub rules: Vec<FilterRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// What removes it and nothing else.
    pub id: RuleId,
    /// The chain that it jumps or goes to.
    pub jump: Option<String>,
    /// Its comments, each as a whole.
    pub comments: Vec<String>,
}

/// How a rule is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleId {
    /// The number that nftables has for it, which no other rule of the table gets.
    Handle(u64),
    /// The arguments of `iptables -A CHAIN`, as the program prints them.
    Spec(Vec<String>),
}

impl Table {
    /// How people call it: `ip nat (nf_tables)`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} {} ({})", family_word(self.family), self.name, self.back_end.word())
    }

    /// Whether it has a chain of this name.
    #[must_use]
    pub fn has(&self, chain: &str) -> bool {
        self.chains.iter().any(|candidate| candidate.name == chain)
    }
}

impl FilterRule {
    /// What tells it from others, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.id {
            RuleId::Spec(spec) => spec.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
            RuleId::Handle(handle) => {
                let comments = self.comments.iter().map(|comment| format!("--comment {}", quote(comment)));
                let jump = self.jump.iter().map(|chain| format!("-j {chain}"));
                let words: Vec<_> = comments.chain(jump).chain([format!("handle {handle}")]).collect();
                words.join(" ")
            }
        }
    }
}

fn quote(word: &str) -> String {
    let is_plain =
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,+!=@%".contains(&b));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The family's word, as `nft` has it.
#[must_use]
pub const fn family_word(family: u8) -> &'static str {
    match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}
