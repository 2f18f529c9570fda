//! Only one module writes to the terminal.

use super::sources;

#[test]
fn nobody_else_writes_to_stdout_or_stderr() {
    let ways = ["print!(", "println!(", "dbg!(", "io::stdout(", "io::stderr("];
    for source in sources().iter().filter(|source| !source.path.starts_with("print")) {
        for (index, line) in source.lines() {
            assert!(
                !ways.iter().any(|way| line.contains(way)),
                "{}:{index}: print through print.rs",
                source.path
            );
        }
    }
}
