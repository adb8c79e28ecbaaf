//! Waiting for what happens in the background: ask again and again, with a limit, and never sleep and hope.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `probe` answers `Some`; panics with `what` when the limit passes.
pub(crate) async fn eventually<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`eventually`], for code outside a runtime.
pub(crate) fn eventually_blocking<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
