-- Adds to the world of fill.sql what is large: key(7, 1) is an event of :participants people, beside an ordinary one, key(7, 0), of 60; the
-- last caller's inbox has :notifications notifications more; the change log grows to :changes rows, a tenth of them the large event's.
CREATE FUNCTION pg_temp.key(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT ('01940000-' || lpad(to_hex(kind), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.made(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT '2026-06-01T00:00:00Z'::timestamptz + n * interval '0.25 s' $$;
SET synchronous_commit = off;
-- Every reference is right by the way it is made.
SET session_replication_role = replica;

INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, updated_at)
SELECT pg_temp.key(8, n), 'guest' || n || '@example.org', 'guest' || n || '@example.org', 'Guest ' || n, 'Etc/UTC',
       (SELECT password_hash FROM users LIMIT 1), 'user', 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, :participants - 1) n;

INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone, start_utc, end_utc,
                    capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words, version,
                    created_at, updated_at)
SELECT pg_temp.key(7, n), pg_temp.key(7, n) || '@convoke', pg_temp.key(1, 0), 'Regatta', 'Everybody comes.', 'Harbour',
       '2028-06-01T18:00:00', 'Etc/UTC', '2028-06-01T20:00:00', 'Etc/UTC', '2028-06-01T18:00:00Z', '2028-06-01T20:00:00Z',
       100000, 0, 1, true, 'public', 'confirmed', '[]', '{}', 'regatta everybody comes harbour', 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, 1) n;

-- The callers but for the organizer take part in both.
INSERT INTO participants (event_id, user_id, role, status, admission, version, created_at, updated_at)
SELECT pg_temp.key(7, e), pg_temp.key(1, n), 'required', 'needs_action', 'none', 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, 1) e, generate_series(1, 63) n;
INSERT INTO participants (event_id, user_id, role, status, admission, version, created_at, updated_at)
SELECT pg_temp.key(7, 1), pg_temp.key(8, n), 'required', 'needs_action', 'none', 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, :participants - 64) n;

INSERT INTO changes (xid, id, kind, event_id, user_id, version, actor_id, data, created_at)
SELECT 1, pg_temp.key(9, n), 'event.updated',
       CASE WHEN n % 10 = 0 THEN pg_temp.key(7, 1) WHEN n % 50000 = 1 THEN pg_temp.key(7, 0) ELSE pg_temp.key(2, n % :events) END,
       NULL, 1 + n, pg_temp.key(1, 0), jsonb_build_object('title', jsonb_build_object('from', 'A', 'to', 'B')), pg_temp.made(n)
FROM generate_series(0, :changes - 2 * :events - 1) n ORDER BY n;
-- A page of the ordinary event's history is as full.
INSERT INTO changes (xid, id, kind, event_id, user_id, version, actor_id, data, created_at)
SELECT 1, pg_temp.key(10, n), 'event.updated', pg_temp.key(7, 0), NULL, 1 + n, pg_temp.key(1, 0),
       jsonb_build_object('title', jsonb_build_object('from', 'A', 'to', 'B')), pg_temp.made(n)
FROM generate_series(0, 59) n ORDER BY n;

INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at)
SELECT pg_temp.key(11, n), pg_temp.key(1, 63), pg_temp.key(12, n), 'event.updated', pg_temp.key(2, n % :events),
       jsonb_build_object('title', 'Harbour meeting ' || n % :events), pg_temp.made(n)
FROM generate_series(0, :notifications - 1) n;
VACUUM (ANALYZE);
