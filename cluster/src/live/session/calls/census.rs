//! Counts all pods: those that run with the pod network, by node, and what all of them request.

use migration::drive::objects::count_pod;
use migration::roll::world::{Census, Hosts};

use crate::live::api::call::Caller;
use crate::live::api::watch::{Source, pages};

/// Counts them. Each page is let go before the next one is asked for.
///
/// # Errors
/// Why they cannot be counted.
pub(in crate::live) async fn census(caller: &Caller, hosts: &Hosts) -> Result<Census, String> {
    let empty_census = Census { started_at: caller.clock().now(), ..Census::default() };
    let mut census = empty_census.clone();
    let mut wrong = None;
    let mut count = |item: Option<&str>| match item.map(count_pod) {
        // The list begins anew.
        None => census.clone_from(&empty_census),
        Some(Ok(Some(pod))) => census.count(pod, hosts),
        Some(Ok(None)) => {}
        Some(Err(why)) => wrong = Some(why),
    };
    pages(caller, &Source::new("/api/v1/pods"), &mut count).await.map_err(|why| why.to_string())?;
    match wrong {
        None => Ok(census),
        Some(why) => Err(why),
    }
}
