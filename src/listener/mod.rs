//! The accept loop of a listener, and an end of it that loses no accepted request.
//!
//! `axum::serve` was tried and left: it has no time limit for a request's head, no bound on connections, and at its end it
//! drops what waits in the kernel's backlog. The end here goes in steps:
//!
//! 1. Shutdown has begun, and the grace period runs: requests are served, and every HTTP/1 answer says `Connection: close`,
//!    so that keep-alive connections end with an answer and never between two.
//! 2. The grace period is over: nobody new is let in, and whoever waits in the backlog was told by the kernel that it is
//!    connected, so the backlog is emptied before the socket closes (see `door`).
//! 3. Each connection finishes what it was asked (see `connection`); at the limit the rest is cut off.

mod connection;
mod door;
mod linger;
mod stall;
#[cfg(test)]
mod tests;
mod unread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Server;
use crate::lifecycle::Lifecycle;
use crate::telemetry::instruments;

/// Pause after the system refused to hand out a connection: for want of file descriptors it would refuse again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for handshakes under way to finish once nobody new is let in: a generous round trip.
const HANDSHAKE: Duration = Duration::from_millis(100);

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// Time for the head of a request to arrive.
    pub header_read_timeout: Duration,
    /// Time for a client to take more of an answer, once it has stopped reading.
    pub stall_timeout: Duration,
    /// Time for connections to finish once the listener has closed.
    pub drain_timeout: Duration,
    /// Time for the first request of a connection to arrive once the listener has closed.
    pub linger: Duration,
}

/// A listener's name, its socket and what ends it.
#[derive(Debug)]
pub struct Listener {
    /// `public` or `ops`.
    pub name: &'static str,
    /// The bound socket.
    pub socket: TcpListener,
    /// What it allows.
    pub limits: Limits,
    /// When cancelled, the listener closes.
    pub closing: CancellationToken,
    /// Whether its connections are counted in `http_server_open_connections`.
    pub counted: bool,
}

/// How a listener's end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off.
    pub cut_off: usize,
}

/// Serves until the listener is told to close, then until every connection is done or the limit is over. The hard token of
/// `lifecycle` ends it at any time.
pub async fn serve(listener: Listener, router: Router, lifecycle: &Lifecycle) -> Drained {
    let Listener {
        name,
        socket,
        limits,
        closing,
        counted,
    } = listener;
    let room = Arc::new(Semaphore::new(
        limits.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let cut = lifecycle.hard().child_token();
    let connections = TaskTracker::new();
    let server = Server::new(
        router,
        limits,
        lifecycle.clone(),
        closing.clone(),
        cut.clone(),
    );
    let open = |stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit| {
        let gauge = counted.then(instruments::requests::connection_opened);
        let serving = server.clone().run(stream, peer);
        lifecycle.spawn_in(&connections, "connection", async move {
            serving.await;
            drop((gauge, permit));
        });
    };

    accept_until_closing(name, &socket, &room, &closing, open).await;
    let deadline = tokio::time::Instant::now() + limits.drain_timeout;
    let draining = async {
        if door::shut(&socket) {
            let never = CancellationToken::new();
            let accepting = accept_until_closing(name, &socket, &room, &never, open);
            drop(tokio::time::timeout(HANDSHAKE, accepting).await);
        }
        empty_backlog(name, socket, &room, open).await;
        connections.close();
        connections.wait().await;
    };
    tokio::select! {
        () = draining => Drained { cut_off: 0 },
        () = expired(deadline, &cut) => {
            let cut_off = connections.len();
            cut.cancel();
            connections.close();
            connections.wait().await;
            Drained { cut_off }
        }
    }
}

async fn expired(deadline: tokio::time::Instant, hard: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = hard.cancelled() => {}
    }
}

async fn accept_until_closing(
    name: &'static str,
    socket: &TcpListener,
    room: &Arc<Semaphore>,
    closing: &CancellationToken,
    open: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let mut refused = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            accepted = accept(socket, room) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                refused = false;
                open(stream, peer, permit);
            }
            Err(failure) if is_of_one_connection(&failure) => {}
            Err(failure) => {
                // Once for as long as it lasts: this repeats ten times a second.
                if !refused {
                    tracing::error!(listener = name, error = %failure, "connections cannot be accepted");
                }
                refused = true;
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

async fn accept(
    socket: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, permit))
}

/// Whether the failure is one connection's, which went away before it was accepted, and not the listener's.
fn is_of_one_connection(failure: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        failure.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Accepts whoever is connected already, and then closes the socket.
///
/// The standard library's socket asks the kernel each time; the runtime's would answer from what it remembers.
async fn empty_backlog(
    name: &'static str,
    socket: TcpListener,
    room: &Arc<Semaphore>,
    open: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let socket = match socket.into_std() {
        Ok(socket) => socket,
        Err(failure) => {
            return tracing::error!(listener = name, error = %failure, "the backlog cannot be emptied");
        }
    };
    loop {
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return;
        };
        let accepted = socket.accept().and_then(|(stream, peer)| {
            stream.set_nonblocking(true)?;
            Ok((TcpStream::from_std(stream)?, peer))
        });
        match accepted {
            Ok((stream, peer)) => open(stream, peer, permit),
            Err(failure) if is_of_one_connection(&failure) => {}
            Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => return,
            Err(failure) => {
                return tracing::error!(listener = name, error = %failure, "the backlog cannot be emptied");
            }
        }
    }
}
