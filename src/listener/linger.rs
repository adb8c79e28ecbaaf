//! An end that the client hears: what it still sends after its answer is read and thrown away for a while.
//!
//! A socket that is closed with bytes unread sends a reset, and a reset makes the client's system throw away what it has
//! not read yet: the answer. A proxy makes 502 of it. So after an answer to a request whose body was not read (too large,
//! most likely) the sending side is closed, and the rest is read until the client closes too, within bounds.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes that are thrown away at most.
const MOST: usize = 32 << 20;
/// A stream that reads on after its end when `unread` says so.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    unread: Arc<AtomicBool>,
    left: usize,
    limit: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, unread: Arc<AtomicBool>, limit: Duration) -> Self {
        Self {
            stream,
            unread,
            left: MOST,
            limit,
            until: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.until.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if !this.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let limit = this.limit;
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(limit)));
        let mut bytes = [0; 8 << 10];
        while this.left > 0 && until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            // That the client went away is what this waits for, however it went.
            if ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)).is_err() {
                break;
            }
            let count = buffer.filled().len();
            if count == 0 {
                break;
            }
            this.left = this.left.saturating_sub(count);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(20);

    async fn ends(unread: bool) -> (u64, Duration) {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Lingering::new(ours, Arc::new(AtomicBool::new(unread)), LONG);
        ours.write_all(b"answer").await.unwrap();
        let client = async {
            let mut sent = 0;
            // It goes on sending, and reads its answer only then.
            while sent < 10_000 && theirs.write_all(&[7; 100]).await.is_ok() {
                sent += 100;
            }
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "answer");
            drop(theirs);
            sent
        };
        let began = tokio::time::Instant::now();
        let server = async move {
            ours.shutdown().await.unwrap();
            let took = began.elapsed();
            drop(ours);
            took
        };
        tokio::join!(client, server)
    }

    #[tokio::test]
    async fn what_comes_after_the_answer_is_read_only_when_something_was_left_unread() {
        assert_eq!(ends(true).await.0, 10_000);
        assert!(ends(false).await.0 < 10_000);
    }

    #[tokio::test]
    async fn a_client_that_neither_sends_nor_closes_is_left_in_time() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut ours = Lingering::new(ours, Arc::new(AtomicBool::new(true)), SHORT);
        let began = tokio::time::Instant::now();
        ours.shutdown().await.unwrap();
        assert!(began.elapsed() >= SHORT);
    }
}
