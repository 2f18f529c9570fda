//! A node: mount, net and pid namespaces of its own.
