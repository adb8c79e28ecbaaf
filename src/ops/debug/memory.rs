//! `GET /debug/memory`: what the kernel says the process takes.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::uncached;
use crate::ops::problem;

/// Figures of proc(5) in bytes. `smaps_rollup` shares pages fairly between processes (`Pss`) and tells what is private;
/// `status` knows the peak and the threads.
pub(super) async fn show() -> Response {
    // Walking the page tables of a large process takes milliseconds.
    let read = tokio::task::spawn_blocking(|| {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        Ok::<_, std::io::Error>((rollup, status))
    });
    match read.await {
        Ok(Ok((rollup, status))) => uncached(&json!({
            "source": "/proc/self/smaps_rollup, /proc/self/status",
            "smaps_rollup_bytes": sizes(&rollup),
            "status_bytes": sizes(&status),
        })),
        Ok(Err(failure)) => unknown(&failure.to_string()),
        Err(failure) => unknown(&failure.to_string()),
    }
}

fn unknown(failure: &str) -> Response {
    problem(StatusCode::NOT_IMPLEMENTED, "memory", failure)
}

/// The lines `Name:   12 kB`, as bytes.
fn sizes(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter_map(|line| {
        let (name, size) = line.split_once(':')?;
        let kib: u64 = size.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some((name.to_owned(), json!(kib * 1024)))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_are_taken_and_in_bytes() {
        let text = "55f-7ff ---p 00000000 00:00 0    [rollup]\nRss:    12 kB\nThreads:\t3\nVmHWM:\t 1 kB\n";
        assert_eq!(json!(sizes(text)), json!({"Rss": 12288, "VmHWM": 1024}));
    }
}
