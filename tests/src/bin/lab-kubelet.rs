//! The stand-in kubelet; see `lab::standin::kubelet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match lab::standin::kubelet::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // As kubelet does: the log is all that is seen.
            eprintln!("E command failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
