//! Secrets: never shown, and judged before they are trusted.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::value::Value;

/// What a good key is and how to make one; ends every message about a bad one.
pub(super) const ADVICE: &str =
    "at least 32 random bytes as base64, hex or text, made by `openssl rand -base64 32`";

/// A secret text. `Debug` and `Display` print `[redacted]`.
///
/// The bytes of the text are the key, not what they decode to: one text then is one key, whatever
/// encoding it was meant in.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that did not come from the settings, such as one made for a test.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the code that signs with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret itself, if somebody gave one.
    pub fn given(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }

    /// Whether nobody gave one.
    pub(super) fn is_missing(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret";
    const SECRET: bool = true;

    fn accepts() -> String {
        ADVICE.to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// Bytes a key must have.
const ENOUGH: usize = 32;

/// Words of examples, in lower case without punctuation. A random key of 44 letters holds one of the
/// six-letter ones about once in ten million.
const KNOWN: [&str; 18] = [
    "changeme",
    "changethis",
    "convoke",
    "default",
    "development",
    "donotuse",
    "example",
    "insecure",
    "letmein",
    "mysecret",
    "password",
    "placeholder",
    "qwertyuiop",
    "replaceme",
    "replacethis",
    "secret",
    "testkey",
    "topsecret",
];

/// Why the text is no good as a key, or `None`. Never repeats a part of it.
pub(super) fn weakness(text: &str) -> Option<&'static str> {
    let decoded = decode(text);
    if holds_known_word(text.as_bytes()) || decoded.as_deref().is_some_and(holds_known_word) {
        return Some("holds an example value that everybody knows");
    }
    let certain = text.bytes().all(|byte| byte.is_ascii_hexdigit()) || text.ends_with('=');
    let length = match &decoded {
        // Only hex digits, or padding, leave no doubt that it is encoded; other text counts as it is.
        Some(bytes) if certain => bytes.len(),
        _ => text.len(),
    };
    if length < ENOUGH {
        return Some("is shorter than 32 bytes");
    }
    if is_repetitive(text.as_bytes(), 9) || decoded.is_some_and(|bytes| is_repetitive(&bytes, 12)) {
        return Some("is not random: it repeats or counts");
    }
    None
}

/// The bytes of hex or base64 text in either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return text
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok())
            .map(|pair| u8::from_str_radix(pair?, 16).ok())
            .collect();
    }
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
}

fn holds_known_word(bytes: &[u8]) -> bool {
    let letters: String = bytes
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    KNOWN.iter().any(|word| letters.contains(word))
}

/// Whether the bytes have fewer than `distinct` different values, repeat a shorter part, or mostly
/// step by one. 32 random bytes, or the text of them, practically never do.
fn is_repetitive(bytes: &[u8], distinct: usize) -> bool {
    let different: BTreeSet<u8> = bytes.iter().copied().collect();
    let repeats = (1..=bytes.len() / 2).any(|period| {
        bytes
            .iter()
            .zip(bytes.iter().skip(period))
            .all(|(a, b)| a == b)
    });
    let steps = bytes
        .iter()
        .zip(bytes.iter().skip(1))
        .filter(|(a, b)| a.abs_diff(**b) <= 1)
        .count();
    different.len() < distinct || repeats || steps * 2 > bytes.len()
}
