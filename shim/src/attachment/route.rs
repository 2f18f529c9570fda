//! The routing step of both-mode, over rtnetlink in the pod's netns.
//!
//! A pod with two networks must answer on each address through the interface it belongs to, must have one default per
//! family, and must reach each network's CIDRs from that network's own address. The *first* network is the one attached
//! first; the *owner* of the default route is attached last, so that its plugin finds main without a default.
//!
//! | when | what |
//! |---|---|
//! | after the first's ADD | its routes copied to table 1001, a rule of priority 1001 for unmarked packets from each of its addresses, then its default out of main, and its host route to a link-local next hop, which the owner's plugin may be about to make as well |
//! | after the owner's ADD | the same in 1002 for the owner, whose routes stay in main; a route per CIDR in main; a default or next hop that the owner did not give comes back |
//! | rollback, DEL | `undo`: the first's default and next hop back in main, tables, rules and CIDR routes gone |
//! | before a network joins a running pod | main copied to table 1000, a rule of priority 1000 for unmarked packets, then the default out of main |
//! | after its ADD | both steps above, then main as it was, and the pin gone |
//! | a network leaves a running pod | `leave`: tables, rules and CIDR routes gone; the staying network's routes in main are never touched |
//!
//! Addresses and routes are read from the kernel, never from a CNI result: Calico's result names no gateway. Each call is
//! one straight line: gather ([`pod_state`]), decide ([`decide`], pure), apply. All calls may be repeated after any
//! interruption. The step recognizes its own routes and rules by number: the two tables, rules of that priority to that table, and routes in main
//! with its protocol number. It removes no other route, except those that it withholds. It skips an interface that is absent or down.
//!
//! A router advertisement that arrives later on the first network would put that network's IPv6 default back into main.
//! So if the owner has an IPv6 default, the step makes the first interface ignore further ones (`accept_ra_defrtr`, kernel documentation
//! ip-sysctl). The setting ends with the interface, so `undo` does not change it. Not covered: an address from a router advertisement after the
//! step has no rule.

mod budget;
mod decide;
pub(crate) mod entry;
mod pod_state;
pub mod rtnl;
mod rule;

use std::fmt;
use std::io;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::RuleHeader;
use nix::errno::Errno;

use crate::host::netns::Netns;
pub use budget::Budget;
use decide::RouteChange;
use pod_state::{Address, InterfaceList, PodRoutes};
use rtnl::{Link, Rtnl, RtnlRequest, emit};
use rule::Rule;
use types::attachment::PodInterface;

/// The largest number of failures that an error names one by one, because a pod can cause thousands.
const MOST_NAMED: usize = 8;

pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
pub(crate) const RTM_GETROUTE: u16 = 26;
pub(crate) const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_DELRULE: u16 = 33;
pub(crate) const RTM_GETRULE: u16 = 34;

/// One network in the pod: its interface, and the destinations that belong to it.
#[derive(Debug, Clone, Copy)]
pub struct RouteSide<'a> {
    /// The name of the interface in the netns.
    pub ifname: &'a str,
    /// The network's `cidrs` of the policy, of both families.
    pub cidrs: &'a [IpNetwork],
}

/// The changes of routes that failed, each with the kernel's error.
///
/// *Shape* of its text: `add default via 10.1.0.1 dev eth0 table 1001: Network is unreachable (os error 101)`, several
/// joined by `; `.
#[derive(Debug)]
pub struct RouteError {
    failures: Vec<(String, io::Error)>,
}

impl RouteError {
    /// One failed attempt as text, and its error.
    pub(crate) fn new(attempted: String, error: io::Error) -> Self {
        Self { failures: vec![(attempted, error)] }
    }

    /// # Errors
    /// The failures, if there are any.
    pub(crate) fn unless_empty(failures: Vec<(String, io::Error)>) -> Result<(), Self> {
        if failures.is_empty() { Ok(()) } else { Err(Self { failures }) }
    }

