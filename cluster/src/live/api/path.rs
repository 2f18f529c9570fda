//! Paths of the API server.

/// The namespace of Crossfade's objects.
pub(in crate::live) const NAMESPACE: &str = "crossfade";
/// The field manager of everything that the holder of a run writes.
pub(in crate::live) const MANAGER: &str = "crossfade";
/// The field manager of commands that ask something of a run that another process holds.
pub(in crate::live) const WISHER: &str = "crossfade-wish";

/// ConfigMaps of Crossfade.
pub(in crate::live) fn config_maps() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps")
}

/// One ConfigMap of Crossfade.
pub(in crate::live) fn config_map(name: &str) -> String {
    format!("{}/{}", config_maps(), encode(name))
}

/// Leases of Crossfade.
pub(in crate::live) fn leases() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")
}

pub(in crate::live) fn node(name: &str) -> String {
    format!("/api/v1/nodes/{}", encode(name))
}

pub(in crate::live) fn pod(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", encode(namespace), encode(name))
}

/// A path with a query: `a=b&c=d`.
pub(in crate::live) fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

/// Text as a part of a path or a query has it.
///
/// *Source*: RFC 3986, 2.3: letters, digits and `-._~` stand for themselves.
pub(in crate::live) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_is_one_word_of_the_query() {
        assert_eq!(encode("eyJ2=+/&"), "eyJ2%3D%2B%2F%26");
        assert_eq!(
            with_query("/api/v1/pods", &[("limit", "500"), ("fieldSelector", "spec.nodeName=b7")]),
            "/api/v1/pods?limit=500&fieldSelector=spec.nodeName%3Db7"
        );
        assert_eq!(with_query("/api/v1/pods", &[]), "/api/v1/pods");
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(
            node("ip-10-0-0-1.eu-west-1.compute.internal"),
            "/api/v1/nodes/ip-10-0-0-1.eu-west-1.compute.internal"
        );
        assert_eq!(pod("x", "a/../b"), "/api/v1/namespaces/x/pods/a%2F..%2Fb");
    }
}
