//! CHECK asks every network, and looks at what was attached: one that has lost an address is named, or its address is.

use anyhow::{Context, Result, ensure};

use crate::matrix::Case;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::tables::homes;
use crate::topology::{Kind, Side, topology};

/// Right after ADD all is well; then one network's interface loses its IPv6 address, and CHECK fails with that network's name, or, where
/// the plugin's own CHECK is empty, with the address.
///
/// With its last IPv4 address an interface would lose its routes too, the default perhaps, which the other's plugin may miss first.
pub(crate) fn names_the_network_that_is_broken(kinds: [Kind; 2], owner: Side, id: &str) -> Result<()> {
    let topology = topology()?;
    for broken in Side::BOTH {
        let case = Case { owner, ..Case::of(kinds) };
        let name = format!("{id}-{}", broken.name());
        let mut pod = case.pod(topology, &name, Space::pod(&name)?)?;
        pod.add(topology)?;
        pod.check(topology)?;
        pod.space.ip(&format!("-6 address flush dev {} scope global", case.ifname(broken)))?;
        let refusal = pod.call(topology, "CHECK", &pod.netns())?.error().context("CHECK of a broken pod")?;
        let named = |side: Side| {
            let address = homes(&case, &pod, side, false).next().map(|home| home.address.to_string());
            let names = [Some(case.network(side).name()), address];
            names.into_iter().flatten().any(|name| refusal.text().contains(&name))
        };
        ensure!(named(broken) && !named(broken.other()), "{broken:?} is broken: {refusal:?}");
        leave(Leave::Orderly, topology, pod)?;
    }
    Ok(())
}