    fn gathering(error: io::Error) -> Self {
        Self::new("read interfaces and routes of the pod".to_owned(), error)
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (attempted, error)) in self.failures.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            write!(f, "{separator}{attempted}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RouteError {}

/// A pod's interfaces and their addresses, read once, for callers that need no more of them and for the route step, which goes on from there.
#[derive(Debug)]
pub struct PodView<'a> {
    rtnl: Rtnl<'a>,
    interfaces: InterfaceList,
}

impl<'a> PodView<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// An error of the kernel, or that there is more than `budget` allows to read.
    pub fn look(netns: &Netns, budget: Budget<'a>) -> Result<Self, RouteError> {
        let mut rtnl = Rtnl::open(netns, budget).map_err(RouteError::gathering)?;
        let interfaces = InterfaceList::gather(&mut rtnl).map_err(RouteError::gathering)?;
        Ok(Self { rtnl, interfaces })
    }

    /// Those interfaces that have one of these `names`, in the order of the names, each with its addresses.
    #[must_use]
    pub fn interfaces_named(&self, names: &[&str]) -> Vec<PodInterface> {
        let link = |name: &&str| self.interfaces.links.iter().find(|link| link.name == **name);
        names.iter().filter_map(link).map(|link| with_addresses(link, &self.interfaces.addresses)).collect()
    }

    /// The step between the first network's ADD and the owner's.
    ///
    /// # Errors
    /// The changes that the kernel refused. If an addition failed, nothing was removed.
    pub fn apply_after_first(self, first: &RouteSide<'_>) -> Result<(), RouteError> {
        let (mut rtnl, facts) = self.with_routes()?;
        let changes = decide::changes_after_first(&facts, first);
        apply(&mut rtnl, &facts, &changes, OnFailure::Stop)
    }

    /// The step after the owner's ADD, in the same `netns`.
    ///
    /// # Errors
    /// The changes that the kernel refused. If an addition failed, nothing was removed.
    pub fn apply_after_owner(
        self,
        netns: &Netns,
        first: &RouteSide<'_>,
        owner: &RouteSide<'_>,
    ) -> Result<(), RouteError> {
        let (mut rtnl, mut facts) = self.with_routes()?;
        if decide::owner_has_ipv6_default(&facts, first, owner) && heed_no_router(netns, first.ifname) {
            // The facts are read again, because a router advertisement may have arrived before the setting changed.
            facts = PodRoutes::gather(&mut rtnl).map_err(RouteError::gathering)?;
        }
        let changes = decide::changes_after_owner(&facts, first, owner);
        apply(&mut rtnl, &facts, &changes, OnFailure::Stop)
    }

    fn with_routes(self) -> Result<(Rtnl<'a>, PodRoutes), RouteError> {
        let Self { mut rtnl, interfaces } = self;
        let facts = interfaces.with_routes(&mut rtnl).map_err(RouteError::gathering)?;
        Ok((rtnl, facts))
    }
}

/// Those interfaces of a pod that have one of these `names`, in the order of the names, each with its addresses.
///
/// # Errors
/// An error of the kernel, or that there is more than `budget` allows to read.
pub fn interfaces(netns: &Netns, names: &[&str], budget: Budget<'_>) -> io::Result<Vec<PodInterface>> {
    let mut rtnl = Rtnl::open(netns, budget)?;
    let mut links = Vec::new();
    for name in names {
        // One by one, because the kernel takes longer to list a pod's few interfaces than to find the one or two that a call needs.
        links.extend(rtnl.link_named(name)?);
    }
    let addresses = pod_state::addresses(&mut rtnl)?;
    Ok(links.iter().map(|link| with_addresses(link, &addresses)).collect())
}

fn with_addresses(link: &Link, addresses: &[Address]) -> PodInterface {
    let own = addresses.iter().filter(|address| address.index == link.index);
    PodInterface { name: link.name.clone(), addresses: own.map(|address| address.ip).collect() }
}

/// The rules and tables of the two steps that are missing, as text: the rule from each address of a network, and the table that it leads to.
/// `first` and `owner` are the recorded interfaces; one without a record is not checked.
///
/// # Errors
/// As [`interfaces`].
pub fn missing_routes(
    netns: &Netns,
    first: Option<&PodInterface>,
    owner: Option<&PodInterface>,
    budget: Budget<'_>,
) -> io::Result<Vec<String>> {
    let facts = PodRoutes::gather(&mut Rtnl::open(netns, budget)?)?;
    Ok(decide::missing_routes(&facts, first, owner))
}

