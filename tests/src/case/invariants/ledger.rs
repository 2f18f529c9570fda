//! The stubs' call log as a ledger: who was added, who was deleted, and whether that is what was named.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result};

use super::{Finding, Record};
use crate::standin::stub::Call;

/// One plugin's part in one attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// CNI_CONTAINERID.
    pub id: String,
    /// CNI_IFNAME as the plugin got it.
    pub ifname: String,
    /// The network's name in the conf that the plugin got.
    pub network: String,
    /// The plugin's name.
    pub plugin: String,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at network {} plugin {}", self.id, self.ifname, self.network, self.plugin)
    }
}

/// A verb that attaches or detaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Del,
}

/// One call of a plugin that attaches or detaches, in the order of the call log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub part: Part,
    /// ADD or DEL.
    pub verb: Verb,
}

/// What the policy named for one ADD, and how that ADD ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedAdd {
    /// CNI_CONTAINERID.
    pub id: String,
    /// Networks and the ifname each was to attach.
    pub parts: Vec<(String, String)>,
    /// Whether it answered with success. One that was killed or failed may have left out plugins whose DEL comes all the same.
    pub succeeded: bool,
}

/// The ADDs and DELs of a call log.
///
/// # Errors
/// A call whose stdin was left unread or is no JSON: its network is unknown.
pub fn steps(calls: &[Call]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for call in calls {
        let verb = match call.verb() {
            "ADD" => Verb::Add,
            "DEL" => Verb::Del,
            _ => continue,
        };
        let conf = call.conf()?;
        let network =
            conf["name"].as_str().with_context(|| format!("no name in the conf of {}", call.brief()))?;
        let part = Part {
            id: call.var("CNI_CONTAINERID").to_owned(),
            ifname: call.var("CNI_IFNAME").to_owned(),
            network: network.to_owned(),
            plugin: call.name.clone(),
        };
        steps.push(Step { part, verb });
    }
    Ok(steps)
}

/// N1 and N3 over everything that happened so far; `live` are the records that are there now.
pub fn ledger(steps: &[Step], named: &[ExpectedAdd], live: &[Record]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut added: BTreeSet<&Part> = BTreeSet::new();
    // Chains are deleted as a whole, also where a later plugin's turn never came.
    let mut ever_added: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut by_id: BTreeMap<&str, Vec<&ExpectedAdd>> = BTreeMap::new();
    for expected in named {
        by_id.entry(&expected.id).or_default().push(expected);
    }
    for Step { part, verb } in steps {
        let network = (part.id.as_str(), part.network.as_str(), part.ifname.as_str());
        let names_it = |expected: &&ExpectedAdd| {
            expected
                .parts
                .iter()
                .any(|(name, ifname)| (name.as_str(), ifname.as_str()) == (network.1, network.2))
        };
        let naming: Vec<&ExpectedAdd> =
            by_id.get(part.id.as_str()).into_iter().flatten().copied().filter(names_it).collect();
        match verb {
            Verb::Add => {
                if naming.is_empty() {
                    findings.push(Finding::AddElsewhere(part.clone()));
                }
                if !added.insert(part) {
                    findings.push(Finding::AddedTwice(part.clone()));
                }
                ever_added.insert(network);
            }
            Verb::Del => {
                if naming.is_empty() {
                    findings.push(Finding::DelElsewhere(part.clone()));
                } else if naming.iter().all(|expected| expected.succeeded) && !ever_added.contains(&network) {
                    findings.push(Finding::DelWithoutAdd(part.clone()));
                }
                added.remove(part);
            }
        }
    }
    let leaked = added.into_iter().filter(|part| !live.iter().any(|record| record.covers(part)));
    findings.extend(leaked.cloned().map(Finding::Leaked));
    findings
}

