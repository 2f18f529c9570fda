//! Durable writes and bounded reads.
