-- Files of events; their bytes lie in the store of files.
CREATE TABLE attachments (
    id          uuid PRIMARY KEY,
    event_id    uuid NOT NULL REFERENCES events (id),
    uploaded_by uuid NOT NULL REFERENCES users (id),
    name        text NOT NULL,
    media_type  text NOT NULL,
    size        bigint NOT NULL CHECK (size >= 0),
    sha256      bytea NOT NULL,
    storage_key text NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL
);
CREATE INDEX attachments_event ON attachments (event_id, id);
CREATE INDEX attachments_user ON attachments (uploaded_by);

-- Files that nothing refers to any more: their bytes are deleted after a grace.
CREATE TABLE deleted_files (
    storage_key text PRIMARY KEY,
    deleted_at  timestamptz NOT NULL
);
CREATE INDEX deleted_files_age ON deleted_files (deleted_at);

ALTER TABLE users ADD COLUMN avatar_key text;
ALTER TABLE users ADD COLUMN avatar_media_type text;
ALTER TABLE users ADD COLUMN avatar_size bigint;
ALTER TABLE users ADD COLUMN avatar_sha256 bytea;
ALTER TABLE users ADD COLUMN avatar_updated_at timestamptz;
CREATE UNIQUE INDEX users_avatar ON users (avatar_key) WHERE avatar_key IS NOT NULL;
CREATE INDEX events_deleted ON events (deleted_at) WHERE deleted_at IS NOT NULL;
