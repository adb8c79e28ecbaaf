//! Unsafe or faulty settings do not start, and say why.

use std::process::Output;

use tempfile::TempDir;

use crate::support::commands::{run, settings};

fn serve(pairs: &[(&str, &str)]) -> (Output, String) {
    let data = TempDir::new().unwrap();
    let mut all = settings(pairs);
    all.extend(settings(&[
        ("CONVOKE_DATA_DIR", &data.path().display().to_string()),
        ("CONVOKE_LISTEN", "127.0.0.1:0"),
        ("CONVOKE_OPS_LISTEN", "127.0.0.1:0"),
    ]));
    let output = run(&["serve"], &all);
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    (output, said)
}

#[test]
fn production_does_not_start_without_a_secret_key() {
    let (output, said) = serve(&[("CONVOKE_ENV", "production")]);
    assert!(!output.status.success());
    assert!(said.contains("CONVOKE_SECRET_KEY"), "{said}");
    assert!(said.contains("openssl rand"), "how to make one: {said}");
}

#[test]
fn production_does_not_start_with_a_weak_key_nor_show_it() {
    let weak = [
        ("CONVOKE_ENV", "production"),
        ("CONVOKE_SECRET_KEY", "hunter2hunter2"),
    ];
    let (output, said) = serve(&weak);
    assert!(!output.status.success());
    assert!(
        said.contains("CONVOKE_SECRET_KEY") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn every_fault_is_reported_at_once() {
    let faults = [
        ("CONVOKE_SHUTDOWN_GRACE", "soon"),
        ("CONVOKE_MAX_IN_FLIGHT", "-1"),
        ("CONVOKE_BODY_LIMIT", "plenty"),
    ];
    let (output, said) = serve(&faults);
    assert!(!output.status.success());
    for (name, _) in faults {
        assert!(said.contains(name), "{name} is missing in: {said}");
    }
}
