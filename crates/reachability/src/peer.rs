//! An agent as others know it, and what it is attached to.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use types::policy::{Phase, Side};

/// The most addresses of an agent that others probe: the primary one of each family.
const MAX_ADDRESSES: usize = 2;
/// Longest name of a pod, a node or a zone, in bytes.
const MAX_NAME: usize = 253;

/// What an agent is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    /// The host network of a node.
    Host,
    /// The networks that a pod of this phase has.
    Pod(Phase),
}

impl Kind {
    /// Five kinds, in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::Host,
        Self::Pod(Phase::Old),
        Self::Pod(Phase::BothOld),
        Self::Pod(Phase::BothNew),
        Self::Pod(Phase::New),
    ];

    /// As reports write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Pod(phase) => phase.as_str(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.as_str().to_owned()
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        named.ok_or_else(|| format!("{text:?}: expected host, old, both-old, both-new or new"))
    }
}

/// Address ranges of the pods of both networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    pub old: Vec<IpNetwork>,
    pub new: Vec<IpNetwork>,
}

impl Ranges {
    /// Reads `old=CIDR,CIDR;new=CIDR`.
    ///
    /// # Errors
    /// One line that names the part which is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ranges = Self::default();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            let (side, cidrs) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?}: expected old=CIDR,CIDR or new=CIDR,CIDR"))?;
            let list = match side.trim() {
                "old" => &mut ranges.old,
                "new" => &mut ranges.new,
                other => return Err(format!("{other:?} is no network: expected old or new")),
            };
            for cidr in cidrs.split(',').map(str::trim).filter(|cidr| !cidr.is_empty()) {
                list.push(
                    cidr.parse().map_err(|_| format!("{cidr:?}: expected a range such as 10.244.0.0/16"))?,
                );
            }
        }
        if ranges.old.is_empty() && ranges.new.is_empty() {
            return Err("no address range: expected old=CIDR;new=CIDR".to_owned());
        }
        Ok(ranges)
    }

    /// The network that an address is of.
    #[must_use]
    pub fn side(&self, address: IpAddr) -> Option<Side> {
        let has = |ranges: &[IpNetwork]| ranges.iter().any(|range| range.contains(address));
        match (has(&self.old), has(&self.new)) {
            (true, false) => Some(Side::Old),
            (false, true) => Some(Side::New),
            // An address of both ranges, or of neither, tells nothing.
            (true, true) | (false, false) => None,
        }
    }

    /// The kind of a pod with these addresses, of which the first is the primary interface's.
    ///
    /// # Errors
    /// One line where the first address is of neither network, or of both.
    pub fn kind(&self, addresses: &[IpAddr]) -> Result<Kind, String> {
        let first = addresses.first().ok_or("the pod has no address")?;
        let primary = self.side(*first).ok_or_else(|| {
            format!("{first} is not in the ranges of one network alone: correct the ranges of old and new")
        })?;
        let has_other =
            addresses.iter().filter_map(|address| self.side(*address)).any(|side| side != primary);
        let phase = match (primary, has_other) {
            (Side::Old, false) => Phase::Old,
            (Side::Old, true) => Phase::BothOld,
            (Side::New, true) => Phase::BothNew,
            (Side::New, false) => Phase::New,
        };
        Ok(Kind::Pod(phase))
    }
}

/// An agent, as it registers with hubs and as hubs name it to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Peer {
    /// The pod's name.
    pub name: String,
    pub node: String,
    /// Empty where it is not known.
    pub zone: String,
    pub kind: Kind,
    /// A number that no other agent has, drawn when the process began.
    pub id: u64,
    /// The primary address of each family.
    pub addresses: Vec<IpAddr>,
    /// The largest packet that its primary interface sends, in bytes.
    pub mtu: u32,
}

/// # Errors
/// One line, where `name` is not that of a pod, a node or a zone, and not empty.
pub fn validate_name(name: &str) -> Result<(), String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if name.len() > MAX_NAME || !is_plain {
        return Err(format!("expected at most {MAX_NAME} letters, digits, - . and _"));
    }
    Ok(())
}

