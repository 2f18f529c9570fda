//! The file of settings: JSON or YAML.

use std::io::Error;
use std::path::Path;

use serde_json::Value;
use types::problem::Problem;

use super::{Config, freeze};
use crate::input;

/// Most bytes of a settings file. *Source*: none; waivers of every object of a large cluster take less.
const LARGEST: u64 = 64 << 20;

/// Reads the settings file; without one, the defaults.
///
/// # Errors
/// Why the file cannot be read, or which key is wrong.
pub fn gather(file: Option<&Path>) -> Result<Config, Problem> {
    let Some(file) = file else { return Ok(Config::default()) };
    let name = file.display().to_string();
    let text = input::read(file, LARGEST).and_then(|bytes| String::from_utf8(bytes).map_err(Error::other));
    let text = text.map_err(|e| {
        Problem::new(format!("read {name}: {e}")).at(&name).fix("name a settings file that you can read")
    })?;
    let config = read(&text).and_then(|config| known_zones(&config).map(|()| config));
    config.map_err(|why| {
        Problem::new(format!("{name}: {why}"))
            .at(&name)
            .fix(format!("correct {name}, then run the same command again"))
    })
}

/// Whether this machine knows the time zone of each window: a window in a zone that does not exist would never open. A machine without a database of time
/// zones cannot tell.
fn known_zones(config: &Config) -> Result<(), String> {
    let zones = jiff::tz::db();
    let is_unknown = |zone: &String| !zones.is_definitively_empty() && zones.get(zone).is_err();
    let mut windows = config.roll.limits.windows.iter().enumerate();
    let unknown = windows
        .find_map(|(index, window)| Some((index, window.zone.as_ref().filter(|zone| is_unknown(zone))?)));
    match unknown {
        Some((index, zone)) => Err(format!(
            "roll.limits.windows[{index}].zone: expected a name of the IANA time zone database, such as Europe/Berlin, found {zone:?}, which this machine's database does not have"
        )),
        None => Ok(()),
    }
}

/// Reads settings.
///
/// # Errors
/// The key that is wrong, what was expected and, where there is one, the nearest known key.
pub fn read(text: &str) -> Result<Config, String> {
    let is_json = text.trim_start().starts_with('{');
    let config: Config = if is_json {
        types::read::from_slice(text.as_bytes(), "config")?
    } else {
        let options = serde_saphyr::options! { strict_booleans: true };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|e| e.without_snippet().to_string())?;
        types::read::from_slice(value.to_string().as_bytes(), "config")?
    };
    if config.version != Config::VERSION {
        return Err(format!("version: {} is not known; expected {}", config.version, Config::VERSION));
    }
    if config.cidrs.drain_at_most_percent > 100 {
        return Err("cidrs.drainAtMostPercent: expected at most 100".into());
    }
    config.transition.valid()?;
    config.capacity.valid()?;
    config.roll.valid()?;
    freeze::valid(&config.freeze)?;
    config.policies.valid()?;
    match config.waivers.iter().position(|waiver| waiver.reason.trim().is_empty()) {
        Some(index) => {
            Err(format!("waivers[{index}].reason: expected why the finding is accepted, found nothing"))
        }
        None => Ok(config),
    }
}

/// Address ranges as `ADDRESS/LENGTH` without host bits.
pub(super) mod ranges {
    use ipnetwork::IpNetwork;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(
        all: &[IpNetwork],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(ToString::to_string))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNetwork>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| range(text).map_err(D::Error::custom)).collect()
    }

    fn range(text: &str) -> Result<IpNetwork, String> {
        let range = types::cidr::parse(text)?;
        if range.ip() == range.network() {
            return Ok(range);
        }
        Err(format!("{text} has host bits; did you mean {}/{}?", range.network(), range.prefix()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_mean_the_same() {
        let json = r#"{"version":1,"networks":{"new":{"cidrs":["10.20.0.0/16"]}},"cidrs":{"drainAtMostPercent":25}}"#;
        let yaml =
            "version: 1\nnetworks:\n  new:\n    cidrs: [10.20.0.0/16]\ncidrs:\n  drainAtMostPercent: 25\n";
        let config = read(json).expect("JSON");
        assert_eq!(config, read(yaml).expect("YAML"));
        assert_eq!(config.networks.new.cidrs[0].to_string(), "10.20.0.0/16");
    }

    #[test]
    fn every_refusal_names_the_key() {
        for (text, named) in [
            ("version: 2", "version"),
            ("version: 1\nnetwork: {}", "networks"),
            ("version: 1\nnetworks: {new: {cidrs: [10.10.6.42/26]}}", "10.10.6.0/26"),
            ("version: 1\ncidrs: {drainAtMostPercent: 101}", "drainAtMostPercent"),
            ("version: 1\ncapacity: {marginPercent: 101}", "capacity.marginPercent"),
            ("version: 1\ntransition: {phase: begin}", "begin"),
            ("version: 1\ntransition: {nodeMtu: 100}", "nodeMtu"),
            ("version: 1\ntransition: {acceptTwoHalves: ''}", "acceptTwoHalves"),
            ("version: 1\nfreeze: [{name: a, members: []}, {name: a, members: []}]", "freeze[1].name"),
            ("version: 1\nwaivers: [{finding: a, reason: ' '}]", "waivers[0].reason"),
            ("version: 1\nwaivers: [{finding: a}]", "reason"),
            ("version: 1\npolicies: {waivers: [{object: a, uid: b, generation: 1}]}", "reason"),
            (
                "version: 1\npolicies: {waivers: [{object: a, uid: b, generation: 1, reason: ''}]}",
                "policies.waivers[0].reason",
            ),
            ("version: 1\npolicies: {waivers: [{object: a, generation: 1, reason: b}]}", "uid"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains(named), "{text}: {why}");
        }
    }

    #[test]
    fn a_window_is_in_a_zone_that_there_is() {
        let config = |zone: &str| {
            let windows = format!("windows: [{{from: '22:00', to: '04:00', zone: {zone}}}]");
            read(&format!("version: 1\nroll: {{limits: {{{windows}}}}}")).expect("of the right form")
        };
        for zone in ["UTC", "Europe/Berlin"] {
            assert_eq!(known_zones(&config(zone)), Ok(()), "{zone}");
        }
        // Without a database of zones nobody can tell.
        if !jiff::tz::db().is_definitively_empty() {
            let why = known_zones(&config("Europe/Berln")).expect_err("no such zone");
            assert!(why.starts_with("roll.limits.windows[0].zone:") && why.contains("Europe/Berln"), "{why}");
        }
    }
}
