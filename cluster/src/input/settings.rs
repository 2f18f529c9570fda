//! The operator's settings file.

use std::io::Error;
use std::path::Path;

use migration::config::{Config, read};
use types::command::problem::Problem;

/// Most bytes of a settings file. *Source*: none; waivers of every object of a large cluster take less.
const LARGEST: u64 = 64 << 20;

/// Reads the settings file; without one, the defaults.
///
/// # Errors
/// Why the file cannot be read, or which key is wrong.
pub(crate) fn gather(file: Option<&Path>) -> Result<Config, Problem> {
    let Some(file) = file else { return Ok(Config::default()) };
    let name = file.display().to_string();
    let text = super::read(file, LARGEST).and_then(|bytes| String::from_utf8(bytes).map_err(Error::other));
    let text = text.map_err(|e| {
        Problem::new(format!("read {name}: {e}"))
            .with_place(&name)
            .fix("name a settings file that you can read")
    })?;
    let config = read(&text).and_then(|config| known_zones(&config).map(|()| config));
    config.map_err(|why| {
        Problem::new(format!("{name}: {why}"))
            .with_place(&name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_in_a_zone_that_there_is() {
        let config = |zone: &str| {
            let windows = format!("windows: [{{from: '22:00', to: '04:00', zone: {zone}}}]");
            read(&format!("version: 1\nroll: {{limits: {{{windows}}}}}")).expect("of the right form")
        };
        for zone in ["UTC", "Europe/Berlin"] {
            assert_eq!(known_zones(&config(zone)), Ok(()), "{zone}");
        }
        // Without a database of zones it is not known.
        if !jiff::tz::db().is_definitively_empty() {
            let why = known_zones(&config("Europe/Berln")).expect_err("no such zone");
            assert!(why.starts_with("roll.limits.windows[0].zone:") && why.contains("Europe/Berln"), "{why}");
        }
    }
}
