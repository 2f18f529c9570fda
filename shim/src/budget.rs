//! Deadlines: one per verb, shared out over what is left to run.
