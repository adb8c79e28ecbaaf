//! `convoke health`: asks the service that runs with these settings, for health checks of containers and for scripts.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Failure;
use crate::config::{Config, Sources};

/// Longest wait in all. `/readyz` asks the database for up to 2 s.
const LIMIT: Duration = Duration::from_secs(4);
/// As much of the answer is read; the rest would say nothing more.
const LONGEST: u64 = 8192;

/// Asks `/livez`, or `/readyz`. Ends with 1 on any fault: a container engine reserves 2 for itself.
pub(super) async fn run(sources: &Sources, ready: bool) -> Result<ExitCode, Failure> {
    let address = Config::ops_listen(sources)
        .map_err(|faults| Failure::Command(format!("the address is not known: {faults}")))?;
    let Some(address) = reachable(address) else {
        let text = "ops_listen has port 0, a port that only the service's log tells";
        return Err(Failure::Command(text.to_owned()));
    };
    let path = if ready { "/readyz" } else { "/livez" };
    let asked = tokio::time::timeout(LIMIT, ask(address, path)).await;
    let problem = match asked {
        Ok(Ok((200, body))) => {
            writeln!(std::io::stdout().lock(), "{}", body.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Ok((status, body))) => format!("answers {status}: {}", body.trim_end()),
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => format!("does not answer within {} s", LIMIT.as_secs()),
    };
    Err(Failure::Command(format!("{address}{path}: {problem}")))
}

/// From this machine: a listener on every address is asked over the loopback.
fn reachable(mut address: SocketAddr) -> Option<SocketAddr> {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    (address.port() != 0).then_some(address)
}

/// The status and body of one GET. HTTP/1.0 has no chunks and ends with the connection, so it needs no client library.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    read(&String::from_utf8_lossy(&answer)).ok_or_else(|| {
        let text = "what answers there does not speak HTTP";
        std::io::Error::new(std::io::ErrorKind::InvalidData, text)
    })
}

fn read(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?;
    Some((status.parse().ok()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_over_the_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(reached("0.0.0.0:9464").unwrap(), "127.0.0.1:9464");
        assert_eq!(reached("[::]:9464").unwrap(), "[::1]:9464");
        assert_eq!(reached("10.0.0.5:9464").unwrap(), "10.0.0.5:9464");
        assert_eq!(reached("127.0.0.1:0"), None);
    }

    #[test]
    fn only_http_is_read() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
        assert_eq!(read(ok), Some((200, "ok\n".to_owned())));
        assert_eq!(
            read("HTTP/1.0 503 x\r\n\r\n{}"),
            Some((503, "{}".to_owned()))
        );
        for other in [
            "",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
            "HTTP/1.1 2",
            "HTTP/1.1 abc x\r\n\r\n",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
