//! How many points there must be. Fewer must not go unnoticed.
//!
//! Each floor is the number that was counted, less one in twenty: how often a shim looks at a pipe depends on its delegates'
//! timing. Renewed on purpose: `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table
//! says, less one in twenty. A shim that makes fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Scene;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 19] = [
    ("ADD old fresh", 2160),
    ("ADD new fresh", 2750),
    ("ADD both fresh", 4230),
    ("DEL old attached", 1270),
    ("DEL new attached", 1750),
    ("DEL both attached", 2610),
    ("DEL both half", 2630),
    ("CHECK old attached", 790),
    ("CHECK new attached", 1150),
    ("CHECK both attached", 1490),
    ("GC old attached", 1900),
    ("GC new attached", 2240),
    ("GC both attached", 2650),
    ("STATUS old attached", 520),
    ("STATUS new attached", 1200),
    ("STATUS both attached", 1410),
    ("VERSION old fresh", 200),
    ("VERSION new fresh", 200),
    ("VERSION both fresh", 200),
];

/// The least number of points of a scene; one that is not in the list may not have any.
pub(crate) fn floor(scene: Scene) -> usize {
    let name = scene.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(usize::MAX, |(_, floor)| *floor)
}
