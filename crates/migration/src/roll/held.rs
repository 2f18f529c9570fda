//! What a node that is held waits for, in words.

use super::wait::Reason;

/// What a hold means, in one sentence.
pub(super) fn describe_hold(why: &str, text: &str) -> String {
    match Reason::parse(why) {
        Some(Reason::NodeSilent) => "it did not answer its claim: watch does not run there, or it does not report to the API server".into(),
        Some(Reason::PhaseNotFollowed) => format!("its node.json or its policy does not allow the phase: {text}"),
        Some(Reason::PolicyUnknown) => "its policy is not the one that the plan was made for: somebody changed it, or its image has another".into(),
        Some(Reason::FlipTimeout) => format!("it did not reach the phase in time: {text}"),
        Some(Reason::MoveTimeout) => "its pods did not move in time".into(),
        Some(Reason::ProofTimeout) => "it was not steady in its phase in time, or a gate was not green".into(),
        Some(Reason::OwnersTimeout) => "what moved from it is not as available as before".into(),
        Some(Reason::NodeNotReady) => "it is not Ready".into(),
        Some(Reason::ForeignCordon) => "somebody else cordoned it, and pods that moved from it find no other node".into(),
        Some(Reason::AttachmentsUnknown) => "it cannot tell what is attached to it".into(),
        _ => format!("{why}: {text}"),
    }
}

/// What a person does about it.
pub(super) fn help(reason: Reason, name: &str) -> String {
    let first = match reason {
        Reason::ForeignCordon => format!("kubectl uncordon {name}"),
        _ => "look at it".into(),
    };
    format!(
        "{first}, then: kubectl crossfade roll retry {name}, or kubectl crossfade roll rollback {name}, or kubectl crossfade roll skip {name}"
    )
}
