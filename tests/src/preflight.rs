//! What this machine must have before anything is built or run.
