//! A lab's directory and unique names.
