//! How many points there must be. Fewer must not go unnoticed.
//!
//! Each floor is the least that was counted, on an idle machine and on a loaded one, less one in eight: how often a shim looks
//! at a pipe depends on its delegates' timing. VERSION asks nobody, and has no such excuse. Renewed on purpose: `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table
//! says, less one in eight. A shim that makes fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Situation;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 20] = [
    ("ADD old fresh", 2860),
    ("ADD new fresh", 3450),
    ("ADD both fresh", 5800),
    ("DEL old attached", 1290),
    ("DEL new attached", 1790),
    ("DEL both attached", 2860),
    ("DEL both half", 2910),
    ("CHECK old attached", 760),
    ("CHECK new attached", 1090),
    ("CHECK both attached", 1700),
    ("GC old attached", 2050),
    ("GC new attached", 2390),
    ("GC both attached", 3200),
    ("GC both lost", 3600),
    ("STATUS old attached", 640),
    ("STATUS new attached", 1280),
    ("STATUS both attached", 1570),
    ("VERSION old fresh", 210),
    ("VERSION new fresh", 210),
    ("VERSION both fresh", 210),
];

/// The least number of points of a situation; one that is not in the list may not have any.
pub(crate) fn floor(situation: Situation) -> usize {
    let name = situation.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(usize::MAX, |(_, floor)| *floor)
}
