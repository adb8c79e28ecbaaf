//! What a supervisor is told: `convoke health` for containers, notifications for systemd.

use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::commands::{run, settings};
use crate::support::engines::Engine;
use crate::support::polling::eventually_blocking;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

fn health(arguments: &[&str], ops: &str) -> (Output, String) {
    let output = run(arguments, &settings(&[("CONVOKE_OPS_LISTEN", ops)]));
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(said).expect("UTF-8"))
}

on_both_engines! {
    async fn health_is_0_while_it_serves_and_1_once_it_is_gone(engine: Engine) {
        let mut service = Service::start(engine, &[]).await;
        let ops = service.addresses().read().expect("not poisoned").ops.clone();
        for (arguments, words) in [(&["health"][..], "ok"), (&["health", "--ready"], "ready")] {
            let (output, said) = health(arguments, &ops);
            assert!(output.status.success() && said.contains(words), "{said}");
        }
        service.kill();
        let (output, said) = health(&["health"], &ops);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&ops), "{said}");
    }
}

#[test]
fn health_says_why_it_cannot_ask_and_never_ends_with_2() {
    for (ops, words) in [("127.0.0.1:0", "port 0"), ("nowhere", "CONVOKE_OPS_LISTEN")] {
        let (output, said) = health(&["health"], ops);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn health_leaves_nothing_behind() {
    let data = TempDir::new().expect("a temporary folder");
    let folder = data.path().join("data").display().to_string();
    let pairs = [
        ("CONVOKE_OPS_LISTEN", "127.0.0.1:0"),
        ("CONVOKE_DATA_DIR", &folder),
    ];
    run(&["health"], &settings(&pairs));
    assert_eq!(std::fs::read_dir(data.path()).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_of_the_start_of_life_and_of_the_end() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let path = path.display().to_string();
    let variables = [
        ("NOTIFY_SOCKET", path.as_str()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut service = Service::start(Engine::Sqlite, &variables).await;
    let told = |words: &str| {
        let mut buffer = [0; 512];
        eventually_blocking(words, LIMIT, || {
            let length = socket.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            text.lines().any(|line| line == words).then_some(text)
        })
    };
    let public = service
        .addresses()
        .read()
        .expect("not poisoned")
        .public
        .clone();
    assert!(told("READY=1").contains(&format!("STATUS=Serving on {public}")));
    told("WATCHDOG=1");
    told("WATCHDOG=1");
    service.terminate();
    told("STOPPING=1");
    assert!(service.wait().success());
}
