//! The policy file: who gives a pod its network.
