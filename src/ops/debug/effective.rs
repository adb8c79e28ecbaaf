//! `GET /debug/config`: the settings in force, each with its source, and none of them secret.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::{DebugState, uncached};
use crate::config::{Effective, Loaded, Source};
use crate::telemetry::traces::{self, Protocol, variables};

pub(super) async fn show(State(state): State<DebugState>) -> Response {
    uncached(&*state.effective)
}

/// The settings as they may be shown. Of the `OTEL_*` variables it names those that are set; of what they hold it tells what
/// can hold no token: not the values of headers and resource attributes, nor the credentials and the query of an address.
pub fn describe(
    loaded: &Loaded,
    traces: &traces::Options,
    variable: impl Fn(&str) -> Option<String>,
) -> Value {
    let set = variables::VARIABLES.iter();
    let set: Vec<_> = set.filter(|name| variable(name).is_some()).collect();
    json!({
        "settings": loaded.effective.iter().map(setting).collect::<Vec<_>>(),
        "warnings": loaded.warnings,
        "traces": export(traces),
        "otel_variables_set": set,
    })
}

fn setting(one: &Effective) -> Value {
    let (source, from) = match &one.source {
        Source::Default => ("default", None),
        Source::File { name, line: None } => ("file", Some(name.clone())),
        Source::File {
            name,
            line: Some(line),
        } => ("file", Some(format!("{name}:{line}"))),
        Source::Variable(name) => ("environment", Some(name.clone())),
    };
    json!({
        "key": one.key,
        "variable": one.variable,
        "value": one.value,
        "source": source,
        "from": from,
    })
}

fn export(options: &traces::Options) -> Value {
    let names = |pairs: &[(String, String)]| -> Vec<String> {
        pairs.iter().map(|(name, _)| name.clone()).collect()
    };
    let otlp = options.otlp.as_ref().map(|otlp| {
        json!({
            "protocol": match otlp.protocol {
                Protocol::HttpProtobuf => "http/protobuf",
                Protocol::Grpc => "grpc",
            },
            "endpoint": otlp.shown_endpoint(),
            "header_names": names(&otlp.headers),
            "timeout_seconds": otlp.timeout.as_secs_f64(),
        })
    });
    json!({
        "otlp": otlp,
        "service_name": options.service_name,
        "resource_attribute_names": names(&options.resource),
        "propagate": options.propagate,
        "sampling": {
            "parent_based": options.sampling.parent_based,
            "ratio": options.sampling.ratio,
        },
        "batch": {
            "queue_spans": options.batch.queue,
            "export_spans": options.batch.export,
            "delay_seconds": options.batch.delay.as_secs_f64(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SettingsFile, Sources};

    const SECRETS: [&str; 8] = [
        "kQ8Zt0cXy1nLw7Rk3VbJ5mHs9PdFg2TaUe4Wi6YoCxQ",
        "database-password",
        "in-the-query-password",
        "in-the-server-options",
        "bearer-of-the-collector",
        "password-of-the-collector",
        "token-in-the-address",
        "token-in-an-attribute",
    ];

    fn otel(name: &str) -> Option<String> {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => {
                "http://u:password-of-the-collector@collector:4318/x?k=token-in-the-address"
            }
            "OTEL_EXPORTER_OTLP_HEADERS" => "authorization=Bearer%20bearer-of-the-collector",
            "OTEL_RESOURCE_ATTRIBUTES" => "key=token-in-an-attribute",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn shown(database: &str) -> Value {
        let environment = [
            ("CONVOKE_SECRET_KEY", SECRETS[0]),
            ("CONVOKE_DATABASE_URL", database),
            ("CONVOKE_REDIS_URL", "redis://:database-password@cache"),
            ("CONVOKE_LISTN", "database-password"),
            ("CONVOKE_LOG", "warn"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.into()));
        let loaded = Config::load(&Sources {
            environment: environment.into(),
            file: SettingsFile::Text {
                name: "convoke.toml".to_owned(),
                text: "max_in_flight = 7\nredis_url = \"redis://:database-password@cache\"\n"
                    .to_owned(),
            },
            terminal: false,
            cpus: 2,
        });
        let traces = traces::Options::from_lookup(otel).unwrap();
        describe(&loaded.unwrap(), &traces, otel)
    }

    const POSTGRES: &str = "postgres://convoke:database-password@db/convoke?sslmode=disable\
        &password=in-the-query-password&options=-c%20a=in-the-server-options";

    #[test]
    fn no_secret_of_any_kind_is_shown() {
        for database in [POSTGRES, "sqlite://data/convoke.db"] {
            let text = shown(database).to_string();
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in {text}");
            }
        }
    }

    #[test]
    fn each_setting_is_shown_with_its_source() {
        let shown = shown(POSTGRES);
        let find = |key: &str| {
            let settings = shown["settings"].as_array().unwrap();
            let one = settings.iter().find(|one| one["key"] == key).unwrap();
            let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            [text("value"), text("source"), text("from")]
        };
        assert_eq!(find("log"), ["warn", "environment", "CONVOKE_LOG"]);
        assert_eq!(find("max_in_flight"), ["7", "file", "convoke.toml:1"]);
        assert_eq!(find("hsts"), ["false", "default", "-"]);
        assert_eq!(find("secret_key")[0], "[redacted]");
        assert_eq!(
            find("database.url")[0],
            "postgres://convoke:[redacted]@db/convoke?sslmode=disable&password=[redacted]&options=[redacted]"
        );
        assert_eq!(
            shown["traces"]["otlp"]["endpoint"],
            "http://collector:4318/x"
        );
        assert_eq!(
            shown["traces"]["otlp"]["header_names"],
            json!(["authorization"])
        );
        assert_eq!(shown["otel_variables_set"].as_array().unwrap().len(), 3);
    }
}
