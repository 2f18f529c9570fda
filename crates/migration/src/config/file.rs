//! The file of settings: JSON or YAML.

use serde_json::Value;

use super::{Config, freeze};

/// Reads settings.
///
/// # Errors
/// The key that is wrong, what was expected and, where there is one, the nearest known key.
pub fn read(text: &str) -> Result<Config, String> {
    let is_json = text.trim_start().starts_with('{');
    let config: Config = if is_json {
        types::json::read::from_slice(text.as_bytes(), "config")?
    } else {
        let options = serde_saphyr::options! { strict_booleans: true };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|e| e.without_snippet().to_string())?;
        types::json::read::from_slice(value.to_string().as_bytes(), "config")?
    };
    if config.version != Config::VERSION {
        return Err(format!("version: {} is not known; expected {}", config.version, Config::VERSION));
    }
    if config.cidrs.drain_at_most_percent > 100 {
        return Err("cidrs.drainAtMostPercent: expected at most 100".into());
    }
    config.transition.valid()?;
    config.capacity.valid()?;
    config.probe.valid()?;
    config.roll.valid(&config.probe)?;
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
    fn every_setting_of_the_agents_is_read() {
        let text = "version: 1\nprobe: {image: registry.example.com/crossfade:1, pullSecret: registry, port: 19797, gates: [packets]}";
        let probe = read(text).expect("settings").probe;
        assert_eq!(
            (probe.port, probe.gates.len(), probe.pull_secret.as_deref()),
            (19797, 1, Some("registry"))
        );
        assert_eq!(probe.image.as_deref(), Some("registry.example.com/crossfade:1"));
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
            ("version: 1\nprobe: {port: 80}", "expected a port from 1024 to 65533, found 80"),
            ("version: 1\nprobe: {port: 65536}", "probe.port"),
            ("version: 1\nprobe: {image: ' '}", "probe.image"),
            ("version: 1\nprobe: {gates: [packets, packets]}", "packets again"),
            ("version: 1\nroll: {bridge: {gate: forwarding}}", "probe.gates"),
            ("version: 1\nroll: {gates: [{name: packets, command: [a]}]}", "another name than"),
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
}
