//! The parsers under everything that comes from outside: structured inputs, broken ones, and every input that was ever worth keeping.

#[path = "checks/mod.rs"]
pub mod checks;
mod generators;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use checks::{ALL, Check};

/// So many inputs of each kind for each check.
const CASES: u32 = 300;
/// Deeper by far than the stack of a function that calls itself at each level.
const DEEP: usize = 50_000;

/// Where the fuzzers keep what they found, one directory per check.
fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

fn inputs(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = corpus(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("read"))).collect()
}

/// Why a test failed, shown as it is.
struct BrokenInputs(String);

impl fmt::Debug for BrokenInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs a check; what it says when it does not hold, and on which input.
fn held((name, check): Check, input: &[u8]) -> Result<(), String> {
    // While the least input is looked for a check fails a thousand times over.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    std::panic::catch_unwind(|| check(input)).map_err(|text| {
        let text = text.downcast_ref::<String>().map(String::as_str).or(text.downcast_ref::<&str>().copied());
        let shown: String =
            input.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
        format!("{name}: {}\n  input: b\"{shown}\"", text.unwrap_or("no word"))
    })
}

/// Runs every check over inputs of its own and says which did not hold, each with the least input that shows it.
fn run(inputs: impl Fn(&str) -> generators::Inputs) -> Result<(), BrokenInputs> {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let broken: Vec<String> = ALL
        .into_iter()
        .filter_map(|check| {
            let ran = TestRunner::new(config.clone())
                .run(&inputs(check.0), |input| held(check, &input).map_err(TestCaseError::fail));
            match ran.err()? {
                TestError::Fail(why, _) | TestError::Abort(why) => Some(why.to_string()),
            }
        })
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(BrokenInputs(broken.join("\n"))) }
}

#[test]
fn every_kept_input_holds() -> Result<(), BrokenInputs> {
    for check in ALL {
        let inputs = inputs(check.0);
        if inputs.len() < 5 {
            return Err(BrokenInputs(format!("{}: {} inputs are no corpus", check.0, inputs.len())));
        }
        for (path, input) in inputs {
            held(check, &input).map_err(|why| BrokenInputs(format!("{}: {why}", path.display())))?;
        }
    }
    Ok(())
}

#[test]
fn structured_inputs_hold() -> Result<(), BrokenInputs> {
    run(generators::inputs)
}

#[test]
fn broken_structured_inputs_hold() -> Result<(), BrokenInputs> {
    run(|name| generators::broken(generators::inputs(name)))
}

#[test]
fn broken_kept_inputs_hold() -> Result<(), BrokenInputs> {
    run(|name| {
        let kept: Vec<Vec<u8>> = inputs(name).into_iter().map(|(_, input)| input).collect();
        generators::broken(prop::sample::select(kept))
    })
}

/// On the stack of a test's thread, which is a quarter of the program's.
#[test]
fn depth_and_size_are_errors_and_no_overflow() -> Result<(), BrokenInputs> {
    for opening in ["[", "{\"a\":", "{\"plugins\":[", "\\", "\"", "not found "] {
        let deep = opening.repeat(DEEP / opening.len());
        for around in ["", "{\"name\":", "{\"version\":1,\"attachments\":", "CNI_ARGS=", "1"] {
            let input = format!("{around}{deep}");
            // These make a list of what they read, or quote all of it many times over.
            for check in ALL.into_iter().filter(|(name, _)| !["confdir", "history"].contains(name)) {
                held(check, input.as_bytes())
                    .map_err(|_| BrokenInputs(format!("{}: {around}{opening}...", check.0)))?;
            }
        }
    }
    Ok(())
}