/// N2: records whose sandbox is not among those that are there.
pub fn orphans(live: &[Record], sandboxes: &BTreeSet<String>) -> Vec<Finding> {
    live.iter().filter(|record| !sandboxes.contains(&record.id)).cloned().map(Finding::Orphan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: &str, network: &str, ifname: &str) -> Part {
        let plugin = format!("stub-{network}");
        Part { id: id.into(), ifname: ifname.into(), network: network.into(), plugin }
    }

    fn step(verb: Verb, id: &str, network: &str, ifname: &str) -> Step {
        Step { part: part(id, network, ifname), verb }
    }

    fn named(id: &str, parts: &[(&str, &str)], succeeded: bool) -> ExpectedAdd {
        let parts = parts.iter().map(|(network, ifname)| ((*network).into(), (*ifname).into())).collect();
        ExpectedAdd { id: id.into(), parts, succeeded }
    }

    fn record(id: &str, legs: &[(&str, &str)]) -> Record {
        let legs = legs.iter().map(|(network, ifname)| ((*network).into(), (*ifname).into())).collect();
        Record { id: id.into(), ifname: "eth0".into(), legs }
    }

    use Verb::{Add, Del};

    #[test]
    fn an_add_is_answered_by_a_del_or_a_record_that_names_it() {
        let policy = [named("c1", &[("old", "eth0"), ("new", "net1")], true)];
        let mut history = vec![step(Add, "c1", "old", "eth0"), step(Add, "c1", "new", "net1")];
        let both = [record("c1", &[("old", "eth0"), ("new", "net1")])];
        assert_eq!(ledger(&history, &policy, &both), []);
        assert_eq!(
            ledger(&history, &policy, &[record("c1", &[("old", "eth0")])]),
            [Finding::Leaked(part("c1", "new", "net1"))]
        );
        history.push(step(Del, "c1", "new", "net1"));
        assert_eq!(ledger(&history, &policy, &[]), [Finding::Leaked(part("c1", "old", "eth0"))]);
        assert_eq!(
            ledger(&history, &policy, &[record("c2", &[("old", "eth0")])]),
            [Finding::Leaked(part("c1", "old", "eth0"))]
        );
        history.push(step(Del, "c1", "old", "eth0"));
        assert_eq!(ledger(&history, &policy, &[]), []);
        history.push(step(Add, "c1", "old", "eth0"));
        assert_eq!(ledger(&history, &policy, &[]), [Finding::Leaked(part("c1", "old", "eth0"))]);
    }

    #[test]
    fn a_second_add_without_a_del_is_found() {
        let policy = [named("c1", &[("old", "eth0")], true)];
        let add = step(Add, "c1", "old", "eth0");
        let twice = [add.clone(), add.clone(), step(Del, "c1", "old", "eth0")];
        assert_eq!(ledger(&twice, &policy, &[]), [Finding::AddedTwice(add.part.clone())]);
        let again = [add.clone(), step(Del, "c1", "old", "eth0"), add, step(Del, "c1", "old", "eth0")];
        assert_eq!(ledger(&again, &policy, &[]), []);
    }

    #[test]
    fn adds_and_dels_go_where_the_policy_named() {
        let policy = [named("c1", &[("old", "eth0")], true), named("c2", &[("new", "eth0")], true)];
        for (network, ifname) in [("new", "eth0"), ("old", "net1")] {
            let history = [step(Add, "c1", network, ifname), step(Del, "c1", network, ifname)];
            let wrong = part("c1", network, ifname);
            assert_eq!(
                ledger(&history, &policy, &[]),
                [Finding::AddElsewhere(wrong.clone()), Finding::DelElsewhere(wrong)]
            );
        }
        let unknown = [step(Del, "c9", "old", "eth0")];
        assert_eq!(ledger(&unknown, &policy, &[]), [Finding::DelElsewhere(part("c9", "old", "eth0"))]);
    }

    #[test]
    fn a_del_without_its_add_is_for_adds_in_doubt_alone() {
        let history = [step(Del, "c1", "old", "eth0")];
        let parts = [("old", "eth0")];
        assert_eq!(
            ledger(&history, &[named("c1", &parts, true)], &[]),
            [Finding::DelWithoutAdd(part("c1", "old", "eth0"))]
        );
        assert_eq!(ledger(&history, &[named("c1", &parts, false)], &[]), []);
        // One plugin of a chain was added, so all of the chain may be deleted.
        let mut last = part("c1", "old", "eth0");
        last.plugin = "stub-last".into();
        let chain =
            [step(Add, "c1", "old", "eth0"), Step { part: last, verb: Del }, step(Del, "c1", "old", "eth0")];
        assert_eq!(ledger(&chain, &[named("c1", &parts, true)], &[]), []);
    }

    #[test]
    fn a_record_without_its_sandbox_is_an_orphan() {
        let live = [record("c1", &[]), record("c2", &[])];
        let sandboxes = BTreeSet::from(["c1".to_owned()]);
        assert_eq!(orphans(&live, &sandboxes), [Finding::Orphan(record("c2", &[]))]);
    }

    #[test]
    fn steps_are_read_from_the_call_log() {
        let call = |verb: &str, stdin: Option<&str>| Call {
            name: "stub-old".into(),
            argv0: String::new(),
            env: [("CNI_COMMAND", verb), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            stdin: stdin.map(str::to_owned),
            pid: 2,
            ppid: 1,
            pgid: 2,
            fds: Vec::new(),
            blocked: String::new(),
            ignored: String::new(),
        };
        let conf = Some(r#"{"name":"old"}"#);
        let log = [call("ADD", conf), call("CHECK", conf), call("DEL", conf), call("STATUS", None)];
        assert_eq!(
            steps(&log).expect("steps"),
            [step(Add, "c1", "old", "eth0"), step(Del, "c1", "old", "eth0")]
        );
        assert!(steps(&[call("DEL", None)]).is_err(), "for which network is not known");
    }
}
