-- Only SQLite's index of words is made anew as well: PostgreSQL decides by how often words occur whether it reads hits or the order of starts.
-- With the end of an event in it, the index tells what goes on without a look at the event.
DROP INDEX events_length;
CREATE INDEX events_length ON events ((CASE WHEN end_utc - start_utc <= interval '1 hours' THEN 0 WHEN end_utc - start_utc <= interval '4 hours' THEN 1 WHEN end_utc - start_utc <= interval '16 hours' THEN 2 WHEN end_utc - start_utc <= interval '64 hours' THEN 3 WHEN end_utc - start_utc <= interval '256 hours' THEN 4 WHEN end_utc - start_utc <= interval '1024 hours' THEN 5 ELSE 6 END), start_utc, id, end_utc) WHERE deleted_at IS NULL;
