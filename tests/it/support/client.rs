//! A user of the API.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::answer::{Answer, http_client_builder};
use super::polling::eventually;
use super::service::{Addresses, Service};

/// How many requests a helper that makes many keeps in flight.
pub(crate) const CONCURRENCY: usize = 16;

/// A registered user, logged in. A clone is the same user.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    addresses: Arc<RwLock<Addresses>>,
    http: reqwest::Client,
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl Client {
    /// Registers `{name}@example.org` and logs in.
    pub(crate) async fn register(service: &Service, name: &str) -> Self {
        let mut client = Self {
            addresses: service.addresses(),
            http: service.http(),
            id: String::new(),
            email: format!("{name}@example.org"),
            password: format!("correct horse battery of {name}"),
            token: String::new(),
            refresh_token: String::new(),
        };
        let body = json!({
            "email": client.email, "password": client.password, "display_name": name,
        });
        let user = client.post("/auth/register", body).await.expect(201);
        client.id = user.string("id");
        client.log_in().await;
        client
    }

    /// Registers `{prefix}-0` to `{prefix}-{count-1}` at once, in that order.
    pub(crate) async fn register_many(service: &Service, prefix: &str, count: usize) -> Vec<Self> {
        let names: Vec<String> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
        stream::iter(&names)
            .map(|name| Self::register(service, name))
            .buffered(CONCURRENCY)
            .collect()
            .await
    }

    /// Takes a new pair of tokens.
    pub(crate) async fn log_in(&mut self) {
        let body = json!({"email": self.email, "password": self.password});
        let tokens = self.post("/auth/login", body).await.expect(200);
        self.token = tokens.string("access_token");
        self.refresh_token = tokens.string("refresh_token");
    }

    /// The same connections and address, without credentials.
    pub(crate) fn anonymous(&self) -> Self {
        self.with_token("")
    }

    /// The same connections and address with this access token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The same user on connections of its own, none of which is used again after idling this long.
    pub(crate) fn with_idle_limit(&self, limit: Duration) -> Self {
        let http = http_client_builder()
            .pool_idle_timeout(limit)
            .build()
            .expect("a client");
        Self {
            http,
            ..self.clone()
        }
    }

    /// The same user, asking another replica.
    pub(crate) fn at(&self, service: &Service) -> Self {
        Self {
            addresses: service.addresses(),
            http: service.http(),
            ..self.clone()
        }
    }

    /// The same user on connections of its own, asking what listens at this address, a proxy for example.
    pub(crate) fn through(&self, address: &str) -> Self {
        let addresses = Addresses {
            public: address.to_owned(),
            ops: String::new(),
        };
        Self {
            addresses: Arc::new(RwLock::new(addresses)),
            http: super::answer::http_client(),
            ..self.clone()
        }
    }

    /// The connections, for a request that is not the API's.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A request of this user, to be changed before it is sent; `path` is below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let host = self.addresses.read().expect("not poisoned").public.clone();
        let request = self
            .http
            .request(method, format!("http://{host}/api/v1{path}"));
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    /// Sends, and gives back the transport's error: for tests in which the service goes away.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let request = self.request(method, path);
        Answer::of(if let Some(body) = body {
            request.json(body)
        } else {
            request
        })
        .await
    }

    async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.send(method.clone(), path, body.as_ref()).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.must(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.must(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.must(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.must(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.must(Method::DELETE, path, None).await
    }

    /// Every item of a list, page by page; `path` may carry a query.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut page = self
            .get(&format!("{path}{separator}limit=200"))
            .await
            .expect(200);
        loop {
            items.extend_from_slice(page.items());
            let Some(cursor) = page.body["next_cursor"].as_str() else {
                return items;
            };
            page = self
                .get(&format!("{path}{separator}limit=200&cursor={cursor}"))
                .await
                .expect(200);
        }
    }

    /// Creates an event; the fields given replace or join the usual ones.
    pub(crate) async fn create_event(&self, overrides: Value) -> Value {
        self.post("/events/", event_body(overrides))
            .await
            .expect(201)
            .body
    }

    /// Invites a user to an event.
    pub(crate) async fn invite(&self, event: &Value, user: &Self) -> Answer {
        let path = format!("/events/{}/participants/", id(event));
        self.post(&path, json!({"user_id": user.id}))
            .await
            .expect(201)
    }

    /// Invites many, 500 a request.
    pub(crate) async fn invite_many(&self, event: &Value, users: &[Self]) {
        for users in users.chunks(500) {
            let list: Vec<Value> = users
                .iter()
                .map(|user| json!({"user_id": user.id}))
                .collect();
            let path = format!("/events/{}/participants/", id(event));
            let answer = self.post(&path, json!({"participants": list})).await;
            assert!((200..300).contains(&answer.status), "{}", answer.text);
        }
    }

    /// Answers an invitation: `accepted`, `declined` or `tentative`.
    pub(crate) async fn answer(&self, event: &Value, status: &str) -> Answer {
        let path = format!("/events/{}/participants/{}/status", id(event), self.id);
        self.patch(&path, json!({"status": status})).await
    }

    /// The whole inbox, read and unread.
    pub(crate) async fn inbox(&self) -> Vec<Value> {
        self.all("/notifications/").await
    }

    /// The inbox's entries of one kind about one event.
    pub(crate) async fn told(&self, kind: &str, event: &Value) -> Vec<Value> {
        let mut inbox = self.inbox().await;
        inbox.retain(|entry| entry["kind"] == kind && entry["event_id"] == id(event));
        inbox
    }

    /// Waits until the inbox holds `count` such entries, and fails when it holds more.
    pub(crate) async fn is_told(&self, count: usize, kind: &str, event: &Value) -> Vec<Value> {
        let what = format!("{count} × {kind} for {}", self.email);
        let entries = eventually(&what, Duration::from_mins(1), || async {
            Some(self.told(kind, event).await).filter(|entries| entries.len() >= count)
        })
        .await;
        assert_eq!(entries.len(), count, "{what}, not {entries:#?}");
        entries
    }
}

/// The body of a valid event with these fields replaced or added.
pub(crate) fn event_body(overrides: Value) -> Value {
    let mut body = json!({
        "title": "Harbour meeting",
        "start": {"date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin"},
        "end": {"date_time": "2031-03-04T20:00:00", "time_zone": "Europe/Berlin"},
    });
    if let (Value::Object(body), Value::Object(overrides)) = (&mut body, overrides) {
        body.extend(overrides);
    }
    body
}

/// An object's id.
#[track_caller]
pub(crate) fn id(object: &Value) -> &str {
    object["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {object}"))
}

/// Does the same for every user, some at a time; the first error ends it.
pub(crate) async fn for_each<E, F>(
    users: &[Client],
    at_once: usize,
    mut work: impl FnMut(usize, Client) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let users = users.iter().cloned().enumerate().map(Ok);
    stream::iter(users)
        .try_for_each_concurrent(at_once, |(n, user)| work(n, user))
        .await
}
