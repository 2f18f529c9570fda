//! The entries that other programs have put into Crossfade's private conf directory.
//!
//! In private mode the runtime reads this directory, so a conf there decides which network pods get. Only `boot` and `watch` write there,
//! and they write only [`CONF_FILE`]. So Crossfade removes everything else that a runtime would read. containerd is one
//! such writer: with `conf_template` it makes a conf as soon as kubelet passes the node's pod CIDR.

use crate::node::conf::confdir;
use convergence::node::conf::foreign::ForeignEntry;

use std::io;
use std::path::{Path, PathBuf};

use shim::node::layout::CONF_FILE;

use convergence::node::conf::confdir::{Content, is_conf_name};

/// Lists foreign entries in `dir`; an absent directory has none. Files that no runtime takes for a conf do not count, and neither do
/// Crossfade's temporary files.
///
/// # Errors
/// The directory cannot be listed.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<ForeignEntry>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut foreign_entries = Vec::new();
    for entry in entries {
        foreign_entries.extend(read(entry?.path()));
    }
    foreign_entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(foreign_entries)
}

/// `None` if no runtime reads the entry, or if the entry is Crossfade's.
fn read(path: PathBuf) -> Option<ForeignEntry> {
    let file = path.file_name()?.to_string_lossy().into_owned();
    // An entry that no longer exists is not foreign.
    let is_link = path.symlink_metadata().ok()?.is_symlink();
    // A folder that is called like a network adds plugins to it; libcni follows a link to one.
    if path.is_dir() {
        return Some(ForeignEntry { what: format!("the directory {file}"), path, is_dir: true });
    }
    if !is_conf_name(&file) {
        return None;
    }
    // Crossfade writes no links, and the target of a link may lie outside of this tree.
    let content = if is_link { Err("a link".to_owned()) } else { confdir::read_content(&file, &path) };
    let is_ours = file == CONF_FILE && content.as_ref().is_ok_and(Content::is_ours);
    if is_ours {
        return None;
    }
    let what = match content {
        Ok(content) => format!("{file} (network {})", content.name),
        Err(_) => file,
    };
    Some(ForeignEntry { path, what, is_dir: false })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use convergence::node::conf::foreign::describe;
    use types::profile::Profiles;

    const OURS: &str = r#"{"cniVersion":"1.0.0","name":"crossfade","plugins":[{"type":"crossfade"}]}"#;
    const THEIRS: &str = r#"{"cniVersion":"1.0.0","name":"containerd-net","plugins":[{"type":"ptp"}]}"#;

    fn list_files(dir: &Path) -> Vec<String> {
        list(dir).expect("listed").into_iter().map(|entry| entry.what).collect()
    }

    #[test]
    fn everything_that_a_runtime_reads_and_that_is_not_ours_is_found() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = |file: &str| dir.path().join(file);
        assert!(list_files(&path("absent")).is_empty());
        for (file, text) in [
            (CONF_FILE, OURS),
            (".tmp-7-1", "half"),
            ("kubeconfig", "x"),
            ("10-containerd-net.conflist", THEIRS),
            (".tmp-7-1.conf", "{"),
            ("copy.conflist", OURS),
        ] {
            fs::write(path(file), text).expect("file");
        }
        fs::create_dir(path("crossfade")).expect("directory");
        fs::create_dir(path("dir.conf")).expect("directory");
        symlink("nowhere", path("link.json")).expect("link");
        symlink("/proc", path("link")).expect("link");
        nix::unistd::mkfifo(&path("fifo.conf"), nix::sys::stat::Mode::S_IRWXU).expect("FIFO");
        assert_eq!(
            list_files(dir.path()),
            [
                ".tmp-7-1.conf",
                "10-containerd-net.conflist (network containerd-net)",
                "copy.conflist (network crossfade)",
                "the directory crossfade",
                "the directory dir.conf",
                "fifo.conf",
                "the directory link",
                "link.json",
            ]
        );
    }

    #[test]
    fn our_file_is_ours_only_by_what_it_holds() {
        let dir = tempfile::tempdir().expect("scratch");
        let ours = dir.path().join(CONF_FILE);
        let number = OURS.replace(r#""crossfade","plugins""#, r#"7,"plugins""#);
        let single = OURS.replace(r#""plugins":[{"type":"crossfade"}]"#, r#""type":"crossfade""#);
        for text in [THEIRS, "{", "", &number, &single] {
            fs::write(&ours, text).expect("file");
            assert_eq!(list_files(dir.path()).len(), 1, "{text}");
        }
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&ours, &elsewhere).expect("moved");
        fs::write(&elsewhere, OURS).expect("file");
        symlink(&elsewhere, &ours).expect("link");
        assert_eq!(
            list_files(dir.path()),
            ["01-crossfade.conflist"],
            "a link is not read: others could change its end"
        );
    }

    #[test]
    fn who_wrote_it_is_named_where_the_name_tells() {
        let dir = tempfile::tempdir().expect("scratch");
        for (file, words) in [
            ("10-containerd-net.conflist", "conf_template"),
            ("10-x.conflist", "find out who"),
            ("10-flannel.conflist", "the agent of flannel writes"),
            ("10-flannel.conflist", "skipCNIConfigInstallation"),
        ] {
            fs::write(dir.path().join(file), THEIRS).expect("file");
            let confs = list(dir.path()).expect("listed");
            let problem = describe(dir.path(), &confs, Profiles::built_in()).to_string();
            assert!(
                problem.contains(file) && problem.contains("containerd-net") && problem.contains(words),
                "{problem}"
            );
            let change = confs[0].removal();
            let root = crate::host::root::Root::default();
            crate::change::Executor::new_plain(&root).apply_all(vec![change]).expect("removed");
            assert!(list(dir.path()).expect("listed").is_empty());
        }
    }
}
