//! Podman as a second caller.
