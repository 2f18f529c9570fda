//! The state of the units of Crossfade, kubelet and the runtime.

/// The state of a unit, in systemd's words.
///
/// *Source*: man 5 `org.freedesktop.systemd1`, `LoadState`, `ActiveState`, `SubState` and `Result`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, ..
    pub load: String,
    /// `active`, `activating`, `inactive`, `failed`, ..
    pub active: String,
    /// What the unit does within that state: `start-pre`, `auto-restart`, ..
    pub sub: String,
    /// How its last run ended: `success`, `exit-code`, ..
    pub result: String,
}

impl UnitState {
    /// The state as a line of evidence.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        format!("{name} is {} ({}), its last result is {}", self.active, self.sub, self.result)
    }
}
