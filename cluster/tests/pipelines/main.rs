//! The scripts of `deploy/pipelines` and the pages beside them: each script asks before it drains, and the pages show the files as they are.

#[cfg(unix)]
mod scripts;
#[cfg(unix)]
mod standin;

mod examples;
mod pages;
