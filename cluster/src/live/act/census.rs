//! Counts all pods that run with the pod network, by node.

use std::collections::BTreeMap;

use crate::live::call::Caller;
use crate::live::watch::{Source, pages};
use crate::model::Text;
use crate::roll::world::Census;
use crate::seen::running_on;

/// Counts them. Each page is let go before the next one is asked for.
///
/// # Errors
/// Why they cannot be counted.
pub(in crate::live) async fn census(caller: &Caller) -> Result<Census, String> {
    let at = caller.clock().now();
    let mut running: BTreeMap<Text, u32> = BTreeMap::new();
    let mut wrong = None;
    let mut count = |item: Option<&str>| match item.map(running_on) {
        // The list begins anew.
        None => running.clear(),
        Some(Ok(Some(node))) => *running.entry(node).or_default() += 1,
        Some(Ok(None)) => {}
        Some(Err(why)) => wrong = Some(why),
    };
    pages(caller, &Source::new("/api/v1/pods"), &mut count).await.map_err(|why| why.to_string())?;
    match wrong {
        None => Ok(Census { at, running }),
        Some(why) => Err(why),
    }
}
