//! The sandboxes that were there before us.
