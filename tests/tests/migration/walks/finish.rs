//! docs/whole-path.md, from a cluster without Crossfade to one with nothing of the old network, and docs/finish.md on the way.

use anyhow::{Result, ensure};
use lab::walk::Walk;

use crate::inplace;
use crate::place::Place;

const PAGE: &str = "finish.md";
const PATH: &str = "whole-path.md";

pub(crate) fn a_cluster_goes_the_whole_path_as_the_pages_say() -> Result<()> {
    let mut place = Place::new()?;
    inplace::deploy(&place)?;
    place.write_manifests()?;
    let mut walk = Walk::with_names(&["PLAN", "HASH"]);
    for chapter in ["Before", "During"] {
        walk.follow(PATH, Some(chapter), &mut place)?;
    }
    place.may_finish()?;
    end_the_old_network(&mut walk, &mut place)?;
    for step in [
        "7. Give the new CNI its final settings",
        "8. Fence the old agents off",
        "9. Begin the soak",
        "10. Remove the old CNI",
        "11. Clean the nodes",
        "12. Take away what only names the old CNI",
    ] {
        walk.hold(PATH, step)?;
    }
    place.may_administer()?;
    let pods = place.pods()?;
    walk.follow(PATH, Some("13. Let Crossfade leave the nodes"), &mut place)?;
    place.is_left()?;
    ensure!(place.pods()? == pods, "{:?} were {pods:?}", place.pods()?);
    walk.follow(PATH, Some("14. Let Crossfade leave the cluster"), &mut place)?;
    [PAGE, PATH].iter().try_for_each(|page| walk.expect_whole(page))
}

/// docs/finish.md, whose fence is closed, opened and closed again.
fn end_the_old_network(walk: &mut Walk, place: &mut Place) -> Result<()> {
    let fence = "3. Fence the old agents off";
    for step in ["1. See what is left to do", "2. Give the new CNI its final settings", fence] {
        walk.follow(PAGE, Some(step), place)?;
    }
    place.flannel_runs(false)?;
    walk.follow(PAGE, Some("4. Open the fence again, if you have to"), place)?;
    place.flannel_runs(true)?;
    walk.follow(PAGE, Some(fence), place)?;
    place.flannel_runs(false)?;
    for step in ["5. Begin the soak", "6. Remove the old CNI", "7. Clean the nodes that stay"] {
        walk.follow(PAGE, Some(step), place)?;
    }
    place.is_clean()?;
    walk.follow(PAGE, Some("8. Do what the last lines name"), place)
}
