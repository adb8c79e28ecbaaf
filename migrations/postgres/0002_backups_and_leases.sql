-- Who of several replicas runs a job, and when it was last done.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     uuid NOT NULL,
    taken_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    done_at    timestamptz
);

-- Backups that were made or tried, by whichever process, so that the service can tell of them.
CREATE TABLE backups (
    id           uuid PRIMARY KEY,
    made_by      text NOT NULL CHECK (made_by IN ('command', 'schedule')),
    outcome      text NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL,
    location     text NOT NULL,
    size_bytes   bigint,
    checksum     text,
    error        text,
    verified_at  timestamptz,
    verification text CHECK (verification IN ('passed', 'failed'))
);
CREATE INDEX backups_outcome ON backups (outcome, started_at);
CREATE INDEX backups_verification ON backups (verification, verified_at) WHERE verification IS NOT NULL;
CREATE INDEX backups_checksum ON backups (checksum) WHERE checksum IS NOT NULL;
