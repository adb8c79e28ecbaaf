//! The text that writes rows into several tables in one round trip.
//!
//! On SQLite it is several statements, which the connection runs one after the other; on PostgreSQL one statement, with all but
//! the last as `WITH` parts. Each takes its rows from `VALUES`. Their number is rounded up to a power of two, and rows that are
//! not needed are null, so that there are few texts and each stays prepared.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use super::engine::Engine;

/// Which tables are written, as bits by their place in [`TABLES`].
pub(super) type Tables = u16;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Rows of each table, a power of two.
    pub rows: usize,
    /// Which tables.
    pub tables: Tables,
}

/// What is done to one table with its rows, `v`.
struct Table {
    /// The types of its columns.
    types: &'static [&'static str],
    /// What stands before and after the rows.
    postgres: (&'static str, &'static str),
    sqlite: (&'static str, &'static str),
}

impl Table {
    const fn same(
        types: &'static [&'static str],
        before: &'static str,
        after: &'static str,
    ) -> Self {
        let text = (before, after);
        Self {
            types,
            postgres: text,
            sqlite: text,
        }
    }
}

pub(super) const EVENTS: usize = 0;
pub(super) const TAGS: usize = 1;
pub(super) const PARTICIPANTS: usize = 2;
pub(super) const PROMOTED: usize = 3;
pub(super) const SEATS: usize = 4;
pub(super) const CHANGES: usize = 5;
pub(super) const TOLD: usize = 6;
pub(super) const DELIVERIES: usize = 7;
pub(super) const RECEIPTS: usize = 8;

macro_rules! new_event {
    () => {
        "INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone, \
         start_utc, end_utc, capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, \
         search_words, version, created_at, updated_at) SELECT v.* FROM "
    };
}
macro_rules! new_change {
    () => {
        "INSERT INTO changes (id, kind, event_id, user_id, version, actor_id, data, traceparent, created_at"
    };
}
/// Where an event's tags stand among its columns.
const TAGS_COLUMN: usize = 18;

/// In the order in which they are written, which is that of their foreign keys. A repeat of new rows after a lost answer finds
/// them there: their ids are the same.
const TABLES: [Table; 9] = [
    Table {
        types: &[
            "uuid",
            "text",
            "uuid",
            "text",
            "text",
            "text",
            "text",
            "text",
            "text",
            "text",
            "timestamptz",
            "timestamptz",
            "bigint",
            "bigint",
            "bigint",
            "boolean",
            "text",
            "text",
            "jsonb",
            "jsonb",
            "text",
            "bigint",
            "timestamptz",
            "timestamptz",
        ],
        postgres: (
            new_event!(),
            " WHERE v.column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
        ),
        sqlite: (new_event!(), " WHERE v.column1 IS NOT NULL"),
    },
    Table {
        types: &["uuid", "jsonb"],
        postgres: (
            "INSERT INTO event_tags (tag, event_id) SELECT t.tag, v.column1 FROM ",
            ", LATERAL jsonb_array_elements_text(v.column2) AS t (tag) ON CONFLICT DO NOTHING",
        ),
        sqlite: (
            "INSERT INTO event_tags (tag, event_id) SELECT t.value, v.column1 FROM ",
            ", json_each(v.column2) t",
        ),
    },
    Table::same(
        &[
            "uuid",
            "uuid",
            "text",
            "text",
            "text",
            "bigint",
            "text",
            "timestamptz",
            "bigint",
            "timestamptz",
            "timestamptz",
        ],
        "INSERT INTO participants (event_id, user_id, role, status, admission, place, comment, responded_at, version, \
         created_at, updated_at) SELECT v.* FROM ",
        " WHERE v.column1 IS NOT NULL ON CONFLICT (event_id, user_id) DO UPDATE SET role = excluded.role, \
         status = excluded.status, admission = excluded.admission, place = excluded.place, comment = excluded.comment, \
         responded_at = excluded.responded_at, version = excluded.version, updated_at = excluded.updated_at",
    ),
    Table::same(
        &["uuid", "uuid", "timestamptz"],
        "UPDATE participants SET admission = 'confirmed', place = NULL, version = version + 1, updated_at = v.column3 FROM ",
        " WHERE participants.event_id = v.column1 AND participants.user_id = v.column2",
    ),
    Table::same(
        &["uuid", "bigint", "bigint", "bigint", "timestamptz"],
        "UPDATE events SET seats_taken = v.column2, next_place = v.column3, version = v.column4, updated_at = v.column5 FROM ",
        " WHERE events.id = v.column1",
    ),
    Table {
        types: &[
            "uuid",
            "text",
            "uuid",
            "uuid",
            "bigint",
            "uuid",
            "jsonb",
            "text",
            "timestamptz",
        ],
        postgres: (
            concat!(new_change!(), ") SELECT v.* FROM "),
            " WHERE v.column1 IS NOT NULL ON CONFLICT (id) DO NOTHING",
        ),
        // SQLite's log begins with one that was copied from PostgreSQL, and goes on behind it.
        sqlite: (
            concat!(
                new_change!(),
                ", xid) SELECT v.*, (SELECT COALESCE(MAX(xid), 0) FROM changes) FROM "
            ),
            " WHERE v.column1 IS NOT NULL",
        ),
    },
    Table::same(
        &["uuid", "uuid", "timestamptz", "uuid"],
        "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
         SELECT v.column1, p.user_id, p.event_id, 'inbox', 'pending', 0, v.column3, v.column3 FROM ",
        " JOIN participants p ON p.event_id = v.column2 AND p.user_id <> v.column4 ORDER BY v.column1, p.user_id",
    ),
    Table::same(
        &["uuid", "uuid", "uuid", "timestamptz"],
        "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) \
         SELECT v.column1, v.column2, v.column3, 'inbox', 'pending', 0, v.column4, v.column4 FROM ",
        " WHERE v.column1 IS NOT NULL",
    ),
    Table::same(
        &["bytea", "uuid", "bytea"],
        "UPDATE idempotency_keys SET answer = v.column3 FROM ",
        " WHERE key_hash = v.column1 AND owner = v.column2 AND answer IS NULL RETURNING 1",
    ),
];

