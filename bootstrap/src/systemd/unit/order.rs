//! The order of units at boot: `After=` and `Before=` of all units of a tree.
//!
//! Only what is written is followed, not the order that targets have by default: systemd itself finds the cycles of those.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::relation::{self, Kind};
use super::search::{directories, is_masked};
use super::{read, syntax};
use crate::host::root::{Root, names_in};

/// What a unit's name may end with, of those that others wait for.
const SUFFIXES: [&str; 8] = ["service", "target", "socket", "mount", "automount", "path", "timer", "slice"];

/// The order of a tree's units.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Order {
    /// Per unit the units that it waits for, each with the file that says so.
    after: BTreeMap<String, BTreeMap<String, PathBuf>>,
}

/// One wait of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The unit that waits.
    pub unit: String,
    /// The unit that it waits for.
    pub after: String,
    /// The file that says so, as the node sees it.
    pub source: PathBuf,
}

impl Order {
    /// Reads the units and drop-ins of a tree; what cannot be read says nothing.
    #[must_use]
    pub(crate) fn gather(root: &Root) -> Self {
        let mut order = Self::default();
        let mut names = BTreeSet::new();
        for dir in directories(root) {
            for name in names_in(&root.join(&dir)) {
                let path = dir.join(&name);
                if let Some(unit) = name.strip_suffix(".d").filter(|unit| is_unit(unit)) {
                    for file in names_in(&root.join(&path)).iter().filter(|file| file.ends_with(".conf")) {
                        // The first of several places counts.
                        if names.insert(format!("{name}/{file}")) {
                            order.read(root, unit, &path.join(file));
                        }
                    }
                } else if is_unit(&name) && names.insert(name.clone()) {
                    order.read(root, &name, &path);
                }
            }
        }
        order
    }

    fn read(&mut self, root: &Root, unit: &str, file: &Path) {
        if root.chase(file).is_none_or(|real| is_masked(root, &real)) {
            return;
        }
        for assignment in syntax::parse(&read(root, file).unwrap_or_default()) {
            if assignment.section != "Unit" {
                continue;
            }
            for relation in relation::relations(&assignment, unit, file) {
                match relation.kind {
                    Kind::After => self.add(unit, &relation.unit, file),
                    Kind::Before => self.add(&relation.unit, unit, file),
                    Kind::Wants | Kind::Requires => {}
                }
            }
        }
    }

    fn add(&mut self, unit: &str, after: &str, source: &Path) {
        let waits = self.after.entry(unit.into()).or_default();
        waits.entry(after.into()).or_insert_with(|| source.into());
    }

    /// The shortest chain of waits from `unit` to `other`; none where it does not wait for it.
    #[must_use]
    pub(crate) fn chain(&self, unit: &str, other: &str) -> Option<Vec<Step>> {
        let mut predecessors: BTreeMap<&str, (&str, &Path)> = BTreeMap::new();
        let mut todo = VecDeque::from([unit]);
        while let Some(current) = todo.pop_front() {
            for (next, source) in self.after.get(current).into_iter().flatten() {
                if next == unit && other != unit || predecessors.contains_key(next.as_str()) {
                    continue;
                }
                predecessors.insert(next, (current, source));
                if next == other {
                    return Some(walk_back(&predecessors, unit, other));
                }
                todo.push_back(next);
            }
        }
        None
    }
}

/// The steps that led to `other`, in their order.
fn walk_back(predecessors: &BTreeMap<&str, (&str, &Path)>, unit: &str, other: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut current = other;
    while let Some((before, source)) = predecessors.get(current) {
        steps.push(Step { unit: (*before).into(), after: current.into(), source: source.into() });
        current = before;
        if current == unit {
            break;
        }
    }
    steps.reverse();
    steps
}

fn is_unit(name: &str) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().expect("scratch");
        for (path, text) in files {
            let path = dir.path().join("usr/lib/systemd/system").join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, text).expect("unit");
        }
        let root = Root::new(dir.path());
        (dir, root)
    }

    #[test]
    fn a_chain_goes_over_both_words_and_over_drop_ins() {
        let (_dir, root) = tree(&[
            ("a.service", "[Unit]\nAfter=b.target x.service\n"),
            ("c.service", "[Unit]\nBefore=b.target\n"),
            ("c.service.d/10.conf", "[Unit]\nAfter=d.service\n[Service]\nAfter=e.service\n"),
        ]);
        let order = Order::gather(&root);
        let chain = order.chain("a.service", "d.service").expect("a waits for d");
        let steps: Vec<_> = chain.iter().map(|step| format!("{}>{}", step.unit, step.after)).collect();
        assert_eq!(steps, ["a.service>b.target", "b.target>c.service", "c.service>d.service"]);
        assert!(chain[2].source.ends_with("c.service.d/10.conf"));
        for other in ["e.service", "a.service", "absent.service"] {
            assert_eq!(order.chain("a.service", other), None, "{other}");
        }
    }

    #[test]
    fn a_unit_that_waits_for_itself_is_told_by_which_way() {
        let (_dir, root) =
            tree(&[("a.service", "[Unit]\nAfter=b.service\n"), ("b.service", "[Unit]\nAfter=a.service\n")]);
        let chain = Order::gather(&root).chain("a.service", "a.service");
        assert_eq!(chain.map(|steps| steps.len()), Some(2));
    }

    #[test]
    fn of_several_files_of_a_name_the_first_place_s_counts() {
        let (dir, root) = tree(&[("a.service", "[Unit]\nAfter=b.service\n")]);
        let etc = dir.path().join("etc/systemd/system");
        fs::create_dir_all(&etc).expect("directory");
        fs::write(etc.join("a.service"), "[Unit]\nAfter=c.service\n").expect("unit");
        let order = Order::gather(&root);
        assert!(order.chain("a.service", "c.service").is_some());
        assert_eq!(order.chain("a.service", "b.service"), None);
    }
}
