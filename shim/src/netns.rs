//! A pod's network namespace: identity, entry and return.
