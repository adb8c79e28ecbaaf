//! The dispatcher and the sweeps with a real SQLite store; the time is set by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dispatcher::{Dispatcher, Options, Round};
use super::retention::{self, Swept};
use crate::domain::change::INBOX;
use crate::domain::clock::Clock;
use crate::domain::new_id;
use crate::domain::user::Role;
use crate::lifecycle::Lifecycle;
use crate::store::{NewUser, QueueState, RetryPolicy, Store};

const LEASE: Duration = Duration::from_secs(30);

struct Fixture {
    store: Store,
    database: Mutex<Option<SqliteConnection>>,
    /// Seconds since the epoch.
    now: Arc<AtomicI64>,
    user: Uuid,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/convoke.db", folder.path().display());
        let now = Arc::new(AtomicI64::new(1_800_000_000));
        let shown = Arc::clone(&now);
        let clock =
            Clock::from_fn(move || Timestamp::from_second(shown.load(Ordering::SeqCst)).unwrap());
        let store = Store::for_tests(&url, clock).await;
        let new = NewUser {
            email: "ada@example.org".into(),
            display_name: "Ada".into(),
            time_zone: "UTC".into(),
            password_hash: String::new(),
            role: Role::User,
        };
        let user = store.create_user(&new).await.unwrap().id;
        let database = SqliteConnection::connect(&url).await.unwrap();
        Self {
            store,
            database: Mutex::new(Some(database)),
            now,
            user,
            stop: CancellationToken::new(),
            _folder: folder,
        }
    }

    fn dispatcher(&self, max_attempts: u32) -> Dispatcher {
        let policy = RetryPolicy {
            max_attempts,
            base: Duration::from_secs(10),
            max: Duration::from_secs(10),
        };
        Dispatcher::new(
            self.store.clone(),
            Options::new(100, LEASE, policy),
            self.stop.clone(),
        )
    }

    fn wait(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn run(&self, sql: String) -> u64 {
        let mut database = self
            .database
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap();
        let done = sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut database)
            .await
            .unwrap();
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
        done.rows_affected()
    }

    async fn next_due(&self) -> Option<Duration> {
        let now = self.store.clock().now();
        self.store.next_delivery_due(INBOX, now).await.unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut database = self
            .database
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap();
        let count = sqlx::query_scalar(sql)
            .fetch_one(&mut database)
            .await
            .unwrap();
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
        count
    }

    async fn event(&self) -> Uuid {
        let id = new_id();
        let (at, user) = (self.now.load(Ordering::SeqCst) * 1_000_000, hex(self.user));
        self.run(format!(
            "INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, \
             end_zone, start_utc, end_utc, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, \
             search_words, version, created_at, updated_at) VALUES ({}, '{id}', {user}, 't', '', '', '2027-01-01', NULL, \
             '2027-01-02', NULL, 1, 2, 0, 0, 1, 'private', 'confirmed', '[]', '{{}}', '', 1, {at}, {at})",
            hex(id)
        ))
        .await;
        id
    }

    /// A delivery to this recipient; one who has no account makes the inbox refuse it.
    async fn delivery(&self, event: Uuid, recipient: Uuid) {
        let change = hex(new_id());
        let at = self.now.load(Ordering::SeqCst) * 1_000_000;
        let (event, recipient) = (hex(event), hex(recipient));
        self.run(format!(
            "INSERT INTO changes (id, kind, event_id, version, data, created_at) \
             VALUES ({change}, 'event.updated', {event}, 1, '{{}}', {at})"
        ))
        .await;
        self.run(format!(
            "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
             VALUES ({change}, {recipient}, {event}, 'inbox', 'pending', 0, {at}, {at})"
        ))
        .await;
    }

    async fn state(&self) -> (u64, u64) {
        let QueueState { pending, dead, .. } = self.store.queue_state(INBOX).await.unwrap();
        (pending, dead)
    }
}

fn hex(id: Uuid) -> String {
    format!("X'{}'", id.simple())
}

#[tokio::test]
async fn a_batch_is_delivered_whole_and_once() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    for _ in 0..3 {
        fixture.delivery(event, fixture.user).await;
    }
    let mut dispatcher = fixture.dispatcher(3);
    let round = dispatcher.round().await.unwrap();
    assert_eq!(
        round,
        Round {
            claimed: 3,
            delivered: 3,
            ..Round::default()
        }
    );
    assert_eq!(dispatcher.round().await.unwrap(), Round::default());
    assert_eq!(fixture.count("SELECT COUNT(*) FROM notifications").await, 3);
    assert_eq!(fixture.next_due().await, None);
}

