//! A policy that names a CNI by its profile need not say how that CNI tells that it is ready: the profile's probes are written into it.
//! Nor need it say what the shim has to do where that CNI is the second network of a pod.
//!
//! Only a network without the key `ready` is completed, and one whose `ready` is, word for word, what an earlier release completed it
//! with: such a list was asked in IPv4 alone, or asked nothing on ADD that a reboot makes fail. `"ready": []` says that nothing is to be asked. Of the file nothing else changes, not
//! a blank. A packaged policy (/usr/lib) is not ours to write: its completed copy goes to /run/crossfade, where it
//! counts before it and is made anew at every boot.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use shim::layout::{Layout, POLICY_FILE, SETTINGS_DIRS};
use shim::lock;
use types::policy::{Policy, Secondary, Side};
use types::raw::{RawObject, raw_string, splice};

use crate::change::{self, Act, Change, Write};
use crate::cli::exit::{Exit, Failure};
use crate::node::paths::{PROBED, Root};
use crate::node::profile::{self, Probe, Profile};

/// A policy that is to be completed: the file, and what it will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The policy that counts, as it was found.
    pub place: PathBuf,
    /// The same, links followed.
    pub from: PathBuf,
    /// Its bytes; they must still be these when it is written.
    pub was: Vec<u8>,
    /// Its mode.
    pub mode: u32,
    /// The completed bytes.
    pub bytes: Vec<u8>,
    /// The networks that were completed, each with its profile: `new (cilium)`.
    pub networks: Vec<String>,
    /// Those of them that got probes.
    pub probed: Vec<String>,
}

impl Completion {
    /// What completing the policy at `file` takes; none where it is complete. A policy that cannot be read is somebody else's finding.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        Self::but(file, &[])
    }

    /// The same without the networks among `held` that would come to wait for a file of `watch`.
    #[must_use]
    pub fn but(file: &Path, held: &[Side]) -> Option<Self> {
        let from = shim::trust::resolve(file).ok()?;
        let (was, mode) = change::look(&from)?;
        let Completed { bytes, networks, probed } = complete_but(&was, held).ok()??;
        Some(Self { place: file.into(), from, was, mode, bytes, networks, probed })
    }

    /// The file that is written: the policy's own, or, where that is the package's, one that counts before it.
    #[must_use]
    pub fn target(&self, root: &Root) -> PathBuf {
        let [_, volatile, packaged] = SETTINGS_DIRS;
        if self.place.starts_with(root.at(packaged)) {
            root.at(volatile).join(POLICY_FILE)
        } else {
            self.from.clone()
        }
    }

    /// The change.
    #[must_use]
    pub fn change(&self, root: &Root) -> Change {
        let path = self.target(root);
        let shown = path.display().to_string();
        let moved = if path == self.from { String::new() } else { format!("; from {}", self.from.display()) };
        let why = format!("what the profiles know of {}{moved}", self.networks.join(" and "));
        Change::new(
            Act::Write(Write { path, bytes: self.bytes.clone(), mode: self.mode, nudge: false }),
            shown,
            why,
        )
    }

    /// Whether a change is this one.
    #[must_use]
    pub fn is(&self, change: &Change) -> bool {
        matches!(&change.act, Act::Write(write) if write.bytes == self.bytes)
    }

    /// Carries out [`Completion::change`], unless somebody has flipped the policy since.
    ///
    /// # Errors
    /// Try later, where the policy is another by now; else what could not be written, and what to do about it.
    pub fn apply(
        &self,
        root: &Root,
        layout: &Layout,
        change: Change,
    ) -> Result<crate::change::outcome::Done, Failure> {
        let done = lock::exclusively(layout, "policy", || {
            if change::look(&self.from).is_none_or(|(bytes, _)| bytes != self.was) {
                return Ok(None);
            }
            Ok(Some(crate::change::outcome::carry_out(root, vec![change])))
        });
        match done {
            Ok(Some(Ok(mut done))) if done.len() == 1 => Ok(done.remove(0)),
            Ok(Some(Err(failure))) => Err(failure
                .fix("add \"ready\" to the policy's networks yourself, or \"ready\": [] to use no probe")),
            Ok(_) => Err(Failure::later("the policy changed while its probes were added")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failure::later("somebody else is flipping the policy"))
            }
            Err(error) => Err(Failure::new(Exit::Failed, format!("lock of the policy: {error}"))),
        }
    }
}

