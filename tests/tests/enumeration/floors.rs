//! How many points there must be. Fewer must not go unnoticed.
//!
//! Each floor is the number that was counted, less one in twenty: how often a shim looks at a pipe depends on its delegates'
//! timing. Renewed on purpose: `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table
//! says, less one in twenty. A shim that makes fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Scene;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 19] = [
    ("ADD old fresh", 3120),
    ("ADD new fresh", 3720),
    ("ADD both fresh", 5360),
    ("DEL old attached", 1390),
    ("DEL new attached", 1940),
    ("DEL both attached", 2780),
    ("DEL both half", 2810),
    ("CHECK old attached", 840),
    ("CHECK new attached", 1210),
    ("CHECK both attached", 1600),
    ("GC old attached", 2280),
    ("GC new attached", 2610),
    ("GC both attached", 2960),
    ("STATUS old attached", 690),
    ("STATUS new attached", 1410),
    ("STATUS both attached", 1690),
    ("VERSION old fresh", 210),
    ("VERSION new fresh", 210),
    ("VERSION both fresh", 210),
];

/// The least number of points of a scene; one that is not in the list may not have any.
pub(crate) fn floor(scene: Scene) -> usize {
    let name = scene.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(usize::MAX, |(_, floor)| *floor)
}
