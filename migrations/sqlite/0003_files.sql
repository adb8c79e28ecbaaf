-- Files of events; their bytes lie in the store of files.
CREATE TABLE attachments (
    id          BLOB NOT NULL PRIMARY KEY,
    event_id    BLOB NOT NULL REFERENCES events (id),
    uploaded_by BLOB NOT NULL REFERENCES users (id),
    name        TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    size        INTEGER NOT NULL CHECK (size >= 0),
    sha256      BLOB NOT NULL,
    storage_key TEXT NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX attachments_event ON attachments (event_id, id);
CREATE INDEX attachments_user ON attachments (uploaded_by);

-- Files that nothing refers to any more: their bytes are deleted after a grace.
CREATE TABLE deleted_files (
    storage_key TEXT NOT NULL PRIMARY KEY,
    deleted_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX deleted_files_age ON deleted_files (deleted_at);

ALTER TABLE users ADD COLUMN avatar_key TEXT;
ALTER TABLE users ADD COLUMN avatar_media_type TEXT;
ALTER TABLE users ADD COLUMN avatar_size INTEGER;
ALTER TABLE users ADD COLUMN avatar_sha256 BLOB;
ALTER TABLE users ADD COLUMN avatar_updated_at INTEGER;
CREATE UNIQUE INDEX users_avatar ON users (avatar_key) WHERE avatar_key IS NOT NULL;
CREATE INDEX events_deleted ON events (deleted_at) WHERE deleted_at IS NOT NULL;
