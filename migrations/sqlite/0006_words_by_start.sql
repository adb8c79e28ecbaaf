-- An event's number in the index of words is its start, in units of 2^26 microseconds, and its row: a search by start then reads as many
-- hits as it shows. The index is made anew from the words of all events, a second or two for each 100,000.
DROP TRIGGER events_search_insert;
DROP TRIGGER events_search_update;
DROP TRIGGER events_search_delete;
DROP TABLE events_search;
CREATE VIRTUAL TABLE events_search USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* Co'"
);
INSERT INTO events_search (rowid, words)
SELECT (start_utc >> 26 << 30) + row_id, search_words FROM events ORDER BY 1;
CREATE TRIGGER events_search_insert AFTER INSERT ON events BEGIN
    INSERT INTO events_search (rowid, words) VALUES ((new.start_utc >> 26 << 30) + new.row_id, new.search_words);
END;
CREATE TRIGGER events_search_update AFTER UPDATE OF search_words, start_utc ON events
WHEN new.search_words <> old.search_words OR new.start_utc >> 26 <> old.start_utc >> 26 BEGIN
    DELETE FROM events_search WHERE rowid = (old.start_utc >> 26 << 30) + old.row_id;
    INSERT INTO events_search (rowid, words) VALUES ((new.start_utc >> 26 << 30) + new.row_id, new.search_words);
END;
CREATE TRIGGER events_search_delete AFTER DELETE ON events BEGIN
    DELETE FROM events_search WHERE rowid = (old.start_utc >> 26 << 30) + old.row_id;
END;
