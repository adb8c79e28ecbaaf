//! Writes whose clients go away at any moment take nothing of anybody else's with them.

use std::time::Duration;

use convoke::store::Receipt;
use tempfile::TempDir;

use super::change_log::{content, open, user};

const WRITES: u64 = 1_500;

on_both_engines! {
    async fn a_write_dropped_at_any_moment_harms_no_other(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let actor = user(&store, "host").await;
        let mut tasks = Vec::new();
        for n in 0..WRITES {
            let store = store.clone();
            // Two of three are given up after up to 6 ms: before, during and after each statement of theirs.
            let patience = Duration::from_micros(if n % 3 == 0 { 60_000_000 } else { n * 4_001 % 6_000 });
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(n * 500)).await;
                let none = |_: &_| Vec::new();
                let content = content("dropped or not");
                let receipt = Receipt::new(None, &none);
                let write = store.create_event(actor, &content, &receipt);
                tokio::time::timeout(patience, write).await
            }));
        }
        let (mut acknowledged, mut given_up) = (Vec::new(), 0);
        for task in tasks {
            match task.await.unwrap() {
                Ok(written) => acknowledged.push(written.expect("a write that is waited for succeeds").id),
                Err(_) => given_up += 1,
            }
        }
        assert!(acknowledged.len() as u64 >= WRITES / 3 && given_up > 100, "{given_up} were given up");
        for id in acknowledged {
            store.event(actor, id).await.expect("what was acknowledged is there");
        }
        store.close().await;
    }
}
