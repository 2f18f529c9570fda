//! The profile of a CNI on this node: the built-in one, or what a person wrote in its place.
//!
//! The first of `/etc/crossfade/profiles/NAME.json`, `/run/crossfade/profiles/NAME.json` and `/usr/lib/crossfade/profiles/NAME.json` wins as a
//! whole over the built-in profile of that name. The file is held to the rule for settings ([`shim::trust`]). A file that cannot be used is an
//! error, and never falls through to the next one, nor to what is built in.

use shim::file::read_bounded;
use shim::trust;
use types::profile::{self, Profile};

use crate::node::paths::Root;

/// The directory of profiles in [`shim::layout::SETTINGS_DIRS`].
const DIRECTORY: &str = "profiles";
/// Largest profile, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The profile of this name; `None` if nobody has written one and none is built in.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub fn find(root: &Root, name: &str) -> Result<Option<Profile>, String> {
    if !types::names::is_name(name) {
        return Ok(None);
    }
    let Some(path) = root.settings_file(&format!("{DIRECTORY}/{name}.json")) else {
        return Ok(profile::find(name).cloned());
    };
    let failed = |why: &dyn std::fmt::Display| format!("profile {}: {why}", path.display());
    let mut file = trust::open(&path).map_err(|why| failed(&why))?;
    let bytes = read_bounded(&mut file, MAX_BYTES).map_err(|why| failed(&why))?;
    Profile::parse(name, &bytes).map(Some).map_err(|why| failed(&why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_takes_the_place_of_what_is_built_in_and_a_bad_one_is_an_error() {
        let dir = tempfile::tempdir().expect("scratch");
        let root = Root::new(dir.path());
        let built_in = profile::find("flannel").expect("flannel");
        assert_eq!(find(&root, "flannel").expect("none written").as_ref(), Some(built_in));
        assert_eq!(find(&root, "nobodys").expect("none"), None);
        assert_eq!(find(&root, "../policy").expect("no name"), None);
        let mut own = built_in.clone();
        own.conf = vec!["99-mine.conflist".into()];
        let place = |settings: &str| dir.path().join(settings).join("profiles");
        let write = |settings: &str, text: &str| {
            std::fs::create_dir_all(place(settings)).expect("directory");
            std::fs::write(place(settings).join("flannel.json"), text).expect("file");
        };
        let text = serde_json::to_string(&own).expect("JSON");
        write("usr/lib/crossfade", &text);
        assert_eq!(find(&root, "flannel").expect("the image's"), Some(own));
        write("etc/crossfade", "{");
        let why = find(&root, "flannel").expect_err("torn");
        assert!(why.contains("etc/crossfade/profiles/flannel.json"), "{why}");
        write("etc/crossfade", &text.replace("FLANNEL-FWD", "KUBE-FORWARD"));
        assert!(find(&root, "flannel").expect_err("kube-proxy's").contains("chains of others"));
        write("etc/crossfade", &text);
        let file = place("etc/crossfade").join("flannel.json");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("mode");
        assert!(find(&root, "flannel").expect_err("anybody's").contains("writable by others"));
    }
}
