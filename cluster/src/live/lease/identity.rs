//! Who this holder is.

use std::env;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process;

/// `user@host:pid:random`: people read the first part, and no two holders have the same last one.
pub(in crate::live) fn identity() -> String {
    // The standard library seeds it from the system's random numbers.
    let random = RandomState::new().build_hasher().finish();
    format!("{}:{}:{random:016x}", person(), process::id())
}

/// `user@host`, as far as the environment says it.
pub(in crate::live) fn person() -> String {
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| env::var(name).ok());
        values.find(|value| !value.is_empty()).map(|value| plain(&value))
    };
    let user = first(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "unknown".into());
    let host = first(&["HOSTNAME", "COMPUTERNAME"]).or_else(host).unwrap_or_else(|| "unknown".into());
    format!("{user}@{host}")
}

/// A shell may know the host's name without handing it on.
#[cfg(unix)]
fn host() -> Option<String> {
    let name = rustix::system::uname();
    name.nodename().to_str().ok().filter(|name| !name.is_empty()).map(plain)
}

#[cfg(not(unix))]
const fn host() -> Option<String> {
    None
}

/// Without anything that would break a line or a table.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() && c != ':' { c } else { '-' }).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_is_another_one() {
        let (one, two) = (identity(), identity());
        assert_ne!(one, two);
        let parts: Vec<&str> = one.split(':').collect();
        assert_eq!((parts.len(), parts[1]), (3, process::id().to_string().as_str()), "{one}");
        assert!(parts[0].contains('@') && parts[2].len() == 16, "{one}");
    }

    #[test]
    fn a_name_is_one_word() {
        assert_eq!(plain("CORP\\alice b:c"), "CORP\\alice-b-c");
        assert_eq!(plain(&"x".repeat(100)).len(), 64);
    }
}
