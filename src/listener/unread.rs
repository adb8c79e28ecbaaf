//! What a handler leaves of a request's body: read to its end when that is near, else told by `Connection: close`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// A rest of at most so many bytes is read before the answer, so that the connection can be kept…
const NEAR: u64 = 64 << 10;
/// …when it comes within this time.
const SOON: Duration = Duration::from_millis(100);

/// Where a body goes that was dropped before its end.
pub(super) type Left<B> = Arc<Mutex<Option<B>>>;

/// A body that comes back when it is dropped before its end.
#[derive(Debug)]
pub(super) struct Returning<B: Body + Unpin> {
    body: Option<B>,
    left: Left<B>,
}

impl<B: Body + Unpin> Returning<B> {
    pub(super) fn new(body: B, left: &Left<B>) -> Self {
        Self {
            body: Some(body),
            left: Arc::clone(left),
        }
    }
}

impl<B: Body + Unpin> Body for Returning<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}

impl<B: Body + Unpin> Drop for Returning<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Whether nothing is left of the body, after reading what is near. A client that waits for `100 Continue` sends nothing, and
/// asking for the body would make it.
pub(super) async fn is_read<B>(left: &Left<B>, waits_for_continue: bool) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let rest = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut rest) = rest else { return true };
    if waits_for_continue || rest.size_hint().upper().is_none_or(|rest| rest > NEAR) {
        return false;
    }
    let read = async {
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(SOON, read).await.unwrap_or(false)
}
