//! docs/finish.md: the old network goes, object by object, after a run.

use anyhow::Result;
use lab::walk::Walk;

use crate::inplace;
use crate::place::Place;

const PAGE: &str = "finish.md";

pub(crate) fn a_moved_cluster_loses_its_old_network_as_the_page_says() -> Result<()> {
    let mut place = Place::new()?;
    inplace::deploy(&place)?;
    place.crossfade()?;
    let mut run = Walk::with_names(&["HASH"]);
    for step in ["14. Plan", "15. Move the scouts", "16. Move the rest"] {
        run.follow(inplace::PAGE, Some(step), &mut place)?;
    }
    place.may_finish()?;
    let mut walk = Walk::with_names(&["HASH"]);
    let fence = "3. Fence the old agents off";
    for step in ["1. See what is left to do", "2. Give the new CNI its final settings", fence] {
        walk.follow(PAGE, Some(step), &mut place)?;
    }
    place.flannel_runs(false)?;
    walk.follow(PAGE, Some("4. Open the fence again, if you have to"), &mut place)?;
    place.flannel_runs(true)?;
    walk.follow(PAGE, Some(fence), &mut place)?;
    place.flannel_runs(false)?;
    for step in ["5. Begin the soak", "6. Remove the old CNI", "7. Clean the nodes that stay"] {
        walk.follow(PAGE, Some(step), &mut place)?;
    }
    place.is_clean()?;
    walk.follow(PAGE, Some("8. Do what the last lines name"), &mut place)?;
    walk.expect_whole(PAGE)
}
