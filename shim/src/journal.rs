//! Journald logging that never blocks and never fails.
