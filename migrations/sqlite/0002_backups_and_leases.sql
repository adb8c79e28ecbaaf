-- Who of several replicas runs a job, and when it was last done.
CREATE TABLE leases (
    name       TEXT NOT NULL PRIMARY KEY,
    holder     BLOB NOT NULL,
    taken_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    done_at    INTEGER
) STRICT;

-- Backups that were made or tried, by whichever process, so that the service can tell of them.
CREATE TABLE backups (
    id           BLOB NOT NULL PRIMARY KEY,
    made_by      TEXT NOT NULL CHECK (made_by IN ('command', 'schedule')),
    outcome      TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    started_at   INTEGER NOT NULL,
    finished_at  INTEGER NOT NULL,
    location     TEXT NOT NULL,
    size_bytes   INTEGER,
    checksum     TEXT,
    error        TEXT,
    verified_at  INTEGER,
    verification TEXT CHECK (verification IN ('passed', 'failed'))
) STRICT;
CREATE INDEX backups_outcome ON backups (outcome, started_at);
CREATE INDEX backups_verification ON backups (verification, verified_at) WHERE verification IS NOT NULL;
CREATE INDEX backups_checksum ON backups (checksum) WHERE checksum IS NOT NULL;
