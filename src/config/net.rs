//! Addresses, networks, origins and URLs.

use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;
use ipnet::IpNet;

use super::value::Value;

impl Value for SocketAddr {
    const KIND: &'static str = "address";

    fn accepts() -> String {
        "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes a free one)"
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "is not an IP address and a port".to_owned())
    }
}

impl Value for IpNet {
    const KIND: &'static str = "list of networks";

    fn accepts() -> String {
        "IP addresses or networks such as 10.0.0.0/8".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Self>()
            .or_else(|_| text.parse::<IpAddr>().map(Self::from))
            .map(|network| network.trunc())
            .map_err(|_| "is neither an address nor a network".to_owned())
    }
}

/// A web origin (RFC 6454): scheme, host and port, as a browser sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigin(String);

impl CorsOrigin {
    /// The origin in lower case and without the scheme's own port, as in the `Origin` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for CorsOrigin {
    const KIND: &'static str = "list of origins";

    fn accepts() -> String {
        "origins such as https://app.example.org".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Err(
                "would let every web site act with its visitors' credentials: \
                        name each origin instead"
                    .to_owned(),
            );
        }
        let uri = web_uri(text)?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err("has a path, and an origin has none".to_owned());
        }
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = match (scheme, uri.port_u16()) {
            (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        Ok(Self(format!("{scheme}://{host}{port}")))
    }
}

/// A host's name in lower case (RFC 1123 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for HostName {
    const KIND: &'static str = "list of host names";

    fn accepts() -> String {
        "host names such as ops.example.org, without a port".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fits = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() <= 253 && text.split('.').all(fits) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err("is not a host name".to_owned())
    }
}

/// An absolute http or https URL without user and fragment.
fn web_uri(text: &str) -> Result<Uri, String> {
    if text.contains('#') {
        return Err("has a fragment".to_owned());
    }
    let uri: Uri = text
        .parse()
        .map_err(|_| "is not an absolute URL".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("does not begin with http:// or https://".to_owned());
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err("names a user".to_owned()),
        Some(authority) if authority.host().is_empty() => Err("has no host".to_owned()),
        // A port that is no number would silently be taken for none.
        Some(authority) if authority.port().is_none() && authority.as_str() != authority.host() => {
            Err("has a port that is not a number".to_owned())
        }
        Some(authority) if authority.port().is_some() && authority.port_u16().is_none() => {
            Err("has a port that is not a number".to_owned())
        }
        Some(_) => Ok(uri),
        None => Err("has no host".to_owned()),
    }
}
