//! Limits of what may happen at once, and of how long it may take.

use serde::{Deserialize, Serialize};

/// How much may happen at once, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Limits {
    /// Nodes in transit at once in the whole cluster, nodes in trouble included.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub in_transit: u32,
    /// Percent of a zone's nodes in transit at once; at least one node.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub zone_percent: u32,
    /// Nodes that start within an hour; 0 for any number.
    pub per_hour: u32,
    /// Evictions on one node that are under way at once.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub evictions: u32,
    /// Whether nodes that have not moved get a taint with which the scheduler prefers those that have.
    pub fence: bool,
    /// Whether the run removes the taint `readiness.k8s.io/crossfade:NoSchedule` from nodes that are ready by their condition `CrossfadeReady`, where no Node
    /// Readiness Controller does. It does so as long as its program runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lift_readiness: bool,
    /// Seconds of quiet before a node counts as done.
    pub settle_seconds: u32,
    /// Seconds of soak after the scouts.
    pub soak_seconds: u32,
    /// Seconds within which a node must answer a claim.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub claim_seconds: u32,
    /// Seconds within which a node must be in the new phase.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub flip_seconds: u32,
    /// Seconds within which a node's pods must have moved.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub move_seconds: u32,
    /// Seconds within which the proofs of a node must be green.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub prove_seconds: u32,
    /// Seconds within which the workloads of a node must be as available as before.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub owners_seconds: u32,
    /// Seconds for which a Job may go on before its pod is evicted.
    pub job_seconds: u32,
    /// When nodes may start; at any time if there is none.
    pub windows: Vec<Window>,
}

/// A part of each week in which nodes may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Window {
    /// `mon` to `sun`; every day if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^(mon|tue|wed|thu|fri|sat|sun)$"))))]
    pub days: Vec<String>,
    /// `HH:MM`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")))]
    pub from: String,
    /// `HH:MM`; at or before `from`, it is on the next day.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")))]
    pub to: String,
    /// A name of the IANA time zone database: `Europe/Berlin`. UTC if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"))
    )]
    pub zone: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_transit: 25,
            zone_percent: 5,
            per_hour: 0,
            evictions: 10,
            fence: true,
            lift_readiness: false,
            settle_seconds: 30,
            soak_seconds: 600,
            claim_seconds: 60,
            flip_seconds: 180,
            move_seconds: 1800,
            prove_seconds: 300,
            owners_seconds: 600,
            job_seconds: 1800,
            windows: Vec::new(),
        }
    }
}

impl Limits {
    /// Whether the values make sense.
    pub(super) fn valid(&self) -> Result<(), String> {
        let positive = [
            ("inTransit", self.in_transit),
            ("zonePercent", self.zone_percent),
            ("evictions", self.evictions),
            ("claimSeconds", self.claim_seconds),
            ("flipSeconds", self.flip_seconds),
            ("moveSeconds", self.move_seconds),
            ("proveSeconds", self.prove_seconds),
            ("ownersSeconds", self.owners_seconds),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("roll.limits.{key}: expected at least 1, found 0"));
        }
        if self.zone_percent > 100 {
            return Err(format!(
                "roll.limits.zonePercent: expected at most 100, found {}",
                self.zone_percent
            ));
        }
        for (index, window) in self.windows.iter().enumerate() {
            window.valid().map_err(|why| format!("roll.limits.windows[{index}].{why}"))?;
        }
        Ok(())
    }
}

/// The days of a week.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Window {
    fn valid(&self) -> Result<(), String> {
        if let Some(index) = self.days.iter().position(|day| !DAYS.contains(&day.as_str())) {
            return Err(format!(
                "days[{index}]: expected one of {}, found {:?}",
                DAYS.join(", "),
                self.days[index]
            ));
        }
        for (key, time) in [("from", &self.from), ("to", &self.to)] {
            if !is_time(time) {
                return Err(format!("{key}: expected a time from 00:00 to 23:59, found {time:?}"));
            }
        }
        match &self.zone {
            Some(zone) if !is_zone(zone) => Err(format!(
                "zone: expected a name of the IANA time zone database, such as Europe/Berlin, found {zone:?}"
            )),
            _ => Ok(()),
        }
    }
}

/// `HH:MM`.
fn is_time(text: &str) -> bool {
    let below = |digits: &str, end: u8| {
        digits.len() == 2
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse().is_ok_and(|number: u8| number < end)
    };
    text.split_once(':').is_some_and(|(hours, minutes)| below(hours, 24) && below(minutes, 60))
}

/// Whether the name of a time zone has the form of one. Whether there is such a zone, the machine knows on which the run is.
fn is_zone(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits_each() {
        for (text, is_one) in [
            ("00:00", true),
            ("23:59", true),
            ("24:00", false),
            ("23:60", false),
            ("9:00", false),
            ("09:0", false),
            ("+9:00", false),
            ("0900", false),
        ] {
            assert_eq!(is_time(text), is_one, "{text}");
        }
    }

    #[test]
    fn zones_look_like_those_of_the_database() {
        for (text, is_one) in [
            ("UTC", true),
            ("Europe/Berlin", true),
            ("America/Argentina/Buenos_Aires", true),
            ("Etc/GMT+1", true),
            ("", false),
            ("Europe/", false),
            ("+01:00", false),
            ("Europe Berlin", false),
        ] {
            assert_eq!(is_zone(text), is_one, "{text}");
        }
    }
}
