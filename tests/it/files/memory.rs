//! How large a file is says nothing of how much memory it takes.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use super::support::attachments;
use crate::support::client::{Client, id};
use crate::support::engines::Engine;
use crate::support::service::Service;

const MIB: usize = 1 << 20;
/// `CONVOKE_TEST_UPLOAD_MIB` asks for another size.
const UPLOAD_MIB: usize = 1024;

/// The most memory that a process has held, in MiB.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("its peak");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kib / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_comes_and_goes_in_less_than_100_mib() {
    let size = std::env::var("CONVOKE_TEST_UPLOAD_MIB")
        .map_or(UPLOAD_MIB, |text| text.parse().expect("a number"));
    let settings = [
        ("CONVOKE_ATTACHMENTS_MAX_SIZE", "4GiB"),
        ("CONVOKE_ATTACHMENTS_EVENT_QUOTA", "4GiB"),
        ("CONVOKE_ATTACHMENTS_USER_QUOTA", "4GiB"),
        // Hashing passwords is not what is measured.
        ("CONVOKE_PASSWORD_HASH_MEMORY", "8"),
    ];
    let service = Service::start(Engine::Sqlite, &settings).await;
    let host = Client::register(&service, "host").await;
    let event = host.create_event(json!({})).await;
    let piece = bytes_of_text();
    let pieces =
        futures::stream::iter(std::iter::repeat_n(piece, size).map(Ok::<_, std::io::Error>));
    let began = Instant::now();
    let request = host
        .request(Method::POST, &attachments(&event))
        .timeout(Duration::from_mins(10))
        .header("content-type", "text/plain");
    let answer = request
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    let added: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(added["size"], size * MIB);
    let (sent, after_upload) = (began.elapsed(), peak(service.pid()));
    let path = format!("{}{}/content", attachments(&event), id(&added));
    let began = Instant::now();
    let request = host
        .request(Method::GET, &path)
        .timeout(Duration::from_mins(10));
    let mut content = request.send().await.expect("an answer").bytes_stream();
    let mut read = 0;
    while let Some(piece) = content.next().await {
        read += piece.expect("the rest").len();
    }
    assert_eq!(read, size * MIB);
    let (got, after_download) = (began.elapsed(), peak(service.pid()));
    eprintln!(
        "{size} MiB: sent in {sent:.1?}, peak {after_upload} MiB; read in {got:.1?}, peak {after_download} MiB"
    );
    assert!(after_download < 100, "{after_download} MiB");
}

fn bytes_of_text() -> Vec<u8> {
    b"All work and no play makes a dull file.\n"
        .iter()
        .copied()
        .cycle()
        .take(MIB)
        .collect()
}
