//! The Redis URL, shown without its password, and the prefix of its keys.

use std::fmt;

use redis::IntoConnectionInfo as _;

use super::value::Value;

/// Where Redis is. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole URL with its password, for the driver only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it asks for TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("rediss://")
    }

    /// Whether nobody else can read what is sent.
    pub(super) fn is_private(&self) -> bool {
        let place = self.0.rsplit('@').next().unwrap_or_default();
        let host = place.trim_start_matches("redis://");
        self.is_encrypted()
            || ["localhost", "127.", "[::1]"]
                .iter()
                .any(|local| host.starts_with(local))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", ""));
        // What stands behind the place could be anything.
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((credentials, place)) => {
                let user = credentials.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:[redacted]@{place}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl Value for RedisUrl {
    const KIND: &'static str = "URL";
    const SECRET: bool = true;

    fn accepts() -> String {
        "redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS".to_owned()
    }

    fn shown(&self, _text: &str) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("redis://") && !text.starts_with("rediss://") {
            return Err("begins with neither redis:// nor rediss://".to_owned());
        }
        // It could switch the check of certificates off.
        if text.contains(['?', '#']) {
            return Err("has a query or a fragment".to_owned());
        }
        // The driver's own words are left out: they could quote a part of the URL.
        match text.into_connection_info() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(
                "cannot be read by the driver (is a special character in the password \
                 percent-encoded, and are port and database numbers?)"
                    .to_owned(),
            ),
        }
    }
}

/// What the keys in Redis begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for KeyPrefix {
    const KIND: &'static str = "text";

    fn accepts() -> String {
        "1 to 64 letters, digits, or characters of `:_.-`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ":_.-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err("is no prefix".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("redis://cache", "redis://cache"),
            (
                "redis://:hunter2@cache:6379/3",
                "redis://:[redacted]@cache:6379/3",
            ),
            (
                "rediss://convoke:hunter2@cache",
                "rediss://convoke:[redacted]@cache",
            ),
            (
                "redis://hunter2%40:hunter2@cache",
                "redis://hunter2%40:[redacted]@cache",
            ),
        ] {
            let url = RedisUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn only_what_the_driver_can_read_is_a_url() {
        for text in [
            "cache:6379",
            "http://cache",
            "unix:///run/redis.sock",
            "redis://cache:port",
            "redis://cache/first",
            "rediss://cache/#insecure",
            "redis://cache?protocol=resp3",
        ] {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_the_clear_is_told_from_one_that_nobody_can_read() {
        for (text, private) in [
            ("redis://:p@cache", false),
            ("rediss://:p@cache", true),
            ("redis://:p@127.0.0.1:6379", true),
            ("redis://localhost", true),
        ] {
            assert_eq!(
                RedisUrl::parse(text).unwrap().is_private(),
                private,
                "{text}"
            );
        }
    }
}
