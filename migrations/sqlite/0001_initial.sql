CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id            BLOB NOT NULL PRIMARY KEY,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL UNIQUE,
    display_name  TEXT NOT NULL,
    time_zone     TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    disabled_at   INTEGER,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- A login, and all refresh tokens that descend from it.
CREATE TABLE token_families (
    id         BLOB NOT NULL PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX token_families_user ON token_families (user_id);
CREATE INDEX token_families_created ON token_families (created_at);

CREATE TABLE refresh_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    family_id  BLOB NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    id         BLOB NOT NULL PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES users (id),
    name       TEXT NOT NULL,
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    prefix     TEXT NOT NULL,
    key_hash   BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_user ON api_keys (user_id, id) WHERE revoked_at IS NULL;

CREATE TABLE events (
    row_id           INTEGER PRIMARY KEY,
    id               BLOB NOT NULL UNIQUE,
    uid              TEXT NOT NULL UNIQUE,
    organizer_id     BLOB NOT NULL REFERENCES users (id),
    title            TEXT NOT NULL,
    description      TEXT NOT NULL,
    location         TEXT NOT NULL,
    start_local      TEXT NOT NULL,
    start_zone       TEXT,
    end_local        TEXT NOT NULL,
    end_zone         TEXT,
    start_utc        INTEGER NOT NULL,
    end_utc          INTEGER NOT NULL CHECK (end_utc > start_utc),
    capacity         INTEGER CHECK (capacity > 0),
    seats_taken      INTEGER NOT NULL CHECK (seats_taken >= 0 AND (capacity IS NULL OR seats_taken <= capacity)),
    next_place       INTEGER NOT NULL,
    waitlist_enabled INTEGER NOT NULL,
    visibility       TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    status           TEXT NOT NULL CHECK (status IN ('draft', 'tentative', 'confirmed', 'cancelled')),
    tags             TEXT NOT NULL,
    metadata         TEXT NOT NULL,
    search_words     TEXT NOT NULL,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    deleted_at       INTEGER
) STRICT;
CREATE INDEX events_start ON events (start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_created ON events (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_updated ON events (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_start ON events (visibility, start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_created ON events (visibility, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_updated ON events (visibility, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_start ON events (organizer_id, start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_created ON events (organizer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_updated ON events (organizer_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE VIRTUAL TABLE events_search USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
);
CREATE TRIGGER events_search_insert AFTER INSERT ON events BEGIN
    INSERT INTO events_search (rowid, words) VALUES (new.row_id, new.search_words);
END;
CREATE TRIGGER events_search_update AFTER UPDATE OF search_words ON events WHEN new.search_words <> old.search_words BEGIN
    UPDATE events_search SET words = new.search_words WHERE rowid = old.row_id;
END;
CREATE TRIGGER events_search_delete AFTER DELETE ON events BEGIN
    DELETE FROM events_search WHERE rowid = old.row_id;
END;

-- Tags as rows, so that both engines find an event by one through an ordinary index.
CREATE TABLE event_tags (
    tag      TEXT NOT NULL,
    event_id BLOB NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, event_id)
) STRICT;
CREATE INDEX event_tags_event ON event_tags (event_id);

CREATE TABLE participants (
    event_id     BLOB NOT NULL REFERENCES events (id),
    user_id      BLOB NOT NULL REFERENCES users (id),
    role         TEXT NOT NULL CHECK (role IN ('required', 'optional', 'chair')),
    status       TEXT NOT NULL CHECK (status IN ('needs_action', 'accepted', 'declined', 'tentative')),
    admission    TEXT NOT NULL CHECK (admission IN ('none', 'confirmed', 'waitlisted')),
    place        INTEGER CHECK ((place IS NOT NULL) = (admission = 'waitlisted')),
    comment      TEXT,
    responded_at INTEGER,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (event_id, user_id)
) STRICT;
CREATE INDEX participants_user ON participants (user_id, event_id);
CREATE INDEX participants_waiting ON participants (event_id, place) WHERE place IS NOT NULL;

CREATE TABLE changes (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    xid         INTEGER NOT NULL DEFAULT 0,
    id          BLOB NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    event_id    BLOB NOT NULL REFERENCES events (id),
    user_id     BLOB,
    version     INTEGER NOT NULL,
    actor_id    BLOB,
    data        TEXT NOT NULL,
    traceparent TEXT,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_order ON changes (xid, seq);
CREATE INDEX changes_event ON changes (event_id, xid, seq);

CREATE TABLE deliveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id    BLOB NOT NULL REFERENCES changes (id),
    recipient_id BLOB NOT NULL,
    event_id     BLOB NOT NULL,
    channel      TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    last_error   TEXT,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    UNIQUE (change_id, recipient_id, channel)
) STRICT;
CREATE INDEX deliveries_pending ON deliveries (id) WHERE state = 'pending';
CREATE INDEX deliveries_pending_order ON deliveries (recipient_id, event_id, channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_pending_due ON deliveries (channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_pending_age ON deliveries (channel, created_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (channel) WHERE state = 'dead';
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE notifications (
    id           BLOB NOT NULL PRIMARY KEY,
    recipient_id BLOB NOT NULL REFERENCES users (id),
    change_id    BLOB NOT NULL,
    kind         TEXT NOT NULL,
    event_id     BLOB NOT NULL,
    data         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    read_at      INTEGER,
    UNIQUE (change_id, recipient_id)
) STRICT;
CREATE INDEX notifications_inbox ON notifications (recipient_id, id);
CREATE INDEX notifications_unread ON notifications (recipient_id, id) WHERE read_at IS NULL;

CREATE TABLE idempotency_keys (
    key_hash   BLOB NOT NULL PRIMARY KEY,
    body_hash  BLOB NOT NULL,
    owner      BLOB NOT NULL,
    answer     BLOB,
    created_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
