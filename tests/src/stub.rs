//! Scripts for the stub delegates, and their call log.
