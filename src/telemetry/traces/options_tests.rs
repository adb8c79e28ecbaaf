//! What each `OTEL_*` variable does, and which values are refused.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Options, Vec<Fault>> {
    Options::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn otlp(variables: &[(&str, &str)]) -> Otlp {
    read(variables).unwrap().otlp.unwrap()
}

#[test]
fn with_nothing_set_nothing_is_exported() {
    assert_eq!(read(&[]).unwrap(), Options::default());
    assert_eq!(
        read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().otlp,
        None
    );
}

#[test]
fn the_common_endpoint_gets_the_path_and_the_one_for_traces_does_not() {
    let common = otlp(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/")]);
    assert_eq!(common.endpoint, "http://c:4318/v1/traces");
    let own = otlp(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4318/x"),
    ]);
    assert_eq!(own.endpoint, "http://t:4318/x");
    let grpc = otlp(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    assert_eq!(grpc.endpoint, "http://c:4317");
    assert_eq!(grpc.protocol, Protocol::Grpc);
    let default = otlp(&[("OTEL_TRACES_EXPORTER", "otlp")]);
    assert_eq!(default.endpoint, "http://localhost:4318/v1/traces");
}

#[test]
fn an_exporter_can_be_switched_off_by_either_variable() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    for off in [
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert_eq!(read(&[endpoint, off]).unwrap().otlp, None);
    }
}

#[test]
fn samplers_are_read_with_their_argument() {
    let sampling = |name, arg| {
        let set = [
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", arg),
        ];
        let sampling = read(&set).unwrap().sampling;
        (sampling.parent_based, sampling.ratio)
    };
    assert_eq!(sampling("always_on", ""), (false, 1.0));
    assert_eq!(sampling("parentbased_always_off", ""), (true, 0.0));
    assert_eq!(sampling("parentbased_traceidratio", "0.25"), (true, 0.25));
    assert_eq!(sampling("traceidratio", "1"), (false, 1.0));
}

#[test]
fn the_service_name_goes_before_the_resource_attribute() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=x%20y");
    let options = read(&[attributes]).unwrap();
    assert_eq!(options.service_name, "a");
    assert_eq!(options.resource, [("team".to_owned(), "x y".to_owned())]);
    let options = read(&[attributes, ("OTEL_SERVICE_NAME", "b")]).unwrap();
    assert_eq!(options.service_name, "b");
}

#[test]
fn propagation_can_be_switched_off() {
    let propagate = |list| read(&[("OTEL_PROPAGATORS", list)]).unwrap().propagate;
    assert!(propagate("tracecontext,baggage"));
    assert!(!propagate("none"));
}

#[test]
fn every_fault_is_told_at_once() {
    let variables = [
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "secret-token"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
    ];
    let faults = read(&variables).unwrap_err();
    for (name, _) in variables {
        let told = faults.iter().filter(|(variable, _)| *variable == name);
        assert_eq!(told.count(), 1, "{name}: {faults:?}");
    }
    assert!(!format!("{faults:?}").contains("secret-token"));
    let ratio = read(&[
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
    ]);
    assert_eq!(ratio.unwrap_err()[0].0, "OTEL_TRACES_SAMPLER_ARG");
}

#[test]
fn neither_a_header_nor_a_password_is_shown() {
    let shown = format!(
        "{:?}",
        otlp(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:hush@c/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush"),
        ])
    );
    assert!(shown.contains("authorization") && shown.contains("https://c/v1/traces"));
    assert!(!shown.contains("hush"), "{shown}");
}