/// A policy with its profiles' probes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The networks that got some, each with its profile: `new (cilium)`.
    pub networks: Vec<String>,
    /// Those of them that got probes.
    pub probed: Vec<String>,
}

/// A policy with what its profiles know: how to tell that a network is ready, and what the shim has to do for one that is the second
/// of a pod. None where nothing is missing.
///
/// # Errors
/// It is no valid policy, before or after.
pub fn complete(bytes: &[u8]) -> Result<Option<Completed>, String> {
    complete_but(bytes, &[])
}

/// [`complete`] without the probes of the networks in `held`.
fn complete_but(bytes: &[u8], held: &[Side]) -> Result<Option<Completed>, String> {
    let probes = with_probes(bytes, held)?;
    let secondary = with_secondary(probes.as_ref().map_or(bytes, |done| &done.bytes))?;
    Ok(match (probes, secondary) {
        (Some(probes), Some(mut both)) => {
            both.networks.extend(probes.networks.iter().cloned());
            both.probed = probes.networks;
            // `old ..` after `new ..`, by the alphabet.
            both.networks.sort_unstable_by(|one, other| other.cmp(one));
            both.networks.dedup();
            Some(both)
        }
        (one, other) => one.or(other),
    })
}

/// A policy in which `secondary` is written of each network whose profile says that it needs host routes; none where it is.
///
/// # Errors
/// As [`complete`].
pub fn with_secondary(bytes: &[u8]) -> Result<Option<Completed>, String> {
    let policy = Policy::parse(bytes)?;
    let mut text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?.to_owned();
    let mut completed = Vec::new();
    for (side, network) in policy.networks().filter(|(_, network)| network.secondary.is_none()) {
        let Some(profile) = profile::find(&network.profile) else { continue };
        if profile.secondary == Secondary::HostRoute {
            text = with_key(&text, side.as_str(), "secondary", &raw_string(profile.secondary.as_str()))?;
            completed.push(format!("{side} ({})", profile.name));
        }
    }
    if completed.is_empty() {
        return Ok(None);
    }
    Policy::parse(text.as_bytes()).map_err(|why| format!("what a profile says is not valid: {why}"))?;
    Ok(Some(Completed { bytes: text.into_bytes(), networks: completed, probed: Vec::new() }))
}

/// The policy `text` with a key of one of its networks set; everything else keeps its spelling.
fn with_key(text: &str, side: &str, key: &str, value: &RawValue) -> Result<String, String> {
    let part = |whole: &str, key: &str| -> Result<String, String> {
        let object = RawObject::parse(whole.as_bytes()).map_err(|e| e.to_string())?;
        Ok(object.get(key).map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned()))
    };
    let set = |whole: &str, key: &str, value: String| -> Result<String, String> {
        let value = RawValue::from_string(value).map_err(|e| e.to_string())?;
        splice(whole, key, &value).map_err(|e| e.to_string())
    };
    let networks = part(text, "networks")?;
    let network = set(&part(&networks, side)?, key, value.get().to_owned())?;
    set(text, "networks", set(&networks, side, network)?)
}

