//! Lists of events: for many questions, page by page, what a plain model of the same events gives.

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};

use crate::support::client::{CONCURRENCY, Client, id};
use crate::support::commands::run;
use crate::support::polling::eventually;
use crate::support::service::Service;

const EVENTS: usize = 120;
const QUESTIONS: usize = 150;
/// A word that all have, some that many have, and one that few have.
const WORDS: [&str; 6] = ["all", "harbour", "harbinger", "meeting", "meet", "rare"];
const HOURS: [i64; 8] = [1, 2, 10, 24, 60, 100, 700, 2000];

/// What the model knows of an event.
struct Known {
    id: String,
    words: Vec<&'static str>,
    start: Timestamp,
    end: Timestamp,
    public: bool,
    organizer: usize,
    guest: Option<usize>,
}

fn hours(number: i64) -> SignedDuration {
    SignedDuration::from_hours(number)
}

/// Starts are few: many events start at the same instant, or within the same minute.
fn some_start(random: &mut StdRng) -> Timestamp {
    let base: Timestamp = "2027-03-01T12:00:00Z".parse().unwrap();
    let day = hours(24 * random.random_range(-70..70) / 7);
    base + day + SignedDuration::from_secs(random.random_range(0..4) * 20)
}

fn civil(at: Timestamp) -> Value {
    let text = at.to_string();
    json!({"date_time": text.trim_end_matches('Z'), "time_zone": "Etc/UTC"})
}

async fn make(random: &mut StdRng, users: &[Client]) -> Known {
    let start = some_start(random);
    let end = start + hours(*HOURS.choose(random).unwrap());
    let few = random.random_range(0..3);
    let mut words: Vec<&str> = WORDS[1..5].choose_multiple(random, few).copied().collect();
    words.push(WORDS[0]);
    if random.random_ratio(1, 12) {
        words.push(WORDS[5]);
    }
    let (organizer, public) = (random.random_range(0..2), random.random_ratio(1, 2));
    let visibility = if public { "public" } else { "private" };
    let event = json!({
        "title": words.join(" "), "description": "", "location": "", "tags": [], "visibility": visibility,
        "start": civil(start), "end": civil(end),
    });
    let event = users[organizer].create_event(event).await;
    let guest = random.random_ratio(1, 4).then_some(1 - organizer);
    if let Some(guest) = guest {
        users[organizer]
            .invite(&event, &users[guest])
            .await
            .expect(201);
    }
    Known {
        id: id(&event).to_owned(),
        words,
        start,
        end,
        public,
        organizer,
        guest,
    }
}

/// A question, and what is true of an event that answers it.
struct Question {
    query: String,
    user: usize,
    words: Vec<&'static str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    participating: bool,
    organizer: Option<usize>,
    descending: bool,
    limit: usize,
}

impl Question {
    fn new(random: &mut StdRng, users: &[Client]) -> Self {
        let user = random.random_range(0..users.len());
        let prefixes = [
            "all", "harb", "harbour", "me", "meet", "meeting", "rare", "nothing",
        ];
        let words: Vec<&str> = match random.random_range(0..3) {
            0 => Vec::new(),
            1 => vec!["all"],
            _ => prefixes.choose_multiple(random, 2).copied().collect(),
        };
        let instant = |random: &mut StdRng| random.random_ratio(1, 2).then(|| some_start(random));
        let (from, to) = (instant(random), instant(random));
        let participating = random.random_ratio(1, 6);
        let organizer = random.random_ratio(1, 6).then(|| random.random_range(0..2));
        let (descending, limit) = (
            random.random_ratio(1, 2),
            *[1, 3, 8, 50].choose(random).unwrap(),
        );
        let sort = if descending { "-start" } else { "start" };
        let mut query = format!("sort={sort}&limit={limit}");
        if !words.is_empty() {
            query += "&q=";
            query += &words.join("+");
        }
        query += &from.map(|from| format!("&from={from}")).unwrap_or_default();
        query += &to.map(|to| format!("&to={to}")).unwrap_or_default();
        query += if participating { "&participant=me" } else { "" };
        query += &organizer
            .map(|one| format!("&organizer_id={}", users[one].id))
            .unwrap_or_default();
        Self {
            query,
            user,
            words,
            from,
            to,
            participating,
            organizer,
            descending,
            limit,
        }
    }

