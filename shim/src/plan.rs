//! Who attaches, under which ifname and in which order: pure decisions.
