//! Phases: the four steps a node goes through, and the flip from one to another.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Attach, Policy, Side};
use crate::json::raw::raw_string;
use crate::json::splice::splice;

/// Where a node stands in a migration. It stands for `attach` and `both.primary`, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    /// New pods get the old network.
    Old,
    /// New pods get both, the old one primary.
    BothOld,
    /// New pods get both, the new one primary.
    BothNew,
    /// New pods get the new network.
    New,
}

impl Phase {
    /// All four, in the order of a migration.
    pub const ALL: [Self; 4] = [Self::Old, Self::BothOld, Self::BothNew, Self::New];

    /// As people and reports write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::BothOld => "both-old",
            Self::BothNew => "both-new",
            Self::New => "new",
        }
    }

    /// The phase written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    /// What it means for the policy: `attach`, and `both.primary` where it has a say.
    #[must_use]
    pub const fn meaning(self) -> (Attach, Option<Side>) {
        match self {
            Self::Old => (Attach::One(Side::Old), None),
            Self::BothOld => (Attach::Both, Some(Side::Old)),
            Self::BothNew => (Attach::Both, Some(Side::New)),
            Self::New => (Attach::One(Side::New), None),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Policy {
    /// The phase this policy is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::new(self.attach, self.both.primary())
    }

    /// The bytes of a policy flipped to `phase`; everything else keeps its spelling.
    ///
    /// # Errors
    /// One line when `bytes` are no valid policy, or when the rest of it does not allow the phase (a network is absent,
    /// `tolerate` with the default route elsewhere).
    pub fn flip(bytes: &[u8], phase: Phase) -> Result<Vec<u8>, String> {
        Self::parse(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let set = |text: &str, path: &[&str], word| {
            splice(text, path, &raw_string(word)).map_err(|e| e.to_string())
        };
        let (attach, primary) = phase.meaning();
        let mut flipped = set(text, &["attach"], attach.as_str())?;
        if let Some(primary) = primary {
            flipped = set(&flipped, &["both", "primary"], primary.as_str())?;
        }
        let policy = Self::parse(flipped.as_bytes())
            .map_err(|why| format!("the policy does not allow the phase {phase}: {why}"))?;
        debug_assert_eq!(policy.phase(), phase);
        Ok(flipped.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        r#"{"version": 1, "networks": {"old": {"conf": ["/o"]}, "new": {"conf":  ["/n"]}}, "attach": "old"}"#;

    #[test]
    fn every_phase_reaches_every_other_and_is_read_back() {
        for from in Phase::ALL {
            let start = Policy::flip(POLICY.as_bytes(), from).expect("flip");
            for to in Phase::ALL {
                let flipped = Policy::flip(&start, to).expect("flip");
                assert_eq!(Policy::parse(&flipped).expect("valid").phase(), to, "{from} -> {to}");
                assert_eq!(Phase::parse(to.as_str()), Some(to));
            }
        }
    }

    #[test]
    fn a_flip_keeps_the_spelling_of_everything_else() {
        let flipped = Policy::flip(POLICY.as_bytes(), Phase::New).expect("flip");
        let text = String::from_utf8(flipped).expect("utf-8");
        assert_eq!(text, POLICY.replace(r#""attach": "old""#, r#""attach": "new""#));
        let written = "{\n  \"version\": 1,\n  \"both\": {\n    \"primary\": \"old\"\n  },\n  \"attach\": \"both\",\n  \"networks\": {\"old\": {\"conf\": [\"/o\"]}, \"new\": {\"conf\": [\"/n\"]}}\n}\n";
        let flipped = Policy::flip(written.as_bytes(), Phase::BothNew).expect("flip");
        assert_eq!(
            String::from_utf8(flipped).expect("utf-8"),
            written.replace("\"primary\": \"old\"", "\"primary\": \"new\"")
        );
    }

    #[test]
    fn a_phase_that_the_rest_forbids_is_refused() {
        let single = br#"{"version":1,"networks":{"new":{"conf":["/n"]}},"attach":"new"}"#;
        for phase in [Phase::Old, Phase::BothOld, Phase::BothNew] {
            let error = Policy::flip(single, phase).expect_err("refused");
            assert!(error.contains(phase.as_str()), "{error}");
        }
        let tolerate =
            br#"{"version":1,"networks":{"old":{"conf":["/o"]},"new":{"conf":["/n"]}},"attach":"both",
            "both":{"primary":"old","defaultRoute":"old","secondaryFailure":"tolerate"}}"#;
        assert!(Policy::flip(tolerate, Phase::BothNew).expect_err("refused").contains("tolerate"));
    }
}
