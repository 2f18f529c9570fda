//! Writes a snapshot file: the same cluster gives the same bytes.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use serde::Serialize;

use super::Header;
use crate::model::{ALL_KINDS, Kind, Snapshot};

/// An object with what it is, as the API writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TypedObject<'a, T> {
    api_version: String,
    kind: &'static str,
    #[serde(flatten)]
    object: &'a T,
}

/// Writes a header and one line for each object, kind by kind, each kind by namespace and name.
///
/// # Errors
/// The output takes no more.
pub fn write(snapshot: &Snapshot, mut out: impl Write) -> io::Result<()> {
    let header = Header {
        crossfade: Header::SNAPSHOT.into(),
        version: Header::VERSION,
        cluster: snapshot.cluster.clone(),
        kinds: snapshot.readings.clone(),
        illegible: snapshot.illegible.clone(),
    };
    line(&mut out, &header)?;
    for kind in ALL_KINDS.iter().map(|row| row.kind) {
        match kind {
            Kind::NODE => write_all(&mut out, kind, &snapshot.nodes)?,
            Kind::POD => write_all(&mut out, kind, &snapshot.pods)?,
            Kind::POD_DISRUPTION_BUDGET => write_all(&mut out, kind, &snapshot.budgets)?,
            Kind::SERVICE => write_all(&mut out, kind, &snapshot.services)?,
            Kind::ENDPOINT_SLICE => write_all(&mut out, kind, &snapshot.endpoint_slices)?,
            _ => {
                write_all(&mut out, kind, snapshot.workloads(kind))?;
                for object in snapshot.objects(kind) {
                    line(&mut out, object.value())?;
                }
            }
        }
    }
    out.flush()
}

/// The same, compressed. The file does not say when and where it was made.
///
/// # Errors
/// The output takes no more.
pub fn write_compressed(snapshot: &Snapshot, out: impl Write) -> io::Result<()> {
    let mut encoder = GzBuilder::new().write(out, Compression::default());
    write(snapshot, &mut encoder)?;
    encoder.finish()?.flush()
}

fn write_all<T: Serialize>(out: &mut impl Write, kind: Kind, objects: &[T]) -> io::Result<()> {
    let (group, version) = kind.served_by()[0];
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    for object in objects {
        line(out, &TypedObject { api_version: api_version.clone(), kind: kind.api_name(), object })?;
    }
    Ok(())
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Collector;
    use crate::read::read;

    const DUMP: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: b, labels: {zone: x}}
spec: {podCIDRs: [10.0.0.0/24], taints: [{key: a, effect: NoSchedule}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: n, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: u, controller: true}]}
spec:
  nodeName: b
  containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 8080}], resources: {requests: {cpu: 100m}}}]
  volumes: [{name: v, emptyDir: {}}]
status: {phase: Running, podIPs: [{ip: 10.0.0.5}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec: {template: {spec: {containers: [{name: calico-node, env: [{name: IP, value: autodetect}]}]}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: d, namespace: n}
spec: {minAvailable: 50%, selector: {matchLabels: {app: x}}}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: n}
spec: {type: NodePort, clusterIPs: [10.96.0.5], ports: [{port: 80, targetPort: http, nodePort: 30000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: n}
addressType: IPv4
endpoints: [{addresses: [10.0.0.5], nodeName: b, conditions: {ready: true}}]
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: pool}
spec: {cidr: 10.0.0.0/16}
"#;

    fn read_back(bytes: &[u8]) -> Snapshot {
        let mut collector = Collector::new();
        read(&mut collector, bytes).expect("read");
        collector.finish(&[])
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let snapshot = read_back(DUMP.as_bytes());
        assert_eq!(snapshot.readings.len(), 7);
        let (mut plain, mut compressed) = (Vec::new(), Vec::new());
        write(&snapshot, &mut plain).expect("written");
        write_compressed(&snapshot, &mut compressed).expect("written");
        assert_eq!(read_back(&plain), snapshot);
        assert_eq!(read_back(&compressed), snapshot);
        let mut again = Vec::new();
        write(&read_back(&plain), &mut again).expect("written");
        assert_eq!(again, plain);
    }
}
