//! Looking into a running service: profiles, what is in flight, settings in force, and the line that each look leaves.

use std::io::Read as _;
use std::time::{Duration, Instant};

use prost::Message;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::engines::Engine;
use crate::support::load::{Load, Outcome, quantile, timed};
use crate::support::polling::eventually;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

/// The parts of profile.proto by which names are found, written from its description and not from the service's code.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_types: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    locations: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    functions: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    locations: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    values: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn text(&self, at: i64) -> &str {
        &self.strings[usize::try_from(at).unwrap()]
    }

    /// The names of a sample's functions, the innermost first.
    fn stack(&self, sample: &Sample) -> Vec<&str> {
        let lines = sample.locations.iter().flat_map(|id| {
            let location = self.locations.iter().find(|one| one.id == *id);
            &location.expect("a location that is there").lines
        });
        let name = |line: &Line| {
            let function = self.functions.iter().find(|one| one.id == line.function);
            self.text(function.expect("a function that is there").name)
        };
        lines.map(name).collect()
    }
}

async fn get(service: &Service, path: &str) -> Response {
    let request = service.http().get(service.ops_url(path));
    request.timeout(LIMIT).send().await.expect("ops answers")
}

async fn json(service: &Service, path: &str) -> Value {
    let answer = get(service, path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

/// Waits until a profile is being taken.
async fn is_taken(service: &Service) {
    eventually("a profile is being taken", LIMIT, || async {
        let report = json(service, "/debug/runtime").await;
        (report["profiling"] == true).then_some(())
    })
    .await;
}

/// Reads and writes, as fast as they are answered.
async fn loaded(service: &Service, per_second: u32) -> Load<(Outcome, Duration)> {
    let organizer = Client::register(service, "organizer").await;
    organizer.create_event(json!({})).await;
    Load::start(per_second, move |number| {
        let organizer = organizer.clone();
        async move {
            let (sent, took) = if number % 4 == 0 {
                let body = crate::support::client::event_body(json!({}));
                timed(organizer.send(Method::POST, "/events/", Some(&body))).await
            } else {
                timed(organizer.send(Method::GET, "/events/?limit=20", None)).await
            };
            (Outcome::of(sent), took)
        }
    })
}

on_both_engines! {
    async fn a_profile_under_load_is_pprof_and_names_the_functions_that_served(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let load = loaded(&service, 200).await;
        load.wait_for(50).await;
        let path = "/debug/pprof/profile?seconds=3&hz=99";
        let (answer, took) = timed(get(&service, path)).await;
        assert_eq!(answer.status(), 200);
        assert!(took >= Duration::from_secs(3), "{took:?}");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        let disposition = answer.headers()["content-disposition"].to_str().unwrap();
        assert!(disposition.starts_with("attachment"), "{disposition}");
        let gzipped = answer.bytes().await.unwrap();
        let outcomes = load.stop().await;
        assert!(
            outcomes.iter().all(|(outcome, _)| outcome.acknowledged().is_some()),
            "no request fails while it is taken"
        );

        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&gzipped[..]).read_to_end(&mut bytes).expect("gzip");
        let profile = Profile::decode(&bytes[..]).expect("pprof");
        assert_eq!(profile.strings[0], "");
        let types = profile.sample_types.iter();
        let types: Vec<_> = types.map(|one| (profile.text(one.kind), profile.text(one.unit))).collect();
        assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
        assert!(profile.duration_nanos >= 3_000_000_000);
        let count: i64 = profile.samples.iter().map(|sample| sample.values[0]).sum();
        assert!(count >= 20, "{count} samples of a busy service");
        let whole = profile.samples.iter().any(|sample| {
            let stack = profile.stack(sample);
            let ours = stack.iter().any(|name| name.starts_with("convoke::") || name.starts_with("<convoke::"));
            ours && stack.iter().any(|name| name.contains("tokio::runtime"))
        });
        assert!(whole, "a stack from tokio into convoke, by name");
        let hashed = profile.strings.iter().find(|name| {
            name.rsplit_once("::h").is_some_and(|(_, hash)| {
                hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        });
        assert_eq!(hashed, None, "names are demangled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_profile_is_refused_until_the_first_is_done_or_its_client_gone() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let (http, url) = (
        service.http(),
        service.ops_url("/debug/pprof/profile?seconds=40"),
    );
    let first = tokio::spawn(async move { http.get(url).send().await });
    is_taken(&service).await;
    let second = get(&service, "/debug/pprof/profile?seconds=1&format=folded").await;
    assert_eq!(second.status(), 503);
    let wait: u64 = second.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=41).contains(&wait), "{wait}");
    assert_eq!(second.headers()["content-type"], "application/problem+json");

    first.abort();
    let folded = eventually("the next has its turn", Duration::from_secs(15), || async {
        let answer = get(&service, "/debug/pprof/profile?seconds=1&format=folded").await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    let is_folded = |line: &str| {
        line.rsplit_once(' ')
            .is_some_and(|(_, count)| count.parse::<u32>().is_ok())
    };
    let text = folded.text().await.unwrap();
    assert!(text.lines().all(is_folded), "{text}");
    let gone = |line: &Value| line["message"] == "looked into" && line["status"] == 499;
    service
        .wait_for_log("of the client that went away", LIMIT, gone)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_a_profile_early_and_answers_it() {
    let mut service = Service::start(Engine::Sqlite, &[("CONVOKE_SHUTDOWN_GRACE", "12s")]).await;
    let (http, url) = (
        service.http(),
        service.ops_url("/debug/pprof/profile?seconds=60"),
    );
    let profile = tokio::spawn(async move { http.get(url).send().await });
    is_taken(&service).await;
    let began = Instant::now();
    service.terminate();
    assert_eq!(profile.await.unwrap().expect("an answer").status(), 200);
    assert!(service.wait().success());
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_by_field() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    for (path, status, field) in [
        ("/debug/pprof/profile?seconds=0", 422, "seconds"),
        ("/debug/pprof/profile?seconds=61", 422, "seconds"),
        ("/debug/pprof/profile?hz=1000", 422, "hz"),
        ("/debug/pprof/profile?format=svg", 422, "format"),
        ("/debug/pprof/profile?secs=1", 422, "secs"),
        ("/debug/pprof/heap", 501, "heap"),
        ("/debug/runtime?limit=0", 422, "limit"),
    ] {
        let answer = get(&service, path).await;
        assert_eq!(answer.status(), status, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{path}");
    }
    let head = service.http().head(service.ops_url("/debug/pprof/profile"));
    assert_eq!(head.send().await.unwrap().status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ordinary_build_has_the_faults_of_fire_drills() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    for fault in ["block", "memory", "series"] {
        let url = service.ops_url(&format!("/debug/drills/{fault}/1"));
        let answer = service.http().post(url).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{fault}");
    }
    let asked = service.http().get(service.url("/api/v1/users/me"));
    let answer = asked.header("x-drill", "panic").send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_is_shown_with_its_age_and_what_it_waits_for() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let (trace, id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "a-request-that-hangs");
    let address = service.addresses().read().unwrap().public.clone();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nx-request-id: {id}\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-00\r\n\r\n{{\"email\":"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;

    let report = json(&service, "/debug/runtime").await;
    let hanging = report["requests"]["oldest"].as_array().unwrap().clone();
    let hanging = hanging.iter().find(|one| one["request_id"] == id);
    let hanging = hanging.unwrap_or_else(|| panic!("not in {report:#}"));
    assert_eq!(hanging["route"], "/api/v1/auth/login");
    assert_eq!(hanging["method"], "POST");
    assert_eq!(hanging["trace_id"], trace);
    assert_eq!(hanging["phase"], "body");
    let age = hanging["age_seconds"].as_f64().unwrap();
    assert!((0.6..10.0).contains(&age), "{age}");

    assert_eq!(report["phase"], "ready");
    let workers = report["runtime"]["workers"].as_array().unwrap();
    assert!(!workers.is_empty());
    for worker in workers {
        let busy = worker["busy_ratio"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&busy), "{worker}");
    }
    let tasks = report["tasks"].as_array().unwrap();
    let probe = tasks
        .iter()
        .find(|one| one["name"] == "scheduling probe")
        .unwrap();
    assert_eq!(probe["running"], 1);
    assert!(
        probe["seconds_since_last_turn"].as_f64().unwrap() < 5.0,
        "{probe}"
    );

    drop(stream);
    eventually("it is gone with its client", LIMIT, || async {
        let report = json(&service, "/debug/runtime").await;
        (report["requests"]["in_flight"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_leaves_a_line_and_only_on_the_ops_listener() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let index = json(&service, "/debug/").await;
    let pages = index["pages"].as_array().unwrap();
    assert!(pages.len() >= 5);
    for page in pages {
        let path = page["path"].as_str().unwrap();
        let path = if path.ends_with("/profile") {
            format!("{path}?seconds=1")
        } else {
            path.to_owned()
        };
        let status = get(&service, &path).await.status();
        assert!(status == 200 || status == 501, "{path}: {status}");
        let public = service.http().get(service.url(&path)).send().await.unwrap();
        assert_eq!(public.status(), 404, "{path} on the public listener");
        let bare = path.split('?').next().unwrap();
        let accepts = |line: &Value| line["message"] == "looked into" && line["path"] == bare;
        let line = service.wait_for_log("of the look", LIMIT, accepts).await;
        assert_eq!(line["status"], status.as_u16(), "{line}");
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
    }
    let asked = |line: &Value| line["asked"] == "seconds=1 hz=99 format=pprof";
    service
        .wait_for_log("with what was asked", LIMIT, asked)
        .await;
    let memory = json(&service, "/debug/memory").await;
    assert!(
        memory["smaps_rollup_bytes"]["Rss"].as_u64().unwrap() > 1 << 20,
        "{memory}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_is_shown_with_the_time_it_has_left_and_reverts_by_itself() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let change = json!({"filter": "off", "ttl_seconds": 2});
    let put = service
        .http()
        .put(service.ops_url("/log-level"))
        .json(&change);
    assert_eq!(put.send().await.unwrap().status(), 200);
    let shown = json(&service, "/log-level").await;
    assert_eq!(
        (&shown["filter"], &shown["base_filter"]),
        (&json!("off"), &json!("info"))
    );
    assert!(
        (1..=2).contains(&shown["ttl_seconds"].as_u64().unwrap()),
        "{shown}"
    );
    let message = |text: &'static str| move |line: &Value| line["message"] == text;
    service
        .wait_for_log("of the change", LIMIT, message("log filter changed"))
        .await;
    service
        .wait_for_log("of its end", LIMIT, message("log filter reverted"))
        .await;
    let shown = json(&service, "/log-level").await;
    assert_eq!(shown, json!({"filter": "info", "base_filter": "info"}));
}

/// Prints what a profile costs; `PROFILE_COST_SECONDS` sets how long each half is. The bound is wide: two cores that others
/// use as well make single figures jump.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_hardly_slows_requests() {
    let seconds = std::env::var("PROFILE_COST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seconds: u64 = seconds.unwrap_or(4);
    let service = Service::start(Engine::Sqlite, &[]).await;
    let reader = Client::register(&service, "reader").await;
    let mut halves: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for turn in 0..4 {
        let profiled = turn % 2 == 1;
        let url = service.ops_url(&format!("/debug/pprof/profile?seconds={seconds}&hz=99"));
        let http = service.http();
        let profile = profiled.then(|| tokio::spawn(async move { http.get(url).send().await }));
        if profiled {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let until = Instant::now() + Duration::from_millis(seconds * 1000 - 500);
        while Instant::now() < until {
            let (answer, took) = timed(reader.get("/users/me")).await;
            answer.expect(200);
            halves[usize::from(profiled)].push(took);
        }
        if let Some(profile) = profile {
            assert_eq!(profile.await.unwrap().unwrap().status(), 200);
        }
    }
    let [mut plain, mut profiled] = halves;
    let (before, after) = (quantile(&mut plain, 0.5), quantile(&mut profiled, 0.5));
    let tails = (quantile(&mut plain, 0.99), quantile(&mut profiled, 0.99));
    let ratio = after.as_secs_f64() / before.as_secs_f64();
    eprintln!("p50 {before:?} without, {after:?} with: {ratio:.3}; p99 {tails:?}");
    assert!(ratio < 2.0, "p50 {before:?} without, {after:?} with");
}
