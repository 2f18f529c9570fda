//! Stand-in for what Calico runs beside its plugin: felix, and the leak collection of kube-controllers.
//!
//! The plugin is the program `lab-calico`; with a `datastore` in its conf it registers its pods there. One `lab-felix` process per node
//! follows the datastore in passes, as measured with Calico 3.31:
//!
//! - A pod's addresses are those of the Pod's status. The plugin's own annotation counts only while there is no status. So where
//!   Calico is a pod's second network, felix routes the *other* network's address into Calico's interface.
//! - In the main table it owns the interfaces of its pods: a route to each address, and no other. Other tables and rules it does not touch.
//! - What arrives from a pod is dropped where its way back is another interface, in both families.
//! - An address that the Pod's status does not name is released as leaked after a grace, while the pod lives.
//!
//! Kubelet's part is the test's: [`Datastore::set_status`] after ADD, [`Datastore::delete_pod`] after DEL. [`Felix::wait_passes`] waits until
//! felix has seen it.

pub mod daemon;
mod datastore;
mod felix;
mod leaks;
pub mod leases;
mod reverse;
mod routes;

pub use datastore::{Allocation, Datastore, Endpoint};
pub use felix::{Felix, Spec, State};
