-- With who may see an event in them, these indexes tell which of somebody's own events are not found as public anyway. They take the place of the old
-- ones in the next migration: here who reads need not wait, there until whoever reads at that time has ended.
CREATE INDEX events_times_new ON events (id, start_utc, end_utc, visibility) WHERE deleted_at IS NULL;
CREATE INDEX events_organizer_created_new ON events (organizer_id, created_at, id, visibility) WHERE deleted_at IS NULL;
