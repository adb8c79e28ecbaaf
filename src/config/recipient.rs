//! To whom backups are encrypted.

use std::fmt;

use super::value::Value;

/// The public half of an age key: whoever has the other half can read what is encrypted to it.
#[derive(Clone)]
pub struct Recipient {
    text: String,
    key: age::x25519::Recipient,
}

impl Recipient {
    /// The key itself.
    pub fn key(&self) -> &age::x25519::Recipient {
        &self.key
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = text
            .parse()
            .map_err(|problem| format!("is not an age recipient: {problem}"))?;
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }
}

impl Value for Recipient {
    const KIND: &'static str = "age recipient";

    fn accepts() -> String {
        "a public key as age-keygen prints it, such as age1…".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}
