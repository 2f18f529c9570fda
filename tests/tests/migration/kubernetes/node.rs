//! The cases: what `crossfade-bootstrap` writes on its Node and reads of its pods.

pub(crate) mod annotations;
pub(crate) mod credentials;
pub(crate) mod leaving;
pub(crate) mod looking;
pub(crate) mod meanwhile;
pub(crate) mod outage;
pub(crate) mod publishing;
pub(crate) mod registration;
pub(crate) mod second;
pub(crate) mod watching;
