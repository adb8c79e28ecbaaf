//! The `OTEL_*` variables that the service reads.

/// Every variable that [`super::Options`] reads, in alphabetical order.
pub const VARIABLES: [&str; 20] = [
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_PROPAGATORS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::VARIABLES;

    #[test]
    fn the_list_is_what_the_options_read() {
        let source = include_str!("options.rs");
        let literals = source.split('"').skip(1).step_by(2);
        let read: BTreeSet<&str> = literals
            .filter(|text| text.starts_with("OTEL_") && !text.contains(' '))
            .collect();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), VARIABLES);
    }
}
