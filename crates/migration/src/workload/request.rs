//! The requests of pods, as the scheduler counts them.

use std::collections::HashMap;
use std::ops::Add;

use snapshot::model::{Container, PodSpec};

use crate::workload::capacity::Request;

/// Reads what pods request. Pods of one template share their lists of containers, so each list is read once.
#[derive(Debug, Default)]
pub struct Requests {
    cache: HashMap<*const Container, Request>,
}

impl Requests {
    /// What a pod requests: the sum of its containers, but at least what its largest init container does, and itself.
    ///
    /// *Source*: Kubernetes documentation, "Init Containers", "Resource sharing within containers". Init containers that keep running count as others
    /// do, so the sum may be too small for pods with such sidecars.
    pub fn read(&mut self, spec: &PodSpec) -> Request {
        let running = self.list(&spec.containers, Request::add);
        let before = self.list(&spec.init_containers, Request::max);
        Request { pods: Request::POD.pods, ..running.max(before) }
    }

    fn list(&mut self, containers: &[Container], join: fn(Request, Request) -> Request) -> Request {
        let Some(first) = containers.first() else { return Request::default() };
        let read = || {
            containers
                .iter()
                .map(|container| Request::from_resources(&container.resources.requests))
                .fold(Request::default(), join)
        };
        *self.cache.entry(std::ptr::from_ref(first)).or_insert_with(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_requests_its_containers_or_its_largest_init_container() {
        let spec = |init: &str| -> PodSpec {
            let container = |cpu: &str| {
                format!(r#"{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}","memory":"1Ki"}}}}}}"#)
            };
            let text = format!(
                r#"{{"containers":[{},{}],"initContainers":[{}]}}"#,
                container("100m"),
                container("200m"),
                container(init)
            );
            serde_json::from_str(&text).expect("a template")
        };
        let mut requests = Requests::default();
        for (init, cpu) in [("50m", 300), ("1", 1000)] {
            let spec = spec(init);
            assert_eq!(requests.read(&spec), Request { cpu, memory: 2_048_000, pods: 1000 }, "{init}");
            // The second time it is remembered.
            assert_eq!(requests.read(&spec).cpu, cpu);
            requests.cache.clear();
        }
    }
}
