//! Formats, schemas, and what the documentation shows of the output.

pub(crate) mod formats;
pub(crate) mod inplace;
pub(crate) mod pages;
pub(crate) mod readme;
pub(crate) mod schemas;
