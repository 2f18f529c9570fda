//! Amounts of the resources that the scheduler counts.

use std::ops::{Add, AddAssign};

use snapshot::model::Resources;

use super::quantity::milli;

/// Requested or offered resources, in thousandths: of a core, of a byte, of a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Cores.
    pub cpu: u128,
    /// Bytes.
    pub memory: u128,
    pub pods: u128,
}

/// A resource: its unit as people read it, its amount, and how many thousandths of the API's unit one of people's has.
pub type Resource = (&'static str, fn(&Request) -> u128, u128);

/// The resources that are compared.
pub const RESOURCES: [Resource; 3] = [
    ("cores", |item| item.cpu, 1000),
    ("GiB", |item| item.memory, 1000 * (1 << 30)),
    ("pods", |item| item.pods, 1000),
];

impl Request {
    /// One pod that requests nothing else.
    pub const POD: Self = Self { cpu: 0, memory: 0, pods: 1000 };

    /// What a node offers, or a container requests. What cannot be read counts as nothing.
    #[must_use]
    pub fn from_resources(resources: &Resources) -> Self {
        let count_of = |key: &str| resources.get(key).and_then(|text| milli(text)).unwrap_or(0);
        Self { cpu: count_of("cpu"), memory: count_of("memory"), pods: count_of("pods") }
    }

    /// What is left of it; nothing below zero.
    #[must_use]
    pub const fn subtract(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            pods: self.pods.saturating_sub(other.pods),
        }
    }

    /// So many times as much.
    #[must_use]
    pub const fn times(self, times: u128) -> Self {
        Self {
            cpu: self.cpu.saturating_mul(times),
            memory: self.memory.saturating_mul(times),
            pods: self.pods.saturating_mul(times),
        }
    }

    /// The larger amount of each resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }

    /// The smaller amount of each resource.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.min(other.cpu),
            memory: self.memory.min(other.memory),
            pods: self.pods.min(other.pods),
        }
    }

    /// Whether this much fits into an offer of which so many percent must stay free.
    #[must_use]
    pub fn fits(&self, offer: &Self, margin_percent: u32) -> bool {
        RESOURCES.iter().all(|(_, count_of, _)| {
            count_of(self) <= count_of(offer) - margin(count_of(offer), margin_percent)
        })
    }
}

/// How much of an offered amount must stay free, rounded up.
#[must_use]
pub(super) fn margin(offer: u128, percent: u32) -> u128 {
    offer.saturating_mul(percent.min(100).into()).div_ceil(100)
}

impl Add for Request {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            pods: self.pods.saturating_add(other.pods),
        }
    }
}

impl AddAssign for Request {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// An amount with one decimal place, rounded down: `12.5`.
#[must_use]
pub fn tenths(amount: u128, unit: u128) -> String {
    let tenths = amount.saturating_mul(10) / unit;
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_has_room_up_to_its_margin() {
        let request_of = |cpu, memory, pods| Request { cpu, memory, pods };
        let offer = request_of(1000, 2000, 3000);
        for (request, margin_percent, fits) in [
            (request_of(1000, 2000, 3000), 0, true),
            (request_of(1001, 0, 0), 0, false),
            (request_of(0, 2001, 0), 0, false),
            (request_of(0, 0, 3001), 0, false),
            (request_of(900, 1800, 2700), 10, true),
            (request_of(901, 0, 0), 10, false),
            (request_of(0, 1801, 0), 10, false),
            (request_of(0, 0, 2701), 10, false),
            (request_of(0, 0, 0), 100, true),
            (request_of(1, 0, 0), 100, false),
        ] {
            assert_eq!(request.fits(&offer, margin_percent), fits, "{request:?} {margin_percent} %");
        }
    }

    #[test]
    fn amounts_have_one_decimal_place() {
        for (amount, unit, text) in [(1250, 1000, "1.2"), (12_000, 1000, "12"), (99, 1000, "0"), (0, 1, "0")]
        {
            assert_eq!(tenths(amount, unit), text, "{amount}/{unit}");
        }
    }
}
