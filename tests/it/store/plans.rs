//! With 100,000 events every list and look-up uses an index: seen in the plans of the very statements that the service ran.
//!
//! On PostgreSQL `auto_explain` writes the plan of each statement into the server's log. On SQLite the statements are taken from
//! the exported spans and explained on the same file.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use uuid::Uuid;

use crate::support::client::{Client, event_body, id};
use crate::support::commands::run;
use crate::support::otlp::OtlpReceiver;
use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::service::Service;

/// Tables that hold enough rows for a scan to matter.
const LARGE: &[&str] = &[
    "events",
    "participants",
    "changes",
    "notifications",
    "deliveries",
    "users",
    "event_tags",
];

const FILL_POSTGRES: &str = r"
INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, updated_at)
SELECT gen_random_uuid(), 'u' || n, 'u' || n, 'u', 'UTC', '-', 'user', 1, now(), now() FROM generate_series(1, 10000) n;
INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone,
    start_utc, end_utc, capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words,
    version, created_at, updated_at)
SELECT gen_random_uuid(), 'f' || n, u.id, 'Filler', '', '', '2027-01-01', NULL, '2027-01-02', NULL,
    timestamptz '2027-01-01' + n * interval '10 minutes', timestamptz '2027-01-02' + n * interval '10 minutes', NULL, 0, 1, true,
    CASE WHEN n % 2 = 0 THEN 'public' ELSE 'private' END, 'confirmed', '[]', '{}', 'filler w' || n, 1,
    now() - n * interval '1 second', now() - n * interval '1 second'
FROM generate_series(1, 100000) n JOIN users u ON u.email = 'u' || (n % 10000 + 1);
INSERT INTO event_tags (tag, event_id) SELECT 't' || (row_number() OVER () % 500), id FROM events;
INSERT INTO participants (event_id, user_id, role, status, admission, version, created_at, updated_at)
SELECT e.id, o.organizer_id, 'required', 'accepted', 'confirmed', 1, now(), now()
FROM (SELECT id, row_number() OVER (ORDER BY id) r FROM events) e
JOIN (SELECT organizer_id, row_number() OVER (ORDER BY id DESC) r FROM events) o USING (r);
INSERT INTO changes (id, kind, event_id, version, data, created_at)
SELECT gen_random_uuid(), 'event.created', id, 1, '{}', created_at FROM events;
INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at, finished_at)
SELECT c.id, e.organizer_id, e.id, 'inbox', 'delivered', 1, now(), now(), now() FROM changes c JOIN events e ON e.id = c.event_id;
INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at)
SELECT gen_random_uuid(), recipient_id, change_id, 'event.updated', event_id, '{}', now() FROM deliveries;
ANALYZE;
";

const FILL_SQLITE: &[&str] = &[
    "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000)
     INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, updated_at)
     SELECT randomblob(16), 'u' || n, 'u' || n, 'u', 'UTC', '-', 'user', 1, 1, 1 FROM s",
    "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000)
     INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone,
     start_utc, end_utc, capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words,
     version, created_at, updated_at)
     SELECT randomblob(16), 'f' || n, u.id, 'Filler', '', '', '2027-01-01', NULL, '2027-01-02', NULL,
     1798761600000000 + n * 600000000, 1798848000000000 + n * 600000000, NULL, 0, 1, 1,
     CASE WHEN n % 2 = 0 THEN 'public' ELSE 'private' END, 'confirmed', '[]', '{}', 'filler w' || n, 1, n, n
     FROM s JOIN users u ON u.email_key = 'u' || (n % 10000 + 1)",
    "INSERT INTO event_tags (tag, event_id) SELECT 't' || (row_id % 500), id FROM events",
    "INSERT OR IGNORE INTO participants (event_id, user_id, role, status, admission, version, created_at, updated_at)
     SELECT e.id, o.organizer_id, 'required', 'accepted', 'confirmed', 1, 1, 1
     FROM events e JOIN events o ON o.row_id = 100001 - e.row_id",
    "INSERT INTO changes (id, kind, event_id, version, data, created_at)
     SELECT randomblob(16), 'event.created', id, 1, '{}', created_at FROM events",
    "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at, finished_at)
     SELECT c.id, e.organizer_id, e.id, 'inbox', 'delivered', 1, 1, 1, 4000000000000000
     FROM changes c JOIN events e ON e.id = c.event_id",
    "INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at)
     SELECT randomblob(16), recipient_id, change_id, 'event.updated', event_id, '{}', 1 FROM deliveries",
];

