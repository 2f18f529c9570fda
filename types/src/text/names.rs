//! The rules for names in CNI and of the kernel.

/// Whether `text` may be a container id, a network name or a plugin type:
/// a letter or digit, then letters, digits, `_`, `.`, `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Checks an interface name: 1 to 15 bytes, neither `.` nor `..`, without `/`, `:` and white space.
///
/// # Errors
/// The reason in words. *Source*: the kernel's `dev_valid_name`, and the reference library.
pub fn validate_ifname(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 15 {
        Err(format!("{text:?} has {} bytes, expected 1 to 15", text.len()))
    } else if text == "." || text == ".." {
        Err(format!("{text:?} is a directory's name"))
    } else if text.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        Err(format!("{text:?} contains '/', ':' or white space"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ifnames() {
        for good in ["c1", "A.b_c-d", "0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "a\n", "ä"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in ["eth0", "a", "123456789012345", "ä0"] {
            assert_eq!(validate_ifname(good), Ok(()));
        }
        for bad in ["", "1234567890123456", ".", "..", "a/b", "a:b", "a b", "a\u{a0}b", "äääääääé"] {
            assert!(validate_ifname(bad).is_err(), "{bad:?}");
        }
    }
}
