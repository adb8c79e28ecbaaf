//! The service under test, in a process of its own.

use std::fmt::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, RwLock};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::commands::convoke;
use super::engines::Engine;
use super::log::Log;
use super::pgbouncer::PgBouncer;
use super::polling::{eventually, eventually_blocking};
use super::scrape::Metrics;

/// At most this many at once, so that two cores can serve them.
static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// A fixed key, so that tokens survive a restart.
pub(crate) const SECRET_KEY: &str = "a-fixed-key-for-tests-which-is-long-enough-0123456789";

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// Where a service listens; it changes with a restart, and its clients follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) public: String,
    pub(crate) ops: String,
}

/// A running `convoke serve` and its data. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(crate) struct Service {
    settings: Vec<(String, String)>,
    addresses: Arc<RwLock<Addresses>>,
    log: Log,
    child: Child,
    http: reqwest::Client,
    data_dir: Arc<TempDir>,
    pooler: Option<Arc<PgBouncer>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Service {
    /// Starts on a fresh database of this engine; `settings` come after the defaults and win.
    pub(crate) async fn start(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let data_dir = TempDir::new().expect("a temporary folder");
        let database = engine.fresh_database(data_dir.path()).await;
        if engine == Engine::Postgres && std::env::var_os("THROUGH_PGBOUNCER").is_some() {
            return Self::start_pooled(&database, settings).await;
        }
        Self::start_in(data_dir, &database, settings).await
    }

    /// Starts on a database of PostgreSQL that it reaches through a PgBouncer of its own.
    pub(crate) async fn start_pooled(database: &str, settings: &[(&str, &str)]) -> Self {
        let pooler = PgBouncer::before(database).await;
        let url = pooler.url();
        let mut all = vec![
            ("CONVOKE_DATABASE_PGBOUNCER", "true"),
            ("CONVOKE_DATABASE_DIRECT_URL", database),
        ];
        all.extend(settings);
        let mut service = Self::start_on(&url, &all).await;
        service.pooler = Some(Arc::new(pooler));
        service
    }

    /// Starts on a database that the test keeps, for example one in a cluster of its own.
    pub(crate) async fn start_on(database: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_in(
            TempDir::new().expect("a temporary folder"),
            database,
            settings,
        )
        .await
    }

    async fn start_in(data_dir: TempDir, database: &str, extra: &[(&str, &str)]) -> Self {
        let data = data_dir.path().display().to_string();
        let mut settings: Vec<(String, String)> = Vec::new();
        let defaults = [
            ("CONVOKE_LISTEN", "127.0.0.1:0"),
            ("CONVOKE_OPS_LISTEN", "127.0.0.1:0"),
            ("CONVOKE_DATA_DIR", data.as_str()),
            ("CONVOKE_DATABASE_URL", database),
            ("CONVOKE_LOG_FORMAT", "json"),
            ("CONVOKE_RATE_LIMIT_ENABLED", "false"),
            ("CONVOKE_SECRET_KEY", SECRET_KEY),
            // Hashing is not what these tests are about: as cheap as argon2 allows.
            ("CONVOKE_PASSWORD_HASH_MEMORY", "8"),
        ];
        for (name, value) in defaults.iter().chain(extra) {
            settings.retain(|(known, _)| known != name);
            settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        let room = Arc::clone(&ROOM)
            .acquire_owned()
            .await
            .expect("never closed");
        Self::launch(settings, Arc::new(data_dir), Some(room)).await
    }

    /// Another replica on the same database and settings. It takes no place of its own: two tests that wait
    /// for a second place while holding a first would wait for ever.
    pub(crate) async fn start_replica(&self) -> Self {
        let mut replica =
            Self::launch(self.settings.clone(), Arc::clone(&self.data_dir), None).await;
        replica.pooler.clone_from(&self.pooler);
        replica
    }

    async fn launch(
        settings: Vec<(String, String)>,
        data_dir: Arc<TempDir>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let log = Log::default();
        let child = spawn(&settings, &log);
        let http = super::answer::http_client();
        let addresses = Arc::default();
        let mut service = Self {
            settings,
            addresses,
            log,
            child,
            http,
            data_dir,
            pooler: None,
            _room: room,
        };
        service.wait_until_listening(0).await;
        service
    }

    /// Reads the two addresses from the log, and waits until the service is ready behind them.
    async fn wait_until_listening(&mut self, mark: usize) {
        let start = std::time::Instant::now();
        let (public, ops) = loop {
            let found = (
                self.logged_address(mark, "public"),
                self.logged_address(mark, "ops"),
            );
            if let (Some(public), Some(ops)) = found {
                break (public, ops);
            }
            if let Some(status) = self.child.try_wait().expect("own child") {
                panic!(
                    "the service ended before it listened: {status}\n{}",
                    self.output()
                );
            }
            assert!(
                start.elapsed() < START_LIMIT,
                "not listening in time:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        *self.addresses.write().expect("not poisoned") = Addresses { public, ops };
        let (http, readyz) = (self.http.clone(), self.ops_url("/readyz"));
        eventually("the service is ready", START_LIMIT, || async {
            http.get(&readyz)
                .send()
                .await
                .ok()
                .filter(|answer| answer.status() == 200)
        })
        .await;
    }

    fn logged_address(&self, mark: usize, listener: &str) -> Option<String> {
        let lines = self.log.since(mark);
        let line = lines
            .iter()
            .find(|l| l["message"] == "listening" && l["listener"] == listener)?;
        Some(line["address"].as_str()?.to_owned())
    }

    /// The public listener's URL of this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            self.addresses.read().expect("not poisoned").public
        )
    }

    /// The ops listener's URL of this path.
    pub(crate) fn ops_url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            self.addresses.read().expect("not poisoned").ops
        )
    }

    /// The public listener's `address:port`.
    pub(crate) fn public_address(&self) -> String {
        self.addresses.read().expect("not poisoned").public.clone()
    }

    /// Where it listens now and after each restart.
    pub(crate) fn addresses(&self) -> Arc<RwLock<Addresses>> {
        Arc::clone(&self.addresses)
    }

    /// An HTTP client with its own pool of connections, of this test's runtime.
    pub(crate) fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// Its folder of data.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.data_dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The settings it runs with, for another command of the binary on the same data.
    pub(crate) fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// One of them.
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    /// Everything it has printed, as one text for a failure's message.
    pub(crate) fn output(&self) -> String {
        self.log.raw().iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// Its log lines that are JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// The first log line that the predicate accepts, waiting up to the limit.
    pub(crate) async fn wait_for_log(
        &self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&Value) -> bool,
    ) -> Value {
        self.log.wait_for(what, limit, accepts).await
    }

    /// Its metrics now.
    pub(crate) async fn scrape(&self) -> Metrics {
        Metrics::parse(&self.scrape_text().await)
    }

    /// Its metrics as Prometheus text.
    pub(crate) async fn scrape_text(&self) -> String {
        self.scrape_as("text/plain").await
    }

    /// Its metrics in the format that this `Accept` asks for.
    pub(crate) async fn scrape_as(&self, accept: &str) -> String {
        let answer = self
            .http
            .get(self.ops_url("/metrics"))
            .header("accept", accept)
            .send()
            .await
            .expect("ops answers");
        assert_eq!(answer.status(), 200, "GET /metrics");
        answer.text().await.expect("a body")
    }

    /// Asks it to stop: SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops it at once: SIGKILL, with nothing flushed or finished.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.wait();
    }

    /// Sends a signal by kill(1), which needs no `unsafe`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(
            status.expect("kill(1) runs").success(),
            "kill {signal} {}",
            self.pid()
        );
    }

    /// Ends it, and keeps nothing of it but its data.
    pub(crate) fn stop(mut self) -> Arc<TempDir> {
        self.terminate();
        self.wait();
        Arc::clone(&self.data_dir)
    }

    /// Waits for its end, with a limit.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("process {} ends", self.child.id());
        eventually_blocking(&what, STOP_LIMIT, || {
            self.child.try_wait().expect("own child")
        })
    }

    /// Starts it again on the same data and new ports, ending it first (SIGTERM) if it runs.
    pub(crate) async fn restart(&mut self) {
        self.stop_if_running();
        let mark = self.log.len();
        self.child = spawn(&self.settings, &self.log);
        self.wait_until_listening(mark).await;
    }

    /// Changes settings for the next start; an empty value takes one away.
    pub(crate) fn reconfigure(&mut self, changes: &[(String, String)]) {
        for (name, value) in changes {
            self.settings.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.settings.push((name.clone(), value.clone()));
            }
        }
    }

    /// As [`Self::restart`], on the ports it had.
    pub(crate) async fn restart_on_same_ports(&mut self) {
        let now = self.addresses.read().expect("not poisoned").clone();
        for (name, value) in &mut self.settings {
            match name.as_str() {
                "CONVOKE_LISTEN" => value.clone_from(&now.public),
                "CONVOKE_OPS_LISTEN" => value.clone_from(&now.ops),
                _ => {}
            }
        }
        self.restart().await;
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    fn stop_if_running(&mut self) {
        if self.child.try_wait().expect("own child").is_none() {
            self.terminate();
            self.wait();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log.raw();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- the service's last lines\n{}", last.join("\n"));
        }
    }
}

fn spawn(settings: &[(String, String)], log: &Log) -> Child {
    let mut child = convoke(&["serve"], settings)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    log.follow(child.stdout.take().expect("piped"));
    log.follow(child.stderr.take().expect("piped"));
    child
}
