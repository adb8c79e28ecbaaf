-- With who may see an event in it, the index tells which of those that somebody takes part in are not found as public anyway. A search reads those alone.
DROP INDEX events_times;
CREATE INDEX events_times ON events (id, start_utc, end_utc, visibility) WHERE deleted_at IS NULL;
