//! Every fix is tried: a cluster that has a finding, the fix carried out as it is printed, and the finding is gone, with nothing new that blocks.

mod table;
mod world;

use std::collections::BTreeSet;

use crate::check::finding::Finding;
use crate::cni::requirements::{PAIRS, for_migration};
use table::{OUTSIDE, ROWS, UNSEEN};
use world::World;

/// A finding, and the way out of it.
struct Row {
    code: &'static str,
    /// The requirement that a finding of requirements is about; empty for any other finding.
    requirement: &'static str,
    /// What makes a good cluster have it.
    change: fn(&mut World),
    fix: Fix,
}

/// Why a state of a requirement is no finding of its own.
enum Exemption {
    /// A requirement is never in this state.
    Never,
    /// This finding says the same, and there is a row for it.
    CoveredBy(&'static str),
}

/// How a fix is carried out.
enum Fix {
    /// The commands, values and manifests, as they are printed.
    Printed,
    /// The same, and what follows in the cluster or in the settings file.
    PrintedThen(fn(&mut World)),
    /// What these words of the fix ask for.
    Edit(&'static str, fn(&mut World)),
    /// An entry of the settings file as it is printed, in place of whose placeholders the second text stands.
    Settings(&'static str, &'static str),
    /// A waiver, where the fix offers one.
    Waiver,
    /// The fix of another finding, which the fix names.
    Of(&'static str),
}

fn find_code<'f>(all: &'f [Finding], code: &str) -> Option<&'f Finding> {
    all.iter().find(|finding| finding.rule.code == code && finding.waived.is_none())
}

/// The finding of a row.
fn found_of<'f>(all: &'f [Finding], row: &Row) -> Option<&'f Finding> {
    let is_about = |finding: &&Finding| {
        row.requirement.is_empty() || finding.objects.iter().any(|object| object.name == row.requirement)
    };
    let mut of_code = all.iter().filter(|finding| finding.rule.code == row.code && finding.waived.is_none());
    of_code.find(is_about)
}

/// What blocks, with the objects that it is about.
fn blocking(all: &[Finding]) -> BTreeSet<(&'static str, String)> {
    let named = |finding: &Finding| {
        let objects: Vec<String> = finding.objects.iter().map(ToString::to_string).collect();
        // A finding without objects is about the cluster.
        if objects.is_empty() {
            vec![(finding.rule.code, String::new())]
        } else {
            objects.into_iter().map(|item| (finding.rule.code, item)).collect()
        }
    };
    all.iter().filter(|finding| finding.blocks()).flat_map(named).collect()
}

/// What is wrong with a row; none if the fix leads out.
fn tried(row: &Row) -> Result<(), String> {
    let mut world = World::new(table::GOOD);
    world.set("backup: {of: the provider}");
    (row.change)(&mut world);
    let before = world.check();
    let codes = |all: &[Finding]| all.iter().map(|item| item.rule.code).collect::<Vec<_>>().join(" ");
    let Some(finding) = found_of(&before, row) else {
        return Err(format!("the cluster does not have it, only {}", codes(&before)));
    };
    let fix = &finding.fix;
    let has = |words: &str| {
        if fix.contains(words) { Ok(()) } else { Err(format!("{words:?} is not in the fix: {fix}")) }
    };
    match row.fix {
        Fix::Printed | Fix::PrintedThen(_) => {
            if world.apply(fix) == 0 {
                return Err(format!("nothing of the fix changes anything: {fix}"));
            }
            if let Fix::PrintedThen(then) = row.fix {
                then(&mut world);
            }
        }
        Fix::Edit(words, edit) => {
            has(words)?;
            edit(&mut world);
        }
        Fix::Settings(printed, filled) => {
            has(printed)?;
            world.set(if filled.is_empty() { printed } else { filled });
        }
        Fix::Waiver => {
            has("waiver")?;
            world.set(&format!("waivers: [{{finding: {}, reason: so}}]", row.code));
        }
        Fix::Of(other) => {
            has(other)?;
            let other = find_code(&before, other).ok_or_else(|| format!("{other} is not found"))?;
            world.apply(&other.fix);
        }
    }
    let after = world.check();
    if let Some(left) = found_of(&after, row) {
        return Err(format!("it is still there after {fix}\n{left:#?}"));
    }
    let new: Vec<_> = blocking(&after).difference(&blocking(&before)).cloned().collect();
    if !new.is_empty() {
        let why: Vec<&str> = after
            .iter()
            .filter(|candidate| candidate.blocks())
            .map(|candidate| candidate.what.as_str())
            .collect();
        return Err(format!("now this blocks: {new:?} {why:?}"));
    }
    Ok(())
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().copied().flatten()
}

