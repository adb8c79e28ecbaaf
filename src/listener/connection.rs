//! One connection: HTTP/1 or HTTP/2 by prior knowledge, from its first byte to its last answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::Limits;
use super::linger::Lingering;
use super::stall::Stalling;
use super::unread::{self, Left, Returning};
use crate::lifecycle::Lifecycle;

/// How often an idle HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Time for its answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Time in which what a client still sends after its answer is thrown away.
const LINGER: Duration = Duration::from_secs(5);
/// Time in which what a client had sent before the listener closed is read from the socket of a connection at rest.
const REST: Duration = Duration::from_millis(20);

type Answer = Result<Response<Body>, Infallible>;

/// What all connections of a listener share.
#[derive(Clone)]
pub(super) struct Server {
    handler: Arc<Handler>,
    limits: Limits,
    closing: CancellationToken,
    cut: CancellationToken,
    builder: Arc<Builder<Streams>>,
}

impl Server {
    pub(super) fn new(
        router: Router,
        limits: Limits,
        lifecycle: Lifecycle,
        closing: CancellationToken,
        cut: CancellationToken,
    ) -> Self {
        let mut builder = Builder::new(Streams(lifecycle.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS);
        Self {
            handler: Arc::new(Handler { router, lifecycle }),
            limits,
            closing,
            cut,
            builder: Arc::new(builder),
        }
    }

    /// Serves the connection to its end. A failure on it is the client's to see: it went away, or sent what is no HTTP.
    pub(super) async fn run(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let activity = Arc::new(Activity::default());
        let service = service_fn(|request: Request<Incoming>| {
            let running = activity.begin();
            Arc::clone(&self.handler).answer(request, peer, running)
        });
        let stream = Stalling::new(stream, self.limits.stall_timeout);
        let stream = Lingering::new(stream, Arc::clone(&activity.unread), LINGER);
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let mut first = pin!(tokio::time::sleep(self.limits.header_read_timeout));
        let (mut asked_to_end, mut timed) = (false, false);
        let mut ending = pin!(self.may_end(&activity));
        loop {
            tokio::select! {
                biased;
                () = self.cut.cancelled() => return,
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = ending.as_mut(), if !asked_to_end => {
                    asked_to_end = true;
                    connection.as_mut().graceful_shutdown();
                }
                // hyper limits the time of a head, but not that of the first bytes by which it tells HTTP/1 from HTTP/2.
                () = first.as_mut(), if !timed => {
                    timed = true;
                    if !asked_to_end && activity.is_unused() {
                        asked_to_end = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }

    /// Waits until the listener has closed and hyper may be told to end the connection without losing a request.
    ///
    /// hyper ends a connection at rest at once, also when a request already lies in its socket. So one that was never used
    /// (fresh from the backlog, most likely) gets some time for its first request, and one between two requests just enough to
    /// be read from. A request that comes in this time is answered, and its answer ends the connection.
    async fn may_end(&self, activity: &Activity) {
        self.closing.cancelled().await;
        if activity.is_busy() {
            return;
        }
        let pause = if activity.is_unused() {
            self.limits.linger
        } else {
            REST
        };
        tokio::time::sleep_until(Instant::now() + pause).await;
    }
}

/// Who answers.
struct Handler {
    router: Router,
    lifecycle: Lifecycle,
}

impl Handler {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        running: Running,
    ) -> Answer {
        let is_http1 = request.version() < Version::HTTP_2;
        let waits = request.headers().contains_key(header::EXPECT);
        let left = (is_http1 && !request.body().is_end_stream()).then(Left::default);
        let mut request = request.map(|body| match &left {
            Some(left) => Body::new(Returning::new(body, left)),
            None => Body::new(body),
        });
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut response = self.router.clone().call(request).await?;
        // HTTP/2 ends the stream alone.
        let is_read = match &left {
            Some(left) => unread::is_read(left, waits).await,
            None => true,
        };
        if !is_read {
            running.0.unread.store(true, Ordering::Relaxed);
        }
        if !is_read || is_http1 && self.lifecycle.is_stopping() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        drop(running);
        Ok(response)
    }
}

/// What happened on a connection so far.
#[derive(Debug, Default)]
struct Activity {
    used: AtomicBool,
    running: AtomicUsize,
    /// Part of a request's body was not read: hyper ends the connection after the answer.
    unread: Arc<AtomicBool>,
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Running {
        self.used.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    fn is_unused(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }

    fn is_busy(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }
}

/// A request in the hands of a handler.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the tasks of HTTP/2's streams.
#[derive(Clone)]
struct Streams(Lifecycle);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.spawn_unwatched("stream", stream);
    }
}
