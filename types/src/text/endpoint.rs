//! The endpoint of a container runtime.

use std::path::Path;

/// The path of an endpoint: `unix:///path`, or the path alone.
#[must_use]
pub fn socket(endpoint: &str) -> &Path {
    Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
}
