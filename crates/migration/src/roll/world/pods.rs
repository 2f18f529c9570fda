//! The pods that are known, by UID and by node.

use std::collections::{BTreeMap, BTreeSet};

use snapshot::model::Text;

use super::Pod;

/// Pods that can be found by their UID, and by the node that they are on.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    by_uid: BTreeMap<Text, Pod>,
    /// UIDs by node; those of pods without a node by the empty name.
    on: BTreeMap<Text, BTreeSet<Text>>,
}

impl Pods {
    /// The pod with this UID.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&Pod> {
        self.by_uid.get(uid)
    }

    /// All of them, by UID.
    pub fn values(&self) -> impl Iterator<Item = &Pod> {
        self.by_uid.values()
    }

    /// Those on a node, by UID; with the empty name those that have no node yet.
    pub fn on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.on.get(node).into_iter().flatten().filter_map(|uid| self.by_uid.get(uid))
    }

    /// A pod as it is now, whether or not it is known.
    pub fn put(&mut self, pod: Pod) {
        let (uid, node) = (pod.uid.clone(), pod.node.clone());
        let before = self.by_uid.insert(uid.clone(), pod);
        if let Some(before) = before.filter(|before| before.node != node) {
            self.leave(&before.node, &uid);
        }
        self.on.entry(node).or_default().insert(uid);
    }

    /// The pod with this UID is gone.
    pub fn remove(&mut self, uid: &str) {
        if let Some(pod) = self.by_uid.remove(uid) {
            self.leave(&pod.node, uid);
        }
    }

    fn leave(&mut self, node: &str, uid: &str) {
        if let Some(on) = self.on.get_mut(node) {
            on.remove(uid);
            if on.is_empty() {
                self.on.remove(node);
            }
        }
    }
}

impl FromIterator<Pod> for Pods {
    fn from_iter<I: IntoIterator<Item = Pod>>(pods: I) -> Self {
        let mut all = Self::default();
        pods.into_iter().for_each(|pod| all.put(pod));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, node: &str) -> Pod {
        Pod { uid: uid.into(), node: node.into(), ..Pod::default() }
    }

    fn on<'a>(pods: &'a Pods, node: &str) -> Vec<&'a str> {
        pods.on(node).map(|pod| &*pod.uid).collect()
    }

    #[test]
    fn a_pod_is_on_the_node_that_it_was_put_on_last() {
        let mut pods: Pods = [pod("1", ""), pod("2", "a"), pod("3", "a")].into_iter().collect();
        assert_eq!((on(&pods, ""), on(&pods, "a")), (vec!["1"], vec!["2", "3"]));
        pods.put(pod("1", "a"));
        assert_eq!((on(&pods, ""), on(&pods, "a")), (vec![], vec!["1", "2", "3"]));
        pods.remove("2");
        pods.remove("2");
        assert_eq!(on(&pods, "a"), ["1", "3"]);
        assert!(pods.get("2").is_none() && pods.get("3").is_some());
    }
}