    fn is_answered_by(&self, event: &Known) -> bool {
        let admin = self.user == 3;
        let takes_part = event.guest == Some(self.user);
        let begins = |word: &&str| event.words.iter().any(|one| one.starts_with(word));
        (admin || event.public || event.organizer == self.user || takes_part)
            && self.words.iter().all(begins)
            && self.from.is_none_or(|from| event.end > from)
            && self.to.is_none_or(|to| event.start < to)
            && (!self.participating || takes_part)
            && self
                .organizer
                .is_none_or(|organizer| event.organizer == organizer)
    }
}

on_both_engines! {
    async fn every_list_is_what_a_plain_model_gives_page_by_page(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let mut users = Client::register_many(&service, "user", 4).await;
        let promoted = run(&["user", "promote", &users[3].email], service.settings());
        assert!(promoted.status.success(), "{promoted:?}");
        let seed = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let mut events = Vec::new();
        for _ in 0..EVENTS {
            events.push(make(&mut random, &users).await);
        }
        // Some are moved to where others are, named otherwise, and shown to others.
        for event in events.iter_mut().step_by(7) {
            let organizer = &users[event.organizer];
            (event.start, event.words) = (some_start(&mut random), vec!["all", "moved"]);
            event.end = event.start + hours(30);
            event.public = !event.public;
            let visibility = if event.public { "public" } else { "private" };
            let change = json!({"title": "all moved", "visibility": visibility, "start": civil(event.start), "end": civil(event.end)});
            organizer.patch(&format!("/events/{}", event.id), change).await.expect(200);
        }
        let private = events.iter().find(|event| !event.public).expect("a private event");
        users[3].log_in().await;
        eventually("the role is noticed", Duration::from_secs(5), || async {
            (users[3].get(&format!("/events/{}", private.id)).await.status == 200).then_some(())
        })
        .await;
        for _ in 0..QUESTIONS {
            let question = Question::new(&mut random, &users);
            let mut wanted: Vec<&Known> = events.iter().filter(|event| question.is_answered_by(event)).collect();
            wanted.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
            if question.descending {
                wanted.reverse();
            }
            let mut path = format!("/events/?{}", question.query);
            let mut found = Vec::new();
            loop {
                let page = users[question.user].get(&path).await.expect(200);
                found.extend(page.items().iter().map(|item| id(item).to_owned()));
                let Some(cursor) = page.body["next_cursor"].as_str() else { break };
                assert_eq!(page.items().len(), question.limit, "seed {seed}: {path}");
                path = format!("/events/?{}&cursor={cursor}", question.query);
            }
            let wanted: Vec<&str> = wanted.iter().map(|event| event.id.as_str()).collect();
            assert_eq!(found, wanted, "seed {seed}, user {}: {}", question.user, question.query);
        }
    }

    async fn who_organises_very_many_finds_their_own_by_words(engine: Engine) {
        let service = Service::start(engine, &[]).await;
        let [many, few, guest]: [Client; 3] = Client::register_many(&service, "user", 3).await.try_into().unwrap();
        // More than an index of words is left aside for.
        let made = stream::iter(0..1_030).map(|n| {
            let (organizer, title) = if n % 40 == 0 { (&few, "all of few") } else { (&many, "all of many") };
            let title = if n % 300 == 1 { "all that is rare" } else { title };
            let visibility = if n % 500 == 3 { "public" } else { "private" };
            organizer.create_event(json!({"title": title, "visibility": visibility}))
        });
        let made: Vec<Value> = made.buffered(CONCURRENCY).collect().await;
        let rare = made.iter().find(|event| event["title"] == "all that is rare").unwrap();
        many.invite(rare, &guest).await.expect(201);
        for (user, word, found) in [
            (&many, "many", 1_000), (&many, "rare", 4), (&many, "all", 1_004), (&many, "few", 0), (&many, "all+rare", 4),
            (&few, "all", 29), (&few, "few", 26), (&few, "rare", 0), (&few, "many", 3),
            (&guest, "rare", 1), (&guest, "all", 4),
        ] {
            for filter in ["", "&from=2020-01-01T00:00:00Z", "&sort=-start", "&sort=created"] {
                let items = user.all(&format!("/events/?q={word}{filter}")).await;
                let distinct: HashSet<&str> = items.iter().map(id).collect();
                assert_eq!((items.len(), distinct.len()), (found, found), "{word}{filter}");
            }
        }
    }
}
