//! The objects that are listed and watched.

use crate::live::api::path::with_query;

/// After how many seconds the API server ends a watch. It sends a bookmark two seconds before.
///
/// *Source*: Kubernetes 1.34, `apiserver/pkg/storage/cacher/cache_watcher.go` (`nextBookmarkTime`).
pub(super) const ENDS_AFTER: u64 = 20;

/// A path, and which of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct Source {
    path: String,
    selectors: Vec<(&'static str, String)>,
}

impl Source {
    /// All objects of a path.
    pub(in crate::live) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), selectors: Vec::new() }
    }

    /// Those whose fields have these values: `spec.nodeName=b7`.
    pub(in crate::live) fn fields(mut self, selector: impl Into<String>) -> Self {
        self.selectors.push(("fieldSelector", selector.into()));
        self
    }

    /// Those whose labels have these values: `k8s-app=kube-dns`.
    pub(in crate::live) fn labels(mut self, selector: impl Into<String>) -> Self {
        self.selectors.push(("labelSelector", selector.into()));
        self
    }

    fn query<'a>(&'a self, more: &[(&'a str, &'a str)]) -> String {
        let selectors = self.selectors.iter().map(|(key, value)| (*key, value.as_str()));
        with_query(&self.path, &selectors.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// The path of a page with at most `limit` objects. The first one has no continuation.
    pub(super) fn page(&self, limit: usize, next: &str) -> String {
        let limit = limit.to_string();
        let more = [("limit", &*limit), ("continue", next)];
        self.query(if next.is_empty() { &more[..1] } else { &more })
    }

    /// The path of a watch of what happens after a version.
    pub(super) fn watch(&self, version: &str) -> String {
        let ends = ENDS_AFTER.to_string();
        self.query(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &ends),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_listed_and_watched_with_its_selectors() {
        let pods = Source::new("/api/v1/pods").fields("spec.nodeName=b7");
        assert_eq!(pods.page(500, ""), "/api/v1/pods?fieldSelector=spec.nodeName%3Db7&limit=500");
        assert_eq!(
            pods.page(50, "a="),
            "/api/v1/pods?fieldSelector=spec.nodeName%3Db7&limit=50&continue=a%3D"
        );
        assert_eq!(
            Source::new("/x").labels("a=b,c=d").watch("41"),
            "/x?labelSelector=a%3Db%2Cc%3Dd&watch=true&allowWatchBookmarks=true&resourceVersion=41&timeoutSeconds=20"
        );
    }
}
