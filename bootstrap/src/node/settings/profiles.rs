//! The profiles of this node: the built-in ones, and what the operator wrote in their place or beside them.
//!
//! The first of `/etc/crossfade/profiles/NAME.json`, `/run/crossfade/profiles/NAME.json` and `/usr/lib/crossfade/profiles/NAME.json` wins as a
//! whole over the built-in profile of that name. The file is held to the rule for settings ([`shim::host::trust`]). A file that cannot be used leaves
//! its name without a profile, and never falls through to the next file, nor to what is built in: a policy that names it cannot be used then.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::SETTINGS_DIRS;
use types::profile::{OwnProfiles, Profile};
use types::text::names;

use crate::host::root::Root;

/// The directory of profiles in [`SETTINGS_DIRS`].
const DIRECTORY: &str = "profiles";
/// Largest profile, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Reads the node's own profiles. One that cannot be used, which few nodes may have in use, is no error.
///
/// # Errors
/// One line: a directory of profiles cannot be listed, so it is not known which profiles count.
pub(crate) fn read_all(root: &Root) -> Result<OwnProfiles, String> {
    let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
    for settings in SETTINGS_DIRS {
        let place = Path::new(settings).join(DIRECTORY);
        // Nothing there, or no way there: what needs something below this root says so itself.
        if root.entry(&place).symlink_metadata().is_err() {
            continue;
        }
        let directory = root.join(&place);
        for (name, path) in files(&directory).map_err(|why| format!("{}: {why}", directory.display()))? {
            first.entry(name).or_insert(path);
        }
    }
    Ok(first.into_iter().map(|(name, path)| (name.clone(), read(&name, &path))).collect())
}

/// The files whose names can be those of profiles.
fn files(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let name = path.file_stem().and_then(OsStr::to_str).filter(|name| names::is_name(name));
        if let (Some(name), Some("json")) = (name, path.extension().and_then(OsStr::to_str)) {
            files.push((name.to_owned(), path.clone()));
        }
    }
    Ok(files)
}

fn read(name: &str, path: &Path) -> Result<Profile, String> {
    let failed = |why: &dyn std::fmt::Display| format!("profile {}: {why}", path.display());
    let mut file = trust::open(path).map_err(|why| failed(&why))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|why| failed(&why))?;
    Profile::parse(name, &bytes).map_err(|why| failed(&why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    use types::profile::Profiles;

    #[test]
    fn the_first_file_of_a_name_counts_and_a_bad_one_is_an_error() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        assert_eq!(read_all(&root).expect("none written"), OwnProfiles::new());
        let built_in = Profiles::built_in().find("flannel").expect("flannel");
        let mut own = built_in.clone();
        own.conf = vec!["99-mine.conflist".into()];
        let place = |settings: &str| dir.path().join(settings).join("profiles");
        let write = |settings: &str, file: &str, text: &str| {
            std::fs::create_dir_all(place(settings)).expect("directory");
            std::fs::write(place(settings).join(file), text).expect("file");
        };
        let flannel = || read_all(&root).expect("a list").remove("flannel").expect("flannel");
        let text = serde_json::to_string(&own).expect("JSON");
        write("usr/lib/crossfade", "flannel.json", &text);
        write("usr/lib/crossfade", "README", "no profile");
        write("usr/lib/crossfade", ".hidden.json.swp", "{");
        assert_eq!(read_all(&root).expect("a list"), OwnProfiles::from([("flannel".into(), Ok(own))]));
        write("etc/crossfade", "flannel.json", "{");
        let why = flannel().expect_err("torn");
        assert!(why.contains("etc/crossfade/profiles/flannel.json"), "{why}");
        write("etc/crossfade", "flannel.json", &text.replace("FLANNEL-FWD", "KUBE-FORWARD"));
        assert!(flannel().expect_err("kube-proxy's").contains("chains of others"));
        write("etc/crossfade", "flannel.json", &text);
        let file = place("etc/crossfade").join("flannel.json");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("mode");
        assert!(flannel().expect_err("anybody's").contains("writable by others"));
        std::fs::remove_dir_all(place("etc/crossfade")).expect("removed");
        std::fs::write(place("etc/crossfade"), "").expect("a file in place of the directory");
        assert!(read_all(&root).expect_err("cannot be listed").contains("etc/crossfade/profiles"));
    }
}
