//! Which names the ops listener answers to. A web page that an operator has open can point a name of its own at this machine
//! (DNS rebinding) and would then read the console as its own origin; the name in `Host` gives it away.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::Response;

use super::problem;

/// For programs, which are configured by whatever name there is; they change nothing and tell figures only.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Names besides those that everybody may use.
pub(super) type Names = Arc<[String]>;

/// Refuses a request that was sent to a name which may be anybody's (RFC 9110 §15.5.20).
pub(super) async fn check(State(names): State<Names>, request: Request, next: Next) -> Response {
    let sent = request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(header::HOST)?;
        // One that cannot be read is no name of ours.
        Some(host.to_str().ok().and_then(|text| text.parse().ok())).map(
            |read: Option<Authority>| read.unwrap_or(Authority::from_static("unreadable.invalid")),
        )
    });
    let path = request.uri().path();
    // Without any it is no browser.
    let known = sent.is_none_or(|sent| is_known(sent.host(), &names));
    if known || OPEN.contains(&path) {
        return next.run(request).await;
    }
    let detail = "is a name that may be anybody's: use an IP address or localhost, or add it to CONVOKE_OPS_HOSTS";
    problem(StatusCode::MISDIRECTED_REQUEST, "host", detail)
}

/// Addresses, names without a dot, which no public zone can hold, and those that are configured.
fn is_known(host: &str, names: &[String]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || !host.contains('.')
        || host.ends_with(".localhost")
        || names.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_have_are_known() {
        let names = ["ops.example.org".to_owned()];
        for known in [
            "127.0.0.1",
            "[::1]",
            "10.0.0.5",
            "localhost",
            "LOCALHOST.",
            "convoke",
            "app.localhost",
            "ops.example.org",
            "Ops.Example.org.",
        ] {
            assert!(is_known(known, &names), "{known}");
        }
        for unknown in [
            "evil.example",
            "127.0.0.1.nip.io",
            "localhost.evil.example",
            "ops.example.org.evil.example",
            "notlocalhost.com",
        ] {
            assert!(!is_known(unknown, &names), "{unknown}");
        }
    }
}
