//! Labels: which ones kubelet takes for its Node, and which ones the API server lets it set.
