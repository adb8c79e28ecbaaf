//! A throwaway Redis server on a loopback port of its own, which keeps nothing on disk.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};
use tempfile::TempDir;

use super::polling::eventually_blocking;
use super::postgres::free_port;

const LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    folder: TempDir,
    extra: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts one; `extra` are further arguments, for example `--requirepass`.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let mut redis = Self {
            port: free_port(),
            folder: TempDir::new().expect("a temporary folder"),
            extra: extra.iter().map(|&one| one.to_owned()).collect(),
            child: None,
        };
        redis.start_again();
        redis
    }

    /// Where it listens, without a password.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it on its port, empty.
    pub(crate) fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts; on Debian: apt-get install redis-server");
        self.child = Some(child);
        eventually_blocking("Redis listens", LIMIT, || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("own child");
            child.wait().expect("own child");
        }
    }

    /// Sends it a signal: `-STOP` freezes it, `-CONT` lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("running").id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.expect("kill(1) runs").success(), "kill {signal}");
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> Connection {
        let client = Client::open(self.url()).expect("a URL");
        eventually_blocking("Redis answers", LIMIT, || client.get_connection().ok())
    }

    /// Everything in it.
    pub(crate) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let mut connection = self.connection();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query(&mut connection)
            .expect("keys");
        let value = |key: String| {
            let value: Option<Vec<u8>> = redis::cmd("GET")
                .arg(&key)
                .query(&mut connection)
                .expect("a value");
            value.map(|value| (key, value))
        };
        keys.into_iter().filter_map(value).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
