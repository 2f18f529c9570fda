//! Requests to the API server, and what comes back.

pub(super) mod answer;
pub(super) mod call;
pub(super) mod connect;
pub(super) mod error;
pub(super) mod failure;
pub(super) mod list;
pub(super) mod pace;
pub(super) mod path;
pub(super) mod request_log;
pub(super) mod server;
#[cfg(test)]
pub(super) mod test_server;
pub(super) mod warning;
pub(super) mod watch;
