//! The phase that the Node's annotation `crossfade/desired` requests, and the policy that it names.

/// The phase that the annotation `crossfade/desired` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPhase {
    /// The annotation's value, at most 256 bytes of it.
    pub value: String,
    /// The policy that it was set for.
    pub policy: DesiredScope,
}

/// The policy that a desired phase was set for, by what the Node said when it was set. The value itself names none, because people and pipelines set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredScope {
    /// Any: no policy was reported on the Node.
    Any,
    /// The one with this digest ([`types::api::observed::NodeObservation::base`]), which was reported on the Node.
    Base(String),
    /// One of an earlier installation, which had left the Node.
    Earlier,
}

impl DesiredPhase {
    /// Whether it asks a node whose policy has this digest; none while the policy cannot be used.
    #[must_use]
    pub fn is_for(&self, base: Option<&str>) -> bool {
        match &self.policy {
            DesiredScope::Any => true,
            DesiredScope::Base(scope_base) => base.is_none_or(|base| base == scope_base),
            DesiredScope::Earlier => false,
        }
    }
}
