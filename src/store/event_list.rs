//! Lists of events: the statement is put together from the filters asked for.
//!
//! Whoever is no admin sees what is public, what they organise and where they take part. One condition with `OR` would walk the
//! whole index past everybody else's private events, so each of the three is a branch of its own with its own index, cut to a
//! page or merged with the others, and the union is cut to the page.

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
    event_marks::{Listed, marks, read},
    event_search::instant,
    one_value::{self, Given},
    replica::listing,
};
use crate::domain::{
    actor::Actor,
    event::{EventMark, EventStatus, Visibility},
    page::{LIMIT_DEFAULT, LIMIT_MAX, Page, PageRequest},
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

pub(super) enum Bind {
    Id(Uuid),
    Number(i64),
    Text(String),
    Time(jiff::Timestamp),
}

pub(super) const EVENTS: &str = "events e";

pub(super) const PARTICIPATING: &str = "participants p JOIN events e ON e.id = p.event_id";

/// The same for SQLite, told to take the times of events and who may see them from an index instead of reading each.
pub(super) const PARTICIPATING_BY_TIMES: &str =
    "participants p JOIN events e INDEXED BY events_times ON e.id = p.event_id";

/// What is the caller's need not be found again among what is public.
pub(super) const PRIVATE: &str = " AND e.visibility = 'private'";

/// A part of a list: tables, and a condition besides those of all parts.
pub(super) type Branch = (&'static str, String);

/// A statement under construction.
pub(super) struct Builder {
    pub(super) engine: Engine,
    binds: Vec<Bind>,
}

impl Builder {
    pub(super) fn bind(&mut self, bind: Bind) -> String {
        self.binds.push(bind);
        format!("${}", self.binds.len())
    }

    fn conditions(&mut self, query: &EventQuery, after: Option<EventKey>) -> Vec<String> {
        let mut conditions = vec!["e.deleted_at IS NULL".to_owned()];
        if let Some(from) = query.from
            && !self.splits(query)
        {
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
        if let Some((micros, id)) = after {
            let at = self.bind(Bind::Time(instant(micros)));
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
        let mut conditions = self.conditions(query, page.after).join(" AND ");
        let column = query.sort.column();
        let direction = if query.descending { " DESC" } else { "" };
        // As a number in the text, or PostgreSQL does not know how few rows are wanted and plans anew each time. Two numbers, for
        // few texts; what is too much is cut off.
        let limit = 1 + if page.limit <= LIMIT_DEFAULT {
            LIMIT_DEFAULT
        } else {
            LIMIT_MAX
        };
        let order_of = |table| {
            format!("ORDER BY {table}.{column}{direction}, {table}.id{direction} LIMIT {limit}")
        };
        let order = order_of("e");
        let sqlite = self.engine == Engine::Sqlite;
        let mut branches = match query.text.as_deref() {
            Some(text) if self.finds_by_words(query) => {
                self.branches_of_words(text, &conditions, actor, query, (page.after, limit))
            }
            Some(text) => {
                let branches = self.branches(actor, query);
                conditions += &if sqlite && query.participating {
                    self.holds_words_itself(text)
                } else {
                    self.holds_words(text)
                };
                branches
            }
            None => self.branches(actor, query),
        };
        let going_on = self.going_on(&mut branches, actor, query, page.after);
        let in_order = |branch: &Branch| branch.0 == EVENTS || !sqlite;
        if let ([branch], true) = (branches.as_slice(), going_on.is_empty())
            && in_order(branch)
        {
            let (table, condition) = branch;
            return marks(
                self.engine,
                column,
                &format!("{table} WHERE {conditions}{condition} {order}"),
            );
        }
        // What decides of the order is in the index: the events themselves are fetched for the page alone. By SQLite's own number of
        // a row, which the index holds, that is one look-up less.
        let (key, number, ordered) = if sqlite {
            ("row_id", ", e.row_id", "")
        } else {
            ("id", "", order.as_str())
        };
        // Parts that come in the order of an index are merged by SQLite, to the end of the page; else it keeps and sorts them all.
        let merges = sqlite && query.sort == Sort::Start && query.text.is_none();
        let merges = merges && going_on.is_empty();
        let plain = |(table, condition): &Branch| {
            format!("SELECT e.{column}, e.id{number} FROM {table} WHERE {conditions}{condition}")
        };
        let limited = |branch: &Branch| format!("({} {order}) b", plain(branch));
        let select = |branch: &Branch| {
            if merges && in_order(branch) {
                plain(branch)
            } else {
                format!("SELECT * FROM {}", limited(branch))
            }
        };
        let selects: Vec<String> = branches
            .iter()
            .map(select)
            .chain(going_on.selects(limited))
            .collect();
        let selects = selects.join(" UNION ");
        let of_page = if merges {
            let order = [1, 2, 3].map(|place| format!("{place}{direction}"));
            format!("{selects} ORDER BY {} LIMIT {limit}", order.join(", "))
        } else {
            format!("SELECT * FROM ({selects}) u {}", order_of("u"))
        };
        let events = format!("({of_page}) v CROSS JOIN events e WHERE e.{key} = v.{key} {ordered}");
        marks(self.engine, column, &events)
    }

    /// A condition of those that the caller may see, for a few events that are found by something else.
    pub(super) fn seen(&mut self, actor: Actor, query: &EventQuery) -> String {
        let mine = query.organizer_id == Some(actor.user_id);
        if !query.participating && (actor.is_admin() || mine) {
            return String::new();
        }
        let me = self.bind(Bind::Id(actor.user_id));
        let takes_part = format!(
            "EXISTS (SELECT 1 FROM participants p WHERE p.event_id = e.id AND p.user_id = {me})"
        );
        if query.participating {
            format!(" AND {takes_part}")
        } else {
            format!(" AND (e.visibility = 'public' OR e.organizer_id = {me} OR {takes_part})")
        }
    }

    /// Where visible events come from: tables and a further condition.
    fn branches(&mut self, actor: Actor, query: &EventQuery) -> Vec<Branch> {
        const PUBLIC: &str = " AND e.visibility = 'public'";
        let mine = query.organizer_id == Some(actor.user_id);
        if !query.participating && (actor.is_admin() || mine) {
            // One organizer's, or those of one visibility, have an index of their own; all are the two visibilities' together.
            return if query.organizer_id.is_some() || query.visibility.is_some() {
                vec![(EVENTS, String::new())]
            } else {
                vec![(EVENTS, PUBLIC.into()), (EVENTS, PRIVATE.into())]
            };
        }
        let public = (EVENTS, PUBLIC.to_owned());
        if query.visibility == Some(Visibility::Public) && !query.participating {
            return vec![public];
        }
        let me = self.bind(Bind::Id(actor.user_id));
        // With an organizer to ask for, SQLite may rather begin with the events.
        let by_times = self.engine == Engine::Sqlite
            && query.sort == Sort::Start
            && query.organizer_id.is_none();
        let table = if by_times {
            PARTICIPATING_BY_TIMES
        } else {
            PARTICIPATING
        };
        let takes_part = format!(" AND p.user_id = {me}");
        if query.participating {
            return vec![(table, takes_part)];
        }
        let private = if by_times { PRIVATE } else { "" };
        let mut branches = vec![(table, takes_part + private)];
        if query.visibility.is_none() {
            branches.push(public);
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
    /// Which events, in which state, the caller may see, as asked for; [`Self::event_views`] has what they show.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(
        &self,
        actor: Actor,
        query: &EventQuery,
        page: &PageRequest<EventKey>,
    ) -> Result<Page<EventMark, EventKey>, Error> {
        let mut builder = Builder {
            engine: self.engine(),
            binds: Vec::new(),
        };
        let text = Sql::same(intern(builder.statement(actor, query, page)));
        let binds = &builder.binds;
        let searches = query.text.is_some() || query.tag.is_some();
        let searches = searches && self.engine() == Engine::Postgres;
        let given: Vec<Given<Listed>> = listing!(self, |session| {
            statement!(session, "events.list", text, |sql, link| {
                // How often a word or a tag occurs decides how it is best looked for, so a search is planned anew for them.
                let mut query = query_as(sql).persistent(!searches);
                for bind in binds {
                    query = match bind {
                        Bind::Id(id) => query.bind(*id),
                        Bind::Number(number) => query.bind(*number),
                        Bind::Text(text) => query.bind(text.as_str()),
                        Bind::Time(at) => query.bind(Timestamp(*at)),
                    };
                }
                query.fetch_all(link)
            })
        })?;
        let listed = one_value::all(given, read)?;
        let page = Page::from_items(listed, page.limit, |one| one.key);
        Ok(Page {
            items: page.items.into_iter().map(|one| one.mark).collect(),
            next: page.next,
        })
    }
}
