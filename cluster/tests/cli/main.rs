//! `kubectl-crossfade` as a person calls it: the program itself, on dumps of clusters.

mod arguments;
mod conversions;
mod dump;
mod flags;
mod formats;
mod golden;
mod inplace;
mod kubectl;
mod matrix;
mod pages;
mod plan;
mod policies;
mod policies_backup;
mod published;
mod rbac;
mod readme;
mod requirements;
mod roll;
mod run;
mod schemas;
mod settings;
mod simulate;
mod snapshot;
mod stragglers;
mod waivers;
