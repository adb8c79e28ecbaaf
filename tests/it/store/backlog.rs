//! What waits for delivery is gone through once, however much it is.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection, query_scalar};

use crate::support::polling::eventually;
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const BACKLOG: i64 = 3000;

/// The server believes that nothing waits, as it does after a quiet time: it looks at tables now, and no more.
const FILL: &str = "
INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, updated_at)
SELECT gen_random_uuid(), 'u' || n, 'u' || n, 'u', 'UTC', '-', 'user', 1, now(), now() FROM generate_series(1, 50) n;
INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone,
    start_utc, end_utc, capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words,
    version, created_at, updated_at)
SELECT gen_random_uuid(), 'e' || n, u.id, 'E', '', '', '2027-01-01', NULL, '2027-01-02', NULL, timestamptz '2027-01-01',
    timestamptz '2027-01-02', NULL, 0, 1, true, 'public', 'confirmed', '[]', '{}', 'e', 1, now(), now()
FROM generate_series(1, 3000) n JOIN users u ON u.email = 'u' || (n % 50 + 1);
INSERT INTO changes (id, kind, event_id, version, data, created_at)
SELECT gen_random_uuid(), 'event.updated', id, 1, '{}', now() FROM events;
INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at, finished_at)
SELECT c.id, u.id, c.event_id, 'inbox', 'delivered', 1, now(), now(), now()
FROM changes c CROSS JOIN (SELECT id FROM users LIMIT 10) u;
VACUUM ANALYZE;
INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at)
SELECT c.id, e.organizer_id, e.id, 'inbox', 'pending', 0, now(), now()
FROM changes c JOIN events e ON e.id = c.event_id
ON CONFLICT (change_id, recipient_id, channel) DO UPDATE SET state = 'pending', attempts = 0, finished_at = NULL;
";

/// Rows of the table and entries of its indexes that were read since the last reset.
const READ: &str = "SELECT CAST(seq_tup_read + (SELECT SUM(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid) AS BIGINT) \
    FROM pg_stat_user_tables t WHERE relname = 'deliveries'";

async fn number(url: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// A session says what it read when it ends, at the latest.
async fn no_session_is_left(url: &str) {
    let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("no session is left", Duration::from_secs(20), || async {
        (number(url, others).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_gone_through_once_though_the_server_believes_that_nothing_waits() {
    let cluster = Cluster::start("autovacuum = off\n");
    let url = cluster.create_database().await;
    super::change_log::open_url(&url).await.close().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for statement in FILL.split_inclusive(";\n") {
        connection.execute(statement).await.unwrap();
    }
    connection.close().await.unwrap();
    no_session_is_left(&url).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("SELECT pg_stat_reset()").await.unwrap();
    connection.close().await.unwrap();

    let service = Service::start_on(&url, &[]).await;
    eventually("all is told", Duration::from_mins(1), || async {
        let told = number(&url, "SELECT COUNT(*) FROM notifications").await;
        (told == BACKLOG).then_some(())
    })
    .await;
    service.stop();
    no_session_is_left(&url).await;
    let each = number(&url, READ).await / BACKLOG;
    assert!(
        (1..50).contains(&each),
        "rows and entries of indexes read for each delivery: {each}"
    );
}
