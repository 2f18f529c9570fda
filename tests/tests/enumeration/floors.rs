//! How many points there must be. Fewer must not go unnoticed.
//!
//! Each floor is the least that was counted, on an idle machine and on a loaded one, less one in eight: how often a shim looks
//! at a pipe depends on its delegates' timing. VERSION asks nobody, and has no such excuse. Renewed on purpose: `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table
//! says, less one in eight. A shim that makes fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Situation;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 20] = [
    ("ADD old fresh", 1640),
    ("ADD new fresh", 2090),
    ("ADD both fresh", 3810),
    ("DEL old attached", 1090),
    ("DEL new attached", 1480),
    ("DEL both attached", 2260),
    ("DEL both half", 2320),
    ("CHECK old attached", 670),
    ("CHECK new attached", 920),
    ("CHECK both attached", 1340),
    ("GC old attached", 1540),
    ("GC new attached", 1790),
    ("GC both attached", 2230),
    ("GC both lost", 2430),
    ("STATUS old attached", 440),
    ("STATUS new attached", 920),
    ("STATUS both attached", 1060),
    ("VERSION old fresh", 210),
    ("VERSION new fresh", 210),
    ("VERSION both fresh", 210),
];

/// The least number of points of a situation; one that is not in the list may not have any.
pub(crate) fn floor(situation: Situation) -> usize {
    let name = situation.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(usize::MAX, |(_, floor)| *floor)
}
