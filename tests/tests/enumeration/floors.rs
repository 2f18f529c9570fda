//! How many points there must be. Fewer must not go unnoticed.
//!
//! Each floor is the least that was counted, on an idle machine and on a loaded one, less one in eight: how often a shim looks
//! at a pipe depends on its delegates' timing. VERSION asks nobody, and has no such excuse. Renewed on purpose: `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table
//! says, less one in eight. A shim that makes fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Situation;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 20] = [
    ("ADD old fresh", 1680),
    ("ADD new fresh", 2170),
    ("ADD both fresh", 3900),
    ("DEL old attached", 1130),
    ("DEL new attached", 1560),
    ("DEL both attached", 2370),
    ("DEL both half", 2390),
    ("CHECK old attached", 700),
    ("CHECK new attached", 930),
    ("CHECK both attached", 1340),
    ("GC old attached", 1550),
    ("GC new attached", 1870),
    ("GC both attached", 2280),
    ("GC both lost", 2580),
    ("STATUS old attached", 440),
    ("STATUS new attached", 940),
    ("STATUS both attached", 1120),
    ("VERSION old fresh", 210),
    ("VERSION new fresh", 210),
    ("VERSION both fresh", 210),
];

/// The least number of points of a situation; one that is not in the list may not have any.
pub(crate) fn floor(situation: Situation) -> usize {
    let name = situation.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(usize::MAX, |(_, floor)| *floor)
}
