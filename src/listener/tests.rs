//! The listener with real sockets.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";

fn limits() -> Limits {
    Limits {
        max_connections: 100,
        header_read_timeout: Duration::from_secs(20),
        stall_timeout: Duration::from_secs(20),
        drain_timeout: Duration::from_secs(20),
        linger: Duration::from_secs(20),
    }
}

/// A listener at work, a request on `/slow` tells of itself and waits to be released.
struct Fixture {
    address: SocketAddr,
    lifecycle: Lifecycle,
    begun: mpsc::UnboundedReceiver<()>,
    release: CancellationToken,
    drained: oneshot::Receiver<Drained>,
}

impl Fixture {
    async fn start(limits: Limits) -> Self {
        let lifecycle = Lifecycle::new();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (tell, begun) = mpsc::unbounded_channel();
        let release = CancellationToken::new();
        let released = release.clone();
        let slow = move || {
            let (tell, released) = (tell.clone(), released.clone());
            async move {
                tell.send(()).unwrap();
                released.cancelled().await;
                "slow"
            }
        };
        let peer =
            |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
        let router = Router::new()
            .route("/", get(peer))
            .route("/slow", get(slow));
        let closing = lifecycle.closing().clone();
        let listener = Listener {
            name: "test",
            socket,
            limits,
            closing,
            counted: false,
        };
        let (done, drained) = oneshot::channel();
        let serving = lifecycle.clone();
        lifecycle.spawn("test", async move {
            done.send(serve(listener, router, &serving).await).unwrap();
        });
        Self {
            address,
            lifecycle,
            begun,
            release,
            drained,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Sends a request and reads one answer.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    read_answer(stream).await
}

/// Reads one answer with a `content-length`.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    loop {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "ended in the middle of an answer: {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return answer;
            }
        }
    }
}

async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // An end by reset is an end, too.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn handlers_see_the_peers_address_and_connections_are_kept() {
    let fixture = Fixture::start(limits()).await;
    let mut stream = fixture.connect().await;
    for _ in 0..2 {
        let answer = ask(&mut stream, GET).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"),
            "{answer}"
        );
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn during_the_grace_period_requests_are_served_and_each_answer_ends_its_connection() {
    let fixture = Fixture::start(limits()).await;
    let mut kept = fixture.connect().await;
    ask(&mut kept, GET).await;
    fixture.lifecycle.stop();
    let mut new = fixture.connect().await;
    for stream in [&mut kept, &mut new] {
        let answer = ask(stream, GET).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
        ends(stream).await;
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_after_the_listener_has_closed() {
    let mut fixture = Fixture::start(limits()).await;
    let mut stream = fixture.connect().await;
    stream.write_all(SLOW).await.unwrap();
    fixture.begun.recv().await.unwrap();
    fixture.lifecycle.close();
    // The listener is gone when nobody can connect any more.
    while TcpStream::connect(fixture.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    fixture.release.cancel();
    let answer = read_answer(&mut stream).await;
    assert!(
        answer.ends_with("slow") && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(fixture.drained.await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn connections_in_the_backlog_are_served_after_the_close() {
    // One connection at a time: the others wait in the kernel's backlog.
    let mut fixture = Fixture::start(Limits {
        max_connections: 1,
        ..limits()
    })
    .await;
    let mut first = fixture.connect().await;
    first.write_all(SLOW).await.unwrap();
    fixture.begun.recv().await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = fixture.connect().await;
        stream.write_all(GET).await.unwrap();
        waiting.push(stream);
    }
    fixture.lifecycle.close();
    fixture.release.cancel();
    assert!(read_answer(&mut first).await.ends_with("slow"));
    for stream in &mut waiting {
        assert!(read_answer(stream).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(fixture.drained.await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_connection_made_before_the_close_may_still_send_its_first_request() {
    let fixture = Fixture::start(limits()).await;
    let mut stream = fixture.connect().await;
    fixture.lifecycle.close();
    while TcpStream::connect(fixture.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(ask(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let fixture = Fixture::start(Limits {
        linger: Duration::ZERO,
        ..limits()
    })
    .await;
    let mut used = fixture.connect().await;
    ask(&mut used, GET).await;
    let mut unused = fixture.connect().await;
    fixture.lifecycle.close();
    assert_eq!(fixture.drained.await.unwrap(), Drained { cut_off: 0 });
    ends(&mut used).await;
    ends(&mut unused).await;
}

#[tokio::test]
async fn what_takes_longer_than_the_limit_is_cut_off_and_counted() {
    let mut fixture = Fixture::start(Limits {
        drain_timeout: Duration::from_millis(20),
        ..limits()
    })
    .await;
    let mut stream = fixture.connect().await;
    stream.write_all(SLOW).await.unwrap();
    fixture.begun.recv().await.unwrap();
    fixture.lifecycle.close();
    assert_eq!(fixture.drained.await.unwrap(), Drained { cut_off: 1 });
    ends(&mut stream).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_left_in_time() {
    let fixture = Fixture::start(Limits {
        header_read_timeout: Duration::from_millis(20),
        stall_timeout: Duration::from_secs(20),
        ..limits()
    })
    .await;
    for begun in [&b""[..], b"GET / HT"] {
        let mut stream = fixture.connect().await;
        stream.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge_and_ends_politely() {
    let mut fixture = Fixture::start(limits()).await;
    let io = TokioIo::new(fixture.connect().await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    fixture
        .lifecycle
        .spawn_unwatched("client", async { connection.await.unwrap() });
    let request = |path: &str| {
        Request::get(format!("http://{}{path}", fixture.address))
            .body(Body::empty())
            .unwrap()
    };
    let answer = client.send_request(request("/")).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let slow = client.send_request(request("/slow"));
    let end = async {
        fixture.begun.recv().await.unwrap();
        fixture.lifecycle.close();
        fixture.release.cancel();
    };
    let (slow, ()) = tokio::join!(slow, end);
    assert_eq!(
        axum::body::to_bytes(Body::new(slow.unwrap()), 100)
            .await
            .unwrap(),
        "slow"
    );
    assert_eq!(fixture.drained.await.unwrap(), Drained { cut_off: 0 });
}
