//! Where the built programs are.
