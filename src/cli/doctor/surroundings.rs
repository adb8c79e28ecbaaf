//! What surrounds the service: its folder and disk, its ports, the collector of traces.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;

use super::Finding;
use crate::background::disk;
use crate::cache;
use crate::config::RedisUrl;
use crate::store::chain;

/// Free space below which the database is about to stop.
const LITTLE: u64 = 64 << 20;
/// Free space below which somebody should look.
const SOME: u64 = 1 << 30;
/// Longest wait for the collector.
const LIMIT: Duration = Duration::from_secs(3);

/// Whether the data folder can be written to, and how much room there is.
pub(super) fn data_folder(folder: &Path) -> Finding {
    const NAME: &str = "data_dir";
    let shown = folder.display();
    let Some(existing) = disk::existing(folder) else {
        return Finding::broken(
            NAME,
            format!("{shown} cannot be reached"),
            "correct CONVOKE_DATA_DIR",
        );
    };
    if let Err(failure) = try_to_write(existing) {
        let advice =
            "give the service's user the right to write there, or correct CONVOKE_DATA_DIR";
        return Finding::broken(
            NAME,
            format!("{shown} cannot be written to: {failure}"),
            advice,
        );
    }
    match disk::room(existing) {
        Ok(disk) => room(&shown.to_string(), disk.available),
        Err(failure) => Finding::doubtful(
            NAME,
            format!("{shown} is writable, its disk is unknown: {failure}"),
            "",
        ),
    }
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".convoke-doctor-{}", std::process::id()));
    std::fs::File::create_new(&file)?;
    std::fs::remove_file(file)
}

fn room(folder: &str, free: u64) -> Finding {
    let what = format!("{folder} is writable, {} MiB are free", free >> 20);
    let advice = "make room: without it nothing can be written";
    if free < LITTLE {
        Finding::broken("data_dir", what, advice)
    } else if free < SOME {
        Finding::doubtful("data_dir", what, advice)
    } else {
        Finding::fine("data_dir", what)
    }
}

/// Whether a listener could take its address.
pub(super) fn port(name: &'static str, variable: &str, address: SocketAddr) -> Finding {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Finding::fine(name, format!("{address} is free")),
        Err(failure) if failure.kind() == io::ErrorKind::AddrInUse => {
            let advice =
                format!("fine if this service runs already, else choose another {variable}");
            Finding::doubtful(name, format!("{address} is in use"), advice)
        }
        Err(failure) => {
            let advice = format!("choose another {variable}");
            Finding::broken(
                name,
                format!("{address} cannot be taken: {failure}"),
                advice,
            )
        }
    }
}

/// Whether Redis answers, and soon enough to be of use.
pub(super) async fn redis(url: &RedisUrl, limit: Duration) -> Finding {
    match cache::look(url).await {
        Ok(cache::Info {
            round_trip,
            version,
        }) => {
            let what = format!(
                "{url}, version {version}, answers in {:.2} ms",
                round_trip.as_secs_f64() * 1e3
            );
            if round_trip * 2 > limit {
                let advice =
                    "bring it nearer, or raise CONVOKE_REDIS_TIMEOUT: at that time it is given up";
                return Finding::doubtful("redis", what, advice);
            }
            Finding::fine("redis", what)
        }
        // The service does without it.
        Err(failure) => Finding::doubtful(
            "redis",
            format!("{url}: {}", chain(&failure)),
            "is it running, and are address and password in CONVOKE_REDIS_URL right? Until then replicas share no cache",
        ),
    }
}

/// Whether somebody listens where traces are sent. Without a collector the service runs, and loses its traces.
pub(super) async fn collector(endpoint: &str) -> Finding {
    const NAME: &str = "otlp";
    let advice = "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT";
    let Some((host, port)) = host_and_port(endpoint) else {
        return Finding::broken(NAME, "the endpoint names no host", advice);
    };
    let place = format!("{host}:{port}");
    match tokio::time::timeout(LIMIT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Finding::fine(NAME, format!("{place} answers")),
        Ok(Err(failure)) => Finding::broken(NAME, format!("{place}: {failure}"), advice),
        Err(_) => Finding::broken(
            NAME,
            format!("{place} does not answer within {} s", LIMIT.as_secs()),
            advice,
        ),
    }
}

fn host_and_port(endpoint: &str) -> Option<(String, u16)> {
    let uri: Uri = endpoint.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let default = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    Some((host, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_endpoints_host_and_port_are_found() {
        let found = |text: &str| host_and_port(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(
            found("http://localhost:4318/v1/traces").unwrap(),
            "localhost 4318"
        );
        assert_eq!(
            found("https://user:pass@[::1]/v1/traces").unwrap(),
            "::1 443"
        );
        assert_eq!(found("/v1/traces"), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(
            data_folder(&folder.path().join("a/b")).verdict,
            Verdict::Broken
        );
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(data_folder(&file).verdict, Verdict::Broken);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn little_room_is_told() {
        assert_eq!(room("x", 1 << 20).verdict, Verdict::Broken);
        assert_eq!(room("x", 500 << 20).verdict, Verdict::Doubtful);
        assert_eq!(room("x", 5 << 30).verdict, Verdict::Fine);
    }

    #[test]
    fn a_port_in_use_is_doubtful_and_a_foreign_address_a_failure() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(
            port("listen", "X", taken.local_addr().unwrap()).verdict,
            Verdict::Doubtful
        );
        assert_eq!(
            port("listen", "X", "192.0.2.1:80".parse().unwrap()).verdict,
            Verdict::Broken
        );
        assert_eq!(
            port("listen", "X", "127.0.0.1:0".parse().unwrap()).verdict,
            Verdict::Fine
        );
    }

    #[tokio::test]
    async fn a_collector_that_is_there_is_found() {
        let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        assert_eq!(
            collector(&format!("http://{address}/v1/traces"))
                .await
                .verdict,
            Verdict::Fine
        );
        drop(there);
        assert_eq!(
            collector(&format!("http://{address}/v1/traces"))
                .await
                .verdict,
            Verdict::Broken
        );
    }
}