#[tokio::test]
async fn one_that_fails_holds_back_those_after_it_for_the_same_person_and_event_and_no_others() {
    let fixture = Fixture::new().await;
    let (event, other) = (fixture.event().await, fixture.event().await);
    let nobody = new_id();
    fixture.delivery(event, fixture.user).await;
    fixture.delivery(event, nobody).await;
    fixture.delivery(event, nobody).await;
    fixture.delivery(event, fixture.user).await;
    fixture.delivery(other, fixture.user).await;

    let mut dispatcher = fixture.dispatcher(3);
    let round = dispatcher.round().await.unwrap();
    assert_eq!(
        round,
        Round {
            claimed: 5,
            delivered: 3,
            failed: 1,
            released: 1,
            dead: 0
        }
    );
    // The one given back waits behind the one that failed, and has lost no attempt by it.
    assert_eq!(dispatcher.round().await.unwrap(), Round::default());
    assert_eq!(
        fixture
            .count(
                "SELECT attempts FROM deliveries WHERE state = 'pending' ORDER BY id DESC LIMIT 1"
            )
            .await,
        0
    );
}

#[tokio::test]
async fn the_next_look_is_when_the_one_in_front_is_due_not_those_behind_it() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    let nobody = new_id();
    fixture.delivery(event, nobody).await;
    fixture.delivery(event, nobody).await;
    fixture.dispatcher(3).round().await.unwrap();
    let due = fixture.next_due().await.unwrap();
    assert!(
        due >= Duration::from_secs(5) && due <= Duration::from_secs(10),
        "{due:?}"
    );
}

#[tokio::test]
async fn a_delivery_is_dead_after_its_last_attempt_and_frees_those_behind_it() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    let nobody = new_id();
    fixture.delivery(event, nobody).await;
    let mut dispatcher = fixture.dispatcher(2);
    assert_eq!(
        dispatcher.round().await.unwrap(),
        Round {
            claimed: 1,
            failed: 1,
            ..Round::default()
        }
    );
    fixture.delivery(event, nobody).await;
    fixture.wait(11);
    let round = dispatcher.round().await.unwrap();
    assert_eq!(
        round,
        Round {
            claimed: 2,
            dead: 1,
            released: 1,
            ..Round::default()
        }
    );
    assert_eq!(fixture.state().await, (1, 1));
    assert_eq!(
        dispatcher.round().await.unwrap(),
        Round {
            claimed: 1,
            failed: 1,
            ..Round::default()
        }
    );
}

#[tokio::test]
async fn after_the_stop_what_was_not_begun_is_given_back() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    fixture.delivery(event, new_id()).await;
    fixture.delivery(event, fixture.user).await;
    fixture.stop.cancel();
    let round = fixture.dispatcher(3).round().await.unwrap();
    assert_eq!(
        round,
        Round {
            claimed: 2,
            released: 2,
            ..Round::default()
        }
    );
    fixture.dispatcher(3).run().await;
    assert_eq!(fixture.state().await, (2, 0));
}

#[tokio::test]
async fn a_running_dispatcher_is_woken_and_ends_when_it_is_stopped() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    let lifecycle = Lifecycle::new();
    let mut options = Options::new(
        10,
        LEASE,
        RetryPolicy {
            max_attempts: 3,
            base: LEASE,
            max: LEASE,
        },
    );
    // Only the wake-up is left.
    options.idle = Duration::from_hours(1);
    let dispatcher = Dispatcher::new(fixture.store.clone(), options, lifecycle.closing().clone());
    lifecycle.spawn("dispatcher", dispatcher.run());
    fixture.delivery(event, fixture.user).await;
    fixture.store.wake_outbox();
    while fixture.state().await != (0, 0) {
        tokio::task::yield_now().await;
    }
    lifecycle.close();
    lifecycle.finished().await;
}

#[tokio::test]
async fn a_sweep_forgets_what_is_over_and_nothing_else() {
    let fixture = Fixture::new().await;
    let event = fixture.event().await;
    fixture.delivery(event, fixture.user).await;
    fixture.dispatcher(3).round().await.unwrap();
    fixture
        .store
        .open_session(fixture.user, b"token", Duration::from_secs(100))
        .await
        .unwrap();
    let mut options = retention::Options::new(Duration::from_secs(200));
    options.rest = Duration::ZERO;
    for (later, wanted) in [
        (0, Swept::default()),
        (
            150,
            Swept {
                refresh_tokens: 1,
                ..Swept::default()
            },
        ),
        (
            100,
            Swept {
                deliveries: 1,
                ..Swept::default()
            },
        ),
    ] {
        fixture.wait(later);
        assert_eq!(
            retention::sweep(&fixture.store, options, &fixture.stop)
                .await
                .unwrap(),
            wanted
        );
    }
}
