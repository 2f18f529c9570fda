//! The readiness of a policy's networks to attach a pod on this node now.

use std::path::PathBuf;

use types::policy::Side;

/// One network of a policy, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkReadiness {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// The name of the network's profile.
    pub profile: String,
    /// Whether a pod may get the network now, by the policy's `attach` or one of its rules.
    pub needed: bool,
    /// The network's own name, or why its conf cannot be loaded.
    pub conf: Result<String, ConfError>,
    /// Why plugins of the network cannot be used, one line for each.
    pub missing: Vec<String>,
    /// What its probes say: the first that does not hold, in words.
    pub probes: Result<(), String>,
    /// The file of `watch` that its pods wait for, and whether the file is there.
    pub waits_for: Option<(PathBuf, bool)>,
}

/// Why a network has no conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfError {
    /// No file of it is there yet.
    Absent(String),
    /// The file cannot be used.
    Broken(String),
}

impl NetworkReadiness {
    /// Why a pod could not get the network now; `None` if it could.
    #[must_use]
    pub fn unready_reason(&self) -> Option<String> {
        let conf_error = self.conf.as_ref().err();
        let conf_error = conf_error.map(|(ConfError::Absent(why) | ConfError::Broken(why))| why);
        let why = unusable_reason(conf_error, &self.missing, &self.probes).cloned();
        why.or_else(|| match &self.waits_for {
            Some((file, false)) => Some(format!("{} is missing, which watch keeps", file.display())),
            Some((_, true)) | None => None,
        })
    }
}

/// Why no pod can use a network: it has no conf, a plugin is missing, or a probe does not hold; the first of these counts.
#[must_use]
pub fn unusable_reason<'a>(
    conf_error: Option<&'a String>,
    missing: &'a [String],
    probes: &'a Result<(), String>,
) -> Option<&'a String> {
    conf_error.or(missing.first()).or(probes.as_ref().err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_missing_is_the_reason() {
        let ready = NetworkReadiness {
            side: Side::New,
            profile: "calico".into(),
            needed: true,
            conf: Ok("n".into()),
            missing: Vec::new(),
            probes: Ok(()),
            waits_for: Some(("/run/crossfade/probe/new".into(), true)),
        };
        assert_eq!(ready.unready_reason(), None);
        let waits = NetworkReadiness { waits_for: Some(("/p".into(), false)), ..ready.clone() };
        assert_eq!(waits.unready_reason().as_deref(), Some("/p is missing, which watch keeps"));
        let red = NetworkReadiness { probes: Err("no answer".into()), ..waits };
        assert_eq!(red.unready_reason().as_deref(), Some("no answer"));
        let lacks = NetworkReadiness { missing: vec!["plugin \"x\"".into()], ..red };
        assert_eq!(lacks.unready_reason().as_deref(), Some("plugin \"x\""));
        for conf in [ConfError::Absent("why".into()), ConfError::Broken("why".into())] {
            let none = NetworkReadiness { conf: Err(conf), ..lacks.clone() };
            assert_eq!(none.unready_reason().as_deref(), Some("why"));
        }
    }
}
