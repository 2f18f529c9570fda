//! A caller that behaves like CRI-O.
