-- An event's number in the index of words: whether it is private, its start in units of 2^27 microseconds, and its row. So a search by start reads
-- as many hits as it shows, and none that are private. The index is made anew from the words of all events.
DROP TRIGGER events_search_insert;
DROP TRIGGER events_search_update;
DROP TRIGGER events_search_delete;
DROP TABLE events_search;
CREATE VIRTUAL TABLE events_search USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
);
INSERT INTO events_search (rowid, words)
SELECT ((visibility <> 'public') << 63) + ((start_utc + 377705116800000000) >> 27 << 30) + row_id, search_words FROM events ORDER BY 1;
CREATE TRIGGER events_search_insert AFTER INSERT ON events BEGIN
    INSERT INTO events_search (rowid, words)
    VALUES (((new.visibility <> 'public') << 63) + ((new.start_utc + 377705116800000000) >> 27 << 30) + new.row_id, new.search_words);
END;
CREATE TRIGGER events_search_update AFTER UPDATE OF search_words, start_utc, visibility ON events
WHEN new.search_words <> old.search_words OR new.start_utc <> old.start_utc OR new.visibility <> old.visibility BEGIN
    DELETE FROM events_search
    WHERE rowid = ((old.visibility <> 'public') << 63) + ((old.start_utc + 377705116800000000) >> 27 << 30) + old.row_id;
    INSERT INTO events_search (rowid, words)
    VALUES (((new.visibility <> 'public') << 63) + ((new.start_utc + 377705116800000000) >> 27 << 30) + new.row_id, new.search_words);
END;
CREATE TRIGGER events_search_delete AFTER DELETE ON events BEGIN
    DELETE FROM events_search
    WHERE rowid = ((old.visibility <> 'public') << 63) + ((old.start_utc + 377705116800000000) >> 27 << 30) + old.row_id;
END;

-- With the end of an event in it, the index tells what goes on without a look at the event.
DROP INDEX events_length;
CREATE INDEX events_length ON events ((CASE WHEN end_utc - start_utc <= 1 * 3600000000 THEN 0 WHEN end_utc - start_utc <= 4 * 3600000000 THEN 1 WHEN end_utc - start_utc <= 16 * 3600000000 THEN 2 WHEN end_utc - start_utc <= 64 * 3600000000 THEN 3 WHEN end_utc - start_utc <= 256 * 3600000000 THEN 4 WHEN end_utc - start_utc <= 1024 * 3600000000 THEN 5 ELSE 6 END), start_utc, id, end_utc) WHERE deleted_at IS NULL;
