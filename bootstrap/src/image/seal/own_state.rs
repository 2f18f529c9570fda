//! Crossfade's own files: records of attachments, and the owners of the files that Crossfade consists of.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use convergence::image::seal::finding::SealFinding;
use nix::unistd::Uid;
use shim::node::layout::{BIN_DIRS, Layout, PLUGIN};
use types::text::list::join_first;

use super::tree::{ItemKind, glob};
use crate::host::root::Root;
use crate::node::attachments;

/// How many attachments are named.
const NAMED: usize = 5;
/// The files that Crossfade consists of, and where they lie.
const FILES: [&str; 10] = [
    "/usr/bin/crossfade-bootstrap",
    "/usr/libexec/crossfade",
    "/usr/libexec/crossfade/*",
    "/usr/lib/crossfade",
    "/usr/lib/crossfade/*",
    "/etc/crossfade",
    "/etc/crossfade/*",
    "/usr/lib/systemd/system/crossfade-*",
    "/usr/lib/systemd/system/*.d/50-crossfade.conf",
    "/usr/lib/systemd/system-generators/crossfade-generator",
];
const WRITABLE: u32 = 0o022;
const SET_ID: u32 = 0o6000;

/// Looks at the files that Crossfade consists of.
#[must_use]
pub(crate) fn files(root: &Root) -> Vec<SealFinding> {
    let plugins = BIN_DIRS.map(|dir| Path::new(dir).join(PLUGIN));
    let places = FILES.iter().map(PathBuf::from).chain(plugins);
    let items = places.flat_map(|place| glob(root, &place)).filter(|item| item.kind != ItemKind::Other);
    items
        .filter_map(|item| {
            let meta = item.real.symlink_metadata().ok()?;
            let why = fault(meta.uid(), meta.mode())?;
            let fix = format!("chown root:root {0} && chmod u-s,g-s,go-w {0}", item.path.display());
            Some(SealFinding::new_refusal(&item.path, why, fix))
        })
        .collect()
}

/// What is wrong with owner and mode of a file that decides what runs as root.
fn fault(uid: u32, mode: u32) -> Option<String> {
    if uid != 0 && uid != Uid::effective().as_raw() {
        return Some(format!("it belongs to uid {uid}, who could change what runs as root; expected root"));
    }
    if mode & WRITABLE != 0 {
        return Some(format!(
            "its mode is {:04o}: others than root could change what runs as root",
            mode & 0o7777
        ));
    }
    (mode & SET_ID != 0)
        .then(|| format!("its mode is {:04o}: no file of Crossfade's is setuid or setgid", mode & 0o7777))
}

/// Looks at what is attached through Crossfade: pods of this machine that wait for their DEL.
#[must_use]
pub(crate) fn find_attached(layout: &Layout, shown: &Path) -> Vec<SealFinding> {
    let attachments = match attachments::list(layout, None) {
        Ok(attachments) => attachments,
        Err(failure) => {
            return vec![SealFinding::new_refusal(
                shown,
                format!("records that cannot be read: {}", failure.lines().join("; ")),
                "mend what is named, so that they can be told",
            )];
        }
    };
    let mut all = Vec::new();
    let lines: Vec<String> =
        attachments.attachments.iter().map(|line| format!("{} {}", line.container_id, line.ifname)).collect();
    if !lines.is_empty() {
        let named = join_first(&lines, NAMED);
        let noun = if lines.len() == 1 { "attachment" } else { "attachments" };
        all.push(SealFinding::new_refusal(
            shown.join("attachments"),
            format!("{} {noun} of this machine's pods would lose their DEL: {named}", lines.len()),
            "remove the pods, so that the runtime calls DEL, then crossfade-bootstrap unit sweep; crossfade-bootstrap attachments lists them",
        ));
    }
    let real = fs::canonicalize(&layout.state_dir).unwrap_or_else(|_| layout.state_dir.clone());
    all.extend(attachments.damaged.iter().map(|damaged| {
        let below =
            damaged.path.strip_prefix(&layout.state_dir).or_else(|_| damaged.path.strip_prefix(&real));
        SealFinding::new_refusal(
            below.map_or_else(|_| damaged.path.clone(), |below| shown.join(below)),
            format!("a record that cannot be read: {}", damaged.reason),
            "look what it was, then remove it",
        )
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_is_root_s_alone_and_plain() {
        let me = Uid::effective().as_raw();
        for (uid, mode, word) in [
            (0, 0o100_755, None),
            (me, 0o100_644, None),
            (0, 0o040_755, None),
            (12345, 0o100_755, Some("uid 12345")),
            (0, 0o100_775, Some("0775")),
            (0, 0o100_757, Some("0757")),
            (0, 0o104_755, Some("setuid")),
            (0, 0o102_755, Some("setgid")),
        ] {
            let fault = fault(uid, mode);
            assert_eq!(fault.is_some(), word.is_some(), "{uid} {mode:o}");
            assert!(
                word.is_none_or(|word| fault.is_some_and(|fault| fault.contains(word))),
                "{uid} {mode:o}"
            );
        }
    }
}
