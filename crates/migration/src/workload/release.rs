//! Versions, and the release of a CNI by the tag of its agent's image.

use super::agent::agents;
use crate::check::Scene;
use crate::cni::support::Cni;

/// Major and minor version.
pub type Version = (u32, u32);

/// The major and minor version in a text such as `v1.31.2-eks-1a2b` or `6.1.0-25-amd64`. A date such as `2024-01-31` is none.
#[must_use]
pub fn version(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The tag of the image that a CNI's agent runs: `v1.17.4`. None if there is no agent, or if its image is named by a digest alone.
#[must_use]
pub fn tag<'a>(scene: &Scene<'a>, cni: Cni) -> Option<&'a str> {
    let containers = &agents(scene, cni).first()?.daemon_set.spec.template.spec.containers;
    image_tag(
        &containers.iter().find(|container| container.name.as_ref() == cni.facts().agent_container)?.image,
    )
}

/// The tag of an image; none if a digest alone names it. The port of a registry is no tag.
#[must_use]
pub fn image_tag(image: &str) -> Option<&str> {
    let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

/// The release of a CNI's agent.
#[must_use]
pub fn release(scene: &Scene<'_>, cni: Cni) -> Option<Version> {
    version(tag(scene, cni)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_no_port_and_no_digest() {
        for (image, tag) in [
            ("a/b:v1", Some("v1")),
            ("r:5000/a/b:1.14.1@sha256:0f", Some("1.14.1")),
            ("r:5000/a/b@sha256:0f", None),
            ("a/b", None),
        ] {
            assert_eq!(image_tag(image), tag, "{image}");
        }
    }

    #[test]
    fn a_version_is_read_from_what_nodes_and_images_say() {
        for (text, read) in [
            ("v1.31.2", Some((1, 31))),
            ("v1.29.0-eks-5e0fdde", Some((1, 29))),
            ("6.1.0-25-amd64", Some((6, 1))),
            ("5.10.219-208.866.amzn2.x86_64", Some((5, 10))),
            ("1.7.20~ds1", Some((1, 7))),
            ("1.13", Some((1, 13))),
            ("2024-01-31", None),
            ("latest", None),
            ("", None),
            ("v1", None),
        ] {
            assert_eq!(version(text), read, "{text}");
        }
    }
}