impl Peer {
    /// # Errors
    /// One line, where a field is longer or larger than that of any agent.
    pub fn validate(&self) -> Result<(), String> {
        for (field, text) in [("name", &self.name), ("node", &self.node), ("zone", &self.zone)] {
            validate_name(text).map_err(|why| format!("{field}: {why}"))?;
        }
        if self.name.is_empty() || self.node.is_empty() || self.id == 0 {
            return Err("an agent without a name, a node or a number".to_owned());
        }
        if self.addresses.is_empty() || self.addresses.len() > MAX_ADDRESSES {
            return Err(format!(
                "{}: {} addresses: expected one of each family",
                self.name,
                self.addresses.len()
            ));
        }
        if !(576..=65535).contains(&self.mtu) {
            return Err(format!("{}: an MTU of {}: expected 576 to 65535", self.name, self.mtu));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges() -> Ranges {
        Ranges::parse("old=10.244.0.0/16, fd00:1::/48; new=10.0.0.0/9,fd00:2::/48").expect("ranges")
    }

    #[test]
    fn a_pod_is_of_the_kind_that_its_addresses_say() {
        for (addresses, kind) in [
            (&["10.244.1.2"][..], "old"),
            (&["10.244.1.2", "fd00:1::2"], "old"),
            (&["10.244.1.2", "10.1.1.2"], "both-old"),
            (&["10.1.1.2", "10.244.1.2"], "both-new"),
            (&["10.1.1.2", "fd00:2::2"], "new"),
            // An interface of another meta-plugin.
            (&["10.1.1.2", "192.0.2.1"], "new"),
        ] {
            let addresses: Vec<IpAddr> =
                addresses.iter().map(|text| text.parse().expect("an address")).collect();
            assert_eq!(ranges().kind(&addresses).map(Kind::as_str), Ok(kind), "{addresses:?}");
        }
        let outside = ranges().kind(&["192.0.2.1".parse().expect("an address")]);
        assert!(outside.is_err_and(|why| why.contains("192.0.2.1")));
        assert!(ranges().kind(&[]).is_err());
    }

    #[test]
    fn an_address_in_both_ranges_is_of_neither() {
        let overlapping = Ranges::parse("old=10.0.0.0/8;new=10.1.0.0/16").expect("ranges");
        assert_eq!(overlapping.side("10.1.0.1".parse().expect("an address")), None);
        assert_eq!(overlapping.side("10.2.0.1".parse().expect("an address")), Some(Side::Old));
    }

    #[test]
    fn ranges_that_are_not_understood_are_named() {
        for (text, named) in [
            ("", "expected old="),
            ("old", "\"old\""),
            ("older=10.0.0.0/8", "\"older\""),
            ("old=10.0.0", "\"10.0.0\""),
        ] {
            let why = Ranges::parse(text).expect_err(text);
            assert!(why.contains(named), "{text}: {why}");
        }
    }

    #[test]
    fn what_a_stranger_registers_is_bounded() {
        let peer = Peer {
            name: "crossfade-probe-x".to_owned(),
            node: "n1".to_owned(),
            zone: String::new(),
            kind: Kind::Host,
            id: 1,
            addresses: vec!["192.0.2.1".parse().expect("an address")],
            mtu: 1500,
        };
        assert_eq!(peer.validate(), Ok(()));
        let invalid = [
            Peer { name: String::new(), ..peer.clone() },
            Peer { name: "a\nb".to_owned(), ..peer.clone() },
            Peer { zone: "z".repeat(254), ..peer.clone() },
            Peer { id: 0, ..peer.clone() },
            Peer { addresses: Vec::new(), ..peer.clone() },
            Peer { addresses: vec![peer.addresses[0]; 3], ..peer.clone() },
            Peer { mtu: 0, ..peer.clone() },
        ];
        for peer in invalid {
            assert!(peer.validate().is_err(), "{peer:?}");
        }
    }
}