/// Does everything once that the API offers, so that every statement on a request's way is run.
async fn exercise(service: &Service) {
    let host = Client::register(service, "host").await;
    let mut guest = Client::register(service, "guest").await;
    let event = host
        .create_event(json!({"visibility": "public", "capacity": 1, "tags": ["t1"]}))
        .await;
    let path = format!("/events/{}", id(&event));
    host.invite(&event, &guest).await.expect(201);
    for status in ["accepted", "declined", "accepted"] {
        guest.answer(&event, status).await.expect(200);
        host.answer(&event, status).await.expect(200);
    }
    lists(&host).await;
    let mut admin = Client::register(service, "admin").await;
    let promoted = run(&["user", "promote", &admin.email], service.settings());
    assert!(promoted.status.success(), "{promoted:?}");
    admin.log_in().await;
    eventually("the role is noticed", Duration::from_secs(5), || async {
        let answer = admin.patch(&path, json!({"title": "Ours"})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    lists(&admin).await;
    for path in [
        &path,
        &format!("{path}/participants/"),
        &format!("{path}/participants/{}", guest.id),
        &format!("{path}/history"),
    ] {
        host.get(path).await.expect(200);
    }
    let request = host.request(reqwest::Method::POST, &format!("{path}/attachments/"));
    let request = request
        .header("content-type", "text/plain")
        .body("the plan");
    let added = crate::support::answer::Answer::of(request)
        .await
        .unwrap()
        .expect(201);
    let file = format!("{path}/attachments/{}", id(&added.body));
    host.get(&format!("{path}/attachments/")).await.expect(200);
    host.get(&format!("{file}/content")).await.expect(200);
    host.delete(&file).await.expect(204);
    host.get("/users/me/avatar").await.expect(404);
    host.patch(&path, json!({"capacity": 2, "tags": ["t2"]}))
        .await
        .expect(200);
    let request = host
        .request(reqwest::Method::POST, "/events/")
        .header("idempotency-key", "once");
    let created = crate::support::answer::Answer::of(request.json(&event_body(json!({}))))
        .await
        .unwrap();
    created.expect(201);
    eventually("the host is told", Duration::from_secs(20), || async {
        let told = host.told("participant.admission_changed", &event).await;
        (!told.is_empty()).then_some(())
    })
    .await;
    inbox_and_account(&mut guest).await;
    host.delete(&format!("{path}/participants/{}", guest.id))
        .await
        .expect(204);
    host.post(&format!("{path}/cancel"), json!({}))
        .await
        .expect(200);
    host.delete(&path).await.expect(204);
}

/// The inbox, keys, and the login's end.
async fn inbox_and_account(guest: &mut Client) {
    for filter in ["", "?unread=true", "?unread=false"] {
        guest
            .get(&format!("/notifications/{filter}"))
            .await
            .expect(200);
    }
    let inbox: Vec<Value> = guest.inbox().await;
    guest
        .post(&format!("/notifications/{}/read", id(&inbox[0])), json!({}))
        .await
        .expect(204);
    guest
        .post("/notifications/read-all", json!({}))
        .await
        .expect(204);
    let key = guest
        .post("/api-keys/", json!({"name": "k", "scope": "read"}))
        .await
        .expect(201);
    guest
        .with_token(key.body["key"].as_str().unwrap())
        .get("/users/me")
        .await
        .expect(200);
    guest.get("/api-keys/").await.expect(200);
    guest
        .delete(&format!("/api-keys/{}", id(&key.body)))
        .await
        .expect(204);
    let refreshed = guest
        .post(
            "/auth/refresh",
            json!({"refresh_token": guest.refresh_token}),
        )
        .await
        .expect(200);
    refreshed.body["refresh_token"]
        .as_str()
        .unwrap()
        .clone_into(&mut guest.refresh_token);
    guest
        .patch("/users/me", json!({"display_name": "G"}))
        .await
        .expect(200);
    guest
        .post(
            "/auth/logout",
            json!({"refresh_token": guest.refresh_token}),
        )
        .await
        .expect(204);
}

/// Lists in every order, a second page of each, and every filter.
async fn lists(host: &Client) {
    for sort in [
        "start", "-start", "created", "-created", "updated", "-updated",
    ] {
        let first = host
            .get(&format!("/events/?sort={sort}&limit=5"))
            .await
            .expect(200);
        let cursor = first.body["next_cursor"]
            .as_str()
            .expect("more than a page")
            .to_owned();
        host.get(&format!("/events/?sort={sort}&limit=5&cursor={cursor}"))
            .await
            .expect(200);
    }
    let organizer = Uuid::now_v7();
    let me = &host.id;
    for filter in [
        "status=confirmed",
        "tag=t1",
        "q=filler+w77",
        "participant=me",
        "visibility=public",
        "visibility=private",
        "visibility=private&participant=me",
        "visibility=private&q=filler+w77",
        "visibility=public&q=filler+w77&from=2027-06-01T00:00:00Z",
        "participant=me&q=filler&sort=created",
        "from=2027-06-01T00:00:00Z&to=2027-06-02T00:00:00Z",
        &format!("organizer_id={organizer}"),
        &format!("organizer_id={me}"),
        "tag=t1&status=confirmed&q=w77&sort=-updated",
    ] {
        host.get(&format!("/events/?{filter}")).await.expect(200);
    }
}

/// Sweeps look at what is old; the rest is run by the background and has its own indexes checked by the same plans.
fn is_large_scan(line: &str, verb: &str) -> bool {
    LARGE.iter().any(|table| {
        line.find(verb).is_some_and(|at| {
            let rest = line[at + verb.len()..].trim_start();
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            name == *table
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_and_look_up_uses_an_index_on_postgres() {
    let conf = "shared_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = -1\n";
    let cluster = Cluster::start(conf);
    let url = cluster.create_database().await;
    super::change_log::open_url(&url).await.close().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute(FILL_POSTGRES).await.unwrap();
    connection
        .execute("ALTER SYSTEM SET auto_explain.log_min_duration = 0")
        .await
        .unwrap();
    connection.execute("SELECT pg_reload_conf()").await.unwrap();
    let service = Service::start_on(&url, &[]).await;
    exercise(&service).await;

    let log = cluster.log();
    assert!(
        log.matches("Query Text:").count() > 100,
        "auto_explain wrote plans"
    );
    assert!(
        log.contains("events_visibility_start"),
        "the lists were planned"
    );
    let mut scans = BTreeSet::new();
    let mut statement = "";
    for line in log.lines() {
        if let Some((_, text)) = line.split_once("Query Text: ") {
            statement = text;
        }
        // Walks all events once for each release of the zones' rules, in batches, and is no look-up.
        let batch = statement.contains("start_zone IS NOT NULL ORDER BY id");
        if is_large_scan(line, "Seq Scan on ") && !batch {
            scans.insert(format!("{statement}\n    {}", line.trim()));
        }
    }
    assert!(
        scans.is_empty(),
        "these statements scan a table:\n{}",
        scans.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_and_look_up_uses_an_index_on_sqlite() {
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("convoke.db").display());
    super::change_log::open_url(&url).await.close().await;
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection.execute("BEGIN").await.unwrap();
    for sql in FILL_SQLITE {
        connection.execute(*sql).await.unwrap();
    }
    connection.execute("COMMIT").await.unwrap();
    let collector = OtlpReceiver::http().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let service = Service::start_on(&url, &settings).await;
    exercise(&service).await;
    let texts = eventually(
        "the last statement is exported",
        Duration::from_secs(20),
        || async {
            let texts: BTreeSet<String> = collector
                .spans()
                .iter()
                .filter_map(|span| span.attribute("db.query.text"))
                .collect();
            texts
                .iter()
                .any(|text| text.contains("SET deleted_at"))
                .then_some(texts)
        },
    )
    .await;
    assert!(texts.len() > 50, "{} statements", texts.len());

    let mut scans = BTreeSet::new();
    let mut merged = 0;
    // Some texts are several statements.
    for text in texts
        .iter()
        .flat_map(|text| text.split("; "))
        .filter(|text| {
            ["SELECT", "UPDATE", "DELETE", "INSERT"]
                .iter()
                .any(|verb| text.starts_with(verb))
        })
    {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let plan = sqlx::query(explain).fetch_all(&mut connection).await;
        let plan: Vec<String> = plan.unwrap().iter().map(|row| row.get("detail")).collect();
        // A page by start is merged from parts that come in order; only what somebody takes part in is sorted, and not kept.
        if plan
            .iter()
            .any(|detail| detail.starts_with("MERGE (UNION)"))
        {
            let sorts = |detail: &&String| detail.contains("TEMP B-TREE");
            let sorted = plan.iter().filter(sorts).count();
            assert!(sorted <= 2, "{text}\n{plan:#?}");
            merged += 1;
        }
        for detail in plan {
            // Aliases stand for their tables in SQLite's plans: `SCAN e` is a scan of events.
            let walks_an_index = detail.contains("USING")
                || detail.contains("VIRTUAL TABLE")
                || detail.contains("CONSTANT ROW")
                || detail.contains("VALUES CLAUSE");
            let scanned = detail.strip_prefix("SCAN ").unwrap_or_default();
            let inner =
                ["v", "u", "b", "json_each"].contains(&scanned) || scanned.starts_with("(subquery");
            if detail.starts_with("SCAN") && !walks_an_index && !inner {
                scans.insert(format!("{text}\n    {detail}"));
            }
        }
    }
    assert!(merged > 4, "{merged} statements merge their parts");
    assert!(
        scans.is_empty(),
        "these statements scan a table:\n{}",
        scans.into_iter().collect::<Vec<_>>().join("\n")
    );
}