#[test]
fn every_fix_leads_out() {
    let to_text = |row: &Row| {
        let result = std::panic::catch_unwind(|| tried(row));
        let result = result.unwrap_or_else(|why| {
            Err(why.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".into()))
        });
        result.err().map(|why| format!("{} {}: {why}", row.code, row.requirement))
    };
    let wrong: Vec<String> = rows().filter_map(to_text).collect();
    assert!(wrong.is_empty(), "{} fixes:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_code_is_tried_or_has_a_reason() {
    let codes: BTreeSet<&str> = crate::check::rules().iter().map(|rule| rule.code).collect();
    let tried: BTreeSet<&str> = rows().map(|row| row.code).collect();
    let outside: BTreeSet<&str> = OUTSIDE.iter().map(|(code, _)| *code).collect();
    assert_eq!(tried.intersection(&outside).collect::<Vec<_>>(), [&""; 0]);
    let all: BTreeSet<&str> = tried.union(&outside).copied().collect();
    assert_eq!(codes.symmetric_difference(&all).collect::<Vec<_>>(), [&""; 0]);
    assert!(OUTSIDE.len() < 12, "a fix that cannot be tried is the exception");
}

/// Each requirement is tried as it is not met and as it is unknown, but where the other list says why no finding is about it.
#[test]
fn every_requirement_is_tried_or_has_a_reason() {
    let tried: BTreeSet<(&str, &str)> =
        rows().filter(|row| !row.requirement.is_empty()).map(|row| (row.requirement, row.code)).collect();
    let unseen: BTreeSet<(&str, &str)> = UNSEEN.iter().map(|(name, code, _)| (*name, *code)).collect();
    assert_eq!(tried.intersection(&unseen).collect::<Vec<_>>(), [&("", ""); 0]);
    let all: BTreeSet<(&str, &str)> = PAIRS
        .iter()
        .flat_map(|pair| for_migration(pair.from, pair.to))
        .flat_map(|row| ["requirement-not-met", "requirement-unknown"].map(|code| (row.name, code)))
        .collect();
    let listed: BTreeSet<(&str, &str)> = tried.union(&unseen).copied().collect();
    assert_eq!(all.symmetric_difference(&listed).collect::<Vec<_>>(), [&("", ""); 0]);
    for (name, code, why) in UNSEEN {
        let Exemption::CoveredBy(other) = why else { continue };
        let mut rows_of = PAIRS.iter().flat_map(|pair| for_migration(pair.from, pair.to));
        let requirement = rows_of.find(|row| row.name == *name).expect("a requirement");
        assert!(
            requirement.found_by.iter().any(|rule| rule.code == *other),
            "{name} {code}: {other} does not hide it"
        );
        assert!(rows().any(|row| row.code == *other), "{name} {code}: {other} is not tried");
    }
}

/// Nothing stands in the way of a good cluster, so that each finding of the table is of what its row changes.
#[test]
fn a_good_cluster_has_nothing_that_blocks() {
    let mut world = World::new(table::GOOD);
    world.set("backup: {of: the provider}");
    assert_eq!(
        world.check().iter().map(|finding| finding.rule.code).collect::<Vec<_>>(),
        ["strategy-host-routes", "dns-order", "join-refused", "tunnel-ports", "values-next"]
    );
}
