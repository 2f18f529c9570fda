//! Files with recorded flows, a line for each.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use netpol::flows::Record;
use netpol::flows::record::{EXPECTED, parse};
use types::command::problem::Problem;

use crate::input;

/// Largest line, in bytes. *Source*: none; a flow of Hubble has a few thousand, with the labels of both pods.
const MAX_LINE: u64 = 1 << 20;

/// Hands over all that is in files, where `-` is stdin.
///
/// # Errors
/// The first file that cannot be read, or line that is no flow.
pub(crate) fn read_all(files: &[PathBuf], add: &mut dyn FnMut(Record)) -> Result<(), Problem> {
    files.iter().try_for_each(|file| read_file(file, add))
}

fn read_file(file: &Path, add: &mut dyn FnMut(Record)) -> Result<(), Problem> {
    let name = file.display().to_string();
    let problem = |why: String| {
        Problem::new(format!("{name}: {why}"))
            .with_place(&name)
            .fix("record the flows again: docs/policies.md has the commands, under \"Which real flows would be denied\"")
    };
    if name == "-" {
        return read(std::io::stdin().lock(), add).map_err(problem);
    }
    let open = input::open(file).map_err(|e| problem(e.to_string()))?;
    read(BufReader::with_capacity(1 << 16, open), add).map_err(problem)
}

/// Hands over the record of each line.
fn read(mut input: impl BufRead, add: &mut dyn FnMut(Record)) -> Result<(), String> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let length =
            (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if length == 0 {
            break;
        }
        if length as u64 > MAX_LINE {
            return Err(format!("line {number}: it has more than {} MiB; {EXPECTED}", MAX_LINE >> 20));
        }
        let text = std::str::from_utf8(&line).map_err(|e| format!("line {number}: {e}"))?.trim();
        if !text.is_empty() {
            add(parse(text).map_err(|why| format!("line {number}: {why}"))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