/// A policy with the probes that its profiles know, but for the networks in `held`; none where nothing is missing.
///
/// # Errors
/// As [`complete`].
fn with_probes(bytes: &[u8], held: &[Side]) -> Result<Option<Completed>, String> {
    let policy = Policy::parse(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let raw = |value: String| RawValue::from_string(value).map_err(|e| e.to_string());
    let whole = RawObject::parse(bytes).map_err(|e| e.to_string())?;
    let mut networks = whole.get("networks").map_or_else(|| "{}".to_owned(), |raw| raw.get().to_owned());
    let mut completed = Vec::new();
    for (side, network) in policy.networks() {
        let Some(profile) = profile::find(&network.profile).filter(|profile| !profile.probes.is_empty())
        else {
            continue;
        };
        let object = RawObject::parse(networks.as_bytes()).map_err(|e| e.to_string())?;
        let Some(written) = object.get(side.as_str()) else {
            continue;
        };
        let keys = RawObject::parse(written.get().as_bytes()).map_err(|e| e.to_string())?;
        let wanted = probes(profile, side);
        let is_complete = |written: &RawValue| !is_of_an_earlier_release(written, profile, &wanted);
        if keys.get("ready").is_some_and(is_complete) || (held.contains(&side) && profile.needs_watch()) {
            continue;
        }
        let probes = raw(Value::from(wanted).to_string())?;
        let one = splice(written.get(), "ready", &probes).map_err(|e| e.to_string())?;
        networks = splice(&networks, side.as_str(), &raw(one)?).map_err(|e| e.to_string())?;
        completed.push(format!("{side} ({})", profile.name));
    }
    if completed.is_empty() {
        return Ok(None);
    }
    let whole = splice(text, "networks", &raw(networks)?).map_err(|e| e.to_string())?.into_bytes();
    Policy::parse(&whole).map_err(|why| format!("a profile's probes are not valid: {why}"))?;
    Ok(Some(Completed { bytes: whole, probed: completed.clone(), networks: completed }))
}

/// A profile's probes as a policy spells them; the last one is the file that `watch` keeps while all of them hold, where those that an
/// ADD asks do not tell enough.
fn probes(profile: &Profile, side: Side) -> Vec<Value> {
    let mut all: Vec<Value> = profile
        .probes
        .iter()
        .filter_map(|probe| match probe {
            Probe::Unix { unix } => Some(json!({ "unix": unix })),
            Probe::File { file } => Some(json!({ "file": file })),
            Probe::Http { http, headers } if headers.is_empty() => Some(json!({ "http": http })),
            Probe::Http { http, headers } => Some(json!({ "http": http, "headers": headers })),
            Probe::Https { .. } | Probe::Grpc { .. } => None,
        })
        .collect();
    if profile.needs_watch() {
        all.push(json!({ "file": Path::new(PROBED).join(side.as_str()) }));
    }
    all
}

/// Whether `written` is what an earlier release completed a policy with where this one writes `wanted`: at first the profiles'
/// probes named 127.0.0.1, where an agent does not listen on a node without IPv4; and the file of `watch` was among them only for a
/// profile with probes that nobody else can ask.
fn is_of_an_earlier_release(written: &RawValue, profile: &Profile, wanted: &[Value]) -> bool {
    let had_file = profile.probes.iter().any(Probe::is_for_watch);
    let before = if had_file || !profile.needs_watch() { wanted } else { &wanted[..wanted.len() - 1] };
    let earlier = |probe: &Value| {
        let mut probe = probe.clone();
        if let Some(Value::String(target)) = probe.get_mut("http")
            && let Some(rest) = target.strip_prefix("localhost:")
        {
            *target = format!("127.0.0.1:{rest}");
        }
        probe
    };
    let first: Vec<Value> = before.iter().map(earlier).collect();
    let Ok(Value::Array(written)) = serde_json::from_str(written.get()) else { return false };
    written != wanted && (written == before || written == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(networks: &str) -> Option<(String, Vec<String>)> {
        let text = format!("{{\n  \"version\": 1,\n  \"networks\": {networks},\n  \"attach\": \"old\" }}\n");
        let done = complete(text.as_bytes()).expect("valid")?;
        Some((String::from_utf8(done.bytes).expect("UTF-8"), done.networks))
    }

    #[test]
    fn only_a_known_profile_without_the_key_is_completed() {
        for (networks, named) in [
            (r#"{"old": {"conf": ["/o"]}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "generic"}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "my-own"}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "weave", "ready": []}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "weave", "ready": [{"file": "/x"}]}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "calico", "ready": []}}"#, vec!["old (calico)"]),
            (r#"{"old": {"conf": ["/o"], "profile": "calico", "ready": [], "secondary": "works"}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "kindnet"}}"#, vec![]),
            (r#"{"old": {"conf": ["/o"], "profile": "calico"}}"#, vec!["old (calico)"]),
            (
                r#"{"old": {"conf": ["/o"], "profile": "flannel"}, "new": {"profile": "cilium", "conf": ["/n"]}}"#,
                vec!["old (flannel)", "new (cilium)"],
            ),
            (
                r#"{"old": {"conf": ["/o"], "ready": []}, "new": {"profile": "antrea", "conf": ["/n"]}}"#,
                vec!["new (antrea)"],
            ),
        ] {
            let done = completed(networks);
            assert_eq!(done.as_ref().map_or(Vec::new(), |(_, named)| named.clone()), named, "{networks}");
            if let Some((text, _)) = done {
                assert_eq!(complete(text.as_bytes()).expect("valid"), None, "again: {text}");
            }
        }
    }

    #[test]
    fn everything_else_keeps_its_spelling() {
        let networks =
            "{ \"old\":{\"conf\":[ \"/o\" ],\n    \"profile\": \"cilium\" , \"cidrs\": [\"10.0.0.0/8\"]} }";
        let (text, _) = completed(networks).expect("completed");
        let probes = r#""ready": [{"unix":"/var/run/cilium/cilium.sock"},{"headers":{"brief":"true"},"http":"localhost:9879/healthz"}],"#;
        assert_eq!(text.matches(probes).count(), 1, "{text}");
        assert!(text.replacen(probes, "", 1).contains(networks), "{text}");
    }

    #[test]
    fn what_the_shim_has_to_do_for_a_second_network_is_written_once_and_what_a_person_wrote_stays() {
        let (text, _) = completed(r#"{"old": {"conf": ["/o"], "profile": "calico"}}"#).expect("completed");
        assert_eq!(text.matches(r#""secondary": "hostRoute""#).count(), 1, "{text}");
        assert!(text.contains(r#""ready": ["#), "{text}");
        let (text, _) = completed(r#"{"old": {"conf": ["/o"], "profile": "flannel"}}"#).expect("completed");
        assert!(!text.contains("secondary"), "the shim has nothing to do: {text}");
    }

    #[test]
    fn what_an_earlier_release_has_written_is_asked_in_both_families_and_what_a_person_wrote_stays() {
        let cilium =
            |ready: &str| format!(r#"{{"old": {{"conf": ["/n"], "profile": "cilium", "ready": {ready}}}}}"#);
        let earlier = r#"[ {"unix": "/var/run/cilium/cilium.sock"}, {"http": "127.0.0.1:9879/healthz", "headers": {"brief": "true"}} ]"#;
        let (text, named) = completed(&cilium(earlier)).expect("completed");
        assert!(text.contains(r#""http":"localhost:9879/healthz""#) && !text.contains("127.0.0.1"), "{text}");
        assert_eq!(named, ["old (cilium)"]);
        assert_eq!(complete(text.as_bytes()).expect("valid"), None, "again");
        for own in [
            r#"[{"http": "127.0.0.1:9879/healthz", "headers": {"brief": "true"}}]"#,
            r#"[{"unix": "/var/run/cilium/cilium.sock"}, {"http": "127.0.0.1:9879/healthz"}]"#,
            r#"[{"unix": "/var/run/cilium/cilium.sock"}, {"http": "127.0.0.1:9890/healthz", "headers": {"brief": "true"}}]"#,
        ] {
            assert_eq!(completed(&cilium(own)), None, "{own}");
        }
    }

    #[test]
    fn what_an_add_cannot_ask_becomes_the_file_of_watch() {
        for (profile, probes) in [
            ("aws-vpc", r#"[{"file":"/run/crossfade/probe/old"}]"#),
            (
                "calico",
                r#"[{"file":"/var/lib/calico/nodename"},{"http":"localhost:9099/readiness"},{"file":"/run/crossfade/probe/old"}]"#,
            ),
            ("flannel", r#"[{"file":"/run/flannel/subnet.env"}]"#),
        ] {
            let networks = format!(r#"{{"old": {{"conf": ["/o"], "profile": "{profile}"}}}}"#);
            let (text, _) = completed(&networks).expect("completed");
            assert!(text.contains(&format!(r#""ready": {probes}"#)), "{text}");
        }
        for profile in profile::all().iter().filter(|profile| !profile.probes.is_empty()) {
            let (text, _) =
                completed(&format!(r#"{{"old": {{"conf": ["/o"], "profile": "{}"}}}}"#, profile.name))
                    .expect(&profile.name);
            assert!(Policy::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_list_of_an_earlier_release_gets_the_file_of_watch_and_one_that_a_person_wrote_does_not() {
        let calico = |ready: &str| {
            let keys =
                format!(r#""conf": ["/n"], "profile": "calico", "secondary": "works", "ready": [{ready}]"#);
            format!(r#"{{"old": {{{keys}}}}}"#)
        };
        let nodename = r#"{"file": "/var/lib/calico/nodename"}"#;
        for host in ["127.0.0.1", "localhost"] {
            let earlier = format!(r#"{nodename}, {{"http": "{host}:9099/readiness"}}"#);
            let (text, named) = completed(&calico(&earlier)).expect(host);
            assert!(
                text.contains(r#"{"http":"localhost:9099/readiness"},{"file":"/run/crossfade/probe/old"}]"#),
                "{text}"
            );
            assert_eq!(named, ["old (calico)"]);
            assert_eq!(complete(text.as_bytes()).expect("valid"), None, "again");
            // On a node that runs, nobody comes to wait for a file that is not there.
            let held = |sides: &[Side]| {
                let text = format!(r#"{{"version": 1, "attach": "old", "networks": {}}}"#, calico(&earlier));
                complete_but(text.as_bytes(), sides).expect("valid").is_none()
            };
            assert_eq!([held(&[Side::Old]), held(&[Side::New]), held(&[])], [true, false, false]);
        }
        for own in [
            nodename.to_owned(),
            format!(r#"{nodename}, {{"http": "localhost:9199/readiness"}}"#),
            format!(r#"{{"http": "localhost:9099/readiness"}}, {nodename}"#),
            format!(
                r#"{nodename}, {{"http": "127.0.0.1:9099/readiness"}}, {{"file": "/run/crossfade/probe/old"}}"#
            ),
        ] {
            assert_eq!(completed(&calico(&own)), None, "{own}");
        }
        // What a release before wrote for those that it had a file for was complete.
        let aws = r#"{"old": {"conf": ["/o"], "profile": "aws-vpc", "ready": []}}"#;
        assert_eq!(completed(aws), None);
    }

    #[test]
    fn a_packaged_policy_is_completed_in_run_and_any_other_in_its_place() {
        let root = Root::new(Path::new("/root"));
        for (from, to) in [
            ("/root/etc/crossfade/policy.json", "/root/etc/crossfade/policy.json"),
            ("/root/run/crossfade/policy.json", "/root/run/crossfade/policy.json"),
            ("/root/usr/lib/crossfade/policy.json", "/root/run/crossfade/policy.json"),
            ("/elsewhere/p.json", "/elsewhere/p.json"),
        ] {
            let completion = Completion {
                place: from.into(),
                from: from.into(),
                was: Vec::new(),
                mode: 0o644,
                bytes: b"x".to_vec(),
                networks: vec!["old (calico)".into()],
                probed: Vec::new(),
            };
            assert_eq!(completion.target(&root), Path::new(to));
            let moved = completion.change(&root).reason.contains("from");
            assert_eq!(moved, from != to);
        }
    }
}
