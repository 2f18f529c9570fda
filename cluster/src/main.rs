//! `kubectl-crossfade`: one cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    cluster::main()
}
