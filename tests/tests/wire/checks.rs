//! CHECK asks every network: one that has lost its interface is named.

use anyhow::{Context, Result, ensure};

use crate::matrix::Case;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::world::{Kind, Side, world};

/// Right after ADD all is well; then one network's interface loses its addresses, and CHECK fails with that network's name.
pub(crate) fn names_the_network_that_is_broken(kinds: [Kind; 2], owner: Side, id: &str) -> Result<()> {
    let world = world()?;
    for broken in Side::BOTH {
        let case = Case { owner, ..Case::of(kinds) };
        let name = format!("{id}-{}", broken.name());
        let mut pod = case.pod(world, &name, Space::pod(&name)?)?;
        pod.add(world)?;
        pod.check(world)?;
        pod.space.ip(&format!("address flush dev {} scope global", case.ifname(broken)))?;
        let refusal = pod.call(world, "CHECK", &pod.netns())?.error().context("CHECK of a broken pod")?;
        let named = |side: Side| refusal.text().contains(&case.network(side).name());
        ensure!(named(broken) && !named(broken.other()), "{broken:?} is broken: {refusal:?}");
        leave(Leave::Orderly, world, pod)?;
    }
    Ok(())
}
