//! The names of waves. A plan has the text of a name; which zone or group it means is read from the text here and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What stands before the zone.
const ZONE: &str = "zone ";
/// What stands before the name of the group.
const GROUP: &str = "group ";

/// The name of a wave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WaveName {
    /// One node of each kind of node.
    Scouts,
    /// Nodes for DNS pods, and the nodes that have them.
    Dns,
    /// Nodes with DNS pods that are stragglers.
    DnsStragglers,
    /// A few nodes of each zone.
    Canary,
    /// The nodes of this zone; empty for nodes without one.
    Zone(String),
    /// The nodes with pods of this group.
    Group(String),
    /// Nodes of the control plane.
    ControlPlane,
    /// A name that this program gives no wave.
    Other(String),
}

impl fmt::Display for WaveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scouts => f.write_str("scouts"),
            Self::Dns => f.write_str("dns"),
            Self::DnsStragglers => f.write_str("dns stragglers"),
            Self::Canary => f.write_str("canary"),
            Self::Zone(zone) if zone.is_empty() => f.write_str("nodes without a zone"),
            Self::Zone(zone) => write!(f, "{ZONE}{zone}"),
            Self::Group(group) => write!(f, "{GROUP}{group}"),
            Self::ControlPlane => f.write_str("control plane"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl From<WaveName> for String {
    fn from(name: WaveName) -> Self {
        name.to_string()
    }
}

/// Every text is a name, and the name has this very text: the hash of a plan is that of its bytes.
impl From<String> for WaveName {
    fn from(text: String) -> Self {
        let fixed = [
            Self::Scouts,
            Self::Dns,
            Self::DnsStragglers,
            Self::Canary,
            Self::Zone(String::new()),
            Self::ControlPlane,
        ];
        let zone =
            || text.strip_prefix(ZONE).filter(|zone| !zone.is_empty()).map(|zone| Self::Zone(zone.into()));
        let group = || text.strip_prefix(GROUP).map(|group| Self::Group(group.into()));
        let parsed = fixed.into_iter().find(|name| name.to_string() == text).or_else(zone).or_else(group);
        parsed.unwrap_or(Self::Other(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_from_its_text_and_has_the_same_text() {
        for (text, name) in [
            ("scouts", WaveName::Scouts),
            ("dns", WaveName::Dns),
            ("dns stragglers", WaveName::DnsStragglers),
            ("canary", WaveName::Canary),
            ("zone eu-1a", WaveName::Zone("eu-1a".into())),
            ("nodes without a zone", WaveName::Zone(String::new())),
            ("group db", WaveName::Group("db".into())),
            ("group ", WaveName::Group(String::new())),
            ("control plane", WaveName::ControlPlane),
            ("zone ", WaveName::Other("zone ".into())),
            ("zone", WaveName::Other("zone".into())),
            ("Scouts", WaveName::Other("Scouts".into())),
            ("", WaveName::Other(String::new())),
        ] {
            assert_eq!(WaveName::from(text.to_owned()), name);
            assert_eq!(name.to_string(), text);
            let json = serde_json::to_string(&name).expect("text");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<WaveName>(&json).expect("a name"), name);
        }
    }
}
