//! Versions, as programs and image tags say them.

use std::fmt;

/// The first three numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64, pub u64, pub u64);

impl Version {
    /// Reads `v1.31.2-eks-1`, `1.7.20` or `1.13`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let end = numbers.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(numbers.len());
        let mut parts = numbers[..end].split('.').map(str::parse);
        let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
        Some(Self(major, minor, parts.next().and_then(Result::ok).unwrap_or(0)))
    }

    /// Reads the version of an image: `quay.io:443/cilium/cilium:v1.17.2@sha256:..`.
    #[must_use]
    pub fn from_image(image: &str) -> Option<Self> {
        let name = image.split('@').next()?.rsplit('/').next()?;
        Self::read(name.split_once(':')?.1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_programs_and_images() {
        for (text, version) in [
            ("v1.31.2", Some(Version(1, 31, 2))),
            ("v1.29.4-eks-036c24b", Some(Version(1, 29, 4))),
            ("1.13", Some(Version(1, 13, 0))),
            ("latest", None),
            ("v1", None),
        ] {
            assert_eq!(Version::read(text), version, "{text}");
        }
        for (image, version) in [
            ("docker.io/calico/node:v3.26.1", Some(Version(3, 26, 1))),
            ("quay.io:443/cilium/cilium:v1.17.2@sha256:01ab", Some(Version(1, 17, 2))),
            ("localhost:5000/cilium", None),
        ] {
            assert_eq!(Version::from_image(image), version, "{image}");
        }
    }
}
