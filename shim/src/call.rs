//! One call of the plugin: what is asked, the verbs, and the answer.

pub mod reply;
pub mod request;
pub mod serve;
pub mod version;
