//! Decides which networks attach a pod, under which ifname and in which order.

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
pub fn decide_add(attach: Attach, both: &Both, ifname: &str, used_names: &[String]) -> Plan {
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
                free_ifname(&both.secondary_ifname, ifname, used_names)
            },
            primary,
            tolerated: !primary && both.secondary_failure == SecondaryFailure::Tolerate,
        }
    });
    Plan { legs: legs.into() }
}

/// One network of a pod that runs, by its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetwork {
    /// The policy's network; none if the policy has no such network.
    pub side: Option<Side>,
    /// Whether the pod's status has the network's addresses.
    pub primary: bool,
    /// Whether the pod has the network; false if its DEL is owed, because an ADD or a DEL of it did not end.
    pub attached: bool,
    /// Whether the pod's default route is by the network.
    pub default_route: bool,
    /// Whether the node has routes of Crossfade's to the network's addresses.
    pub host_route: bool,
}

/// How a pod that runs comes to the networks that the policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodChange {
    /// It has them.
    Keep,
    /// This network joins it.
    Join(Side),
    /// Its second network leaves it.
    Leave,
    /// Only another sandbox can have them.
    Restart(RestartReason),
}

/// Why a pod cannot come to its networks while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartReason {
    /// The address in its status would change.
    Primary,
    /// The ADD of its primary did not end, or a DEL of it has begun.
    Unfinished,
    /// Its default route would change.
    DefaultRoute,
    /// Its second network is not one of the policy's.
    Unknown,
    /// The node has routes of its own to the addresses of both networks, which one of them cannot do without.
    HostRoute,
}

impl RestartReason {
    /// The reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "the address in its status would change",
            Self::Unfinished => "the ADD of its primary did not end, or a DEL of it has begun",
            Self::DefaultRoute => "its default route would change",
            Self::Unknown => "its second network is not one of the policy's",
            Self::HostRoute => {
                "the node routes its addresses itself, which has to begin and end with the sandbox"
            }
        }
    }
}

/// Decides about a pod that runs.
///
/// | primary | second network | the policy names | change |
/// |---|---|---|---|
/// | another than the policy's | any | any | restart |
/// | the policy's, whose ADD or DEL did not end | any | any | restart |
/// | the policy's | none | one network | keep |
/// | the policy's | none | both | join |
/// | the policy's | attached | both | keep |
/// | the policy's | attached | one network | leave |
/// | the policy's | its ADD or DEL did not end | both | join |
/// | the policy's | its ADD or DEL did not end | one network | leave |
///
/// A pod whose default route is by another network than the policy says, or by the one that would leave, is restarted as well. So is a pod whose
/// second network has to come again and owns the default route: a network that joins never gets it.
#[must_use]
pub fn decide_change(networks: &[PodNetwork], attach: Attach, both: &Both) -> PodChange {
    let primary = match attach {
        Attach::One(side) => side,
        Attach::Both => both.primary(),
    };
    match networks.iter().find(|network| network.primary && network.side == Some(primary)) {
        None => return PodChange::Restart(RestartReason::Primary),
        Some(network) if !network.attached => return PodChange::Restart(RestartReason::Unfinished),
        Some(_) => {}
    }
    let joins = primary.other();
    let second_owns_default = both.default_route() == joins;
    match (networks.iter().find(|network| !network.primary), attach) {
        (Some(second), _) if second.host_route && !(second.attached && attach == Attach::Both) => {
            PodChange::Restart(RestartReason::HostRoute)
        }
        (None, Attach::One(_)) => PodChange::Keep,
        (None, Attach::Both) if second_owns_default => PodChange::Restart(RestartReason::DefaultRoute),
        (None, Attach::Both) => PodChange::Join(joins),
        (Some(second), Attach::Both) if second.side != Some(joins) => {
            PodChange::Restart(RestartReason::Unknown)
        }
        (Some(second), Attach::Both) if second.default_route != second_owns_default => {
            PodChange::Restart(RestartReason::DefaultRoute)
        }
        (Some(second), Attach::Both) if second.attached => PodChange::Keep,
        (Some(_), Attach::Both) if second_owns_default => PodChange::Restart(RestartReason::DefaultRoute),
        (Some(_), Attach::Both) => PodChange::Join(joins),
        (Some(second), Attach::One(_)) if second.default_route => {
            PodChange::Restart(RestartReason::DefaultRoute)
        }
        (Some(_), Attach::One(_)) => PodChange::Leave,
    }
}

