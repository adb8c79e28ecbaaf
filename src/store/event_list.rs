//! Lists of events: the statement is put together from the filters asked for.
//!
//! Whoever is no admin sees what is public, what they organise and where they take part. One condition with `OR` would walk the
//! whole index past everybody else's private events, so each of the three is a branch of its own with its own index and limit,
//! and the union is cut to the page.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use sqlx::query_as;
use uuid::Uuid;

use super::{
    Store,
    columns::Timestamp,
    engine::{Engine, Sql, statement},
    error::Error,
    event_row::{EventRow, columns},
    replica::listing,
};
use crate::domain::{
    actor::Actor,
    event::{Event, EventStatus, Visibility},
    page::{Page, PageRequest},
    words::query_words,
};

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By start.
    Start,
    /// By creation.
    Created,
    /// By last change.
    Updated,
}

impl Sort {
    fn column(self) -> &'static str {
        match self {
            Self::Start => "start_utc",
            Self::Created => "created_at",
            Self::Updated => "updated_at",
        }
    }

    fn key(self, event: &Event) -> jiff::Timestamp {
        match self {
            Self::Start => event.content.period.start_utc,
            Self::Created => event.created_at,
            Self::Updated => event.updated_at,
        }
    }
}

/// Where a page ends: the sort column in microseconds since 1970, then the id.
pub type EventKey = (i64, Uuid);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Ends after this instant.
    pub from: Option<jiff::Timestamp>,
    /// Starts before this instant.
    pub to: Option<jiff::Timestamp>,
    /// Has this status.
    pub status: Option<EventStatus>,
    /// Is organised by this user.
    pub organizer_id: Option<Uuid>,
    /// The caller takes part.
    pub participating: bool,
    /// Is seen by these.
    pub visibility: Option<Visibility>,
    /// Has this tag.
    pub tag: Option<String>,
    /// Holds words that begin with each of this text's words.
    pub text: Option<String>,
    /// In which order.
    pub sort: Sort,
    /// Backwards.
    pub descending: bool,
}

enum Bind {
    Id(Uuid),
    Text(String),
    Time(jiff::Timestamp),
    Count(i64),
}

/// A statement under construction.
struct Builder {
    engine: Engine,
    binds: Vec<Bind>,
}

impl Builder {
    fn bind(&mut self, bind: Bind) -> String {
        self.binds.push(bind);
        format!("${}", self.binds.len())
    }

    fn text_condition(&mut self, text: &str) -> String {
        let words = query_words(text);
        if words.is_empty() {
            return "1 = 0".into();
        }
        let (each, join): (fn(&String) -> String, _) = match self.engine {
            Engine::Postgres => (|word| format!("'{word}':*"), " & "),
            Engine::Sqlite => (|word| format!("\"{word}\"*"), " "),
        };
        let bound = self.bind(Bind::Text(
            words.iter().map(each).collect::<Vec<_>>().join(join),
        ));
        match self.engine {
            Engine::Postgres => format!("e.search @@ CAST({bound} AS tsquery)"),
            Engine::Sqlite => format!(
                "e.row_id IN (SELECT rowid FROM events_search WHERE events_search MATCH {bound})"
            ),
        }
    }

