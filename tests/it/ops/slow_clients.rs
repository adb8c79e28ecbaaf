//! Clients that hold the ops listener's few places do not keep the probes out for long.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::engines::Engine;
use crate::support::polling::eventually;
use crate::support::service::Service;

/// More than the listener's places.
const CLIENTS: usize = 70;
const LIMIT: Duration = Duration::from_secs(30);

async fn held(service: &Service, request: &str) -> Vec<TcpStream> {
    let address = service.ops_url("").replace("http://", "");
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    streams
}

async fn probes_get_through(service: &Service) {
    eventually("the probe is answered", LIMIT, || async {
        let probe = service.http().get(service.ops_url("/livez"));
        let answer = probe.timeout(Duration::from_secs(2)).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_come_give_their_places_back() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let head = "PUT /log-level HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{";
    let streams = held(&service, head).await;
    probes_get_through(&service).await;
    drop(streams);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_give_their_places_back() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let streams = held(&service, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    probes_get_through(&service).await;
    drop(streams);
}
