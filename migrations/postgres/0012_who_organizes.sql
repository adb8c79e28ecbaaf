DROP INDEX events_times;
DROP INDEX events_organizer_created;
ALTER INDEX events_times_new RENAME TO events_times;
ALTER INDEX events_organizer_created_new RENAME TO events_organizer_created;
