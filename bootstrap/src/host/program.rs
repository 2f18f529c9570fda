//! Programs of other owners that Crossfade runs as root: found as the C library finds them, and held to the rule for files that root runs.
//!
//! The rule ([`shim::host::trust`]): the file, and every directory above it, belongs to root or to the uid of this process, and no other user may
//! write there. Crossfade refuses a program that breaks the rule. It does not skip to the next one of that name, which may be another
//! program.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use shim::host::trust;

/// Where programs are looked for without a `PATH`. *Source*: man 3 `exec`.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// A command of the program `name`: a path, or a name in `PATH`.
///
/// # Errors
/// `NotFound` if there is no such program; otherwise which file or directory other users could write to.
pub(crate) fn command(name: &str) -> io::Result<Command> {
    find(name).map(Command::new)
}

/// Where the program `name` is; see [`command`].
///
/// # Errors
/// As [`command`].
pub(crate) fn find(name: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let mut dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let program_path = if name.contains('/') {
        PathBuf::from(name)
    } else {
        let missing =
            || io::Error::new(io::ErrorKind::NotFound, format!("{name} is in no directory of PATH"));
        dirs.find_map(|dir| Some(dir.join(name)).filter(|path| runs(path))).ok_or_else(missing)?
    };
    match trust::open(&program_path) {
        Ok(_) => Ok(program_path),
        Err(why) if why.is_absent() => Err(io::Error::new(io::ErrorKind::NotFound, why)),
        Err(why) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
    }
}

fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_that_others_could_replace_is_refused() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join("program");
        let name = path.to_str().expect("UTF-8");
        assert_eq!(find(name).expect_err("absent").kind(), io::ErrorKind::NotFound);
        fs::write(&path, "#!/bin/sh\n").expect("program");
        let chmod =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        chmod(&path, 0o755);
        assert_eq!(find(name).expect("ours"), path);
        chmod(&path, 0o775);
        let why = find(name).expect_err("the group's").to_string();
        assert!(why.contains("writable by others"), "{why}");
        chmod(&path, 0o755);
        chmod(dir.path(), 0o777);
        assert_eq!(find(name).expect_err("in anybody's directory").kind(), io::ErrorKind::PermissionDenied);
        chmod(dir.path(), 0o700);
    }

    #[test]
    fn a_name_is_looked_for_in_path() {
        assert!(find("sh").expect("a shell").ends_with("sh"));
        let why = find("no-such-program-here").expect_err("absent");
        assert_eq!(why.kind(), io::ErrorKind::NotFound);
    }
}
