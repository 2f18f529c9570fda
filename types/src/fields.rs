//! One JSON object of a settings file (policy.json, node.json) whose keys are all known.
//!
//! An unknown key is an error that names the nearest known one: a misspelt `secondaryFailure` must not silently mean the
//! default. So is a key written twice.

use serde::de::DeserializeOwned;

use crate::raw::RawObject;

/// The fields of the object at `path` (`both`, `rules[2]`, ...); the outermost object is called like its file (`policy`, `node`).
#[derive(Debug)]
pub struct Fields {
    object: RawObject,
    path: String,
    /// The outermost object's name does not belong before its keys.
    outermost: bool,
}

impl Fields {
    /// The outermost object, called `name` in messages.
    ///
    /// # Errors
    /// An unknown key, with the nearest of `known`; a key written twice.
    pub fn outermost(object: RawObject, name: &str, known: &[&str]) -> Result<Self, String> {
        Self::new(object, name, known).map(|fields| Self { outermost: true, ..fields })
    }

    fn new(object: RawObject, path: &str, known: &[&str]) -> Result<Self, String> {
        let mut seen: Vec<&str> = Vec::new();
        for (key, _) in object.pairs() {
            if !known.contains(&key) {
                return Err(format!("{path}: unknown key {key:?}; {}", remedy(key, known)));
            }
            if seen.contains(&key) {
                return Err(format!("{path}: key {key:?} is written twice; expected it once"));
            }
            seen.push(key);
        }
        Ok(Self { object, path: path.to_owned(), outermost: false })
    }

    /// The path of `key`, for messages.
    #[must_use]
    pub fn at(&self, key: &str) -> String {
        if self.outermost { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of `key`, which may be absent but not null.
    ///
    /// # Errors
    /// It is not what was `expected`; the message names the key and quotes what was found.
    pub fn get<T: DeserializeOwned>(&self, key: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.object.get(key) else {
            return Ok(None);
        };
        serde_json::from_slice(raw.get().as_bytes()).map(Some).map_err(|_| {
            // Of a header nothing is quoted, nor of what may hold one: it may be a token.
            let found = match (key, raw.get().as_bytes().first()) {
                ("headers", _) => "something else".to_owned(),
                (_, Some(b'{')) => "an object".to_owned(),
                (_, Some(b'[')) => "a list".to_owned(),
                _ => crate::quote::quote(raw.get().as_bytes(), 80),
            };
            format!("{}: expected {expected}, found {found}", self.at(key))
        })
    }

    /// The value of `key`, which must be there.
    ///
    /// # Errors
    /// As [`Fields::get`], and where it is absent.
    pub fn require<T: DeserializeOwned>(&self, key: &str, expected: &str) -> Result<T, String> {
        self.get(key, expected)?.ok_or_else(|| format!("{}: missing; expected {expected}", self.at(key)))
    }

    /// The object at `key` with its own known keys.
    ///
    /// # Errors
    /// It is no object, or has an unknown key.
    pub fn object(&self, key: &str, known: &[&str]) -> Result<Option<Self>, String> {
        self.get::<RawObject>(key, "an object")?
            .map(|object| Self::new(object, &self.at(key), known))
            .transpose()
    }

    /// The list of objects at `key`, each with the same known keys.
    ///
    /// # Errors
    /// As [`Fields::object`], for each.
    pub fn objects(&self, key: &str, known: &[&str]) -> Result<Vec<Self>, String> {
        self.get::<Vec<RawObject>>(key, "a list of objects")?
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(|(index, object)| Self::new(object, &format!("{}[{index}]", self.at(key)), known))
            .collect()
    }

    /// An integer within `range`.
    ///
    /// # Errors
    /// It is none, or outside.
    pub fn integer(&self, key: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, String> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.get::<u64>(key, &expected)?;
        match value {
            Some(value) if !range.contains(&value) => {
                Err(format!("{}: expected {expected}, found {value}", self.at(key)))
            }
            other => Ok(other),
        }
    }
}

fn remedy(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

/// The word of `known` that `word` was probably meant to be; none where nothing is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known
        .iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), *candidate)
        })
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    near.map(|(_, candidate)| candidate)
}
