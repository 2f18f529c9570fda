//! The least numbers of points. Fewer must not go unnoticed.
//!
//! Each floor is the least that was counted, on an idle machine and on a loaded one, less one in eight: how often a shim looks
//! at a pipe depends on its delegates' timing. VERSION calls no delegate, so its count does not vary for that reason. Renewed on purpose:
//! `CROSSFADE_ENUMERATE=none make enumerate` counts without playing; write here what its table says, less one in eight. A shim that makes
//! fewer system calls is a good reason to; a trace that sees fewer of them is none.

use crate::point::Situation;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 24] = [
    ("ADD old fresh", 1540),
    ("ADD new fresh", 1930),
    ("ADD both fresh", 3810),
    ("DEL old attached", 920),
    ("DEL new attached", 1220),
    ("DEL both attached", 2070),
    ("DEL both half", 2160),
    ("CHECK old attached", 560),
    ("CHECK new attached", 750),
    ("CHECK both attached", 1150),
    ("GC old attached", 1450),
    ("GC new attached", 1690),
    ("GC both attached", 2170),
    ("GC both lost", 2380),
    ("STATUS old attached", 350),
    ("STATUS new attached", 750),
    ("STATUS both attached", 930),
    ("VERSION old fresh", 93),
    ("VERSION new fresh", 93),
    ("VERSION both fresh", 93),
    ("JOIN live attached", 3990),
    ("JOIN live half", 4460),
    ("LEAVE live attached", 2120),
    ("LEAVE live half", 1900),
];

/// The least number of points of a situation; one that is not in the list may not have any.
pub(crate) fn floor(situation: Situation) -> usize {
    let name = situation.to_string();
    FLOORS.iter().find(|(situation_name, _)| *situation_name == name).map_or(usize::MAX, |(_, floor)| *floor)
}
