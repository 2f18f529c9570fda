//! The annotations that are removed from one Pod.

/// Annotations of one Pod that are to be removed, with what the Pod said when that was decided. Nothing is removed from a Pod that says
/// something else by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleAnnotations {
    pub namespace: String,
    pub pod: String,
    /// The Pod's UID at the API server.
    pub uid: String,
    /// Key and value of the annotation that names the sandbox.
    pub sandbox: (String, String),
    /// Key and value of the annotation with the address.
    pub address: (String, String),
    /// The keys of the annotations that are removed, these two among them.
    pub keys: Vec<String>,
}