/// Removes the changes of both steps, in any state that they or a SIGKILL left. A second call changes nothing.
///
/// A pod may have filled Crossfade's tables with routes. So the defaults are restored first. Then routes are removed as far as the budget allows, and
/// the others end with the netns.
///
/// # Errors
/// All changes that the kernel refused, or that the budget is used up. All other changes are done.
pub fn undo(
    netns: &Netns,
    first_ifname: &str,
    owner_ifname: &str,
    budget: Budget<'_>,
) -> Result<(), RouteError> {
    change(netns, budget, OnFailure::GoOn, |facts| decide::undo(facts, first_ifname, owner_ifname))
}

/// Keeps a running pod's routes in force while another network's plugins work in the pod: see [`join`].
///
/// # Errors
/// As [`join`].
pub fn pin(netns: &Netns, stays: &str, budget: Budget<'_>) -> Result<(), RouteError> {
    change(netns, budget, OnFailure::Stop, |facts| decide::pin(facts, stays))
}

/// The route step after the ADD of a network that joins a running pod, whose routes are pinned. It makes what the two steps of an ADD make in a pod
/// of which `joins` is attached first and `stays` owns the default route.
///
/// # Errors
/// The changes that the kernel refused. If an addition failed, nothing was removed.
pub fn join(
    netns: &Netns,
    joins: &RouteSide<'_>,
    stays: &RouteSide<'_>,
    budget: Budget<'_>,
) -> Result<(), RouteError> {
    PodView::look(netns, budget)?.apply_after_first(joins)?;
    // The default of the staying network comes back only now: beside another one, IPv6 would use both.
    change(netns, budget, OnFailure::Stop, decide::restore)?;
    PodView::look(netns, budget)?.apply_after_owner(netns, joins, stays)?;
    change(netns, budget, OnFailure::Stop, decide::unpin)
}

/// Removes the changes of both steps and of [`pin`] before the DEL of a network that leaves a running pod, in any state that they or a SIGKILL left.
/// The routes of the network that `stays` remain. A second call changes nothing.
///
/// # Errors
/// All changes that the kernel refused, or that the budget is used up. All other changes are done.
pub fn leave(netns: &Netns, leaves: &str, stays: &str, budget: Budget<'_>) -> Result<(), RouteError> {
    change(netns, budget, OnFailure::GoOn, |facts| decide::leave(facts, leaves, stays))
}

/// What other programs have made in a pod whose only network has the interface `ours`, as text: interfaces that are up and not among `known`,
/// policy rules, and default routes by another interface.
///
/// # Errors
/// As [`interfaces`].
pub fn foreign_names(
    netns: &Netns,
    own_names: &[&str],
    ours: &str,
    budget: Budget<'_>,
) -> io::Result<Vec<String>> {
    let mut rtnl = Rtnl::open(netns, budget)?;
    let mut names = decide::foreign_names(&PodRoutes::gather(&mut rtnl)?, own_names, ours);
    let rules = rtnl.dump(RTM_GETRULE, &emit(&RuleHeader::default()), RTM_NEWRULE, Rule::parse_foreign)?;
    names.extend(rules.iter().map(|priority| format!("a rule of priority {priority}")));
    Ok(names)
}

/// Gathers, decides and applies in one conversation.
fn change(
    netns: &Netns,
    budget: Budget<'_>,
    on_failure: OnFailure,
    decide: impl FnOnce(&PodRoutes) -> Vec<RouteChange>,
) -> Result<(), RouteError> {
    let mut rtnl = Rtnl::open(netns, budget).map_err(RouteError::gathering)?;
    if on_failure == OnFailure::GoOn {
        rtnl = rtnl.leaving_out_excess();
    }
    let facts = PodRoutes::gather(&mut rtnl).map_err(RouteError::gathering)?;
    apply(&mut rtnl, &facts, &decide(&facts), on_failure)
}

