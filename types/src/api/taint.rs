//! Taints: their syntax, and which ones make no sense at a Node's registration.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::qualified;

/// Key of the taint that a node gets whose gate gave up; a person removes it.
pub const UNFIT_KEY: &str = "crossfade/unfit";
/// Key of the start-up taint that the shipped NodeReadinessRule lifts once `CrossfadeReady` is True.
///
/// Karpenter from 1.13 expects that every taint of this prefix goes, and so does cluster-autoscaler from 1.36 by a flag.
pub const READINESS_KEY: &str = "readiness.k8s.io/crossfade";
/// Taints that controllers keep in step with the Node's conditions: what kubelet registers is theirs to remove.
///
/// *Source*: `core/v1`, `well_known_taints.go`; `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.
const KEPT: [&str; 7] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
];

/// A taint of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Taint {
    /// Its key, with a prefix or without.
    pub key: String,
    /// Its value; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: Effect,
}

/// What a taint does. *Source*: `core/v1`, `TaintEffect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Effect {
    /// No pod without a toleration is scheduled here.
    NoSchedule,
    /// The scheduler avoids the node for pods without a toleration.
    PreferNoSchedule,
    /// Pods without a toleration are not scheduled here, and those that run here are evicted.
    NoExecute,
}

impl Effect {
    /// All effects.
    pub const ALL: [Self; 3] = [Self::NoSchedule, Self::PreferNoSchedule, Self::NoExecute];

    /// As the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// The effect of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == text)
    }
}

/// As `--register-with-taints` spells it: `key=value:Effect`, `key:Effect`.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equals}{}:{}", self.key, self.value, self.effect.as_str())
    }
}

impl Taint {
    /// Whether two taints are one to the API server, whatever their values. *Source*: `core/v1`, `Taint.MatchTaint`.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.effect == other.effect
    }

    /// The start-up taint of [`READINESS_KEY`].
    #[must_use]
    pub fn readiness() -> Self {
        Self { key: READINESS_KEY.into(), value: String::new(), effect: Effect::NoSchedule }
    }

    /// The taint of a node whose gate gave up.
    #[must_use]
    pub fn new_unfit() -> Self {
        Self { key: UNFIT_KEY.into(), value: String::new(), effect: Effect::NoSchedule }
    }
}

/// The taints of one `--register-with-taints`; an empty value is no taints.
///
/// *Source*: `pkg/util/taints/taints.go`, `parseTaint`.
///
/// # Errors
/// What kubelet would exit for; and a taint without an effect, for which the API server refuses the Node.
pub fn parse(value: &str) -> Result<Vec<Taint>, String> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    value.split(',').map(parse_one).collect()
}

fn parse_one(text: &str) -> Result<Taint, String> {
    let expected = || format!("expected KEY=VALUE:EFFECT or KEY:EFFECT, found {text:?}");
    let (pair, effect) = text.split_once(':').ok_or_else(expected)?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    check(key, value, effect).map_err(|why| format!("{text:?}: {why}"))
}

/// A taint of these parts.
///
/// # Errors
/// What was expected.
pub fn check(key: &str, value: &str, effect: &str) -> Result<Taint, String> {
    qualified::key(key)?;
    qualified::value(value)?;
    let effect = Effect::parse(effect)
        .ok_or_else(|| format!("expected NoSchedule, PreferNoSchedule or NoExecute, found {effect:?}"))?;
    Ok(Taint { key: key.into(), value: value.into(), effect })
}

/// Why a taint of node.json cannot be registered; names it.
#[must_use]
pub fn refusal(taint: &Taint) -> Option<String> {
    let why = qualified::key(&taint.key).and_then(|()| qualified::value(&taint.value)).err()?;
    Some(format!("taint {:?}: {why}; kubelet would exit", taint.key))
}

/// Why a taint of node.json does not do what it looks like.
#[must_use]
pub fn doubt(taint: &Taint) -> Option<String> {
    if KEPT.contains(&taint.key.as_str()) {
        return Some(format!(
            "taint {taint}: the node controllers keep it in step with the Node's conditions and would remove it: use a key of your own"
        ));
    }
    (taint.key == UNFIT_KEY).then(|| {
        format!("taint {taint}: it says that the gate gave up, and is ours to set: use a key of your own")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_s_taints_come_back_as_they_were_spelt() {
        for text in ["", "a:NoSchedule", "a=b:NoExecute,x.y/z:PreferNoSchedule"] {
            let output: Vec<String> = parse(text).expect(text).iter().map(ToString::to_string).collect();
            assert_eq!(output.join(","), text);
        }
        assert_eq!(parse("a=:NoExecute").expect("empty value")[0].value, "");
        for text in [
            "a",
            "a=b",
            ":NoSchedule",
            "a:noschedule",
            "a=b=c:NoExecute",
            "a:NoSchedule,",
            "a b:NoExecute",
            "a:NoExecute:x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn taints_of_node_json() {
        let taint = |key: &str, value: &str| Taint {
            key: key.into(),
            value: value.into(),
            effect: Effect::NoSchedule,
        };
        assert_eq!(refusal(&taint("node.cilium.io/agent-not-ready", "true")), None);
        for (key, value) in [("a b", ""), ("a", "b,c"), ("a", "$b"), ("X.y/z", "")] {
            assert!(
                refusal(&taint(key, value)).is_some_and(|output| output.contains("kubelet would exit")),
                "{key}"
            );
        }
        assert_eq!(doubt(&taint("node.cilium.io/agent-not-ready", "")), None);
        assert!(
            doubt(&taint("node.kubernetes.io/not-ready", ""))
                .is_some_and(|output| output.contains("controllers"))
        );
        assert!(doubt(&Taint::new_unfit()).is_some_and(|output| output.contains("gate")));
    }
}
