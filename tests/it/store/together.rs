//! Writes that are done together stay each its own: in what fails, in what is refused, in who gives up.

use std::time::Duration;

use convoke::domain::actor::Actor;
use convoke::domain::participant::{Comment, ParticipantStatus};
use convoke::domain::version::Expected;
use convoke::store::{Answer, Error, Receipt, Refusal, Store};
use tempfile::TempDir;
use uuid::Uuid;

use super::change_log::{content, open, user};

fn yes() -> Answer {
    Answer {
        status: ParticipantStatus::Accepted,
        comment: Comment::Unchanged,
    }
}

async fn create(store: &Store, actor: Actor, capacity: i64, waitlist: bool) -> Result<Uuid, Error> {
    let none = |_: &_| Vec::new();
    let mut content = content("together");
    content.capacity = Some(capacity);
    content.waitlist_enabled = waitlist;
    content.tags = vec!["a tag".into(), "another".into()];
    let receipt = Receipt::new(None, &none);
    Ok(store.create_event(actor, &content, &receipt).await?.id)
}

on_both_engines! {
    async fn a_write_that_the_database_refuses_takes_no_other_with_it(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let known = user(&store, "host").await;
        let unknown = Actor { user_id: Uuid::now_v7(), ..known };
        let mut tasks = Vec::new();
        for n in 0..200 {
            let store = store.clone();
            let actor = if n % 10 == 7 { unknown } else { known };
            tasks.push(tokio::spawn(async move { (n, create(&store, actor, 10, true).await) }));
        }
        for task in tasks {
            match task.await.unwrap() {
                (n, Ok(id)) => {
                    assert_ne!(n % 10, 7, "nobody is the organizer");
                    let event = store.event(known, id).await.expect("what was acknowledged is there");
                    let tags: Vec<String> = serde_json::from_str(event.tags.get()).unwrap();
                    assert_eq!(tags, ["a tag", "another"]);
                }
                (n, Err(failure)) => {
                    assert_eq!(n % 10, 7, "only its own failure: {failure:?}");
                    assert!(matches!(failure, Error::Database(_)), "{failure:?}");
                }
            }
        }
        store.close().await;
    }

    async fn answers_to_one_event_at_once_see_each_other(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let host = user(&store, "host").await;
        let event = create(&store, host, 7, false).await.unwrap();
        let mut tasks = Vec::new();
        for n in 0..40 {
            let guest = user(&store, &format!("guest{n}")).await;
            let store = store.clone();
            // Twice each: the second changes nothing.
            for _ in 0..2 {
                let store = store.clone();
                tasks.push(tokio::spawn(async move {
                    store.answer(guest, event, &Expected::Anything, &yes()).await
                }));
            }
        }
        let (mut seats, mut repeats, mut refused) = (0, 0, 0);
        for task in tasks {
            match task.await.unwrap() {
                Ok((_, changed)) if changed.admission => seats += 1,
                Ok(_) => repeats += 1,
                Err(Error::Refused(Refusal::CapacityExceeded)) => refused += 1,
                Err(failure) => panic!("{failure:?}"),
            }
        }
        assert_eq!((seats, repeats, refused), (7, 7, 66));
        assert_eq!(store.event(host, event).await.unwrap().seats_taken, 7);
        store.close().await;
    }

    async fn answers_given_up_at_any_moment_keep_no_lock(engine: Engine) {
        let folder = TempDir::new().unwrap();
        let store = open(engine, &folder).await;
        let host = user(&store, "host").await;
        let event = create(&store, host, 1_000, true).await.unwrap();
        let mut guests = Vec::new();
        for n in 0..60 {
            guests.push(user(&store, &format!("guest{n}")).await);
        }
        let mut tasks = Vec::new();
        for (n, guest) in (0_u64..).zip(guests.iter().cycle().take(600)) {
            let (store, guest) = (store.clone(), *guest);
            let patience = Duration::from_micros(n * 701 % 2_000);
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(n * 300)).await;
                let anything = Expected::Anything;
                let yes = yes();
                let answer = store.answer(guest, event, &anything, &yes);
                tokio::time::timeout(patience, answer).await.is_err()
            }));
        }
        let mut given_up = 0;
        for task in tasks {
            given_up += usize::from(task.await.unwrap());
        }
        assert!(given_up > 50, "{given_up} were given up");
        for guest in &guests {
            let (participant, _) =
                store.answer(*guest, event, &Expected::Anything, &yes()).await.expect("nobody holds the event");
            assert_eq!(participant.status, ParticipantStatus::Accepted);
        }
        assert_eq!(store.event(host, event).await.unwrap().seats_taken, 60);
        store.close().await;
    }
}