impl Shape {
    fn has(self, table: usize) -> bool {
        self.tables & (1 << table) != 0
    }

    fn make(self, engine: Engine) -> String {
        let mut parts = Vec::new();
        let mut next = 1;
        let mut first_event = None;
        for (place, table) in TABLES.iter().enumerate() {
            if !self.has(place) {
                continue;
            }
            let width = table.types.len();
            let number = |row: usize, column: usize| match (place, first_event) {
                // Those of the events themselves; without numbers, on SQLite, they are given again.
                (TAGS, Some(first)) => {
                    first + row * TABLES[EVENTS].types.len() + [0, TAGS_COLUMN][column]
                }
                _ => next + row * width + column,
            };
            let rows: Vec<String> = (0..self.rows)
                .map(|row| {
                    let cells = table.types.iter().enumerate().map(|(column, kind)| {
                        match engine {
                            Engine::Postgres => format!("${}::{kind}", number(row, column)),
                            // A number is a name to SQLite, and names are looked through one by one.
                            Engine::Sqlite => "?".to_owned(),
                        }
                    });
                    format!("({})", cells.collect::<Vec<_>>().join(", "))
                })
                .collect();
            let (before, after) = match engine {
                Engine::Postgres => table.postgres,
                Engine::Sqlite => table.sqlite,
            };
            parts.push(format!("{before}(VALUES {}) v{after}", rows.join(", ")));
            if place == EVENTS {
                first_event = Some(next);
            }
            if place != TAGS {
                next += self.rows * width;
            }
        }
        match engine {
            Engine::Sqlite => parts.join("; "),
            Engine::Postgres => {
                let last = parts.pop().unwrap_or_default();
                let named = parts.iter().enumerate();
                let with: Vec<String> =
                    named.map(|(n, part)| format!("w{n} AS ({part})")).collect();
                if with.is_empty() {
                    last
                } else {
                    format!("WITH {} {last}", with.join(", "))
                }
            }
        }
    }

    /// The text, which is made once.
    pub(super) fn text(self, engine: Engine) -> &'static str {
        static TEXTS: LazyLock<RwLock<HashMap<(Shape, bool), &'static str>>> =
            LazyLock::new(RwLock::default);
        let key = (self, engine == Engine::Postgres);
        let known = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.get(&key) {
            return text;
        }
        drop(known);
        let mut all = TEXTS.write().unwrap_or_else(PoisonError::into_inner);
        // Kept for as long as the process runs; their number is bounded by the sizes and the combinations that are written.
        all.entry(key)
            .or_insert_with(|| Box::leak(self.make(engine).into_boxed_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(engine: Engine, tables: &[usize], rows: usize) -> &'static str {
        let tables = tables.iter().fold(0, |all, table| all | 1 << table);
        Shape { rows, tables }.text(engine)
    }

    #[test]
    fn tags_use_the_parameters_of_their_events() {
        let text = text(Engine::Postgres, &[EVENTS, TAGS, CHANGES], 2);
        let tags = "(VALUES ($1::uuid, $19::jsonb), ($25::uuid, $43::jsonb)) v, LATERAL";
        assert!(text.contains(tags), "{text}");
        assert!(text.contains("(VALUES ($49::uuid, $50::text,"), "{text}");
    }

    #[test]
    fn sqlite_counts_its_parameters_itself() {
        let text = text(Engine::Sqlite, &[EVENTS, TAGS, CHANGES], 2);
        assert!(
            text.contains("(VALUES (?, ?), (?, ?)) v, json_each"),
            "{text}"
        );
        assert!(!text.contains('$'), "{text}");
        assert!(text.ends_with("v WHERE v.column1 IS NOT NULL"), "{text}");
    }

    #[test]
    fn on_postgres_all_but_the_last_are_parts_of_one_statement() {
        let text = text(Engine::Postgres, &[SEATS, CHANGES], 1);
        assert!(text.starts_with("WITH w0 AS (UPDATE events"), "{text}");
        assert!(
            text.contains("$5::timestamptz)) v WHERE events.id"),
            "{text}"
        );
        assert!(!text.contains(';'), "{text}");
        let alone = super::tests::text(Engine::Postgres, &[CHANGES], 1);
        assert!(alone.starts_with("INSERT INTO changes"), "{alone}");
    }

    #[test]
    fn a_text_is_made_once() {
        let one = text(Engine::Sqlite, &[SEATS], 4);
        assert!(std::ptr::eq(one, text(Engine::Sqlite, &[SEATS], 4)));
    }
}
