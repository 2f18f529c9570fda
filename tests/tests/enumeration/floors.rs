//! How many points there were last time. Fewer must not go unnoticed.
//!
//! Renewed on purpose: run the enumeration, read the table, and write what it says here, a few points lower where a count
//! depends on timing. A shim that makes fewer system calls is a good reason; a trace that sees fewer of them is none.

use crate::point::Scene;

/// `VERB MODE STATE`, and the least number of points.
const FLOORS: [(&str, usize); 1] = [("", 0)];

pub(crate) fn floor(scene: Scene) -> usize {
    let name = scene.to_string();
    FLOORS.iter().find(|(of, _)| *of == name).map_or(0, |(_, floor)| *floor)
}
