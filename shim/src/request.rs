//! The environment and stdin of one call.
