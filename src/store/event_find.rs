//! One event by its id, as a caller may see it. Those who ask at the same time are answered by one statement.
//!
//! A trip to the database costs many times what the row costs, on SQLite for its thread and on PostgreSQL for the wire and both
//! processes. So look-ups are queued, and few lanes take whatever waits: who asks alone waits for nobody, and the more ask the
//! cheaper each is. A lane that is slow delays those it took and nobody else. Who asks for one event does not wait behind pages
//! of others'.

use std::{
    collections::VecDeque,
    iter::repeat_n,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use futures_util::FutureExt as _;
use sqlx::{FromRow, Row as _, postgres::PgRow, query_as, query_scalar};
use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
};
use uuid::Uuid;

use super::{
    Inner, Store,
    engine::{Engine, Link, Timing, reading},
    error::Error,
    event_view::{Cells, VIEW_COLUMNS, ViewRow, view_cells, view_columns},
    one_value::corrupt,
};
use crate::{
    domain::{actor::Actor, event::EventView},
    telemetry::instruments,
};

/// Statements under way at once for those who ask for one event; more would have fewer to share each with.
const LANES: usize = 2;
/// And for those who ask for a page's.
const PAGE_LANES: usize = 4;
/// Look-ups in one statement; a power of two.
const MOST: usize = 256;

/// What a caller may see of the event that it asks for; before and after `w`, who asks for what.
const SELECT: &str = concat!("SELECT ", view_columns!(), ", w.n FROM (VALUES ");
const SEEN: &str = ") w (id, me, admin, n) JOIN events e ON e.id = w.id WHERE e.deleted_at IS NULL \
     AND (e.visibility = 'public' OR e.organizer_id = w.me OR w.admin \
     OR EXISTS (SELECT 1 FROM participants p WHERE p.event_id = e.id AND p.user_id = w.me))";

/// PostgreSQL's texts, for 1, 2, 4 … look-ups. What is given as an array is planned anew each time, because its length could be
/// any; rows are counted by the text, and it is planned once.
static POSTGRES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let row = |n| {
        let [id, me, admin] = [1, 2, 3].map(|column| n * 3 + column);
        format!("(${id}::uuid, ${me}::uuid, ${admin}::boolean, {n}::bigint)")
    };
    let text = |power| {
        let rows: Vec<String> = (0..1 << power).map(row).collect();
        format!("{SELECT}{}{SEEN}", rows.join(", "))
    };
    (0..=MOST.ilog2()).map(text).collect()
});

/// SQLite's, where each look-up is one text: the event's id, the caller's, and 1 for an admin.
const SQLITE: &str = concat!(
    "SELECT json_group_array(json_array(w.key, json_array(",
    view_cells!("e"),
    "))) FROM json_each($1) w CROSS JOIN events e ON e.id = unhex(substr(w.value, 1, 32)) \
     WHERE e.deleted_at IS NULL AND (e.visibility = 'public' OR e.organizer_id = unhex(substr(w.value, 33, 32)) \
     OR substr(w.value, 65) = '1' \
     OR EXISTS (SELECT 1 FROM participants p WHERE p.event_id = e.id AND p.user_id = unhex(substr(w.value, 33, 32))))"
);

/// The text for so many look-ups, and for how many it has room.
fn text(engine: Engine, wanted: usize) -> (&'static str, usize) {
    let room = wanted.clamp(1, MOST).next_power_of_two();
    match engine {
        Engine::Postgres => (POSTGRES[room.ilog2() as usize].as_str(), room),
        Engine::Sqlite => (SQLITE, wanted),
    }
}

type Answer = Result<Option<EventView>, Arc<Error>>;

#[derive(Debug)]
struct Wanted {
    id: Uuid,
    actor: Actor,
    answer: oneshot::Sender<Answer>,
}

impl Wanted {
    /// As SQLite's statement takes it, in quotes.
    fn text(&self) -> String {
        let (id, me) = (self.id.simple(), self.actor.user_id.simple());
        format!("\"{id}{me}{}\"", u8::from(self.actor.is_admin()))
    }
}

/// A row of PostgreSQL's: who asked, counted from 0, and what for.
struct Found(usize, EventView);

impl FromRow<'_, PgRow> for Found {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let ViewRow(view) = ViewRow::from_row(row)?;
        let n: i64 = row.try_get(VIEW_COLUMNS)?;
        Ok(Self(usize::try_from(n).unwrap_or(usize::MAX), view))
    }
}

/// Those who wait for a lane: who asks for one event, and who for more.
#[derive(Debug, Default)]
pub(super) struct Queues {
    one: Arc<Queue>,
    page: Arc<Queue>,
}

impl Queues {
    /// The queue of each lane that is to serve.
    pub(super) fn lanes(&self) -> impl Iterator<Item = Arc<Queue>> {
        let [one, page] = [(&self.one, LANES), (&self.page, PAGE_LANES)]
            .map(|(queue, lanes)| repeat_n(Arc::clone(queue), lanes));
        one.chain(page)
    }

    fn of(&self, wanted: usize) -> &Queue {
        if wanted == 1 { &self.one } else { &self.page }
    }

    /// Lets the lanes see that the store is gone.
    pub(super) fn close(&self) {
        for lane in self.lanes() {
            lane.arrived.notify_one();
        }
        self.one.arrived.notify_waiters();
        self.page.arrived.notify_waiters();
    }
}

/// Those who wait for the same lanes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Wanted>>,
    arrived: Notify,
}

