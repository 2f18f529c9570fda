//! The pod of a call, and the runtime handlers of pods.

/// Handlers whose sandboxes use the kernel's network namespace as it is, so that an interface which comes later is one of the pod's: runc, and what is
/// called as runc is.
pub const RUNC_HANDLERS: [&str; 2] = ["runc", "crun"];

/// The pod of a call, as far as `CNI_ARGS` names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// `K8S_POD_NAME`.
    pub name: Option<String>,
}

impl Pod {
    /// Reads `K=V;K=V`. A part that is no pair is ignored, because the delegates get the string verbatim and may read it.
    ///
    /// A key with two different values counts as absent, because one of the values may be forged.
    #[must_use]
    pub fn from_args(args: &str) -> Self {
        Self { namespace: value(args, "K8S_POD_NAMESPACE"), name: value(args, "K8S_POD_NAME") }
    }

    /// `K8S_POD_UID` of the same arguments: containerd and CRI-O send it, and nothing that the plugin decides depends on it.
    #[must_use]
    pub fn uid(args: &str) -> Option<String> {
        value(args, "K8S_POD_UID")
    }
}

/// The value of a key.
fn value(args: &str, key: &str) -> Option<String> {
    let mut value: Option<&str> = None;
    for pair in args.split(';') {
        let Some((k, v)) = pair.split_once('=') else {
            continue;
        };
        if k == key && !v.is_empty() {
            if value.is_some_and(|earlier| earlier != v) {
                return None;
            }
            value = Some(v);
        }
    }
    value.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_arguments_are_read_leniently_and_ambiguity_decides_nothing() {
        let pod = Pod::from_args("IgnoreUnknown=1;X=a=b;JUNK;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME=p1;");
        assert_eq!(pod, Pod { namespace: Some("ns1".into()), name: Some("p1".into()) });
        let twice = Pod::from_args("K8S_POD_NAME=p1;K8S_POD_NAME=p2;K8S_POD_NAMESPACE=n;K8S_POD_NAMESPACE=n");
        assert_eq!(twice, Pod { namespace: Some("n".into()), name: None });
        assert_eq!(Pod::uid("K8S_POD_NAME=p1;K8S_POD_UID=1f2e3d4c-1"), Some("1f2e3d4c-1".into()));
        assert_eq!(Pod::uid("K8S_POD_UID=1;K8S_POD_UID=2"), None);
    }
}
