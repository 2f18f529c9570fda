//! Findings: what stands in the way of a migration, why it matters and how to fix it.

mod waive;

use std::fmt;

use serde::Serialize;

use snapshot::model::{Kind, Meta};

pub(super) use waive::WAIVER_UNUSED;
pub use waive::waive;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The migration must not start.
    Blocks,
    /// The migration may start, and something may go wrong.
    Risk,
    /// Something to know.
    Note,
}

/// A rule of a check; its severity is that of a finding, unless the cluster makes it better or worse.
pub type Rule = types::command::rule::Rule<Severity>;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Names the finding, for waivers and documentation: `cidr-overlap-services`. It never changes its meaning.
    #[serde(rename = "code")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What is found, in one sentence. It counts no objects: a waiver may take some of them away.
    pub what: String,
    /// The objects that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Subject>,
    /// Why it matters.
    pub why: String,
    /// The exact command, manifest or setting that removes it. A manifest stands between two lines of three backticks.
    pub fix: String,
    /// Why the operator accepts it; none if it is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// An object that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// `Pod`.
    pub kind: String,
    /// The namespace; empty for a kind without one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What is with this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Finding {
    /// A finding without objects, in the words of its rule.
    #[must_use]
    pub fn new(rule: &'static Rule) -> Self {
        Self {
            rule,
            severity: rule.grade,
            what: rule.paragraphs().0.into(),
            objects: Vec::new(),
            why: rule.why.into(),
            fix: rule.fix.into(),
            waived: None,
        }
    }

    /// The same, better or worse than others of its rule.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The same, with what is found in this cluster.
    #[must_use]
    pub fn what(self, what: impl Into<String>) -> Self {
        Self { what: what.into(), ..self }
    }

    /// The same, with why it matters in this cluster.
    #[must_use]
    pub fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// The same, with what removes it from this cluster.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// The same, with the command that stands between backquotes in its fix for each of these objects; as it is without one.
    #[must_use]
    pub fn with_commands(self, objects: &[Subject]) -> Self {
        self.with_commands_by(objects, Subject::fill)
    }

    /// As [`Self::with_commands`], where the command of an object is what `fill` makes of the one between backquotes.
    #[must_use]
    pub fn with_commands_by(self, objects: &[Subject], fill: impl Fn(&Subject, &str) -> String) -> Self {
        let parts: Vec<&str> = self.rule.fix.split('`').collect();
        let [words, command, rest] = parts.as_slice() else { return self };
        let commands: Vec<String> = objects.iter().map(|object| fill(object, command)).collect();
        self.fix(format!("{words}{}{rest}", commands.join("; ")))
    }

    /// The same, about these objects, sorted and each of them once.
    #[must_use]
    pub fn with_objects(mut self, objects: impl IntoIterator<Item = Subject>) -> Self {
        self.objects.extend(objects);
        self.objects.sort();
        self.objects.dedup();
        self
    }

    /// It keeps the migration from starting.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        matches!(self.severity, Severity::Blocks) && self.waived.is_none()
    }
}

impl Subject {
    /// An object of a kind without namespaces.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind: kind.name().into(), namespace: String::new(), name: name.into(), detail: String::new() }
    }

    /// The object with this metadata.
    #[must_use]
    pub fn from_meta(kind: Kind, meta: &Meta) -> Self {
        Self { namespace: meta.namespace.as_ref().into(), ..Self::new(kind, meta.name.as_ref()) }
    }

    /// The text, with this object in place of `KIND`, `NAMESPACE` and `NAME`.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let kind = self.kind.to_lowercase();
        text.replace("NAMESPACE", &self.namespace).replace("KIND", &kind).replace("NAME", &self.name)
    }

    /// The same, with what is with it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// `Node/worker-1`, `Pod/default/web`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, .. } = self;
        if namespace.is_empty() { write!(f, "{kind}/{name}") } else { write!(f, "{kind}/{namespace}/{name}") }
    }
}

impl Severity {
    /// All severities, the worst first.
    pub const ALL: [Self; 3] = [Self::Blocks, Self::Risk, Self::Note];

    /// A rule whose findings are as bad as this.
    pub(crate) const fn rule(
        self,
        code: &'static str,
        what: &'static str,
        why: &'static str,
        fix: &'static str,
    ) -> Rule {
        Rule { code, grade: self, what, why, fix }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocks => "blocks",
            Self::Risk => "risk",
            Self::Note => "note",
        })
    }
}

/// Sorts findings: what the operator accepted comes last, else the worst first, then by code and first object.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.waived.is_some(), finding.severity, finding.rule.code);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.objects.first().cmp(&b.objects.first()))
            .then_with(|| a.what.cmp(&b.what))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_what_is_accepted_last() {
        const A: Rule = Severity::Blocks.rule("a", "", "", "");
        const B: Rule = Severity::Blocks.rule("b", "", "", "");
        const C: Rule = Severity::Blocks.rule("c", "", "", "");
        const D: Rule = Severity::Note.rule("d", "", "", "");
        let accepted = Finding { waived: Some("known".into()), ..Finding::new(&A) };
        let mut all = [accepted, Finding::new(&D), Finding::new(&C), Finding::new(&B)];
        sort(&mut all);
        assert_eq!(all.iter().map(|finding| finding.rule.code).collect::<String>(), "bcda");
    }

    #[test]
    fn each_object_has_its_command() {
        const EACH: Rule =
            Severity::Note.rule("each", "", "", "First: `get NAMESPACE/KIND NAME`. Then wait.");
        const NONE: Rule = Severity::Note.rule("none", "", "", "Wait for NAME.");
        let pod = Subject { namespace: "x".into(), ..Subject::new(Kind::POD, "a") };
        let objects = [pod, Subject::new(Kind::NODE, "b")];
        let fix = |rule| Finding::new(rule).with_commands(&objects).fix;
        assert_eq!(fix(&EACH), "First: get x/pod a; get /node b. Then wait.");
        assert_eq!(fix(&NONE), "Wait for NAME.");
    }
}
