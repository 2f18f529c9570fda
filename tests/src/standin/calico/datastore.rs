//! Calico's datastore as files: pods with their endpoints, their statuses, addresses that were given away.
//!
//! ```text
//! pods/NAMESPACE.POD.json       the endpoint and its annotations, by the plugin
//! statuses/NAMESPACE.POD.json   status.podIPs, by the stand-in for kubelet
//! ipam/ADDRESS.json             the allocation and its handle, by the plugin
//! ```

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A workload endpoint. With Kubernetes as the datastore the Pod itself holds it, one for a pod, whatever its interface there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The node it is on.
    pub node: String,
    /// The host's end.
    pub interface: String,
    /// Annotation `containerID`: the sandbox it was made for.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Annotation `podIPs`: the addresses that the plugin gave.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<IpAddr>,
}

/// An address that was given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    pub address: IpAddr,
    /// `NETWORKNAME.CONTAINERID`.
    pub handle: String,
    /// The node it was given on.
    pub node: String,
    /// Namespace of the pod that has it.
    pub namespace: String,
    /// Name of the pod that has it.
    pub pod: String,
    /// Directory of the lease, as host-local keeps it.
    pub store: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Status {
    #[serde(rename = "podIPs")]
    pod_ips: Vec<IpAddr>,
}

#[derive(Debug, Clone)]
pub struct Datastore {
    path: PathBuf,
}

impl Datastore {
    /// Makes an empty one in a directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> Result<Self> {
        for part in ["pods", "statuses", "ipam"] {
            fs::create_dir_all(path.join(part)).context("make a datastore")?;
        }
        Self::open(path)
    }

    /// The one in a directory.
    ///
    /// # Errors
    /// It is not there, in the words of a Calico whose API server does not answer.
    pub fn open(path: &Path) -> Result<Self> {
        let there = path.join("ipam").is_dir();
        ensure!(there, "error getting ClusterInformation: {}: connection refused", path.display());
        Ok(Self { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plays kubelet: `podIPs` of the Pod's status from now on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_status(&self, namespace: &str, pod: &str, pod_ips: &[IpAddr]) -> Result<()> {
        write(&self.file("statuses", namespace, pod), &Status { pod_ips: pod_ips.to_vec() })
    }

    /// `podIPs` of the Pod's status; none before [`Datastore::set_status`].
    ///
    /// # Errors
    /// An unreadable file.
    pub fn status(&self, namespace: &str, pod: &str) -> Result<Option<Vec<IpAddr>>> {
        let status: Option<Status> = read(&self.file("statuses", namespace, pod))?;
        Ok(status.map(|status| status.pod_ips))
    }

    /// Plays the API server: the Pod is deleted, with its status and annotations.
    ///
    /// # Errors
    /// What the file system says.
    pub fn delete_pod(&self, namespace: &str, pod: &str) -> Result<()> {
        remove(&self.file("statuses", namespace, pod))?;
        remove(&self.file("pods", namespace, pod))
    }

    /// Writes an endpoint and the annotations with it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        write(&self.file("pods", &endpoint.namespace, &endpoint.pod), endpoint)
    }

    /// The endpoint of a pod.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn endpoint(&self, namespace: &str, pod: &str) -> Result<Option<Endpoint>> {
        read(&self.file("pods", namespace, pod))
    }

    /// Deletes the endpoint of a pod.
    ///
    /// # Errors
    /// What the file system says.
    pub fn delete_endpoint(&self, namespace: &str, pod: &str) -> Result<()> {
        remove(&self.file("pods", namespace, pod))
    }

    /// Endpoints of a node.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn endpoints(&self, node: &str) -> Result<Vec<Endpoint>> {
        let all: Vec<Endpoint> = self.all("pods")?;
        Ok(all.into_iter().filter(|endpoint| endpoint.node == node).collect())
    }

    /// Notes that an address was given away.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_allocation(&self, allocation: &Allocation) -> Result<()> {
        write(&self.allocation_file(allocation.address), allocation)
    }

    /// Addresses that are given away.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn allocations(&self) -> Result<Vec<Allocation>> {
        self.all("ipam")
    }

    /// Notes that an address is free.
    ///
    /// # Errors
    /// What the file system says.
    pub fn delete_allocation(&self, address: IpAddr) -> Result<()> {
        remove(&self.allocation_file(address))
    }

    fn allocation_file(&self, address: IpAddr) -> PathBuf {
        self.path.join("ipam").join(format!("{address}.json"))
    }

    fn file(&self, part: &str, namespace: &str, pod: &str) -> PathBuf {
        self.path.join(part).join(format!("{namespace}.{pod}.json"))
    }

    fn all<T: DeserializeOwned>(&self, part: &str) -> Result<Vec<T>> {
        let directory = self.path.join(part);
        let mut objects = Vec::new();
        for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let path = entry?.path();
            // A temporary file is a write that is under way; a file may go between the listing and the reading.
            if path.extension().is_some_and(|extension| extension == "json") {
                objects.extend(read(&path)?);
            }
        }
        Ok(objects)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.with_context(|| format!("read {}", path.display()))?,
    };
    let value = serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))?;
    Ok(Some(value))
}

/// Whole or not at all: a reader meanwhile finds the old file or the new one.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let directory = path.parent().context("a file in a directory")?;
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("temporary file in {}", directory.display()))?;
    file.write_all(&serde_json::to_vec(value)?).context("write")?;
    file.persist(path).with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("remove {}", path.display())),
    }
}
