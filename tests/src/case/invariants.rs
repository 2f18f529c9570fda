//! The invariants of a node: the oracle of every test that injects faults.
//!
//! A test observes (call log, records, answers, files, processes), these functions judge. They are pure; gathering is apart
//! ([`records`], [`Leavings::gather`], [`Tree::of`]). Each finding belongs to one of the numbered invariants:
//!
//! | | holds when | judged by |
//! |---|---|---|
//! | N1 | every ADD that ever started at a plugin has a later DEL there, or a live record | [`ledger`] |
//! | N2 | no record is left without its sandbox once the sweep has run | [`orphans`] |
//! | N3 | ADD goes to the networks that the policy named, DEL to where that ADD went | [`ledger`] |
//! | N4 | stdout is exactly one JSON object, or nothing where a verb answers nothing; the exit status agrees | [`answer`] |
//! | N5 | nothing is left once every sandbox is deleted: interfaces, host routes, leases, locks, temporary files, processes | [`Leavings::findings`] |
//! | N6 | nothing is written outside of our directories | [`Tree::changes`] |
//! | N7 | a call ends within its budget | [`budget`] |
//! | N8 | a secret of a delegate's conf is in no output and no log | [`secret`] |
//! | N9 | our own conf is absent or byte-exact | [`own_conf`] |

mod answer;
mod host;
mod leavings;
mod ledger;
mod record;
mod tree;

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::{Result, bail};

pub use answer::{CallExit, answer};
pub use host::{host_routes, interfaces};
pub use leavings::{Leavings, processes_naming};
pub use ledger::{ExpectedAdd, Part, Step, Verb, ledger, orphans, steps};
pub use record::{Record, record_files, records};
pub use tree::Tree;

/// One invariant that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// N1: its last ADD has no later DEL, and no record says that the DEL is owed.
    Leaked(Part),
    /// N1: a second ADD without a DEL between; what the first one made is forgotten.
    AddedTwice(Part),
    /// N2: a record without its sandbox.
    Orphan(Record),
    /// N3: an ADD at a network, or under an ifname, that the policy did not name.
    AddElsewhere(Part),
    /// N3: a DEL at a network, or under an ifname, that the policy did not name when that attachment was added.
    DelElsewhere(Part),
    /// N3: a DEL at a network that never had the ADD, although the ADD as a whole succeeded.
    DelWithoutAdd(Part),
    /// N4: what is wrong with an answer.
    Answer(String),
    /// N5: something is left: its kind (`interface`, `host`, `lease`, `lock`, `temporary file`, `process`) and which.
    Leftover(&'static str, String),
    /// N6: a file outside of our directories was made, changed or removed.
    WrittenOutside(PathBuf),
    /// N7: a call took longer than its budget.
    OverBudget {
        /// The call.
        what: String,
        /// How long it took.
        took: Duration,
        /// How long it may take.
        budget: Duration,
    },
    /// N8: the secret is in this stream or file.
    Secret(String),
    /// N9: our own conf is torn or changed; its bytes as text.
    OwnConf(String),
}

impl Finding {
    /// The number of the invariant, `N1` to `N9`.
    pub const fn invariant(&self) -> &'static str {
        match self {
            Self::Leaked(_) | Self::AddedTwice(_) => "N1",
            Self::Orphan(_) => "N2",
            Self::AddElsewhere(_) | Self::DelElsewhere(_) | Self::DelWithoutAdd(_) => "N3",
            Self::Answer(_) => "N4",
            Self::Leftover(..) => "N5",
            Self::WrittenOutside(_) => "N6",
            Self::OverBudget { .. } => "N7",
            Self::Secret(_) => "N8",
            Self::OwnConf(_) => "N9",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.invariant())?;
        match self {
            Self::Leaked(part) => write!(f, "{part} was added, and neither a DEL nor a record followed"),
            Self::AddedTwice(part) => write!(f, "{part} was added twice without a DEL between"),
            Self::Orphan(record) => write!(f, "{record} is left, its sandbox is not"),
            Self::AddElsewhere(part) => write!(f, "{part} was added, which the policy did not name"),
            Self::DelElsewhere(part) => write!(f, "{part} was deleted, which the policy had not named"),
            Self::DelWithoutAdd(part) => write!(f, "{part} was deleted and had never been added"),
            Self::Answer(what) => write!(f, "{what}"),
            Self::Leftover(kind, what) => write!(f, "{kind} {what} is left"),
            Self::WrittenOutside(path) => write!(f, "{} was written", path.display()),
            Self::OverBudget { what, took, budget } => write!(f, "{what} took {took:?} of {budget:?}"),
            Self::Secret(place) => write!(f, "{place} has the secret"),
            Self::OwnConf(text) => write!(f, "our own conf reads {text:?}"),
        }
    }
}

/// Holds when there are no findings.
///
/// # Errors
/// All of them, one per line.
pub fn hold(findings: &[Finding]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    bail!("{}", lines.join("\n"))
}

/// N7. The budget only tells a call that answers from one that hangs: give it ten times what you expect.
pub fn budget(what: &str, took: Duration, budget: Duration) -> Option<Finding> {
    (took > budget).then(|| Finding::OverBudget { what: what.to_owned(), took, budget })
}

/// N8. `places` are streams and files by name, with what they hold.
pub fn secret<'a>(canary: &str, places: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<Finding> {
    let has = |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
    let leaky = places.into_iter().filter(|(_, bytes)| has(bytes));
    leaky.map(|(name, _)| Finding::Secret(name.to_owned())).collect()
}

/// N9. `found` is none where the file is absent.
pub fn own_conf(written: &[u8], conf: Option<&[u8]>) -> Option<Finding> {
    let conf = conf.filter(|conf| *conf != written)?;
    Some(Finding::OwnConf(String::from_utf8_lossy(conf).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_broken_by_more_than_it() {
        let second = Duration::from_secs(1);
        assert_eq!(budget("ADD", second, second), None);
        let finding = budget("ADD", second * 2, second).expect("too long");
        assert_eq!((finding.invariant(), finding.to_string().as_str()), ("N7", "N7: ADD took 2s of 1s"));
    }

    #[test]
    fn a_secret_is_found_in_the_midst_of_a_stream() {
        let places = [("stdout", &b"{}"[..]), ("stderr", b"token=canary-7!"), ("log", b"")];
        assert_eq!(secret("canary-7", places), [Finding::Secret("stderr".to_owned())]);
        assert_eq!(secret("canary-8", places), []);
    }

    #[test]
    fn our_conf_may_be_absent_or_whole_and_nothing_else() {
        assert_eq!(own_conf(b"{}", None), None);
        assert_eq!(own_conf(b"{}", Some(b"{}")), None);
        assert_eq!(own_conf(b"{}", Some(b"{")), Some(Finding::OwnConf("{".to_owned())));
        assert_eq!(own_conf(b"{}", Some(b"")), Some(Finding::OwnConf(String::new())));
    }

    #[test]
    fn findings_are_an_error_that_names_each() {
        assert!(hold(&[]).is_ok());
        let findings = [Finding::Answer("two documents".to_owned()), Finding::Secret("stderr".to_owned())];
        let text = hold(&findings).expect_err("two findings").to_string();
        assert_eq!(text, "N4: two documents\nN8: stderr has the secret");
    }
}
