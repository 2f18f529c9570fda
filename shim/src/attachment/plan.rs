//! Decides which networks attach a pod, under which ifname and in which order. Pure.

use types::policy::{Attach, Both, SecondaryFailure, Side};

/// One network's part in an ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegPlan {
    /// The policy's network.
    pub side: Side,
    /// The network's interface in the pod.
    pub ifname: String,
    /// Whether the network's result is the reply to the runtime.
    pub primary: bool,
    /// Whether the pod may start without this network.
    pub tolerated: bool,
}

/// The networks of an ADD. DEL calls them in reverse order, by the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The networks in the order of ADD. The owner of the default route comes last.
    pub legs: Vec<LegPlan>,
}

/// Decides an ADD.
///
/// | attach | primary | default route | legs in order (the primary gets `CNI_IFNAME`) |
/// |---|---|---|---|
/// | old, new | | | that network |
/// | both | old | new | old, new |
/// | both | old | old | new, old |
/// | both | new | old | new, old |
/// | both | new | new | old, new |
///
/// `taken` holds the interface names in use, in the netns and in this container's other attachments.
#[must_use]
pub fn decide_add(attach: Attach, both: &Both, ifname: &str, taken: &[String]) -> Plan {
    let sides = match attach {
        Attach::One(side) => {
            let leg = LegPlan { side, ifname: ifname.to_owned(), primary: true, tolerated: false };
            return Plan { legs: vec![leg] };
        }
        Attach::Both => [both.default_route().other(), both.default_route()],
    };
    let legs = sides.map(|side| {
        let primary = side == both.primary();
        LegPlan {
            side,
            ifname: if primary {
                ifname.to_owned()
            } else {
                free_ifname(&both.secondary_ifname, ifname, taken)
            },
            primary,
            tolerated: !primary && both.secondary_failure == SecondaryFailure::Tolerate,
        }
    });
    Plan { legs: legs.into() }
}

impl Plan {
    /// The same plan without the secondary network, which the pod tolerates to lack and which cannot be attached now.
    #[must_use]
    pub fn primary_alone(&self) -> Self {
        Self { legs: self.legs.iter().filter(|leg| leg.primary).cloned().collect() }
    }
}

/// The name `wanted`, or the next netN that neither the runtime nor another attachment uses.
fn free_ifname(wanted: &str, ifname: &str, taken: &[String]) -> String {
    let free = |name: &str| name != ifname && !taken.iter().any(|other| other == name);
    if free(wanted) {
        return wanted.to_owned();
    }
    // The range has one name more than are in use, so one of them is free.
    let mut candidates = (1..=taken.len() + 2).map(|n| format!("net{n}"));
    candidates.find(|name| free(name)).unwrap_or_else(|| wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(primary: Side, default_route: Side) -> Both {
        Both { primary: Some(primary), default_route: Some(default_route), ..Both::default() }
    }

    fn shown(plan: &Plan) -> Vec<(Side, &str, bool)> {
        plan.legs.iter().map(|leg| (leg.side, leg.ifname.as_str(), leg.primary)).collect()
    }

    #[test]
    fn the_owner_of_the_default_route_is_attached_last_whoever_is_primary() {
        use Side::{New, Old};
        for (primary, owner, expected) in [
            (Old, New, [(Old, "eth0", true), (New, "net1", false)]),
            (Old, Old, [(New, "net1", false), (Old, "eth0", true)]),
            (New, Old, [(New, "eth0", true), (Old, "net1", false)]),
            (New, New, [(Old, "net1", false), (New, "eth0", true)]),
        ] {
            let plan = decide_add(Attach::Both, &both(primary, owner), "eth0", &[]);
            assert_eq!(shown(&plan), expected);
            assert_eq!(shown(&plan.primary_alone()), [(primary, "eth0", true)]);
        }
        for side in Side::BOTH {
            let plan = decide_add(Attach::One(side), &both(Old, New), "eth0", &[]);
            assert_eq!(shown(&plan), [(side, "eth0", true)]);
        }
    }

    #[test]
    fn only_a_secondary_is_tolerated_and_only_if_the_policy_says_so() {
        use SecondaryFailure::{Fail, Tolerate};
        for (secondary_failure, expected) in [(Fail, [false, false]), (Tolerate, [true, false])] {
            let both = Both { secondary_failure, ..both(Side::Old, Side::Old) };
            let plan = decide_add(Attach::Both, &both, "eth0", &[]);
            assert_eq!(plan.legs.iter().map(|leg| leg.tolerated).collect::<Vec<_>>(), expected);
            assert!(!decide_add(Attach::One(Side::New), &both, "eth0", &[]).legs[0].tolerated);
        }
    }

    #[test]
    fn a_taken_secondary_ifname_gives_way_to_the_next_free_one() {
        let secondary = |ifname: &str, taken: &[&str]| {
            let taken: Vec<String> = taken.iter().map(|name| (*name).to_owned()).collect();
            let plan = decide_add(Attach::Both, &both(Side::Old, Side::New), ifname, &taken);
            plan.legs[1].ifname.clone()
        };
        assert_eq!(secondary("eth0", &["lo"]), "net1");
        assert_eq!(secondary("eth0", &["net1"]), "net2");
        assert_eq!(secondary("eth0", &["net1", "net2", "net4"]), "net3");
        assert_eq!(secondary("net1", &[]), "net2", "the runtime's own name is taken");
    }
}
