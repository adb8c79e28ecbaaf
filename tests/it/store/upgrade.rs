//! The middle of a rolling upgrade, seen from the older version: a newer one has expanded the schema, and both serve.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::background::writers::{
    Written, every_invitation_is_delivered_once, nothing_acknowledged_is_lost,
    nothing_is_half_done, write,
};
use crate::support::client::Client;
use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::load::{Load, Outcome};
use crate::support::postgres::Cluster;
use crate::support::service::Service;

/// Two requests each.
const WRITES_PER_SECOND: u32 = 50;

/// What a migration may do while the previous version serves, done to every table that requests touch.
fn expansion(tables: &[String]) -> String {
    let mut sql = "BEGIN; SET LOCAL lock_timeout = '5s';".to_owned();
    for table in tables {
        let _ = write!(
            sql,
            "ALTER TABLE {table} ADD COLUMN of_a_newer_version text DEFAULT 'x';\
             CREATE INDEX {table}_of_a_newer_version ON {table} (of_a_newer_version);"
        );
    }
    sql += "CREATE TABLE of_a_newer_version (id uuid PRIMARY KEY);";
    sql += "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
            VALUES (9999, 'of a newer version', true, '\\x00', 0); COMMIT;";
    sql
}

async fn expand(url: &str) {
    let mut link = PgConnection::connect(url).await.unwrap();
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_sqlx%'";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut link).await.unwrap();
    assert!(tables.iter().any(|table| table == "participants"));
    for attempt in 0.. {
        let sql = AssertSqlSafe(expansion(&tables));
        match sqlx::raw_sql(sql).execute(&mut link).await {
            Ok(_) => return,
            // One that does not get its locks in time gives way to requests, and is run again.
            Err(failure) => {
                assert!(attempt < 5, "{failure}");
                sqlx::raw_sql("ROLLBACK").execute(&mut link).await.unwrap();
            }
        }
    }
}

async fn readyz(service: &Service) -> u16 {
    let asked = service.http().get(service.ops_url("/readyz")).send().await;
    asked.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_serves_and_starts_while_a_newer_one_has_expanded_the_schema() {
    let service = Service::start(Engine::Postgres, &[]).await;
    let url = service.setting("CONVOKE_DATABASE_DIRECT_URL");
    let url = url.unwrap_or_else(|| service.setting("CONVOKE_DATABASE_URL").expect("set"));
    let organizer = Client::register(&service, "organizer").await;
    let guest = Client::register(&service, "guest").await;
    let load = {
        let (organizer, guest) = (organizer.clone(), guest.id.clone());
        Load::start(WRITES_PER_SECOND, move |number| {
            write(organizer.clone(), guest.clone(), number)
        })
    };
    load.wait_for_more(WRITES_PER_SECOND as usize).await;
    expand(&url).await;
    load.wait_for_more(2 * WRITES_PER_SECOND as usize).await;

    // It goes on, and one that is restarted meanwhile comes up.
    assert_eq!(readyz(&service).await, 200);
    let restarted = service.start_replica().await;
    assert_eq!(readyz(&restarted).await, 200);
    organizer.at(&restarted).get("/events/").await.expect(200);
    let migrated = commands::run(&["migrate"], service.settings());
    let said = String::from_utf8_lossy(&migrated.stdout).into_owned();
    assert!(migrated.status.success(), "{said}");
    assert!(said.contains("newer than this program"), "{said}");

    let written = load.stop().await;
    for outcome in written.iter().flat_map(Written::outcomes) {
        match outcome {
            Outcome::Answered(answer) => _ = answer.clone().expect(201),
            failed => panic!("a request failed: {failed:?}"),
        }
    }
    nothing_acknowledged_is_lost(&organizer, &guest, &written).await;
    let invited = nothing_is_half_done(&organizer, &guest).await;
    every_invitation_is_delivered_once(&guest, invited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_wait_for_the_one_that_migrates() {
    let database = Cluster::shared().create_database().await;
    let mut link = PgConnection::connect(&database).await.unwrap();
    let settings = commands::settings(&[("CONVOKE_DATABASE_URL", &database)]);
    // The lock that sqlx takes for a migration of this database, held as a replica would that is at it.
    let lock = sqlx::postgres::PgAdvisoryLock::with_key(sqlx::postgres::PgAdvisoryLockKey::BigInt(
        migration_lock(&database),
    ));
    let held = lock.acquire(&mut link).await.unwrap();
    let commands: Vec<_> = (0..2)
        .map(|_| {
            let settings = settings.clone();
            std::thread::spawn(move || commands::run(&["migrate"], &settings))
        })
        .collect();
    let mut watching = PgConnection::connect(&database).await.unwrap();
    crate::support::polling::eventually("both wait", Duration::from_secs(20), || async {
        let mut link = PgConnection::connect(&database).await.ok()?;
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut link).await.ok()?;
        (waiting == 2).then_some(())
    })
    .await;
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'events'";
    let made: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut watching)
        .await
        .unwrap();
    assert_eq!(made, 0, "nobody migrates without the lock");
    held.release_now().await.unwrap();
    for command in commands {
        let done = command.join().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

/// As sqlx computes it from the name of the database.
fn migration_lock(url: &str) -> i64 {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let name = options.get_database().unwrap();
    0x3d32_ad9e * i64::from(crc32(name.as_bytes()))
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    })
}
