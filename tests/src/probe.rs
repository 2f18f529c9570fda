//! The directed probe mesh.
