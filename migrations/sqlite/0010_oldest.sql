-- The oldest that waits is the first that waits: its age is asked for every few seconds, and this index cost every delivery two of its writes.
DROP INDEX deliveries_pending_age;
