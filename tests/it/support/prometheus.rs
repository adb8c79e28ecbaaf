//! A real Prometheus that scrapes a service each second.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::answer::http_client;
use super::polling::eventually;
use super::postgres::free_port;

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running Prometheus and its data. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    url: String,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target`, as `job="convoke"`, and keeps exemplars.
    pub(crate) async fn scraping(target: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let config = folder.path().join("prometheus.yaml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n- job_name: convoke\n  static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(&config, text).expect("written");
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("prometheus is missing; on Debian: apt-get install prometheus");
        let prometheus = Self {
            child,
            url: format!("http://{address}"),
            http: http_client(),
            _folder: folder,
        };
        eventually("Prometheus is ready", START_LIMIT, || async {
            let ready = prometheus.http.get(format!("{}/-/ready", prometheus.url));
            ready
                .send()
                .await
                .ok()
                .filter(|answer| answer.status() == 200)
        })
        .await;
        prometheus
    }

    /// What the API answers, which must be a success.
    pub(crate) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let query = query.iter().fold(String::new(), |text, (name, value)| {
            let separator = if text.is_empty() { '?' } else { '&' };
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            format!("{text}{separator}{name}={value}")
        });
        let request = self.http.get(format!("{}/api/v1{path}{query}", self.url));
        let answer = request.send().await.expect("Prometheus answers");
        let text = answer.text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["status"], "success", "{path}: {body}");
        body["data"].clone()
    }

    /// Waits until the target was scraped without an error.
    pub(crate) async fn has_scraped(&self, limit: Duration) {
        eventually("a scrape without an error", limit, || async {
            let targets = self.ask("/targets", &[("state", "active")]).await;
            let target = &targets["activeTargets"][0];
            let error = target["lastError"].as_str().unwrap_or_default();
            // Slow is not wrong.
            assert!(
                error.is_empty() || error.contains("deadline exceeded"),
                "Prometheus does not accept the exposition: {target:#}"
            );
            (target["health"] == "up").then_some(())
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
