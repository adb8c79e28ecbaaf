//! The standard `OTEL_*` settings that concern traces, read from a look-up and checked.

use std::fmt;
use std::time::Duration;

use super::encoding::{percent_decode, without_credentials};
use super::sampling::Sampling;

/// A setting that cannot be taken: the variable, and what is wrong with it.
pub type Fault = (&'static str, String);

/// How spans travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// OTLP over HTTP/1.1 with protobuf bodies.
    HttpProtobuf,
    /// OTLP over gRPC.
    Grpc,
}

/// Where spans go.
#[derive(Clone, Eq, PartialEq)]
pub struct Otlp {
    /// How they travel.
    pub protocol: Protocol,
    /// The whole address, with `/v1/traces` where the protocol is HTTP.
    pub endpoint: String,
    /// Headers as they were given, values still percent-encoded. They may hold a token.
    pub headers: Vec<(String, String)>,
    /// The longest an export may take, its retries included.
    pub timeout: Duration,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .headers
            .iter()
            .map(|(name, _)| (name.as_str(), "redacted"))
            .collect();
        f.debug_struct("Otlp")
            .field("protocol", &self.protocol)
            .field("endpoint", &without_credentials(&self.endpoint))
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Otlp {
    /// The address without what may be secret: credentials, query and fragment.
    pub fn shown_endpoint(&self) -> String {
        without_credentials(&self.endpoint)
    }
}

/// How spans wait for their export (`OTEL_BSP_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Batch {
    /// Spans that may wait; one more is dropped and counted.
    pub queue: usize,
    /// Spans of one export.
    pub export: usize,
    /// The longest a span waits for others.
    pub delay: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            queue: 2048,
            export: 512,
            delay: Duration::from_secs(5),
        }
    }
}

