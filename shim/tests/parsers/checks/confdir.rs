//! The runtime's conf directory: the same confs in the same order as the reference library finds them.
//!
//! *Input*: one file per line, `NAME<TAB>CONTENT`; a name that ends in `/` is a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

// By its path: depending on the package would have it compile what it speaks to container runtimes with.
#[path = "../../../../bootstrap/src/node/conf/confdir.rs"]
pub mod reader;

/// So many files at most are made for one input.
const FILES: usize = 12;

/// Checks any bytes as a listing.
pub fn check(data: &[u8]) {
    let listing = String::from_utf8_lossy(data);
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in listing.lines().take(FILES) {
        let (name, content) = line.split_once('\t').unwrap_or((line, ""));
        let plain = name.trim_end_matches('/');
        let there = entries.iter().any(|(other, _)| other.trim_end_matches('/') == plain);
        if !plain.is_empty()
            && plain.len() <= 200
            && !plain.contains(['/', '\0'])
            && !matches!(plain, "." | "..")
            && !there
        {
            entries.push((name.to_owned(), content.to_owned()));
        }
    }
    let dir = Scratch::with(&entries);
    let dir_confs = reader::read(&dir.0, std::path::Path::to_path_buf, |file| file.ends_with(".cilium_bak"))
        .expect("a directory of ours");
    let confs: Vec<&str> = dir_confs.confs.iter().map(|conf| conf.file.as_str()).collect();
    assert_eq!(confs, conf_files(&entries), "{entries:?}");
    for folder in &dir_confs.folders {
        assert!(entries.iter().any(|(name, _)| name.trim_end_matches('/') == folder && name.ends_with('/')));
    }
    for file in &dir_confs.taken_away {
        assert!(file.ends_with(".cilium_bak") && !confs.contains(&&**file), "{file}");
    }
    let before: Vec<_> = dir_confs.confs_before_own().map(|conf| conf.file.as_str()).collect();
    let ours = shim::node::layout::CONF_FILE;
    assert_eq!(before, confs.iter().copied().take_while(|file| *file < ours).collect::<Vec<_>>());
    assert!(dir_confs.foreign_confs().all(|conf| conf.file != ours && !conf.file.starts_with("00-multus")));
    for conf in &dir_confs.confs {
        let written = entries.iter().find(|(name, _)| *name == conf.file).expect("a file of ours");
        if let Ok(content) = &conf.content {
            assert_eq!(conf.name(), Some(content.name.as_str()));
            assert!(!content.types.is_empty(), "{written:?} has no plugin");
            assert_eq!(content.is_ours(), content.types.iter().any(|plugin| plugin == "crossfade"));
            // Whom it leads to depends on what it says alone.
            let leads = ["nothing-1", "nothing-2"]
                .map(|name| !conf_names(written, name) && content.delegates_to_us(name));
            assert_eq!(leads[0], leads[1], "{written:?}");
        }
    }
}

fn conf_names((_, content): &(String, String), name: &str) -> bool {
    content.contains(name)
}

/// *Source*: `libcni/conf.go`, `ConfFiles`, with the extensions that the runtimes' libraries pass; `filepath.Ext` is what follows the
/// last dot, and of a hidden file that may be all of its name. Sorted as strings are in Go: by their bytes.
fn conf_files(entries: &[(String, String)]) -> Vec<&str> {
    let files = entries.iter().map(|(name, _)| name.as_str()).filter(|name| !name.ends_with('/'));
    let mut confs: Vec<&str> = files
        .filter(|name| {
            name.rfind('.').is_some_and(|dot| [".conf", ".conflist", ".json"].contains(&&name[dot..]))
        })
        .collect();
    confs.sort_unstable_by(|first, other| first.as_bytes().cmp(other.as_bytes()));
    confs
}

/// A directory that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn with(entries: &[(String, String)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("crossfade-confdir-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Memory where there is some: thousands of directories are made and removed.
        let memory = Path::new("/dev/shm");
        let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = Self(above.join(name));
        std::fs::create_dir_all(&dir.0).expect("a directory");
        for (name, content) in entries {
            match name.strip_suffix('/') {
                Some(folder) => {
                    std::fs::create_dir(dir.0.join(folder.trim_end_matches('/'))).expect("a folder")
                }
                None => std::fs::write(dir.0.join(name), content).expect("a file"),
            }
        }
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("a directory of ours");
    }
}
