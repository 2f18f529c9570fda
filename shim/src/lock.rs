//! The lock of one attachment, which outlives a killed shim in its orphans.
