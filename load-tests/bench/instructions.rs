//! Requests through the whole router on a fresh SQLite, with the telemetry that `serve` has, and nothing else: no socket and
//! nothing that runs each second. `python -m kit instructions` counts what they execute.
//!
//! `instructions FOLDER OPERATION=TIMES…` does in turn, for each operation: a few requests that warm up, [`part_begins`], so
//! many requests, [`part_ends`]. The database is made in the folder; the log goes to stdout.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;

use axum::{Router, body::Body};
use convoke::api::{self, Api};
use convoke::cli::{REVISION, VERSION, prepare};
use convoke::config::{Config, SettingsFile, Sources};
use convoke::lifecycle::Lifecycle;
use convoke::storage::Storage;
use convoke::telemetry::{self, LogFormat, in_flight::InFlight, traces};
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

// As `convoke` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Events that are there before anything is counted; as many as a page has, and one more.
const EVENTS: usize = 51;
/// Requests of an operation before those that are counted.
const WARM_UP: usize = 5;
const STATUSES: [&str; 3] = ["accepted", "declined", "tentative"];

fn settings(folder: &str) -> Sources {
    let mut environment = BTreeMap::new();
    let raised = ["READS", "WRITES", "LOGIN", "LOGIN_ACCOUNT"];
    for policy in raised {
        let name = format!("CONVOKE_RATE_LIMIT_{policy}");
        environment.insert(name, "1000000/1s".into());
    }
    for (name, value) in [
        ("CONVOKE_DATA_DIR", folder),
        (
            "CONVOKE_SECRET_KEY",
            "nothing-is-kept-that-it-would-have-to-protect-0123456789",
        ),
        ("CONVOKE_PASSWORD_HASH_MEMORY", "8"),
        // Which of several readers is asked would be chance.
        ("CONVOKE_SQLITE_READERS", "1"),
        // A counter makes everything some fifty times slower.
        ("CONVOKE_REQUEST_TIMEOUT", "2m"),
        ("CONVOKE_DATABASE_STATEMENT_TIMEOUT", "1m"),
    ] {
        environment.insert(name.to_owned(), value.into());
    }
    Sources {
        environment,
        file: SettingsFile::Absent,
        terminal: false,
        cpus: 2,
    }
}

fn start_telemetry(config: &Config) -> Result<telemetry::Guard> {
    let unset = traces::Options::from_lookup(|_| None);
    Ok(telemetry::start(telemetry::Options {
        log_filter: config.log.filter.as_str().to_owned(),
        log_format: LogFormat::Json,
        environment: config.server.env.as_str().to_owned(),
        service_version: VERSION,
        revision: REVISION,
        instance: convoke::domain::new_id().to_string(),
        traces: unset.map_err(|faults| format!("{faults:?}"))?,
    })?)
}

/// The router, and who asks it.
struct Client {
    router: Router,
    token: String,
    user: String,
    events: Vec<String>,
}

impl Client {
    async fn new(router: Router) -> Result<Self> {
        let mut client = Self {
            router,
            token: String::new(),
            user: String::new(),
            events: Vec::new(),
        };
        let (email, password) = ("ada@example.org", "correct horse battery");
        let account = json!({ "email": email, "password": password, "display_name": "Ada" });
        client.post("/auth/register", &account).await?;
        let login = json!({ "email": email, "password": password });
        let tokens = client.post("/auth/login", &login).await?;
        client.token = text(&tokens, "access_token")?;
        let me = client.request(Method::GET, "/users/me", None)?;
        client.user = text(&client.answer(me).await?, "id")?;
        for _ in 0..EVENTS {
            let made = client.post("/events/", &event()).await?;
            client.events.push(text(&made, "id")?);
        }
        Ok(client)
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, "localhost");
        if !self.token.is_empty() {
            let bearer = format!("Bearer {}", self.token);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        Ok(match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string()))?,
            None => request.body(Body::empty())?,
        })
    }

    /// The body of the answer, which is a success.
    async fn send(&self, request: Request<Body>) -> Result<axum::body::Bytes> {
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        Err(format!("{status} {}", String::from_utf8_lossy(&body)).into())
    }

    async fn answer(&self, request: Request<Body>) -> Result<Value> {
        Ok(serde_json::from_slice(&self.send(request).await?)?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.request(Method::POST, path, Some(body))?)
            .await
    }

    /// The n-th request of an operation.
    fn nth(&self, operation: &str, n: usize) -> Result<Request<Body>> {
        let event_id = &self.events[n % self.events.len()];
        match operation {
            "get" => self.request(Method::GET, &format!("/events/{event_id}"), None),
            "page" => self.request(Method::GET, "/events/?limit=50", None),
            "create" => self.request(Method::POST, "/events/", Some(&event())),
            "answer" => {
                let path = format!("/events/{event_id}/participants/{}/status", self.user);
                // Other than what was said before: saying the same again would write nothing.
                let said = json!({ "status": STATUSES[n / self.events.len() % STATUSES.len()] });
                self.request(Method::PATCH, &path, Some(&said))
            }
            other => Err(format!("{other} is no operation").into()),
        }
    }

    async fn part(&self, operation: &str, times: usize) -> Result<()> {
        // Made before, so that asking is not counted with the answer.
        let warm_up: Result<Vec<_>> = (0..WARM_UP).map(|n| self.nth(operation, n)).collect();
        let counted = WARM_UP..WARM_UP + times;
        let counted: Result<Vec<_>> = counted.map(|n| self.nth(operation, n)).collect();
        let counted = counted?;
        for request in warm_up? {
            self.send(request).await?;
        }
        part_begins();
        for request in counted {
            self.send(request).await?;
        }
        part_ends();
        Ok(())
    }
}

/// Where the counter begins anew. Unlike [`part_ends`], or an optimised build would make one function of both.
#[inline(never)]
fn part_begins() {
    black_box("begins");
}

/// Where the counter is read.
#[inline(never)]
fn part_ends() {
    black_box("ends");
}

fn text(answer: &Value, name: &str) -> Result<String> {
    let value = answer[name].as_str();
    Ok(value.ok_or_else(|| format!("no {name}"))?.to_owned())
}

fn event() -> Value {
    json!({
        "title": "Harbour meeting",
        "description": "What there is to talk about. ".repeat(7),
        "location": "Pier 7",
        "start": { "date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin" },
        "end": { "date_time": "2031-03-04T20:00:00", "time_zone": "Europe/Berlin" },
        "capacity": 50,
        "visibility": "public",
        "tags": ["harbour", "talk"],
        "metadata": { "room": 7, "catering": true },
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: instructions FOLDER OPERATION=TIMES…";
    let folder = arguments.next().ok_or(usage)?;
    let loaded = Config::load(&settings(&folder)).map_err(|faults| faults.to_string())?;
    let config = loaded.config;
    let guard = start_telemetry(&config)?;
    let lifecycle = Lifecycle::new();
    let store = prepare::open_store(&config, &lifecycle).await?;
    store.migrate().await?;
    let storage = Storage::open(&config)?;
    let api = Api::new(
        &config,
        store.clone(),
        storage,
        &lifecycle,
        InFlight::default(),
    )?;
    let client = Client::new(api::router(api)).await?;
    for part in arguments {
        let (operation, times) = part.split_once('=').ok_or(usage)?;
        client.part(operation, times.parse()?).await?;
    }
    lifecycle.close();
    store.close().await;
    guard.shutdown(config.shutdown.telemetry_timeout).await;
    Ok(())
}
