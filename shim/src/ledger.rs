//! What a forced DEL left behind, one JSON line each.
