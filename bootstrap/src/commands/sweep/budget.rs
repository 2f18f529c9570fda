//! The time budget of one pass.

/// How many DELs may hang to their deadline within one pass. The remaining attachments come first in the next pass.
const HANGING_DELS: u64 = 12;

/// No pass takes longer, in seconds, whatever a single DEL may: the unit that `watch` starts is ended after
/// [`LIMIT_SECS`](convergence::node::attachments::last_pass::LIMIT_SECS), and with it the DEL that runs then, unrecorded.
const LONGEST_PASS_SECS: u64 = 840;

/// How long the last part of a pass may wait for the API server, in seconds, the list of the runtime in it left out.
pub(super) const ANNOTATIONS_SECS: u64 = 10;

/// How long one pass may take, in seconds, its last part left out, where a DEL may take `del_secs`.
pub(super) fn pass_secs(del_secs: u64) -> u64 {
    del_secs.saturating_mul(HANGING_DELS).min(LONGEST_PASS_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use convergence::node::attachments::last_pass::LIMIT_SECS;

    #[test]
    fn a_pass_has_time_for_a_dozen_dels_that_hang_and_ends_before_its_unit() {
        assert_eq!(pass_secs(50), 600);
        for del_secs in [1, 70, 71, 840, 900, 3600, u64::MAX] {
            let secs = pass_secs(del_secs);
            // Twice: the runtime has as long for its list as the API server has for everything.
            assert!((1..LIMIT_SECS - 2 * ANNOTATIONS_SECS).contains(&secs), "{del_secs}: {secs}");
        }
    }
}