    fn conditions(&mut self, query: &EventQuery, after: Option<EventKey>) -> Vec<String> {
        let mut conditions = vec!["e.deleted_at IS NULL".to_owned()];
        if let Some(from) = query.from {
            conditions.push(format!("e.end_utc > {}", self.bind(Bind::Time(from))));
        }
        if let Some(to) = query.to {
            conditions.push(format!("e.start_utc < {}", self.bind(Bind::Time(to))));
        }
        if let Some(status) = query.status {
            conditions.push(format!(
                "e.status = {}",
                self.bind(Bind::Text(status.as_str().into()))
            ));
        }
        if let Some(organizer) = query.organizer_id {
            conditions.push(format!(
                "e.organizer_id = {}",
                self.bind(Bind::Id(organizer))
            ));
        }
        if let Some(visibility) = query.visibility {
            conditions.push(format!(
                "e.visibility = {}",
                self.bind(Bind::Text(visibility.as_str().into()))
            ));
        }
        if let Some(tag) = &query.tag {
            let bound = self.bind(Bind::Text(tag.clone()));
            conditions.push(format!(
                "EXISTS (SELECT 1 FROM event_tags t WHERE t.tag = {bound} AND t.event_id = e.id)"
            ));
        }
        if let Some(text) = &query.text {
            let condition = self.text_condition(text);
            conditions.push(condition);
        }
        if let Some((micros, id)) = after {
            let at = self.bind(Bind::Time(
                jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MIN),
            ));
            let id = self.bind(Bind::Id(id));
            let than = if query.descending { "<" } else { ">" };
            conditions.push(format!(
                "(e.{}, e.id) {than} ({at}, {id})",
                query.sort.column()
            ));
        }
        conditions
    }

    fn statement(
        &mut self,
        actor: Actor,
        query: &EventQuery,
        page: &PageRequest<EventKey>,
    ) -> String {
        let conditions = self.conditions(query, page.after).join(" AND ");
        let column = query.sort.column();
        let direction = if query.descending { " DESC" } else { "" };
        let limit = self.bind(Bind::Count(page.limit + 1));
        let order = format!("ORDER BY e.{column}{direction}, e.id{direction} LIMIT {limit}");
        let branches = self.branches(actor, query);
        if let [(table, condition)] = branches.as_slice() {
            return format!(
                "SELECT {} FROM {table} WHERE {conditions}{condition} {order}",
                columns!()
            );
        }
        let branches: Vec<String> = branches
            .iter()
            .enumerate()
            .map(|(i, (table, condition))| {
                format!("SELECT b{i}.id FROM (SELECT e.id FROM {table} WHERE {conditions}{condition} {order}) b{i}")
            })
            .collect();
        format!(
            "SELECT {} FROM ({}) v JOIN events e ON e.id = v.id {order}",
            columns!(),
            branches.join(" UNION ")
        )
    }

    /// Where visible events come from: tables and a further condition.
    fn branches(&mut self, actor: Actor, query: &EventQuery) -> Vec<(&'static str, String)> {
        const EVENTS: &str = "events e";
        const PARTICIPATING: &str = "participants p JOIN events e ON e.id = p.event_id";
        let mine = query.organizer_id == Some(actor.user_id);
        if !query.participating && (actor.is_admin() || mine) {
            return vec![(EVENTS, String::new())];
        }
        let me = self.bind(Bind::Id(actor.user_id));
        let participating = (PARTICIPATING, format!(" AND p.user_id = {me}"));
        if query.participating {
            return vec![participating];
        }
        let mut branches = vec![participating];
        if query.visibility != Some(Visibility::Private) {
            branches.push((EVENTS, " AND e.visibility = 'public'".into()));
        }
        if query.organizer_id.is_none() {
            branches.push((EVENTS, format!(" AND e.organizer_id = {me}")));
        }
        branches
    }
}

/// The text, kept for good: sqlx and both engines know a prepared statement by its text. There are as many as combinations of
/// filters, which is bounded.
fn intern(text: String) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let kept: &'static str = Box::leak(text.into_boxed_str());
    texts.insert(kept);
    kept
}

impl Store {
    /// The events that the caller may see, as asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(
        &self,
        actor: Actor,
        query: &EventQuery,
        page: &PageRequest<EventKey>,
    ) -> Result<Page<Event, EventKey>, Error> {
        let mut builder = Builder {
            engine: self.engine(),
            binds: Vec::new(),
        };
        let text = Sql::same(intern(builder.statement(actor, query, page)));
        let binds = &builder.binds;
        let rows = listing!(self, |session| {
            statement!(session, "events.list", text, |sql, link| {
                let mut query = query_as::<_, EventRow>(sql);
                for bind in binds {
                    query = match bind {
                        Bind::Id(id) => query.bind(*id),
                        Bind::Text(text) => query.bind(text.as_str()),
                        Bind::Time(at) => query.bind(Timestamp(*at)),
                        Bind::Count(count) => query.bind(*count),
                    };
                }
                query.fetch_all(link)
            })
        })?;
        let events = rows
            .into_iter()
            .map(Event::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Page::from_items(events, page.limit, |event| {
            (query.sort.key(event).as_microsecond(), event.id)
        }))
    }
}
