//! Every span and every log line of the service, declared once: names, attributes and fields. A test that looks at the
//! service from outside holds the code to it.

mod lines;
mod reference;

pub use self::lines::{COMMON, FIELDS, LINES};
pub use self::reference::{reference_json, reference_markdown};

/// An attribute of a span, or a field of a log line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it tells, in one sentence.
    pub help: &'static str,
    /// When it is there, in words; empty when it always is.
    pub when: &'static str,
}

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
}

impl Kind {
    /// The kind as JSON Schema calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
        }
    }
}

/// A kind of span.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The pattern of its name; in braces stands the attribute whose value is put there.
    pub name: &'static str,
    /// The kind of OpenTelemetry: server, client, consumer or internal.
    pub kind: &'static str,
    /// What it stands for, in one sentence.
    pub help: &'static str,
    /// Its attributes.
    pub attributes: &'static [Field],
}

/// A line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The message; `{}` stands for any text.
    pub message: &'static str,
    /// The levels it may have, separated by a space.
    pub level: &'static str,
    /// Where it comes from.
    pub target: &'static str,
    /// Its own fields, by their names in [`FIELDS`]; one that may be absent ends in `?`.
    pub fields: &'static [&'static str],
    /// What has to go wrong, or to be done, for it to be written; empty for what a healthy run writes.
    pub needs: &'static str,
}

const fn text(name: &'static str, help: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Text,
        help,
        when: "",
    }
}

const fn integer(name: &'static str, help: &'static str) -> Field {
    Field {
        kind: Kind::Integer,
        ..text(name, help)
    }
}

const fn number(name: &'static str, help: &'static str) -> Field {
    Field {
        kind: Kind::Number,
        ..text(name, help)
    }
}

const fn when(field: Field, when: &'static str) -> Field {
    Field { when, ..field }
}

/// The attributes of the resource that every span belongs to; those of `OTEL_RESOURCE_ATTRIBUTES` come on top.
pub static RESOURCE: &[Field] = &[
    text("service.name", "`OTEL_SERVICE_NAME`, else `convoke`."),
    text("service.version", "The version of the program."),
    text(
        "service.instance.id",
        "A new id for each process: what tells replicas apart.",
    ),
    text(
        "deployment.environment.name",
        "`CONVOKE_ENV`: development or production.",
    ),
    text("telemetry.sdk.name", "Always `opentelemetry`."),
    text("telemetry.sdk.language", "Always `rust`."),
];

/// Every span. A warning or an error that is logged inside one becomes an event of it; inside a database operation, of the span around that.
#[rustfmt::skip]
pub static SPANS: &[Span] = &[
    Span {
        name: "{http.request.method} {http.route}",
        kind: "server",
        help: "A request, from its head to its answer; only the method (`HTTP` for an unknown one) where no route matched.",
        attributes: &[
            text("http.request.method", "The method, `_OTHER` for an unknown one."),
            when(text("http.route", "The template of the route."), "a route matched"),
            integer("http.response.status_code", "The status; 499 when the client went away."),
            when(text("error.type", "The problem's code, `_OTHER` for none, or `client_gone`."), "the status is a 5xx or the client went away"),
        ],
    },
    Span {
        name: "{db.query.summary}",
        kind: "client",
        help: "A named database operation, as in `db_client_operation_duration_seconds`.",
        attributes: &[
            text("db.system.name", "`postgresql` or `sqlite`."),
            text("db.query.summary", "The operation's name."),
            text("db.query.text", "The statement with placeholders; for BEGIN and COMMIT the name of the write."),
            when(integer("db.response.returned_rows", "Rows returned or changed."), "a statement succeeded"),
            when(text("error.type", "As the label `error_type` of the metrics."), "it failed"),
        ],
    },
    Span {
        name: "storage {storage.operation}",
        kind: "client",
        help: "A call to a store of files, as in `storage_operation_duration_seconds`.",
        attributes: &[
            text("storage.system", "`file` or `s3`."),
            text("storage.operation", "The call, as the label `operation` of the metrics."),
            when(text("error.type", "As the label `error_type` of the metrics."), "it failed"),
        ],
    },
    Span {
        name: "miss {cache.name}",
        kind: "internal",
        help: "A look-up in a cache that missed, with what was asked instead inside.",
        attributes: &[text("cache.name", "The cache, as the label `cache` of the metrics.")],
    },
    Span {
        name: "{db.operation.name}",
        kind: "client",
        help: "A command of Redis, inside a look-up that missed in this process.",
        attributes: &[
            text("db.system.name", "Always `redis`."),
            text("db.operation.name", "The command: `GET`."),
            when(text("error.type", "As the label `error_type` of `cache_shared_operation_duration_seconds`."), "it failed"),
        ],
    },
    Span {
        name: "job {job.name}",
        kind: "internal",
        help: "A job of the schedule, which one replica runs: a trace of its own.",
        attributes: &[text("job.name", "The job, such as `backup`.")],
    },
    Span {
        name: "process {messaging.destination.name}",
        kind: "consumer",
        help: "An attempt at a delivery: a trace of its own, linked to the request that caused it.",
        attributes: &[
            text("messaging.system", "Always `convoke`."),
            text("messaging.operation.type", "Always `process`."),
            text("messaging.operation.name", "Always `process`."),
            text("messaging.destination.name", "The channel, as the label `channel` of the metrics."),
            when(text("error.type", "`failed` or `dead`."), "the attempt failed"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_declared_is_used_and_the_other_way_round() {
        let bare = |name: &&'static str| name.trim_end_matches('?');
        let used: BTreeSet<&str> = LINES
            .iter()
            .flat_map(|line| line.fields.iter().map(bare))
            .collect();
        let declared: BTreeSet<&str> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(used, declared);
        assert_eq!(FIELDS.len(), declared.len(), "none twice");
        for field in COMMON {
            assert!(!declared.contains(field.name), "{}", field.name);
        }
    }

    #[test]
    fn everything_says_what_it_tells() {
        let attributes = SPANS.iter().flat_map(|span| span.attributes);
        for field in attributes.chain(RESOURCE).chain(COMMON).chain(FIELDS) {
            assert!(field.help.ends_with('.'), "{}", field.name);
        }
    }

    #[test]
    fn every_message_in_the_sources_is_declared() {
        fn files(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .ends_with("tests")
                {
                    continue;
                }
                if path.is_dir() {
                    files(&path, found);
                } else if path.extension().is_some_and(|kind| kind == "rs") {
                    found.push(std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut sources = Vec::new();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        files(&folder, &mut sources);
        let mut seen = 0;
        for source in &sources {
            let code = source.split("\nmod tests {").next().unwrap();
            for level in ["debug!(", "info!(", "warn!(", "error!("] {
                for (at, _) in code.match_indices(&format!("tracing::{level}")) {
                    let call = &code[at..];
                    let call = &call[..call.find(");").unwrap_or(call.len())];
                    // The message is the last literal.
                    let message = call.rsplit('"').nth(1).unwrap();
                    let is_it = |line: &Line| reference::matches(line.message, message);
                    assert!(LINES.iter().any(is_it), "{message:?} is not declared");
                    seen += 1;
                }
            }
        }
        assert!(seen > 40, "{seen} calls are found");
    }
}
