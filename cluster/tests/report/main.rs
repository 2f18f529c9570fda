//! `report` as a person calls it, on what is kept of a run; and the page in a browser.

mod answers;
mod archive;
mod browser;
mod kept;
#[path = "../cli/run.rs"]
#[expect(dead_code, reason = "the list of clusters is for other tests")]
mod run;
