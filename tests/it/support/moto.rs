//! A real S3 server for one test: moto's, by `tests/install.sh`, on a free loopback port.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::answer::http_client;
use super::polling::eventually;

/// A running server. Dropping it ends it, and what it held is gone.
#[derive(Debug)]
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts one; fails when `tests/install.sh` has not been run.
    pub(crate) async fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/moto_server");
        assert!(
            program.exists(),
            "{} is missing: run tests/install.sh",
            program.display()
        );
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|one| one.local_addr())
            .expect("a free port")
            .port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server starts");
        let moto = Self { child, port };
        let http = http_client();
        eventually("moto answers", Duration::from_mins(1), || async {
            http.get(moto.url("/moto-api/")).send().await.ok()
        })
        .await;
        moto
    }

    /// The URL of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a bucket.
    pub(crate) async fn make_bucket(&self, name: &str) {
        let answer = http_client()
            .put(self.url(&format!("/{name}")))
            .send()
            .await
            .expect("moto answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// What it says of a bucket when asked with this query: XML.
    pub(crate) async fn ask(&self, bucket: &str, query: &str) -> String {
        let answer = http_client()
            .get(self.url(&format!("/{bucket}?{query}")))
            .send()
            .await
            .expect("moto answers");
        answer.text().await.expect("a body")
    }

    /// The keys in a bucket.
    pub(crate) async fn keys(&self, bucket: &str) -> Vec<String> {
        let found = self.ask(bucket, "list-type=2").await;
        let keys = found.split("<Key>").skip(1);
        keys.map(|rest| rest.split('<').next().expect("a key").to_owned())
            .collect()
    }

    /// The settings of a service that keeps its files in this bucket.
    pub(crate) fn settings(&self, bucket: &str) -> Vec<(String, String)> {
        [
            ("CONVOKE_STORAGE_URL", format!("s3://{bucket}/convoke")),
            ("CONVOKE_STORAGE_S3_ENDPOINT", self.url("")),
            ("CONVOKE_STORAGE_S3_ACCESS_KEY_ID", "test".to_owned()),
            (
                "CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY",
                "secret-of-the-test".to_owned(),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.stop();
    }
}
