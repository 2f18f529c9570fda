//! What kubelet registers its Node with: labels and taints, and what kubelet and the API server say about them.

pub mod label;
pub mod taint;
