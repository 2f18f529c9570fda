//! Boot identity and the clocks that survive a wall-clock jump.
