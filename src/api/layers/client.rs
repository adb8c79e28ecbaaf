//! Who is at the other end of the wire, proxies taken into account.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    response::Response,
};
use http::{HeaderMap, header};
use ipnet::IpNet;

use crate::api::Api;

/// The client, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether it speaks TLS to a proxy that we trust.
    pub tls: bool,
}

/// Notes the client for those further in.
pub(crate) async fn identify<F: Future<Output = Response>>(
    api: &Api,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip());
    // Without a connection (a test calls the router itself) it is this machine.
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let client = client_of(peer, request.headers(), &api.trusted_proxies);
    request.extensions_mut().insert(client);
    next(request).await
}

/// Walks from the peer outwards for as long as each hop is a trusted proxy: what an untrusted one wrote is worth nothing.
/// `Forwarded` (RFC 7239) goes before `X-Forwarded-For`.
fn client_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if !is_trusted(peer) {
        return Client {
            address: peer,
            tls: false,
        };
    }
    let forwarded = joined(headers, header::FORWARDED.as_str());
    let (hops, proto) = if forwarded.is_empty() {
        let hops = joined(headers, "x-forwarded-for")
            .iter()
            .map(|hop| parse_address(hop))
            .collect();
        (hops, joined(headers, "x-forwarded-proto").last().cloned())
    } else {
        let hops = forwarded
            .iter()
            .map(|element| parameter(element, "for").and_then(|hop| parse_address(&hop)))
            .collect();
        (
            hops,
            forwarded
                .last()
                .and_then(|element| parameter(element, "proto")),
        )
    };
    let hops: Vec<Option<IpAddr>> = hops;
    let mut address = peer;
    for hop in hops.into_iter().rev() {
        // A hop that cannot be read ends the chain at the last one that could.
        let Some(hop) = hop else { break };
        address = hop;
        if !is_trusted(hop) {
            break;
        }
    }
    Client {
        address,
        tls: proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")),
    }
}

/// A header's elements, over all its lines.
fn joined(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|element| element.trim().to_owned())
        .filter(|e| !e.is_empty())
        .collect()
}

fn parameter(element: &str, name: &str) -> Option<String> {
    let pairs = element
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs
        .into_iter()
        .find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// An address with or without a port and, for IPv6, brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address
        .ok()
        .or_else(bare)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = client_of(peer.parse().unwrap(), &map, &trusted);
        (client.address.to_string(), client.tls)
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        let headers = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(seen("9.9.9.9", &headers, &[]), ("9.9.9.9".into(), false));
        assert_eq!(
            seen("9.9.9.9", &headers, &["9.9.9.0/24"]),
            ("1.2.3.4".into(), true)
        );
    }

    #[test]
    fn the_chain_is_read_from_the_near_end_up_to_the_first_stranger() {
        let headers = [
            ("x-forwarded-for", "6.6.6.6, 1.2.3.4"),
            ("x-forwarded-for", "10.0.0.2"),
        ];
        assert_eq!(seen("10.0.0.1", &headers, &["10.0.0.0/8"]).0, "1.2.3.4");
    }

    #[test]
    fn forwarded_is_read_with_quotes_ports_and_brackets() {
        let headers = [(
            "forwarded",
            "for=1.1.1.1, for=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1",
        )];
        assert_eq!(
            seen("10.0.0.1", &headers, &["10.0.0.0/8"]),
            ("2001:db8::1".into(), true)
        );
        let hidden = [("forwarded", "for=_secret")];
        assert_eq!(seen("10.0.0.1", &hidden, &["10.0.0.0/8"]).0, "10.0.0.1");
    }
}
