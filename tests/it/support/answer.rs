//! How the tests speak HTTP.

use std::sync::Once;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A client with a connection pool of its own; it belongs to the runtime of the test that made it.
pub(crate) fn http_client() -> reqwest::Client {
    http_client_builder().build().expect("a client")
}

/// For a client that differs in one thing.
pub(crate) fn http_client_builder() -> reqwest::ClientBuilder {
    // Nothing here is encrypted, but the client insists on a provider.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        // Shorter than the service keeps an idle connection: else a request is sent into one that is being closed.
        .pool_idle_timeout(Duration::from_secs(30))
        .timeout(Duration::from_mins(3))
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body when it is JSON, else null.
    pub(crate) body: Value,
    pub(crate) text: String,
    request: String,
}

impl Answer {
    /// Sends the request and reads the answer to its end.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let (client, request) = request.build_split();
        let request = request?;
        let line = format!("{} {}", request.method(), request.url());
        let answer = client.execute(request).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self {
            status,
            headers,
            body,
            text,
            request: line,
        })
    }

    /// Itself, when the status is this one; else a panic that shows all of it.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert!(
            self.status == status,
            "{}: expected {status}, got {}\n{:#?}\n{}",
            self.request,
            self.status,
            self.headers,
            self.text
        );
        self
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A string field of the body that must be there.
    #[track_caller]
    pub(crate) fn string(&self, field: &str) -> String {
        let value = self.body[field].as_str();
        value
            .unwrap_or_else(|| panic!("{}: no \"{field}\" in {}", self.request, self.text))
            .to_owned()
    }

    /// The `items` of a list.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        let items = self.body["items"].as_array();
        items.unwrap_or_else(|| panic!("{}: no items in {}", self.request, self.text))
    }

    /// The problem document's stable code; checks the document on the way.
    #[track_caller]
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text
        );
        assert_eq!(self.body["status"], self.status, "{}", self.text);
        self.body["code"].as_str().expect("a code")
    }
}