/// Everything about traces that an operator can set.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where spans go; with `None` none is made.
    pub otlp: Option<Otlp>,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// Whether a caller's `traceparent` is read.
    pub propagate: bool,
    /// How spans wait.
    pub batch: Batch,
    /// `service.name`.
    pub service_name: String,
    /// Further resource attributes, decoded.
    pub resource: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            otlp: None,
            sampling: Sampling {
                parent_based: true,
                ratio: 1.0,
            },
            propagate: true,
            batch: Batch::default(),
            service_name: "convoke".to_owned(),
            resource: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the variables through `lookup`; answers every fault, not just the first.
    ///
    /// An empty value counts as unset (OpenTelemetry specification, "Environment Variable Specification").
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader {
            lookup: &|name| {
                lookup(name)
                    .map(|v| v.trim().to_owned())
                    .filter(|v| !v.is_empty())
            },
            faults: Vec::new(),
        };
        let disabled = reader.flag("OTEL_SDK_DISABLED");
        let otlp = reader.otlp();
        let mut resource = reader.pairs("OTEL_RESOURCE_ATTRIBUTES", true);
        let named = resource.iter().position(|(name, _)| name == "service.name");
        let from_resource = named.map(|at| resource.remove(at).1);
        let options = Self {
            otlp: otlp.filter(|_| !disabled),
            sampling: reader.sampling(),
            propagate: reader.propagate(),
            batch: reader.batch(),
            service_name: reader
                .get("OTEL_SERVICE_NAME")
                .or(from_resource)
                .unwrap_or_else(|| "convoke".to_owned()),
            resource,
        };
        if reader.faults.is_empty() {
            Ok(options)
        } else {
            Err(reader.faults)
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
    }

    /// The first of the variables that is set; the one for traces goes before the one for all signals.
    fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, String)> {
        names
            .into_iter()
            .find_map(|name| self.get(name).map(|value| (name, value)))
    }

    fn fault(&mut self, name: &'static str, message: impl Into<String>) {
        self.faults.push((name, message.into()));
    }

    fn flag(&mut self, name: &'static str) -> bool {
        match self.get(name).map(|value| value.to_ascii_lowercase()) {
            None => false,
            Some(value) if value == "true" => true,
            Some(value) if value == "false" => false,
            Some(_) => {
                self.fault(name, "must be `true` or `false`");
                false
            }
        }
    }

    fn number(&mut self, name: &'static str, or: u64) -> u64 {
        match self.get(name).map(|value| value.parse::<u64>()) {
            None => or,
            Some(Ok(number)) if number > 0 => number,
            Some(_) => {
                self.fault(name, "must be a whole number above 0");
                or
            }
        }
    }

    fn otlp(&mut self) -> Option<Otlp> {
        let endpoint = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]);
        let wanted = match self.get("OTEL_TRACES_EXPORTER").as_deref() {
            None => endpoint.is_some(),
            Some("otlp") => true,
            Some("none") => false,
            Some(_) => {
                self.fault("OTEL_TRACES_EXPORTER", "must be `otlp` or `none`");
                false
            }
        };
        let protocol = self.protocol();
        let endpoint = self.endpoint(endpoint, protocol);
        let timeout = match self.first([
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ]) {
            Some((name, _)) => self.number(name, 10_000),
            None => 10_000,
        };
        let headers = match self.first([
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ]) {
            Some((name, _)) => self.headers(name),
            None => Vec::new(),
        };
        let compression = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ]);
        if let Some((name, _)) = compression.filter(|(_, value)| value != "none") {
            self.fault(name, "only `none` is supported");
        }
        wanted.then(|| Otlp {
            protocol,
            endpoint,
            headers,
            timeout: Duration::from_millis(timeout),
        })
    }

    fn protocol(&mut self) -> Protocol {
        let set = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]);
        match set {
            None => Protocol::HttpProtobuf,
            Some((_, value)) if value == "http/protobuf" => Protocol::HttpProtobuf,
            Some((_, value)) if value == "grpc" => Protocol::Grpc,
            Some((name, _)) => {
                self.fault(name, "must be `http/protobuf` or `grpc`");
                Protocol::HttpProtobuf
            }
        }
    }

    fn endpoint(&mut self, set: Option<(&'static str, String)>, protocol: Protocol) -> String {
        let Some((name, value)) = set else {
            return match protocol {
                Protocol::HttpProtobuf => "http://localhost:4318/v1/traces".to_owned(),
                Protocol::Grpc => "http://localhost:4317".to_owned(),
            };
        };
        let parsed = value.parse::<http::Uri>();
        let usable = parsed.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !usable {
            // The value is not repeated: a token may stand where an address should.
            self.fault(name, "must be an address such as `http://collector:4318`");
        }
        if protocol == Protocol::HttpProtobuf && name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            format!("{}/v1/traces", value.trim_end_matches('/'))
        } else {
            value
        }
    }

    fn headers(&mut self, name: &'static str) -> Vec<(String, String)> {
        let pairs = self.pairs(name, false);
        let sound = pairs.iter().all(|(key, value)| {
            http::HeaderName::try_from(key.as_str()).is_ok()
                && percent_decode(value)
                    .is_some_and(|value| http::HeaderValue::try_from(value.as_str()).is_ok())
        });
        if !sound {
            self.fault(name, "holds a name or a value that no header can have");
        }
        pairs
    }

    /// Reads `k=v,k2=v2` (W3C Baggage, section 3.3.1), decoding the values or leaving them.
    fn pairs(&mut self, name: &'static str, decode: bool) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut sound = true;
        let text = self.get(name).unwrap_or_default();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let pair = item.split_once('=').and_then(|(key, value)| {
                let (key, value) = (key.trim(), value.trim());
                let value = if decode {
                    percent_decode(value)?
                } else {
                    value.to_owned()
                };
                (!key.is_empty()).then(|| (key.to_owned(), value))
            });
            match pair {
                Some(pair) => pairs.push(pair),
                None => sound = false,
            }
        }
        if !sound {
            self.fault(name, "must be a list such as `name=value,other=value`");
        }
        pairs
    }

    fn sampling(&mut self) -> Sampling {
        let name = self.get("OTEL_TRACES_SAMPLER");
        let name = name.as_deref().unwrap_or("parentbased_always_on");
        let root = name.strip_prefix("parentbased_");
        let ratio = match root.unwrap_or(name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.sampler_ratio(),
            _ => {
                self.fault(
                    "OTEL_TRACES_SAMPLER",
                    "must be `always_on`, `always_off` or `traceidratio`, or one of them after `parentbased_`",
                );
                1.0
            }
        };
        Sampling {
            parent_based: root.is_some(),
            ratio,
        }
    }

    fn sampler_ratio(&mut self) -> f64 {
        match self.get("OTEL_TRACES_SAMPLER_ARG").map(|arg| arg.parse()) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => {
                self.fault("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1");
                1.0
            }
        }
    }

    fn propagate(&mut self) -> bool {
        let Some(list) = self.get("OTEL_PROPAGATORS") else {
            return true;
        };
        let names: Vec<&str> = list.split(',').map(str::trim).collect();
        let known = ["tracecontext", "baggage", "none"];
        if names.iter().any(|name| !known.contains(name)) {
            self.fault(
                "OTEL_PROPAGATORS",
                "only `tracecontext`, `baggage` and `none` are known",
            );
        }
        names.contains(&"tracecontext")
    }

    fn batch(&mut self) -> Batch {
        let default = Batch::default();
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(1_000_000);
        let queue = size(self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048));
        let export = size(self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512));
        if export > queue && self.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").is_some() {
            self.fault(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "must not be above OTEL_BSP_MAX_QUEUE_SIZE",
            );
        }
        let delay = self.number("OTEL_BSP_SCHEDULE_DELAY", 5000);
        Batch {
            queue,
            export: export.min(queue),
            delay: Duration::from_millis(delay).min(default.delay * 720),
        }
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
