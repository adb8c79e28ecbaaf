//! Media types, alone or all that begin alike.

use super::value::Value;

/// A media type in lower case, or all up to a `*`: `application/pdf`, `image/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange(String);

impl MediaRange {
    /// Whether this media type, in lower case and without parameters, is one of those.
    pub fn holds(&self, essence: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => essence.starts_with(start),
            None => essence == self.0,
        }
    }
}

impl Value for MediaRange {
    const KIND: &'static str = "list of media types";

    fn accepts() -> String {
        "media types such as application/pdf or image/*".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte);
        let stem = text.strip_suffix('*').unwrap_or(&text);
        let slashes = stem.matches('/').count();
        if slashes != 1 || stem.starts_with('/') || !stem.bytes().all(plain) {
            return Err("is not a media type".to_owned());
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_alike() {
        let holds = |range: &str, essence: &str| MediaRange::parse(range).unwrap().holds(essence);
        assert!(holds("image/*", "image/png") && holds("IMAGE/png", "image/png"));
        assert!(holds("application/vnd.ms-*", "application/vnd.ms-excel"));
        assert!(!holds("image/*", "video/mp4") && !holds("image/png", "image/png2"));
        for text in [
            "",
            "*",
            "*/*",
            "image",
            "image/*png",
            "/png",
            "a/b/c",
            "image/png; q=1",
        ] {
            assert!(MediaRange::parse(text).is_err(), "{text}");
        }
    }
}
