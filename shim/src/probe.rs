//! Is a network ready? Local and bounded.
