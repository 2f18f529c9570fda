//! The annotation `crossfade/step` of a Node: how far `kubectl crossfade roll` is with this node. It is written by the same patch as each act, so it is on
//! the Node before the act has its effect, and goes with the Node.

use serde::{Deserialize, Serialize};

use crate::api::read_annotation;
use crate::policy::Phase;

/// The key of the annotation.
pub const KEY: &str = "crossfade/step";

/// Longest claim that a node echoes, in bytes.
pub const MAX_CLAIM_BYTES: usize = 64;

/// How far a node is.
///
/// *Shape*: `{"run":"r-7k2m","plan":"4be1..","epoch":3,"claim":"r-7k2m.1.1","to":"both-old","state":"moving","cordon":"ours",
/// "since":"2026-11-20T15:00:00Z","try":1}`. A reader ignores keys that it does not know. The keys from `cordon` on may be absent; the others decide
/// who may act on the node, so a value without one of them is no step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The run.
    pub run: String,
    /// The first twelve characters of the plan's hash.
    pub plan: String,
    /// How often the run's Lease had changed hands when this was written.
    pub epoch: u64,
    /// What the node echoes in `crossfade/observed`. Printable ASCII, at most [`MAX_CLAIM_BYTES`] bytes.
    pub claim: String,
    /// The phase that the node is brought to.
    pub to: Phase,
    /// How far it is.
    pub state: State,
    /// Whose cordon the node bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon: Option<Cordon>,
    /// When this state began, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Which try it is; the first is 1.
    #[serde(default = "first_try")]
    pub r#try: u32,
    /// Why the node is held, in one word; only with [`State::Held`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The run put `karpenter.sh/do-not-disrupt` on the Node, and takes it away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undisturbed: bool,
}

/// How far a node is in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is chosen, and cordoned if its pods are drained.
    Claimed,
    /// It is asked to change its phase.
    Flipped,
    /// It is in the new phase, and its pods are evicted.
    Moving,
    /// No pod of another phase is left, and the gates are asked.
    Proving,
    /// It takes pods again.
    Settling,
    /// It is done.
    Done,
    /// It waits for a person.
    Held,
    /// Another node is to take its place, and its pipeline has to leave it alone for now.
    Waiting,
    /// Another node is to take its place, and its pipeline may drain it and take it away.
    Permitted,
}

/// Whose cordon a node bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cordon {
    /// The run's, which takes it away at the end.
    Ours,
    /// Set by another user or program; it stays.
    Theirs,
}

impl Step {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// One line: why the value is no step.
    pub fn parse(text: &str) -> Result<Self, String> {
        read_annotation(KEY, text)
    }
}

impl State {
    /// Between the first act and the last one: the node is neither done nor untouched. All nodes that are to be replaced wait from the beginning on.
    #[must_use]
    pub const fn is_in_transit(self) -> bool {
        !matches!(self, Self::Done | Self::Waiting)
    }

    /// Whether the node waits for its pipeline's turn, or has it.
    #[must_use]
    pub const fn is_left_to_pipeline(self) -> bool {
        matches!(self, Self::Waiting | Self::Permitted)
    }

    /// As people and files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Flipped => "flipped",
            Self::Moving => "moving",
            Self::Proving => "proving",
            Self::Settling => "settling",
            Self::Done => "done",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Permitted => "permitted",
        }
    }
}

const fn first_try() -> u32 {
    1
}

/// The claim in the annotation's value, as a node repeats it; none if there is none, or if it is empty, longer than [`MAX_CLAIM_BYTES`] or not
/// printable ASCII. Nothing else in the value has to be what this program knows: a node repeats the claim of a later operator, too.
#[must_use]
pub fn echo(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct StepClaim {
        claim: String,
    }
    let StepClaim { claim } = read_annotation(KEY, text).ok()?;
    let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let is_sound = !claim.is_empty() && claim.len() <= MAX_CLAIM_BYTES && claim.bytes().all(is_printable);
    is_sound.then_some(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"run":"r","plan":"4b","epoch":7,"claim":"c-17","to":"both-old","state":"claimed","cordon":"ours","since":"2026-11-20T15:00:00Z","try":2}"#;

    fn full() -> Step {
        Step {
            run: "r".into(),
            plan: "4b".into(),
            epoch: 7,
            claim: "c-17".into(),
            to: Phase::BothOld,
            state: State::Claimed,
            cordon: Some(Cordon::Ours),
            since: Some("2026-11-20T15:00:00Z".into()),
            r#try: 2,
            why: None,
            undisturbed: false,
        }
    }

    #[test]
    fn a_step_is_read_without_what_may_be_absent_and_with_what_a_later_one_adds() {
        assert_eq!(Step::parse(FULL), Ok(full()));
        assert_eq!(serde_json::to_string(&full()).expect("JSON"), FULL);
        let bare = r#"{"run":"r","plan":"4b","epoch":7,"claim":"c-17","to":"both-old","state":"claimed","later":[{}]}"#;
        assert_eq!(Step::parse(bare), Ok(Step { cordon: None, since: None, r#try: 1, ..full() }));
        for key in ["run", "plan", "epoch", "claim", "to", "state"] {
            let mut without: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(FULL).expect("JSON");
            without.remove(key);
            let text = serde_json::to_string(&without).expect("JSON");
            let why = Step::parse(&text).expect_err(key);
            assert!(why.contains(key), "{why}");
        }
    }

    #[test]
    fn a_state_is_written_as_it_is_said() {
        use State::{Claimed, Done, Flipped, Held, Moving, Permitted, Proving, Settling, Waiting};
        for state in [Claimed, Flipped, Moving, Proving, Settling, Done, Held, Waiting, Permitted] {
            assert_eq!(serde_json::to_string(&state).expect("a word"), format!("{:?}", state.as_str()));
            assert_eq!(state.is_in_transit(), state != Done && state != Waiting);
        }
    }

    #[test]
    fn the_echo_is_the_claim_if_it_is_one() {
        let long = |length: usize| format!(r#"{{"claim":"{}"}}"#, "x".repeat(length));
        let most = "x".repeat(MAX_CLAIM_BYTES);
        for (text, expected) in [
            (FULL, Some("c-17")),
            (r#"{"claim":"c-17","to":"nowhere","epoch":"later"}"#, Some("c-17")),
            (r#"{"claim":"a b~"}"#, Some("a b~")),
            (long(MAX_CLAIM_BYTES).as_str(), Some(most.as_str())),
            (long(MAX_CLAIM_BYTES + 1).as_str(), None),
            (r#"{"claim":""}"#, None),
            (r#"{"claim":"ä"}"#, None),
            (r#"{"claim":"a\nb"}"#, None),
            (r#"{"claim":"a\u001b[2J"}"#, None),
            (r#"{"claim":"a\u007f"}"#, None),
            (r#"{"claim":7}"#, None),
            (r#"{"claim":null}"#, None),
            (r#"{"claim":"a","claim":"b"}"#, None),
            (r#"{"run":"r"}"#, None),
            (r#"["c-17"]"#, None),
            (r#""c-17""#, None),
            ("c-17", None),
            ("", None),
        ] {
            assert_eq!(echo(text).as_deref(), expected, "{text}");
        }
    }
}
