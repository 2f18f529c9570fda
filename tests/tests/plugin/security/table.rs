//! docs/security.md names the test of every defence, as pages of docs/proof do for other faults; here the names are held to the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::trials;

trials![every_named_test_exists, every_test_of_this_program_is_named, every_threat_is_answered];

/// Pages beside docs/security.md that name tests by their paths.
const PROOFS: [&str; 2] = ["docs/proof/check.md", "docs/proof/roll.md"];

fn page(file: &str) -> Result<String> {
    fs::read_to_string(lab::build::dist::workspace().join(file)).with_context(|| file.to_owned())
}

fn document() -> Result<String> {
    page("docs/security.md")
}

/// Every `program::topic::test` of the document.
fn named(document: &str) -> BTreeSet<String> {
    let is_path = |text: &&str| {
        text.split("::").count() >= 3
            && text.split("::").all(|part| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            })
    };
    document.split('`').filter(is_path).map(str::to_owned).collect()
}

/// Where the sources of a package are that has unit tests.
fn sources_of(package: &str) -> Option<String> {
    match package {
        "types" | "shim" | "bootstrap" | "cluster" => Some(format!("{package}/src")),
        "convergence" | "snapshot" | "netpol" | "migration" | "simulation" => {
            Some(format!("crates/{package}/src"))
        }
        _ => None,
    }
}

/// The entries of a directory.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// The folder of a program of the lab, in whichever group it is.
fn folder_of(program: &str) -> Result<PathBuf> {
    let groups = entries(&lab::build::dist::workspace().join("tests/tests"))?;
    let mut folders = groups.into_iter().map(|group| group.join(program));
    folders.find(|folder| folder.is_dir()).with_context(|| format!("no {program} in tests/tests"))
}

/// The source of a topic: of the program's own, or of one of its groups.
fn topic_of(program: &Path, topic: &str) -> Result<String> {
    let file = format!("{topic}.rs");
    let groups = entries(program)?;
    let texts = groups.iter().map(|group| group.join(&file)).chain([program.join(&file)]);
    texts
        .map(fs::read_to_string)
        .find_map(Result::ok)
        .with_context(|| format!("no {file} in {}", program.display()))
}

/// Holds when there is such a test: `contract::trust::NAME` is one of tests/tests/plugin/contract/input/trust.rs, and
/// `shim::host::trust::tests::NAME` is a unit test of shim/src/host/trust.rs or shim/src/host/trust/tests.rs, as those of other packages are, and
/// `migration::plan::tests::drifts::NAME` of crates/migration/src/plan/tests/drifts.rs.
fn exists(name: &str) -> Result<()> {
    let parts: Vec<&str> = name.split("::").collect();
    let workspace = lab::build::dist::workspace();
    let read = |file: String| {
        fs::read_to_string(workspace.join(&file)).with_context(|| format!("{name}: no {file}"))
    };
    let sources = parts.first().and_then(|package| sources_of(package));
    match (sources, parts.as_slice()) {
        (Some(sources), [_, path @ .., "tests", test]) => {
            // Beside the code, or in a file of their own.
            let module = format!("{sources}/{}", path.join("/"));
            let beside = read(format!("{module}.rs"))?.contains(&format!("#[test]\n    fn {test}()"));
            let apart = || {
                read(format!("{module}/tests.rs"))
                    .is_ok_and(|text| text.contains(&format!("#[test]\nfn {test}()")))
            };
            ensure!(beside || apart(), "{name}: no such unit test");
        }
        (Some(sources), [_, path @ .., test]) if path.contains(&"tests") => {
            let text = read(format!("{sources}/{}.rs", path.join("/")))?;
            ensure!(text.contains(&format!("#[test]\nfn {test}()")), "{name}: no such unit test");
        }
        (Some(_), [package, ..]) => bail!("{name}: a unit test is named {package}::PATH::tests::NAME"),
        (None, [program, topic, test]) => {
            let text = folder_of(program)
                .and_then(|folder| topic_of(&folder, topic))
                .with_context(|| name.to_owned())?;
            // A function that no list names does not compile.
            let is_function = text.contains(&format!("fn {test}("));
            let spelt_out = text.contains(&format!("trial(\"{test}\","));
            ensure!(is_function || spelt_out, "{name}: no such test in that file");
        }
        _ => bail!("{name}: expected PROGRAM::TOPIC::TEST"),
    }
    Ok(())
}

/// A test that was renamed or removed is noticed here.
fn every_named_test_exists() -> Result<()> {
    let names = named(&document()?);
    ensure!(names.len() > 60, "only {} tests are named", names.len());
    names.iter().try_for_each(|name| exists(name))?;
    for file in PROOFS {
        let names = named(&page(file)?);
        ensure!(names.len() > 10, "{file} names {} tests", names.len());
        names.iter().try_for_each(|name| exists(name)).with_context(|| file.to_owned())?;
    }
    for absent in [
        "security::table::no_such_test",
        "shim::host::trust::tests::no_such_test",
        "security::none::x",
        "shim::x::y",
        "migration::plan::tests::drifts::no_such_test",
    ] {
        ensure!(exists(absent).is_err(), "{absent} is taken for a test");
    }
    Ok(())
}

/// A defence that is tested is in the table.
fn every_test_of_this_program_is_named() -> Result<()> {
    let names = named(&document()?);
    for trial in crate::all_trials() {
        let name = format!("security::{}", trial.name());
        ensure!(names.contains(&name), "docs/security.md does not name {name}");
    }
    Ok(())
}

/// S1 to S33, each with a row.
fn every_threat_is_answered() -> Result<()> {
    let document = document()?;
    for number in 1..=33 {
        let row = format!("| S{number} |");
        ensure!(document.matches(&row).count() == 1, "expected one row {row}");
    }
    Ok(())
}
