-- The same for what somebody organises. Not in the index by start: a list that is merged takes its order from that, to the number of the row.
DROP INDEX events_organizer_created;
CREATE INDEX events_organizer_created ON events (organizer_id, created_at, id, visibility) WHERE deleted_at IS NULL;
