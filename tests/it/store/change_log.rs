//! The change log under many writers: every change seen once, in order, none missed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use convoke::domain::actor::Actor;
use convoke::domain::change::{Change, ChangeKind, Position};
use convoke::domain::clock::Clock;
use convoke::domain::event::EventContent;
use convoke::domain::fault::Faults;
use convoke::domain::participant::{Comment, ParticipantStatus};
use convoke::domain::user::Role;
use convoke::domain::version::Expected;
use convoke::domain::when::{Period, When};
use convoke::store::{Answer, NewUser, Receipt, Settings, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::engines::Engine;

const WRITERS: usize = 50;
const ROUNDS: usize = 12;

pub(super) async fn open(engine: Engine, folder: &TempDir) -> Store {
    open_url(&engine.fresh_database(folder.path()).await).await
}

pub(crate) async fn open_url(url: &str) -> Store {
    let settings = Settings {
        url: url.to_owned(),
        direct_url: url.to_owned(),
        read_url: None,
        pooled: false,
        min_connections: 1,
        max_connections: 16,
        max_lifetime: Duration::from_mins(10),
        idle_timeout: Duration::from_mins(10),
        acquire_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(30),
        startup_timeout: Duration::from_secs(30),
        attempts: 5,
        synchronous: "full",
        busy_timeout: Duration::from_secs(5),
    };
    let spawn = |committer| drop(tokio::spawn(committer));
    let store = Store::open(settings, Clock::system(), spawn).await.unwrap();
    store.migrate().await.unwrap();
    store
}

pub(super) async fn user(store: &Store, name: &str) -> Actor {
    let new = NewUser {
        email: format!("{name}-{}@example.org", Uuid::now_v7()),
        display_name: name.into(),
        time_zone: "UTC".into(),
        password_hash: "none".into(),
        role: Role::User,
    };
    let user = store.create_user(&new).await.unwrap();
    Actor {
        user_id: user.id,
        role: user.role,
    }
}

pub(super) fn content(title: &str) -> EventContent {
    let day = |text: &str| When::from_parts(text, None).unwrap();
    let mut faults = Faults::default();
    let period = Period::new(&mut faults, day("2027-01-01"), day("2027-01-02")).unwrap();
    EventContent {
        title: title.into(),
        description: String::new(),
        location: String::new(),
        period,
        capacity: Some(10),
        waitlist_enabled: true,
        visibility: convoke::domain::event::Visibility::Public,
        status: convoke::domain::event::EventStatus::Confirmed,
        tags: vec![],
        metadata: serde_json::Map::new(),
    }
}

/// One writer: makes events of its own, changes them, and answers one that everybody answers.
async fn write(store: Store, actor: Actor, shared: Uuid) {
    let none = |_: &_| Vec::new();
    for round in 0..ROUNDS {
        let receipt = Receipt::new(None, &none);
        let event = store
            .create_event(actor, &content("mine"), &receipt)
            .await
            .unwrap();
        let retitled = |before: &EventContent| {
            Ok(EventContent {
                title: format!("mine, {round}"),
                ..before.clone()
            })
        };
        store
            .update_event(actor, event.id, &Expected::Anything, retitled)
            .await
            .unwrap();
        let status = if round % 2 == 0 {
            ParticipantStatus::Accepted
        } else {
            ParticipantStatus::Declined
        };
        let answer = Answer {
            status,
            comment: Comment::Unchanged,
        };
        store
            .answer(actor, shared, &Expected::Anything, &answer)
            .await
            .unwrap();
    }
}

/// Pages the log in small steps, from the start, until it has seen everything that was written before `done` was set.
async fn read(store: Store, done: Arc<AtomicBool>) -> Vec<Change> {
    let mut seen = Vec::new();
    let mut position = Position {
        transaction: -1,
        sequence: -1,
    };
    loop {
        let finished = done.load(Ordering::SeqCst);
        let page = store.changes_after(position, 7).await.unwrap();
        match page.last() {
            Some(last) => position = last.position,
            None if finished => return seen,
            None => tokio::task::yield_now().await,
        }
        seen.extend(page);
    }
}

on_both_engines! {
    async fn a_reader_of_the_log_sees_every_change_once_in_order_while_fifty_write(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let host = user(&store, "host").await;
        let none = |_: &_| Vec::new();
        let shared = store.create_event(host, &content("shared"), &Receipt::new(None, &none)).await.unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read(store.clone(), Arc::clone(&done)));
        let mut writers = Vec::new();
        for n in 0..WRITERS {
            let actor = user(&store, &format!("writer{n}")).await;
            writers.push(tokio::spawn(write(store.clone(), actor, shared.id)));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        let seen = reader.await.unwrap();

        let distinct: HashSet<Uuid> = seen.iter().map(|change| change.id).collect();
        assert_eq!(distinct.len(), seen.len(), "a change was seen twice");
        assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position), "not in order");
        let created = seen.iter().filter(|change| change.kind == ChangeKind::EventCreated).count();
        let updated = seen.iter().filter(|change| change.kind == ChangeKind::EventUpdated).count();
        let answered = seen.iter().filter(|change| change.kind == ChangeKind::ParticipantStatusChanged).count();
        assert_eq!((created, updated, answered), (WRITERS * ROUNDS + 1, WRITERS * ROUNDS, WRITERS * ROUNDS));

        // Of one event, the log's order is the order in which its versions came to be.
        let mut versions: HashMap<(Uuid, Option<Uuid>), i64> = HashMap::new();
        for change in &seen {
            let last = versions.insert((change.event_id, change.user_id), change.version);
            assert!(last.is_none_or(|last| last <= change.version), "{change:?} after version {last:?}");
        }
        store.close().await;
    }
}