impl Queue {
    fn ask(&self, actor: Actor, id: Uuid) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { id, actor, answer };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(wanted);
        drop(waiting);
        self.arrived.notify_one();
        answered
    }

    /// Those who waited longest; without those who have gone.
    fn take(&self) -> Vec<Wanted> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while taken.len() < MOST
            && let Some(wanted) = waiting.pop_front()
        {
            if !wanted.answer.is_closed() {
                taken.push(wanted);
            }
        }
        if !waiting.is_empty() {
            self.arrived.notify_one();
        }
        taken
    }

    /// Answers for as long as the store is there.
    pub(super) async fn serve(self: Arc<Self>, store: Weak<Inner>) {
        loop {
            self.arrived.notified().await;
            // Whoever is ready to ask, too, asks first, and shares the statement.
            yield_now().await;
            let Some(inner) = store.upgrade() else { return };
            let taken = self.take();
            if taken.is_empty() {
                continue;
            }
            // Whoever was taken by a lane that panics is told so by the loss of its sender.
            let store = Store { inner };
            let answering = AssertUnwindSafe(store.answer_all(taken));
            if answering.catch_unwind().await.is_err() {
                tracing::error!("a look-up of events panicked");
            }
        }
    }
}

async fn answers(asked: Vec<oneshot::Receiver<Answer>>) -> Result<Vec<Option<EventView>>, Error> {
    let mut found = Vec::with_capacity(asked.len());
    for answer in asked {
        found.push(match answer.await {
            Ok(Ok(view)) => view,
            Ok(Err(failure)) => return Err(Error::Together(failure)),
            Err(_) => return Err(Error::Corrupt("the look-up panicked".to_owned())),
        });
    }
    Ok(found)
}

impl Store {
    /// An event that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn event(&self, actor: Actor, id: Uuid) -> Result<EventView, Error> {
        let mut found = self.event_views(actor, &[id]).await?;
        found.pop().flatten().ok_or(Error::NotFound)
    }

    /// Those of these events that the caller may see, in this order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn event_views(
        &self,
        actor: Actor,
        ids: &[Uuid],
    ) -> Result<Vec<Option<EventView>>, Error> {
        let engine = self.engine();
        let timing = Timing::start(engine, "events.find", text(engine, ids.len()).0);
        let queue = self.inner.lookups.of(ids.len());
        let asked: Vec<_> = ids.iter().map(|id| queue.ask(actor, *id)).collect();
        let found = answers(asked).await;
        let failure = found.as_ref().err();
        let rows = found.as_ref().ok();
        let rows = rows.map(|found| found.iter().flatten().count() as u64);
        timing.observe(failure.map(|one| one.error_type(engine)), rows);
        found
    }

    async fn answer_all(&self, wanted: Vec<Wanted>) {
        instruments::database::looked_up(wanted.len());
        let mut answers: Vec<Option<EventView>> = Vec::new();
        answers.resize_with(wanted.len(), || None);
        match self.find(&wanted).await {
            Ok(found) => {
                for (n, view) in found {
                    if let Some(place) = answers.get_mut(n) {
                        *place = Some(view);
                    }
                }
                for (wanted, answer) in wanted.into_iter().zip(answers) {
                    drop(wanted.answer.send(Ok(answer)));
                }
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                for wanted in wanted {
                    drop(wanted.answer.send(Err(Arc::clone(&failure))));
                }
            }
        }
    }

    async fn find(&self, wanted: &[Wanted]) -> Result<Vec<(usize, EventView)>, Error> {
        match self.engine() {
            Engine::Postgres => {
                let (text, room) = text(Engine::Postgres, wanted.len());
                let rows: Vec<Found> = reading!(self, |session| match session.link() {
                    Link::Postgres(link) => {
                        let mut query = query_as(text);
                        for place in 0..room {
                            let one = wanted.get(place);
                            query = query
                                .bind(one.map(|one| one.id))
                                .bind(one.map(|one| one.actor.user_id))
                                .bind(one.is_some_and(|one| one.actor.is_admin()));
                        }
                        query.fetch_all(link).await.map_err(Error::from)
                    }
                    Link::Sqlite(_) => Ok(Vec::new()),
                })?;
                Ok(rows.into_iter().map(|Found(n, view)| (n, view)).collect())
            }
            Engine::Sqlite => {
                let asked: Vec<String> = wanted.iter().map(Wanted::text).collect();
                let asked = format!("[{}]", asked.join(","));
                let text: String = reading!(self, |session| match session.link() {
                    Link::Sqlite(link) => {
                        let query = query_scalar(SQLITE).bind(&asked);
                        query.fetch_one(link).await.map_err(Error::from)
                    }
                    Link::Postgres(_) => Ok("[]".to_owned()),
                })?;
                let rows: Vec<(usize, Cells<'_>)> = serde_json::from_str(&text).map_err(corrupt)?;
                rows.into_iter()
                    .map(|(n, cells)| Ok((n, EventView::try_from(cells)?)))
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::user::Role;

    #[test]
    fn who_asks_for_one_event_is_taken_before_the_pages_that_wait_and_who_has_gone_is_not() {
        let actor = Actor {
            user_id: Uuid::now_v7(),
            role: Role::User,
        };
        let queues = Queues::default();
        let ask = |wanted, times| -> Vec<_> {
            let ask = |_| queues.of(wanted).ask(actor, Uuid::now_v7());
            (0..times).map(ask).collect()
        };
        let page = ask(50, MOST + 20);
        let one = ask(1, 1);
        assert_eq!(queues.of(1).take().len(), 1);
        assert_eq!(queues.of(1).take().len(), 0);
        assert_eq!(queues.of(2).take().len(), MOST);
        drop((page, one));
        assert_eq!(queues.of(50).take().len(), 0);
        assert_eq!(queues.lanes().count(), LANES + PAGE_LANES);
    }
}
