//! The straight line of every verb.
