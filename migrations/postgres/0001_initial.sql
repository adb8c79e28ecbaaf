CREATE TABLE meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL,
    email_key     text NOT NULL UNIQUE,
    display_name  text NOT NULL,
    time_zone     text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('user', 'admin')),
    disabled_at   timestamptz,
    version       bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

-- A login, and all refresh tokens that descend from it.
CREATE TABLE token_families (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX token_families_user ON token_families (user_id);
CREATE INDEX token_families_created ON token_families (created_at);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    family_id  uuid NOT NULL REFERENCES token_families (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    name       text NOT NULL,
    scope      text NOT NULL CHECK (scope IN ('read', 'write')),
    prefix     text NOT NULL,
    key_hash   bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id, id) WHERE revoked_at IS NULL;

CREATE TABLE events (
    id               uuid PRIMARY KEY,
    uid              text NOT NULL UNIQUE,
    organizer_id     uuid NOT NULL REFERENCES users (id),
    title            text NOT NULL,
    description      text NOT NULL,
    location         text NOT NULL,
    start_local      text NOT NULL,
    start_zone       text,
    end_local        text NOT NULL,
    end_zone         text,
    start_utc        timestamptz NOT NULL,
    end_utc          timestamptz NOT NULL CHECK (end_utc > start_utc),
    capacity         bigint CHECK (capacity > 0),
    seats_taken      bigint NOT NULL CHECK (seats_taken >= 0 AND (capacity IS NULL OR seats_taken <= capacity)),
    next_place       bigint NOT NULL,
    waitlist_enabled boolean NOT NULL,
    visibility       text NOT NULL CHECK (visibility IN ('public', 'private')),
    status           text NOT NULL CHECK (status IN ('draft', 'tentative', 'confirmed', 'cancelled')),
    tags             jsonb NOT NULL,
    metadata         jsonb NOT NULL,
    search_words     text NOT NULL,
    version          bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    search           tsvector NOT NULL GENERATED ALWAYS AS (array_to_tsvector(string_to_array(search_words, ' '))) STORED
);
CREATE INDEX events_start ON events (start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_created ON events (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_updated ON events (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_start ON events (visibility, start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_created ON events (visibility, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_visibility_updated ON events (visibility, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_start ON events (organizer_id, start_utc, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_created ON events (organizer_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_updated ON events (organizer_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX events_search ON events USING gin (search);

-- Tags as rows, so that both engines find an event by one through an ordinary index.
CREATE TABLE event_tags (
    tag      text NOT NULL,
    event_id uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, event_id)
);
CREATE INDEX event_tags_event ON event_tags (event_id);

CREATE TABLE participants (
    event_id     uuid NOT NULL REFERENCES events (id),
    user_id      uuid NOT NULL REFERENCES users (id),
    role         text NOT NULL CHECK (role IN ('required', 'optional', 'chair')),
    status       text NOT NULL CHECK (status IN ('needs_action', 'accepted', 'declined', 'tentative')),
    admission    text NOT NULL CHECK (admission IN ('none', 'confirmed', 'waitlisted')),
    place        bigint CHECK ((place IS NOT NULL) = (admission = 'waitlisted')),
    comment      text,
    responded_at timestamptz,
    version      bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (event_id, user_id)
);
CREATE INDEX participants_user ON participants (user_id, event_id);
CREATE INDEX participants_waiting ON participants (event_id, place) WHERE place IS NOT NULL;

CREATE TABLE changes (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid         bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    id          uuid NOT NULL UNIQUE,
    kind        text NOT NULL,
    event_id    uuid NOT NULL REFERENCES events (id),
    user_id     uuid,
    version     bigint NOT NULL,
    actor_id    uuid,
    data        jsonb NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL
);
CREATE INDEX changes_order ON changes (xid, seq);
CREATE INDEX changes_event ON changes (event_id, xid, seq);

CREATE TABLE deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id    uuid NOT NULL REFERENCES changes (id),
    recipient_id uuid NOT NULL,
    event_id     uuid NOT NULL,
    channel      text NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     bigint NOT NULL,
    due_at       timestamptz NOT NULL,
    last_error   text,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    UNIQUE (change_id, recipient_id, channel)
);
CREATE INDEX deliveries_pending ON deliveries (id) WHERE state = 'pending';
CREATE INDEX deliveries_pending_order ON deliveries (recipient_id, event_id, channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_pending_due ON deliveries (channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_pending_age ON deliveries (channel, created_at) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (channel) WHERE state = 'dead';
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE notifications (
    id           uuid PRIMARY KEY,
    recipient_id uuid NOT NULL REFERENCES users (id),
    change_id    uuid NOT NULL,
    kind         text NOT NULL,
    event_id     uuid NOT NULL,
    data         jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    read_at      timestamptz,
    UNIQUE (change_id, recipient_id)
);
CREATE INDEX notifications_inbox ON notifications (recipient_id, id);
CREATE INDEX notifications_unread ON notifications (recipient_id, id) WHERE read_at IS NULL;

CREATE TABLE idempotency_keys (
    key_hash   bytea PRIMARY KEY,
    body_hash  bytea NOT NULL,
    owner      uuid NOT NULL,
    answer     bytea,
    created_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
