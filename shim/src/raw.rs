//! Foreign JSON as ordered (key, raw value) pairs.
