//! The sandbox image, made by hand.
