//! One outer mount, net and pid namespace around a whole lab process.
