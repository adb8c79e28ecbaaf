-- Fills a migrated, empty PostgreSQL with a world of :events events, two participants and two changes each, and a twentieth as many
-- people. Everybody has 40 invitations and organises 20 events, however large it is. Every value follows from its number.
-- :hash is everybody's password; the first 64 people have 100 notifications more than the others.
CREATE FUNCTION pg_temp.key(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT ('01940000-' || lpad(to_hex(kind), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.made(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT '2026-01-01T00:00:00Z'::timestamptz + n * interval '0.25 s' $$;
-- Two years, one event every ten minutes; ten times the events are ten times as dense.
CREATE FUNCTION pg_temp.start(n bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
  SELECT '2027-01-01T00:00:00'::timestamp + n * 7919 % 100000 * interval '10 min' $$;
SET synchronous_commit = off;
-- Every reference is right by the way it is made.
SET session_replication_role = replica;

INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, version, created_at, updated_at)
SELECT pg_temp.key(1, n), 'person' || n || '@example.org', 'person' || n || '@example.org', 'Person ' || n, 'Etc/UTC', :'hash', 'user', 1,
       pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, :events / 20 - 1) n;

INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone, start_utc, end_utc,
                    capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words, version,
                    created_at, updated_at)
SELECT pg_temp.key(2, n), pg_temp.key(2, n) || '@convoke', pg_temp.key(1, n % (:events / 20)), 'Harbour meeting ' || n,
       repeat('What there is to talk about. ', 7), 'Pier ' || n % 7,
       to_char(pg_temp.start(n), 'YYYY-MM-DD"T"HH24:MI:SS'), 'Etc/UTC', to_char(pg_temp.start(n) + interval '2 h', 'YYYY-MM-DD"T"HH24:MI:SS'), 'Etc/UTC',
       pg_temp.start(n) AT TIME ZONE 'UTC', (pg_temp.start(n) + interval '2 h') AT TIME ZONE 'UTC',
       50, 0, 1, true, CASE WHEN n % 4 = 0 THEN 'private' ELSE 'public' END, 'confirmed',
       jsonb_build_array('tag' || n % 50, 'harbour'), jsonb_build_object('room', n % 100, 'catering', true),
       'harbour meeting ' || n || ' topic' || n % 1000 || ' what there is to talk about pier ' || n % 7, 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, :events - 1) n;

INSERT INTO event_tags (tag, event_id)
SELECT tag, pg_temp.key(2, n) FROM generate_series(0, :events - 1) n, LATERAL (VALUES ('tag' || n % 50), ('harbour')) t (tag);

-- Person p takes part in every event n for which 2n or 2n + 1 is p, counted round all people.
INSERT INTO participants (event_id, user_id, role, status, admission, version, created_at, updated_at)
SELECT pg_temp.key(2, n), pg_temp.key(1, (2 * n + k) % (:events / 20)), 'required', 'needs_action', 'none', 1, pg_temp.made(n), pg_temp.made(n)
FROM generate_series(0, :events - 1) n, generate_series(0, 1) k;

INSERT INTO changes (xid, id, kind, event_id, user_id, version, actor_id, data, created_at)
SELECT 1, pg_temp.key(3, n), CASE WHEN n % 2 = 0 THEN 'event.created' ELSE 'participant.invited' END, pg_temp.key(2, n / 2),
       CASE WHEN n % 2 = 1 THEN pg_temp.key(1, 2 * (n / 2) % (:events / 20)) END, 1, pg_temp.key(1, n / 2 % (:events / 20)),
       jsonb_build_object('title', 'Harbour meeting ' || n / 2), pg_temp.made(n / 2)
FROM generate_series(0, 2 * :events - 1) n ORDER BY n;

INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at, finished_at)
SELECT pg_temp.key(3, 2 * n + 1), pg_temp.key(1, 2 * n % (:events / 20)), pg_temp.key(2, n), 'inbox', 'delivered', 1, now(), now(), now()
FROM generate_series(0, :events - 1) n ORDER BY n;

INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at)
SELECT pg_temp.key(4, n), pg_temp.key(1, 2 * n % (:events / 20)), pg_temp.key(3, 2 * n + 1), 'participant.invited', pg_temp.key(2, n),
       jsonb_build_object('title', 'Harbour meeting ' || n), pg_temp.made(n)
FROM generate_series(0, :events - 1) n;
INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at)
SELECT pg_temp.key(5, 100 * p + n), pg_temp.key(1, p), pg_temp.key(6, 100 * p + n), 'event.updated', pg_temp.key(2, n),
       jsonb_build_object('title', 'Harbour meeting ' || n), pg_temp.made(n)
FROM generate_series(0, 63) p, generate_series(0, 99) n;

INSERT INTO meta (name, value) VALUES ('zone_rules', 'none') ON CONFLICT DO NOTHING;
VACUUM (ANALYZE);