impl Plan {
    /// The same plan without the secondary network, which the pod tolerates to lack and which cannot be attached now.
    #[must_use]
    pub fn primary_alone(&self) -> Self {
        Self { legs: self.legs.iter().filter(|leg| leg.primary).cloned().collect() }
    }
}

/// The name `wanted`, or the next netN that neither the runtime nor another attachment uses.
fn free_ifname(base_name: &str, ifname: &str, used_names: &[String]) -> String {
    let free = |name: &str| name != ifname && !used_names.iter().any(|other| other == name);
    if free(base_name) {
        return base_name.to_owned();
    }
    // The range has one name more than are in use, so one of them is free.
    let mut candidates = (1..=used_names.len() + 2).map(|n| format!("net{n}"));
    candidates.find(|name| free(name)).unwrap_or_else(|| base_name.to_owned())
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
    fn the_owner_of_the_default_route_is_attached_last_with_either_primary() {
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

    fn network(side: Side, primary: bool) -> PodNetwork {
        PodNetwork { side: Some(side), primary, attached: true, default_route: primary, host_route: false }
    }

    #[test]
    fn a_pod_is_restarted_only_if_its_primary_changes() {
        use Side::{New, Old};
        let (single, two) = (
            |side| vec![network(side, true)],
            |side: Side| vec![network(side, true), network(side.other(), false)],
        );
        let half = |side: Side| {
            vec![network(side, true), PodNetwork { attached: false, ..network(side.other(), false) }]
        };
        let primary = PodChange::Restart(RestartReason::Primary);
        for (networks, attach, change) in [
            (single(Old), Attach::One(Old), PodChange::Keep),
            (single(Old), Attach::Both, PodChange::Join(New)),
            (two(Old), Attach::Both, PodChange::Keep),
            (two(Old), Attach::One(Old), PodChange::Leave),
            (half(Old), Attach::Both, PodChange::Join(New)),
            (half(Old), Attach::One(Old), PodChange::Leave),
            (single(Old), Attach::One(New), primary),
            (single(New), Attach::Both, primary),
            (two(New), Attach::Both, primary),
            (two(Old), Attach::One(New), primary),
            (Vec::new(), Attach::One(Old), primary),
            (
                vec![PodNetwork { attached: false, ..network(Old, true) }],
                Attach::Both,
                PodChange::Restart(RestartReason::Unfinished),
            ),
        ] {
            assert_eq!(decide_change(&networks, attach, &both(Old, Old)), change, "{networks:?} {attach:?}");
        }
        assert_eq!(decide_change(&single(New), Attach::Both, &both(New, New)), PodChange::Join(Old));
    }

    #[test]
    fn what_would_move_the_default_route_or_is_not_known_means_a_restart() {
        use Side::{New, Old};
        let two = |second: PodNetwork| vec![network(Old, true), second];
        let second = || network(New, false);
        let owner = || PodNetwork { default_route: true, ..second() };
        for (networks, attach, owner_by_policy, reason) in [
            (vec![network(Old, true)], Attach::Both, New, Some(RestartReason::DefaultRoute)),
            (two(second()), Attach::Both, New, Some(RestartReason::DefaultRoute)),
            (two(owner()), Attach::Both, New, None),
            (
                two(PodNetwork { attached: false, ..owner() }),
                Attach::Both,
                New,
                Some(RestartReason::DefaultRoute),
            ),
            (two(owner()), Attach::One(Old), New, Some(RestartReason::DefaultRoute)),
            (two(PodNetwork { side: None, ..second() }), Attach::Both, Old, Some(RestartReason::Unknown)),
            (
                two(PodNetwork { host_route: true, ..second() }),
                Attach::One(Old),
                Old,
                Some(RestartReason::HostRoute),
            ),
            (two(PodNetwork { host_route: true, ..second() }), Attach::Both, Old, None),
        ] {
            let expected = reason.map_or(PodChange::Keep, PodChange::Restart);
            assert_eq!(
                decide_change(&networks, attach, &both(Old, owner_by_policy)),
                expected,
                "{networks:?}"
            );
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
