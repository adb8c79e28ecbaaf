-- Who lists everything reads by visibility, one index for each; an index by time alone cost each write and served nobody else.
DROP INDEX events_start;
DROP INDEX events_created;
DROP INDEX events_updated;
