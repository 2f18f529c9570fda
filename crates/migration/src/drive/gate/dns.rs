//! The gate on the cluster's DNS, by the readiness of its pods.

use std::time::Duration;

use crate::roll::world::{Color, Pod, Trait, Verdict};

/// Green if all DNS pods are Ready, amber if all but one are, red if fewer are, and unknown if there is none at all.
///
/// A pod that is being deleted does not count: another takes its place, and that one does.
#[must_use]
pub fn dns<'a>(pods: impl Iterator<Item = &'a Pod>, now: Duration) -> Verdict {
    let counts = |pod: &&Pod| {
        pod.has_trait(Trait::Dns) && !pod.has_trait(Trait::Finished) && !pod.has_trait(Trait::Terminating)
    };
    let (mut all, mut ready) = (0_usize, 0_usize);
    for pod in pods.filter(counts) {
        all += 1;
        ready += usize::from(pod.has_trait(Trait::Ready));
    }
    let color = match all - ready {
        _ if all == 0 => Color::Unknown,
        0 => Color::Green,
        1 if ready > 0 => Color::Amber,
        _ => Color::Red,
    };
    let why = if all == 0 {
        "no DNS pod is found; name its namespace and labels in the settings: dns".to_owned()
    } else {
        format!("{ready} of {all} DNS pods are ready")
    };
    Verdict { color, checked_at: now, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(traits: &[Trait]) -> Pod {
        Pod { traits: traits.iter().copied().collect(), ..Pod::default() }
    }

    #[test]
    fn one_pod_may_be_missing_if_another_is_ready() {
        use Trait::{Dns, Finished, Ready, Terminating};
        let (ready, missing, other) = (&[Dns, Ready][..], &[Dns][..], &[Ready][..]);
        for (pods, color) in [
            (vec![], Color::Unknown),
            (vec![other], Color::Unknown),
            (vec![ready], Color::Green),
            (vec![missing], Color::Red),
            (vec![ready, ready], Color::Green),
            (vec![ready, missing], Color::Amber),
            (vec![missing, missing], Color::Red),
            (vec![ready, missing, missing], Color::Red),
            (vec![ready, &[Dns, Terminating]], Color::Green),
            (vec![ready, &[Dns, Finished]], Color::Green),
        ] {
            let pods: Vec<Pod> = pods.into_iter().map(pod).collect();
            let verdict = dns(pods.iter(), Duration::from_secs(7));
            assert_eq!((verdict.color, verdict.checked_at.as_secs()), (color, 7), "{pods:?}");
        }
    }
}
