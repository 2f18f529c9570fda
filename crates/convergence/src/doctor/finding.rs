//! One finding: what is wrong, how it shows, and the command that mends it.

use std::path::Path;

use serde::Serialize;
use types::command::problem::Problem;
use types::text::list::first_few;
use types::text::quote;

use crate::doctor::rule::{Rule, Severity, Symptom};

/// The largest number of objects, and of lines of evidence, that one finding names; more of them are counted.
const MOST_LINES: usize = 8;

/// Something that is wrong on this node.
///
/// *Shape*: `{"code":"del-owed","symptom":"pods-do-not-end","severity":"error","objects":["c1 eth0 (web/a)"],"evidence":["..."],
/// "cause":"..","mend":[{"command":"crossfade-bootstrap unit sweep","what":".."}]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Its code, by which docs/troubleshooting.md has an entry.
    #[serde(rename = "code")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub rule: &'static Rule,
    /// The symptom that it explains.
    pub symptom: Symptom,
    /// How grave it is.
    pub severity: Severity,
    /// The objects that it is about: files, units, attachments, networks.
    pub objects: Vec<String>,
    /// What was seen, one line for each observation.
    pub evidence: Vec<String>,
    /// Why it is so, and what it does to pods.
    pub cause: String,
    /// What mends it, in this order.
    pub mend: Vec<Repair>,
}

/// One step that mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repair {
    /// The command, as it is typed into a shell; `null` where a person has to decide.
    pub command: Option<String>,
    /// What the command does, or what is to be done.
    pub what: String,
}

impl Finding {
    /// A finding, for the cause that its rule names.
    #[must_use]
    pub fn new(rule: &'static Rule) -> Self {
        Self {
            rule,
            symptom: rule.grade.symptom,
            severity: rule.grade.severity,
            objects: Vec::new(),
            evidence: Vec::new(),
            cause: rule.why.into(),
            mend: Vec::new(),
        }
    }

    /// A finding about the object of a problem that another part of Crossfade has found.
    #[must_use]
    pub fn from_problem(rule: &'static Rule, problem: &Problem) -> Self {
        let object = if problem.place.is_empty() {
            problem.named_object().unwrap_or_default()
        } else {
            &problem.place
        };
        Self::new(rule).with_objects(Some(object.to_owned()).filter(|object| !object.is_empty()))
    }

    /// The same, for another cause.
    #[must_use]
    pub fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), ..self }
    }

    /// The same, about these objects.
    #[must_use]
    pub fn with_objects(mut self, objects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.objects.extend(objects.into_iter().map(Into::into));
        self
    }

    /// The same, with what was seen.
    #[must_use]
    pub fn with_evidence(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.evidence.extend(lines.into_iter().map(Into::into));
        self
    }

    /// The same, with a command that mends it.
    #[must_use]
    pub fn run(mut self, command: impl Into<String>, what: impl Into<String>) -> Self {
        self.mend.push(Repair { command: Some(command.into()), what: what.into() });
        self
    }

    /// The same, with something that a person decides.
    #[must_use]
    pub fn with_manual_step(mut self, what: impl Into<String>) -> Self {
        self.mend.push(Repair { command: None, what: what.into() });
        self
    }

    /// The same, with long lists cut: what is cut is counted.
    #[must_use]
    pub fn bound(mut self) -> Self {
        for lines in [&mut self.objects, &mut self.evidence] {
            *lines = first_few(std::mem::take(lines), MOST_LINES);
        }
        self
    }

    /// The finding as a problem of the answer.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let step = self.mend.first();
        let fix = step.map_or(self.rule.fix, |step| step.command.as_ref().unwrap_or(&step.what));
        let object = self.objects.first().map_or("this node", String::as_str);
        Problem::new(format!("{}: {}", self.rule.code, self.cause)).with_place(object).fix(fix)
    }
}

/// A path as one word of a shell.
#[must_use]
pub fn word(path: &Path) -> String {
    quote::shell_word(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Severity::Note.rule(Symptom::Leaks, "ledger", "what", "why", "fix");

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let finding = Finding::new(&RULE).with_objects((0..11).map(|index| index.to_string())).bound();
        assert_eq!(finding.objects.len(), 9);
        assert_eq!(finding.objects[8], "and 3 more");
        let short = Finding::new(&RULE).with_objects((0..8).map(|index| index.to_string())).bound();
        assert_eq!(short.objects.len(), 8);
    }

    #[test]
    fn a_problem_names_the_object_and_the_first_step() {
        let finding = Finding::new(&RULE).with_objects(["a", "b"]).run("x y", "does z");
        assert_eq!(finding.problem(), Problem::new("ledger: why").with_place("a").fix("x y"));
        let bare = Finding::new(&RULE).cause("another").with_manual_step("decide");
        assert_eq!(bare.problem(), Problem::new("ledger: another").with_place("this node").fix("decide"));
    }
}