/// Makes the interface ignore defaults from router advertisements. Returns whether it accepted them before.
fn heed_no_router(netns: &Netns, ifname: &str) -> bool {
    match netns.switch_off(ifname, "accept_ra_defrtr") {
        Ok(changed) => changed,
        Err(error) => {
            // Only a router that has not advertised itself yet could still change the routes.
            tracing::warn!(ifname, error = %error, "accept_ra_defrtr not set to 0");
            false
        }
    }
}

/// Whether removals still happen after a failed addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnFailure {
    Stop,
    GoOn,
}

fn apply(
    rtnl: &mut Rtnl<'_>,
    facts: &PodRoutes,
    changes: &[RouteChange],
    on_failure: OnFailure,
) -> Result<(), RouteError> {
    let mut failures = Vec::new();
    for batch in changes.chunk_by(|change, next| change.is_addition() == next.is_addition()) {
        if on_failure == OnFailure::Stop && !failures.is_empty() {
            break;
        }
        let requests: Vec<RtnlRequest> = batch.iter().map(request).collect();
        match rtnl.batch(&requests) {
            Ok(refused) => failures.extend(
                refused
                    .into_iter()
                    .filter(|(position, error)| !already_so(batch[*position].is_addition(), error))
                    .take(MOST_NAMED)
                    .map(|(position, error)| (describe(&batch[position], facts), error)),
            ),
            Err(error) => failures.push(("change routes of the pod".to_owned(), error)),
        }
    }
    RouteError::unless_empty(failures)
}

fn request(change: &RouteChange) -> RtnlRequest {
    // Routes are appended and not added exclusively: to an exclusive request, IPv4 refuses a second default of one metric even by another interface,
    // and the restored default must not depend on whether the owner's is already gone.
    let (message_type, flags, body) = match change {
        RouteChange::AddRoute(route) => (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, emit(route.message())),
        RouteChange::AddRule(rule) => (RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, emit(&rule.message())),
        RouteChange::RemoveRoute(route) => (RTM_DELROUTE, 0, emit(route.without_attributes().message())),
        RouteChange::RemoveRule(rule) => (RTM_DELRULE, 0, emit(&rule.to_message())),
    };
    RtnlRequest { message_type, flags, body }
}

/// Whether the error means that the change is already done: the route exists, or an interface is gone with its routes.
pub(crate) fn already_so(is_addition: bool, error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    if is_addition {
        errno == Some(Errno::EEXIST)
    } else {
        matches!(errno, Some(Errno::ESRCH | Errno::ENOENT | Errno::ENODEV))
    }
}

fn describe(change: &RouteChange, facts: &PodRoutes) -> String {
    let name = |index| facts.name(index);
    match change {
        RouteChange::AddRoute(route) => format!("add route {}", route.describe(name)),
        RouteChange::AddRule(rule) => format!("add rule {}", rule.describe()),
        RouteChange::RemoveRoute(route) => format!("remove route {}", route.describe(name)),
        RouteChange::RemoveRule(rule) => format!("remove rule {}", rule.describe()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_already_so_is_no_failure() {
        for (errno, after_add, after_remove) in [
            (Errno::EEXIST, true, false),
            (Errno::ESRCH, false, true),
            (Errno::ENOENT, false, true),
            (Errno::ENODEV, false, true),
            (Errno::ENETUNREACH, false, false),
            (Errno::EPERM, false, false),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(already_so(true, &error), after_add, "add: {errno}");
            assert_eq!(already_so(false, &error), after_remove, "remove: {errno}");
        }
        let elsewhere = io::Error::other("no errno at all");
        assert!(!already_so(true, &elsewhere) && !already_so(false, &elsewhere));
    }

    #[test]
    fn an_error_says_every_attempt_and_the_kernels_word() {
        let failures = vec![
            ("add rule from 10.1.0.2 to table 1001".to_owned(), Errno::EPERM.into()),
            ("add route default dev eth0".to_owned(), Errno::ENETDOWN.into()),
        ];
        assert_eq!(
            RouteError { failures }.to_string(),
            "add rule from 10.1.0.2 to table 1001: Operation not permitted (os error 1); \
             add route default dev eth0: Network is down (os error 100)"
        );
    }
}
