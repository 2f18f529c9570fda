//! `kubectl-crossfade` as a person calls it: the program itself, on dumps of clusters.

mod arguments;
mod finish;
mod flags;
mod kubectl;
mod output;
mod plan;
mod policies;
mod rbac;
mod roll;
mod run;
mod settings;
mod simulate;
mod snapshots;
mod stragglers;
