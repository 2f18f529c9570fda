//! One node: installation, policy and sweep.
