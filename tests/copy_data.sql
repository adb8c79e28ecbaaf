-- Fills a migrated, empty PostgreSQL with :events events and what belongs to them, in seconds. Every value follows from its number.
CREATE FUNCTION pg_temp.key(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT ('01940000-' || lpad(to_hex(kind), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.at(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT '2026-01-01T00:00:00Z'::timestamptz + n * interval '17.000001 s' $$;

INSERT INTO users (id, email, email_key, display_name, time_zone, password_hash, role, disabled_at, version, created_at, updated_at)
SELECT pg_temp.key(1, n), 'User' || n || '@Example.org', 'user' || n || '@example.org', 'User № ' || n || ' 🎈', 'Europe/Berlin', 'none',
       CASE WHEN n % 100 = 1 THEN 'admin' ELSE 'user' END, CASE WHEN n % 50 = 0 THEN pg_temp.at(n) END, 1, pg_temp.at(n), pg_temp.at(n)
FROM generate_series(1, 10 + :events / 20) n;

INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, end_zone, start_utc, end_utc,
                    capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, metadata, search_words, version,
                    created_at, updated_at, deleted_at)
SELECT pg_temp.key(2, n), 'event-' || n || '@convoke', pg_temp.key(1, 1 + n % 10), 'Harbour meeting ' || n, repeat('Über das Wetter. ', (n % 20)::int),
       'Pier ' || n % 7, '2027-03-01T18:00:00', 'Europe/Berlin', '2027-03-01T20:00:00', 'Europe/Berlin', '2027-03-01T17:00:00Z', '2027-03-01T19:00:00Z',
       CASE WHEN n % 3 > 0 THEN 50 END, CASE WHEN n % 2 = 0 THEN 1 ELSE 0 END, 1, n % 5 > 0, CASE WHEN n % 4 = 0 THEN 'private' ELSE 'public' END,
       CASE WHEN n % 9 = 0 THEN 'cancelled' ELSE 'confirmed' END, jsonb_build_array('tag' || n % 50, 'grün'),
       jsonb_build_object('number', n, 'ratio', n / 8.0, 'long key', jsonb_build_object('b', true, 'a', NULL), 'x', '[]'::jsonb),
       'grün harbour meeting pier ' || n, 2, pg_temp.at(n), pg_temp.at(n + 1), CASE WHEN n % 200 = 0 THEN pg_temp.at(n + 2) END
FROM generate_series(1, :events) n;

INSERT INTO event_tags (tag, event_id)
SELECT tag, pg_temp.key(2, n) FROM generate_series(1, :events) n, LATERAL (VALUES ('tag' || n % 50), ('grün')) t (tag);

INSERT INTO participants (event_id, user_id, role, status, admission, place, comment, responded_at, version, created_at, updated_at)
SELECT pg_temp.key(2, n), pg_temp.key(1, 1 + (n + k) % 10), 'required', CASE WHEN k = 1 AND n % 2 = 0 THEN 'accepted' ELSE 'needs_action' END,
       CASE WHEN k = 1 AND n % 2 = 0 THEN 'confirmed' ELSE 'none' END, NULL, CASE WHEN k = 1 AND n % 2 = 0 THEN 'gerne 😀' END,
       CASE WHEN k = 1 AND n % 2 = 0 THEN pg_temp.at(n) END, 1 + k, pg_temp.at(n), pg_temp.at(n + k)
FROM generate_series(1, :events) n, generate_series(1, 3) k;

INSERT INTO attachments (id, event_id, uploaded_by, name, media_type, size, sha256, storage_key, created_at)
SELECT pg_temp.key(8, n), pg_temp.key(2, n), pg_temp.key(1, 1 + n % 10), 'plan ' || n || '.pdf', 'application/pdf', n, sha256(('plan ' || n)::bytea),
       'attachments/' || n, pg_temp.at(n)
FROM generate_series(1, :events, 10) n;
INSERT INTO deleted_files (storage_key, deleted_at) SELECT 'attachments/gone-' || n, pg_temp.at(n) FROM generate_series(1, 10) n;

-- Two changes an event. In every hundred some belong to a transaction that began earlier and was numbered before the others.
INSERT INTO changes (xid, id, kind, event_id, user_id, version, actor_id, data, traceparent, created_at)
SELECT n / 100 * 2 + CASE WHEN (n + 1) / 2 % 50 = 25 THEN 1 ELSE 2 END, pg_temp.key(3, n), CASE WHEN n % 2 = 1 THEN 'event.created' ELSE 'participant.invited' END,
       pg_temp.key(2, (n + 1) / 2), CASE WHEN n % 2 = 0 THEN pg_temp.key(1, 1 + ((n + 1) / 2 + 2) % 10) END, 1 + (n + 1) % 2, pg_temp.key(1, 1 + (n + 1) / 2 % 10),
       jsonb_build_object('title', 'Harbour meeting ' || (n + 1) / 2, 'start', '2027-03-01T17:00:00Z'),
       CASE WHEN n % 3 = 0 THEN '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' END, pg_temp.at((n + 1) / 2)
FROM generate_series(1, 2 * :events) n ORDER BY n;

INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, last_error, created_at, finished_at)
SELECT pg_temp.key(3, 2 * n), pg_temp.key(1, 1 + (n + 2) % 10), pg_temp.key(2, n), 'inbox',
       CASE n % 1000 WHEN 7 THEN 'dead' WHEN 8 THEN 'pending' ELSE 'delivered' END, 1 + n % 2, pg_temp.at(n),
       CASE WHEN n % 1000 = 7 THEN 'it was refused' END, pg_temp.at(n), CASE WHEN n % 1000 <> 8 THEN pg_temp.at(n + 1) END
FROM generate_series(1, :events) n ORDER BY n;

INSERT INTO notifications (id, recipient_id, change_id, kind, event_id, data, created_at, read_at)
SELECT pg_temp.key(4, n), pg_temp.key(1, 1 + (n + 2) % 10), pg_temp.key(3, 2 * n), 'participant.invited', pg_temp.key(2, n),
       jsonb_build_object('title', 'Harbour meeting ' || n), pg_temp.at(n), CASE WHEN n % 2 = 0 THEN pg_temp.at(n + 9) END
FROM generate_series(1, :events) n WHERE n % 1000 NOT IN (7, 8);

INSERT INTO token_families (id, user_id, created_at, revoked_at)
SELECT pg_temp.key(5, n), pg_temp.key(1, n), pg_temp.at(n), CASE WHEN n % 5 = 0 THEN pg_temp.at(n + 1) END FROM generate_series(1, 10 + :events / 20) n;
INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at, used_at)
SELECT sha256(('token ' || n)::bytea), pg_temp.key(5, n), pg_temp.at(n), pg_temp.at(n + 100000), CASE WHEN n % 2 = 0 THEN pg_temp.at(n + 1) END
FROM generate_series(1, 10 + :events / 20) n;
INSERT INTO api_keys (id, user_id, name, scope, prefix, key_hash, created_at, expires_at, revoked_at)
SELECT pg_temp.key(6, n), pg_temp.key(1, n), 'build ' || n, 'read', 'ck_' || n, sha256(('key ' || n)::bytea), pg_temp.at(n), NULL, NULL FROM generate_series(1, 10) n;
INSERT INTO idempotency_keys (key_hash, body_hash, owner, answer, created_at, lease_until, expires_at)
SELECT sha256(('idempotency ' || n)::bytea), sha256('body'), pg_temp.key(7, n), CASE WHEN n % 10 > 0 THEN convert_to('{"status": 201}', 'UTF8') END, pg_temp.at(n), pg_temp.at(n + 1), pg_temp.at(n + 100000)
FROM generate_series(1, 10 + :events / 20) n;
INSERT INTO meta (name, value) VALUES ('zone_rules', '2026a');
