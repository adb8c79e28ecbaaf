//! The end of the service, step by step, each of them in the log.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::lifecycle::Lifecycle;
use crate::listener::Drained;
use crate::store::Store;

/// Time for the database to say goodbye.
const CLOSE: Duration = Duration::from_secs(5);

/// What is to be ended.
pub(super) struct Running {
    pub(super) store: Store,
    pub(super) public: oneshot::Receiver<Drained>,
    pub(super) ops: oneshot::Receiver<Drained>,
    pub(super) ops_closing: CancellationToken,
}

/// Ends everything in an order in which nothing that was begun is lost: requests and deliveries before the database, the
/// database before the ops listener, by which the operators watch the end.
pub(super) async fn run(running: Running, settings: &config::Shutdown, lifecycle: &Lifecycle) {
    let Running {
        store,
        public,
        ops,
        ops_closing,
    } = running;
    let grace_seconds = settings.grace.as_secs_f64();
    tracing::info!(step = "begun", grace_seconds, "shutdown");
    tokio::time::sleep(settings.grace).await;

    let timeout_seconds = settings.timeout.as_secs_f64();
    tracing::info!(step = "listener_closing", timeout_seconds, "shutdown");
    let deadline = Instant::now() + settings.timeout;
    lifecycle.close();
    // The listener keeps to the same limit, and a moment longer.
    match tokio::time::timeout_at(deadline + Duration::from_secs(1), public).await {
        Ok(Ok(Drained { cut_off: 0 })) => tracing::info!(step = "requests_finished", "shutdown"),
        Ok(Ok(Drained { cut_off })) => {
            tracing::warn!(step = "requests_cut_off", connections = cut_off, "shutdown");
        }
        _ => tracing::error!(step = "listener_stuck", "shutdown"),
    }
    let deadline = deadline.max(Instant::now() + Duration::from_millis(100));
    if tokio::time::timeout_at(deadline, lifecycle.finished())
        .await
        .is_ok()
    {
        tracing::info!(step = "background_finished", "shutdown");
    } else {
        tracing::warn!(step = "background_cut_off", "shutdown");
        lifecycle.abort();
        lifecycle.finished().await;
    }

    if tokio::time::timeout(CLOSE, store.close()).await.is_ok() {
        tracing::info!(step = "database_closed", "shutdown");
    } else {
        tracing::warn!(step = "database_left", "shutdown");
    }
    ops_closing.cancel();
    // A probe that is cut off here asks again and finds nobody.
    drop(tokio::time::timeout(CLOSE, ops).await);
    tracing::info!(step = "done", "shutdown");
}
