-- What writes leave in tsext.cagg_log. The rows of the catalog are made by hand: a plain table and a plain view stand in for the
-- materialization and the view, so that nothing but the writers is at work.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- an aggregate of buckets `width` wide over `base`, materialised up to `threshold`
CREATE FUNCTION follow(name text, base regclass, width int8, threshold int8, type regtype DEFAULT 'timestamptz', margin int8 DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (bucket int8)', name || '_m');
  EXECUTE format('CREATE VIEW %I AS SELECT 1 AS bucket', name);
  INSERT INTO tsext.cagg VALUES ((name || '_m')::regclass, name::regclass, name::regclass, base, base, 1, type, 'bucket',
    'x', width, NULL, true, width, width, 0, margin, false);
  INSERT INTO tsext.cagg_threshold VALUES ((name || '_m')::regclass, threshold, NULL);
END $$;
CREATE FUNCTION us(t timestamptz) RETURNS int8 LANGUAGE sql IMMUTABLE AS
  $$ SELECT (extract(epoch FROM t - '2000-01-01 00:00+00') * 1000000)::int8 $$;
CREATE FUNCTION time_of(us int8) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE us WHEN -9223372036854775808 THEN '-infinity' WHEN 9223372036854775807 THEN 'infinity'
         ELSE ('2000-01-01 00:00+00'::timestamptz + us / 1000000.0 * interval '1 s')::text END $$;
-- shows the log and empties it
CREATE FUNCTION logged(OUT aggregate text, OUT first text, OUT last text, OUT rows int8) RETURNS SETOF record LANGUAGE sql AS $$
  WITH gone AS (DELETE FROM tsext.cagg_log l RETURNING *)
  SELECT materialization::text, time_of(gone.first), time_of(gone.last), gone.rows FROM gone ORDER BY materialization::text, gone.first, gone.last, gone.rows $$;

CREATE TABLE base (time timestamptz NOT NULL, id int, v float8) USING tsext;
SELECT follow('hourly', 'base', 3600000000, us('2024-01-10'));
SELECT follow('daily', 'base', 86400000000, us('2024-01-05'));

-- nothing above the threshold, exactly the touched cells below; the day's aggregate has a threshold of its own
INSERT INTO base VALUES ('2024-01-10 00:00', 1, 1), ('2024-02-01', 2, 1);
SELECT * FROM logged();
INSERT INTO base VALUES ('2024-01-09 23:59:59.999999', 3, 1);
SELECT * FROM logged();
INSERT INTO base VALUES ('2024-01-04 10:10', 4, 1), ('2024-01-04 12:30', 5, 1), ('2024-01-04 10:20', 6, 1), ('2024-01-04 11:00', 7, 1);
SELECT * FROM logged();

-- UPDATE: old and new time, from above to below and back, and of another column; DELETE
UPDATE base SET time = '2024-01-02 01:00' WHERE id = 2;
SELECT * FROM logged();
UPDATE base SET time = '2024-02-01' WHERE id = 2;
SELECT * FROM logged();
UPDATE base SET v = 2 WHERE id = 4;
SELECT * FROM logged();
UPDATE base SET v = 2 WHERE id = 2;
SELECT * FROM logged();
DELETE FROM base WHERE id IN (1, 7);
SELECT * FROM logged();
MERGE INTO base USING (VALUES (5, '2024-01-03'::timestamptz), (100, '2024-01-01')) AS n(id, t) ON base.id = n.id
  WHEN MATCHED THEN UPDATE SET time = n.t WHEN NOT MATCHED THEN INSERT VALUES (n.t, n.id, 0);
SELECT * FROM logged();
WITH moved AS (DELETE FROM base WHERE id = 100 RETURNING *) INSERT INTO base SELECT time + interval '2 days', id, v FROM moved;
SELECT * FROM logged();
DELETE FROM base WHERE id = -1;
SELECT * FROM logged();

-- COPY, hot and in bulk; INSERT ... SELECT in bulk
COPY base FROM stdin;
2024-01-03 05:00+00	200	1
2024-03-01 05:00+00	201	1
\.
SELECT * FROM logged();
INSERT INTO base SELECT '2024-01-06 00:00'::timestamptz + g * interval '10 s', g, g FROM generate_series(0, 19999) g;
SELECT * FROM logged();
SELECT count(*) FROM tsext.segments WHERE table_name = 'base';
INSERT INTO base SELECT '2025-01-06 00:00'::timestamptz + g * interval '1 s', g, g FROM generate_series(0, 19999) g;
SELECT * FROM logged();
-- moves of rows are no writes
SELECT count(*) FROM tsext.compact('base');
SELECT * FROM logged();
SELECT count(*) FROM decompress_chunk((SELECT c FROM show_chunks('base') c LIMIT 1), true);
VACUUM FULL base;
SELECT * FROM logged();
ALTER TABLE base ADD COLUMN note text DEFAULT clock_timestamp()::text;
SELECT * FROM logged();

-- a transaction sees what it touched itself, from the next command on and in the middle of one; nothing is logged meanwhile
CREATE FUNCTION see() RETURNS text LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN RETURN tsext.dirty('hourly_m', NULL::tstzmultirange)::text || ' ' || (SELECT count(*) FROM base WHERE v = -7) || ' rows'; END $$;
CREATE TABLE seen (id int, said text);
BEGIN;
INSERT INTO base VALUES ('2024-01-01 01:00', 700, -7), ('2024-02-01', 700, -7) RETURNING tsext.dirty('hourly_m', NULL::tstzmultirange);
SELECT see();
DECLARE before CURSOR FOR SELECT tsext.dirty('hourly_m', NULL::tstzmultirange);
SAVEPOINT s;
INSERT INTO base VALUES ('2024-01-01 02:30', 701, -7);
SELECT see();
ROLLBACK TO s;
DELETE FROM base WHERE id = 700 AND time < '2024-01-05' RETURNING tsext.dirty('hourly_m', NULL::tstzmultirange);
SELECT see();
FETCH before;
WITH b AS (INSERT INTO base SELECT '2024-01-03'::timestamptz + g * interval '2 h', 710 + g, -7 FROM generate_series(0, 2) g RETURNING id, see() AS said)
  INSERT INTO seen SELECT * FROM b;
SELECT * FROM seen ORDER BY id;
SELECT see();
SELECT count(*) FROM tsext.cagg_log;
ROLLBACK;
DROP TABLE seen;
DROP FUNCTION see;
BEGIN;
TRUNCATE base;
SELECT tsext.dirty('hourly_m', NULL::tstzmultirange), tsext.dirty('daily_m', NULL::tstzmultirange);
ROLLBACK;
SELECT tsext.dirty('hourly_m', NULL::tstzmultirange);

-- rolled back
BEGIN;
INSERT INTO base VALUES ('2024-01-01', 300, 1);
ROLLBACK;
SELECT * FROM logged();
-- a savepoint takes its rows along, and its hour is logged nevertheless, which is never wrong
BEGIN;
INSERT INTO base VALUES ('2024-01-01 01:00', 301, 1);
SAVEPOINT s;
INSERT INTO base VALUES ('2024-01-02 02:00', 302, 1);
ROLLBACK TO s;
INSERT INTO base VALUES ('2024-01-01 01:30', 303, 1);
COMMIT;
SELECT * FROM logged();
-- every transaction starts anew
INSERT INTO base VALUES ('2024-01-01 01:00', 304, 1);
SELECT * FROM logged();

-- functions, procedures with commits, DO, deferred triggers
CREATE FUNCTION write(at timestamptz) RETURNS void LANGUAGE sql AS $$ INSERT INTO base VALUES (at, 400, 1) $$;
SELECT write('2024-01-01 02:00');
SELECT * FROM logged();
DO $$ BEGIN
  PERFORM write('2024-01-01 03:00');
  BEGIN
    PERFORM write('2024-01-01 04:00');
    RAISE division_by_zero;
  EXCEPTION WHEN division_by_zero THEN NULL;
  END;
END $$;
SELECT * FROM logged();
DO $$ BEGIN PERFORM write('2024-01-01 03:00'); COMMIT; PERFORM write('2024-01-01 03:10'); END $$;
SELECT * FROM logged();
CREATE TABLE plain (at timestamptz);
CREATE FUNCTION write_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM write(NEW.at); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON plain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_later();
INSERT INTO plain VALUES ('2024-01-01 05:00');
SELECT * FROM logged();

-- two-phase commit: all of it, whatever the threshold
BEGIN;
INSERT INTO base VALUES ('2024-01-01 06:00', 500, 1), ('2026-01-01 07:00', 501, 1);
PREPARE TRANSACTION 'cagg_invalidation';
SELECT * FROM logged();
COMMIT PREPARED 'cagg_invalidation';
SELECT * FROM logged();

-- a threshold that moves is heard of at once
INSERT INTO base VALUES ('2024-01-20', 600, 1);
SELECT * FROM logged();
UPDATE tsext.cagg_threshold SET threshold = us('2024-02-01') WHERE materialization = 'hourly_m'::regclass;
INSERT INTO base VALUES ('2024-01-20', 601, 1);
SELECT * FROM logged();
BEGIN;
UPDATE tsext.cagg_threshold SET threshold = us('2024-01-10') WHERE materialization = 'hourly_m'::regclass;
ROLLBACK;
INSERT INTO base VALUES ('2024-01-20', 602, 1);
SELECT * FROM logged();
-- nothing is materialised
UPDATE tsext.cagg_threshold SET threshold = -9223372036854775808;
INSERT INTO base VALUES ('2024-01-20', 603, 1), ('-infinity', 604, 1);
SELECT * FROM logged();
-- everything is
UPDATE tsext.cagg_threshold SET threshold = 9223372036854775807 WHERE materialization = 'daily_m'::regclass;
INSERT INTO base VALUES ('2024-01-20', 603, 1), ('-infinity', 604, 1), ('infinity', 605, 1);
SELECT * FROM logged();
DELETE FROM base WHERE NOT isfinite(time);
SELECT * FROM logged();

-- TRUNCATE
UPDATE tsext.cagg_threshold SET threshold = us('2024-01-10');
TRUNCATE base;
SELECT * FROM logged();
BEGIN;
INSERT INTO base VALUES ('2024-01-01', 1, 1);
TRUNCATE base;
INSERT INTO base VALUES ('2024-01-02', 1, 1);
COMMIT;
SELECT * FROM logged();

-- a table that nobody follows any more; a definition that comes and goes within a transaction
DELETE FROM tsext.cagg;
INSERT INTO base VALUES ('2024-01-01', 1, 1);
SELECT * FROM logged();
BEGIN;
SELECT follow('once', 'base', 60000000, us('2024-01-10'));
INSERT INTO base VALUES ('2024-01-01 00:00:30', 1, 1);
SAVEPOINT s;
SELECT follow('twice', 'base', 60000000, us('2024-01-10'));
INSERT INTO base VALUES ('2024-01-01 00:02:30', 1, 1);
ROLLBACK TO s;
INSERT INTO base VALUES ('2024-01-01 00:04:30', 1, 1);
COMMIT;
SELECT * FROM logged();
BEGIN;
DELETE FROM tsext.cagg;
INSERT INTO base VALUES ('2024-01-01 00:00:30', 1, 1);
COMMIT;
SELECT * FROM logged();

-- buckets that do not nest, a margin
SELECT follow('sevenths', 'base', 420000000, us('2024-01-10'));
SELECT follow('zoned', 'base', 86400000000, us('2024-01-10'), margin => 10800000000);
INSERT INTO base VALUES ('2024-01-10 00:00', 1, 1), ('2024-01-10 02:59', 2, 2), ('2024-01-10 03:00', 3, 3);
SELECT * FROM logged();
INSERT INTO base VALUES ('2024-01-09 23:59', 1, 1), ('2024-01-10 00:01', 2, 2);
SELECT * FROM logged();
-- by a session that knows the thresholds
INSERT INTO base VALUES ('2024-01-10 02:58', 4, 4);
SELECT * FROM logged();
INSERT INTO base VALUES ('2024-01-10 03:00', 5, 5);
SELECT * FROM logged();

-- so many places that neighbours are joined: nothing is missing, there are not too many entries
DELETE FROM tsext.cagg WHERE materialization = 'zoned_m'::regclass;
SET tsext.enable_bulk = off;
INSERT INTO base SELECT '2024-01-10'::timestamptz - (g * 7919 % 10007) * interval '1 h', g, 0 FROM generate_series(1, 10006) g;
RESET tsext.enable_bulk;
SELECT count(*) <= 4096 AS few, count(*) >= 1024 AS many, sum(rows),
  (SELECT count(*) FROM base WHERE time < '2024-01-10' AND v = 0 AND NOT (SELECT range_agg(int8range(first, last, '[]')) FROM tsext.cagg_log) @> us(time)) AS missing
FROM tsext.cagg_log;
DELETE FROM tsext.cagg_log;
DELETE FROM tsext.cagg;

-- what a query has been told stays so, whatever is joined later
SELECT follow('told', 'base', 3600000000, us('2030-01-01'));
BEGIN;
INSERT INTO base SELECT '2024-01-01'::timestamptz - (g * 7919 % 3001) * interval '3 h', g, -8 FROM generate_series(1, 3000) g;
SELECT md5(tsext.dirty('told_m', NULL::tstzmultirange)::text) AS told \gset
DECLARE earlier CURSOR FOR SELECT md5(tsext.dirty('told_m', NULL::tstzmultirange)::text) = :'told' AS same;
INSERT INTO base SELECT '2029-12-01'::timestamptz - (g * 7919 % 6007) * interval '3 h', g, -8 FROM generate_series(1, 6006) g;
INSERT INTO base SELECT '2020-01-01'::timestamptz - (g * 7919 % 6007) * interval '3 h', g, -8 FROM generate_series(1, 6006) g;
FETCH earlier;
SELECT count(*) FILTER (WHERE NOT (SELECT tsext.dirty('told_m', NULL::tstzmultirange)) @> time) AS missing, count(*) FROM base WHERE v = -8;
COMMIT;
SELECT count(*) < 3000 + 2 * 4096 AS few, sum(rows),
  (SELECT count(*) FROM base WHERE v = -8 AND NOT (SELECT range_agg(int8range(first, last, '[]')) FROM tsext.cagg_log) @> us(time)) AS missing
FROM tsext.cagg_log;
DELETE FROM tsext.cagg_log;
DELETE FROM tsext.cagg;

-- types of time
CREATE TABLE dates (at date NOT NULL) USING tsext;
CREATE TABLE stamps (at timestamp NOT NULL) USING tsext;
CREATE TABLE int8s (time int8 NOT NULL) USING tsext;
CREATE TABLE int4s (at int4 NOT NULL) USING tsext WITH (tsext.time_column = 'at');
CREATE TABLE int2s (at int2 NOT NULL) USING tsext WITH (tsext.time_column = 'at');
SELECT follow('d', 'dates', 7, 100, 'date'), follow('s', 'stamps', 3600000000, 3600000000, 'timestamp'),
  follow('i8', 'int8s', 100, 9223372036854775807, 'int8'), follow('i4', 'int4s', 100, 1000, 'int4'), follow('i2', 'int2s', 100, 1000, 'int2');
INSERT INTO dates VALUES ('2000-01-01'), ('2000-01-08'), ('2000-04-09'), ('2000-04-10'), ('-infinity'), ('infinity');
INSERT INTO stamps VALUES ('2000-01-01 00:59:59'), ('2000-01-01 01:00'), ('-infinity');
INSERT INTO int8s VALUES (0), (-1), (9223372036854775807), (9223372036854775806), (-9223372036854775808), (-9223372036854775807);
INSERT INTO int4s VALUES (-2147483648), (999), (1000), (2147483647);
INSERT INTO int2s VALUES (-32768), (999), (1000), (32767);
SELECT materialization, first, last, rows FROM tsext.cagg_log ORDER BY materialization::text, first, last;
DELETE FROM tsext.cagg_log;
DELETE FROM tsext.cagg;

-- the time column stays what it is: a column that is added does not take its place, and it cannot be changed
CREATE TABLE changed (time int8 NOT NULL, at timestamptz) USING tsext WITH (tsext.time_column = 'time');
CREATE TABLE grown (time int8 NOT NULL) USING tsext;
SELECT follow('c', 'changed', 100, 1000, 'int8'), follow('g', 'grown', 100, 1000, 'int8');
SELECT tsext.set_options('changed', time_column => 'at');
ALTER TABLE changed RESET (tsext.time_column);
SECURITY LABEL FOR tsext ON TABLE changed IS NULL;
SELECT tsext.set_options('changed', chunk_interval => 500);
ALTER TABLE grown ADD COLUMN at timestamptz;
INSERT INTO changed VALUES (10, '2024-01-01');
INSERT INTO grown VALUES (20, '2024-01-01');
SELECT materialization, first, last, rows FROM tsext.cagg_log ORDER BY materialization::text, first, last;
DELETE FROM tsext.cagg_log;
DELETE FROM tsext.cagg;

-- INSERT ... ON CONFLICT
CREATE TABLE keyed (time timestamptz PRIMARY KEY, v int) USING tsext;
SELECT follow('k', 'keyed', 3600000000, us('2024-01-10'));
INSERT INTO keyed VALUES ('2024-01-01', 1) ON CONFLICT DO NOTHING;
SELECT * FROM logged();
INSERT INTO keyed VALUES ('2024-01-01', 1) ON CONFLICT DO NOTHING;
SELECT * FROM logged();
INSERT INTO keyed VALUES ('2024-01-01', 1) ON CONFLICT (time) DO UPDATE SET time = '2024-01-02';
SELECT * FROM logged();

DELETE FROM tsext.cagg;

-- line protocol, one row and many; partitions, by way of the parent; a foreign key's cascade
SELECT points FROM tsext.write_lines('followed_lines,host=a v=1 0', 's');
SELECT follow('l', 'followed_lines', 3600000000, us('2024-01-10'));
SELECT points FROM tsext.write_lines(E'followed_lines,host=a v=1 1704067200\nfollowed_lines,host=a v=1 1904067200', 's');
SELECT * FROM logged();
SELECT points, rejected FROM tsext.write_lines((SELECT string_agg(format('followed_lines,host=a v=%s %s', g, 1704067200 + g), E'\n') FROM generate_series(1, 9000) g), 's');
SELECT * FROM logged();
CREATE TABLE parted (time timestamptz NOT NULL, v int) PARTITION BY RANGE (time);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-01-02') USING tsext;
CREATE TABLE part_2 PARTITION OF parted FOR VALUES FROM ('2024-01-02') TO ('2024-01-03') USING tsext;
SELECT follow('p1', 'part_1', 3600000000, us('2024-01-10')), follow('p2', 'part_2', 3600000000, us('2024-01-10'));
INSERT INTO parted VALUES ('2024-01-01 01:00', 1), ('2024-01-02 02:00', 2);
SELECT * FROM logged();
UPDATE parted SET time = '2024-01-02 03:00' WHERE v = 1;
SELECT * FROM logged();
COPY parted FROM stdin;
2024-01-01 04:00+00	3
2024-01-02 05:00+00	4
\.
SELECT * FROM logged();
CREATE TABLE hosts (id int PRIMARY KEY);
CREATE TABLE owned (time timestamptz NOT NULL, host int REFERENCES hosts ON DELETE CASCADE) USING tsext;
SELECT follow('o', 'owned', 3600000000, us('2024-01-10'));
INSERT INTO hosts VALUES (1);
INSERT INTO owned VALUES ('2024-01-01 06:00', 1), ('2024-02-01', 1);
SELECT * FROM logged();
DELETE FROM hosts;
SELECT * FROM logged();

DELETE FROM tsext.cagg;
DELETE FROM tsext.cagg_threshold;
DROP VIEW hourly, daily, once, sevenths, zoned, told, d, s, i8, i4, i2, k, c, g, l, p1, p2, o;
DROP TABLE base, plain, dates, stamps, int8s, int4s, int2s, keyed, changed, grown, hourly_m, daily_m, once_m, sevenths_m, zoned_m, told_m, d_m, s_m, i8_m, i4_m, i2_m, k_m, c_m, g_m, followed_lines, parted, owned, hosts, l_m, p1_m, p2_m, o_m;
DROP FUNCTION follow, us, time_of, logged, write, write_later;
