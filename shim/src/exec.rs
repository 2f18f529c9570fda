//! Find and run one plugin binary under a deadline, in a process group of its own.
