//! CRI client: sandboxes through a runtime's socket.
