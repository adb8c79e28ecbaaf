//! Writes whose clients go away at any moment take nothing of anybody else's with them.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use convoke::store::Receipt;
use tempfile::TempDir;

use super::change_log::{content, open, user};

const WRITES: u64 = 1_500;

/// What a future gives unless it has still to wait after so many polls.
async fn polled<F: Future>(future: F, mut polls: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if polls <= 1 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

on_both_engines! {
    async fn a_write_dropped_at_any_moment_harms_no_other(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let actor = user(&store, "host").await;
        let mut tasks = Vec::new();
        for n in 0..WRITES {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(n * 500)).await;
                let none = |_: &_| Vec::new();
                let content = content("dropped or not");
                let receipt = Receipt::new(None, &none);
                let write = store.create_event(actor, &content, &receipt);
                // One of three is waited for; the others are given up where they begin to wait, or after up to 6 ms: before, during
                // and after each statement of theirs.
                match n % 3 {
                    0 => Some(write.await),
                    1 => polled(write, 1 + n / 3 % 3).await,
                    _ => tokio::time::timeout(Duration::from_micros(n * 4_001 % 6_000), write).await.ok(),
                }
            }));
        }
        let (mut acknowledged, mut given_up) = (Vec::new(), 0);
        for task in tasks {
            match task.await.unwrap() {
                Some(written) => acknowledged.push(written.expect("a write that is waited for succeeds").id),
                None => given_up += 1,
            }
        }
        assert!(acknowledged.len() as u64 >= WRITES / 3 && given_up > 100, "{given_up} were given up");
        for id in acknowledged {
            store.event(actor, id).await.expect("what was acknowledged is there");
        }
        store.close().await;
    }
}
