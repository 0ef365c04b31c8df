-- Downsampling in place, against a heap twin that computes the same rows with plain SQL.
SET datestyle = iso;
SET timezone = UTC;
SET intervalstyle = postgres;

-- Differences between a table and what it should hold, as rows; none when all is right.
CREATE FUNCTION differences(actual regclass, expected regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE %1$s)) d',
    actual, expected) INTO result;
  RETURN result;
END $$;
-- The totals of a table's store agree with its directory.
CREATE FUNCTION totals_agree(relation regclass) RETURNS bool LANGUAGE sql AS $$
  SELECT (SELECT coalesce(sum(t.rows), 0) = (SELECT coalesce(sum(nrows), 0) FROM tsext.segment s WHERE s.store = reltoastrelid)
      AND coalesce(sum(t.segments), 0) = (SELECT count(*) FROM tsext.segment s WHERE s.store = reltoastrelid)
      AND coalesce(sum(t.bytes), 0) = (SELECT coalesce(sum(nbytes), 0) FROM tsext.segment s WHERE s.store = reltoastrelid)
    FROM tsext.store_total t WHERE t.store = reltoastrelid)
  FROM pg_class WHERE oid = relation $$;

-- Cold, hot and mixed; NULLs, NaN, infinities; a NULL series; rows without a finite time stay.
CREATE TABLE t (
  time timestamptz, host text, a float8, mi float8, ma int, s bigint, f text, l int[], c bigint, other jsonb, d numeric(12, 2), r real
) USING tsext WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
CREATE TABLE raw (LIKE t);
INSERT INTO raw SELECT timestamptz '2024-01-01' + g * interval '20 s', nullif('h' || g % 4, 'h3'),
  CASE WHEN g % 11 = 0 THEN NULL WHEN g = 5000 THEN float8 'NaN' WHEN g = 7001 THEN 'inf' ELSE (g % 64) / 4.0 END,
  CASE WHEN g % 500 = 0 THEN float8 '-inf' ELSE g % 97 END, nullif(g % 31, 3), g, nullif('f' || g % 5, 'f2'), ARRAY[g % 3, g],
  NULL, jsonb_build_object('g', g % 10), g / 4.0, g % 16
FROM generate_series(0, 19999) g;
INSERT INTO t SELECT * FROM raw WHERE time < '2024-01-03';                     -- cold
SET tsext.enable_bulk = off;
INSERT INTO t SELECT * FROM raw WHERE time >= '2024-01-03';                    -- hot
INSERT INTO t SELECT * FROM raw WHERE s = 17 OR s = 18000;                     -- a second time, hot, in a cold chunk as well
INSERT INTO raw SELECT * FROM raw WHERE s = 17 OR s = 18000;
INSERT INTO t VALUES (NULL, 'n', 1), ('-infinity', 'm', 2), ('infinity', 'p', 3);
INSERT INTO raw VALUES (NULL, 'n', 1), ('-infinity', 'm', 2), ('infinity', 'p', 3);
RESET tsext.enable_bulk;
SELECT differences('t', 'raw');

CREATE VIEW expected AS
SELECT time_bucket('10 min', time) AS time, host, avg(a) AS a, min(mi) AS mi, max(ma) AS ma, sum(s)::bigint AS s,
  first(f, time) AS f, last(l, time) AS l, count(*) AS c, last(other, time) AS other, avg(d)::numeric(12, 2) AS d, avg(r)::real AS r
FROM raw WHERE isfinite(time) AND time < '2024-01-04 07:50' GROUP BY 1, 2
UNION ALL SELECT * FROM raw WHERE NOT isfinite(time) OR time >= '2024-01-04 07:50' OR time IS NULL;
CREATE TABLE should AS TABLE expected;
\set aggregates '{"a": "avg", "mi": "min", "ma": "max", "s": "sum", "f": "first", "l": "last", "c": "count", "d": "avg", "r": "avg"}'
SELECT * FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
SELECT differences('t', 'should');
SELECT * FROM tsext.verify('t');
SELECT totals_agree('t');
-- Again: nothing to do, not even the rows' places change.
SELECT count(*) AS cold FROM tsext.segments WHERE table_name = 't' \gset before_
SELECT * FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
SELECT count(*) = :before_cold FROM tsext.segments WHERE table_name = 't';
SELECT differences('t', 'should');
-- After a compaction too.
SELECT rows_moved > 0 AS moved FROM tsext.compact('t');
SELECT * FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
-- Later: only what came to be old meanwhile.
SELECT * FROM tsext.downsample('t', timestamptz '2024-01-04 08:54:30', '10 min', :'aggregates');
-- Rows that come late are folded in; in the others nothing changes. c counts for itself.
DELETE FROM should WHERE time = '2024-01-02 03:00' AND host = 'h1';
INSERT INTO should SELECT time, host, (a + 8) / 2, least(mi, 1), ma, s + 1000000, f, ARRAY[7], c + 1, '{"late": 1}', (d + 3) / 2, (r + 5) / 2
FROM t WHERE time = '2024-01-02 03:00' AND host = 'h1';
INSERT INTO t VALUES ('2024-01-02 03:04', 'h1', 8, 1, 2, 1000000, 'late', '{7}', NULL, '{"late": 1}', 3, 5);
SELECT ranges, rows_before - rows_after AS folded FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
SELECT count(*) FROM (SELECT * FROM should WHERE time < '2024-01-04 07:00' EXCEPT ALL TABLE t) d;
-- A late row at the very start of a bucket, and one in a segment.
INSERT INTO t SELECT time, host, a, mi, ma, s, f, l, 1, other, d, r FROM t WHERE time = '2024-01-01 12:00' AND host = 'h2';
SELECT ranges, rows_before - rows_after AS folded FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
INSERT INTO t SELECT timestamptz '2024-01-01 05:00' + g * interval '1 s', 'bulk', g, g, g, g, 'f', '{1}', NULL, '1', 1, 1 FROM generate_series(1, 5000) g;
SELECT ranges, rows_before - rows_after AS folded FROM tsext.downsample('t', timestamptz '2024-01-04 07:54:30', '10 min', :'aggregates');
SELECT count(*), sum(c), sum(s) FROM t WHERE host = 'bulk';
SELECT count(*) FROM tsext.verify('t');
SELECT totals_agree('t');

-- A wider bucket over the result: sums, least, greatest, first and last values and counts stay what they were. Buckets span chunks.
SELECT sum(s) AS s, min(mi) AS mi, max(ma) AS ma, sum(c) AS c FROM t WHERE isfinite(time) \gset before_
SELECT * FROM tsext.downsample('t', timestamptz '2024-01-06', '36 hours', :'aggregates');
SELECT sum(s) = :before_s, min(mi) = :'before_mi', max(ma) = :before_ma, sum(coalesce(c, 1)) FROM t WHERE isfinite(time);
SELECT time, host, mi, ma, s, f, l, c, other FROM t ORDER BY time, host;

-- Weights over three levels. Missing rows and NULLs make them uneven.
CREATE TABLE w (time timestamp NOT NULL, host int, v float8, q numeric, total bigint, few float8, n bigint)
  USING tsext WITH (tsext.segment_by = 'host');
INSERT INTO w SELECT timestamp '2024-02-01' + g * interval '5 s', g % 3, random() * 1000, 60 * (g % 1000), g,
  CASE WHEN g % 4 = 0 THEN g END, NULL
FROM generate_series(0, 89999) g WHERE g % 7 <> 3;
CREATE TABLE w_raw AS TABLE w;
\set weighted '{"v": "avg", "q": "avg", "total": "sum", "few": "avg"}'
CREATE VIEW preserved AS SELECT
  (SELECT abs(sum(v * coalesce(n, 1)) / (SELECT sum(v) FROM w_raw) - 1) < 1e-12 FROM w) AS v,
  (SELECT round(sum(q * coalesce(n, 1)), 6) = (SELECT sum(q) FROM w_raw) FROM w) AS q,
  (SELECT sum(total) = (SELECT sum(total) FROM w_raw) FROM w) AS total,
  (SELECT sum(coalesce(n, 1)) = (SELECT count(*) FROM w_raw) FROM w) AS n, (SELECT count(*) FROM w) AS rows;
SELECT * FROM preserved;
SELECT * FROM tsext.downsample('w', timestamp '2024-02-07', '1 min', :'weighted', 'n');
SELECT * FROM preserved;
SELECT * FROM tsext.downsample('w', timestamp '2024-02-05', '5 min', :'weighted', 'n');
SELECT * FROM preserved;
SELECT * FROM tsext.downsample('w', timestamp '2024-02-03', '1 hour', :'weighted', 'n');
SELECT * FROM preserved;
-- In one step from raw rows the same averages come out.
SELECT max(abs(w.v / e.v - 1)) < 1e-12, max(abs(w.q - e.q)) < 1e-6, bool_and(w.total = e.total), bool_and(w.n = e.n), count(*)
FROM w JOIN (SELECT time_bucket('1 hour', time) AS time, host, avg(v) AS v, avg(q) AS q, sum(total) AS total, count(*) AS n
  FROM w_raw GROUP BY 1, 2) e USING (time, host) WHERE time < '2024-02-03';
-- The finer policy finds nothing to do in what is coarser.
SELECT * FROM tsext.downsample('w', timestamp '2024-02-07', '1 min', :'weighted', 'n');
SELECT * FROM preserved;
-- A late row weighs one.
SELECT v, n FROM w WHERE time = '2024-02-02 10:00' AND host = 1 \gset
INSERT INTO w (time, host, v) VALUES ('2024-02-02 10:13', 1, 5000);
SELECT ranges, rows_before - rows_after AS folded FROM tsext.downsample('w', timestamp '2024-02-03', '1 hour', :'weighted', 'n');
SELECT abs(v - (:v * :n + 5000) / (:n + 1)) < 1e-9 AS v, n = :n + 1 AS n FROM w WHERE time = '2024-02-02 10:00' AND host = 1;

-- Without end: rows of an infinite time stay.
INSERT INTO w (time, host, v) VALUES ('infinity', 1, 1), ('-infinity', 1, 1);
SELECT * FROM tsext.downsample('w', timestamp '-infinity', '1 hour', :'weighted', 'n');
SELECT * FROM tsext.downsample('w', timestamp 'infinity', '1 hour', :'weighted', 'n');
SELECT count(*), count(*) FILTER (WHERE isfinite(time)) FROM w;
SELECT * FROM tsext.downsample('w', timestamp 'infinity', '1 hour', :'weighted', 'n');

-- Dates; months; one series; a table that stays hot because of its key.
CREATE TABLE days (day date PRIMARY KEY, v numeric) USING tsext WITH (tsext.segment_by = '');
INSERT INTO days SELECT date '2020-01-01' + g, g FROM generate_series(0, 1999) g;
SELECT * FROM tsext.downsample('days', date '2025-03-15', '1 month', '{"v": "avg"}');
SELECT count(*), min(day), max(day), max(day) FILTER (WHERE day < '2025-03-01') FROM days;
SELECT day, v FROM days WHERE day < '2020-04-01' ORDER BY day;
SELECT * FROM tsext.downsample('days', date '2025-03-15', '1 hour', '{"v": "avg"}');
CREATE TABLE keyed (time timestamptz, host text, v int, PRIMARY KEY (host, time)) USING tsext WITH (tsext.segment_by = 'host');
CREATE INDEX ON keyed (v);
INSERT INTO keyed SELECT timestamptz '2024-01-01' + g * interval '1 min', 'h' || g % 2, g FROM generate_series(0, 5999) g;
SELECT * FROM tsext.downsample('keyed', timestamptz '2024-01-03', '1 hour', '{"v": "max"}');
SELECT count(*) FROM keyed;
SET enable_seqscan = off;
SELECT * FROM keyed WHERE v = 119;
SELECT * FROM keyed WHERE host = 'h0' AND time = '2024-01-01 05:00';
RESET enable_seqscan;

-- NOT NULL, generated, identity, checked columns and domains; columns dropped and added meanwhile; no trigger fires.
CREATE DOMAIN percent AS float8 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE special (gone int, time timestamptz NOT NULL, "Host Name" text NOT NULL, p percent NOT NULL,
  twice float8 GENERATED ALWAYS AS (p * 2) STORED, id bigint GENERATED ALWAYS AS IDENTITY, k int CHECK (k <> 7))
  USING tsext WITH (tsext.segment_by = '"Host Name"');
INSERT INTO special (time, "Host Name", p, k) SELECT timestamptz '2024-01-01' + g * interval '1 s', 'a b', g % 101, 1 FROM generate_series(0, 9999) g;
ALTER TABLE special DROP COLUMN gone;
ALTER TABLE special ADD COLUMN late text DEFAULT 'd';
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'trigger fired'; END $$;
CREATE TRIGGER fail BEFORE INSERT OR DELETE ON special FOR EACH ROW EXECUTE FUNCTION fail();
SELECT * FROM tsext.downsample('special', timestamptz '2024-01-02', '1 hour', '{"p": "avg"}');
SELECT time, "Host Name", round(p::numeric, 3) AS p, round(twice::numeric, 3) AS twice, id, k, late FROM special ORDER BY 1;
DROP TRIGGER fail ON special;
-- A check that a bucket would violate: the range stays as it is.
INSERT INTO special (time, "Host Name", p, k) SELECT timestamptz '2024-01-01 10:00' + g * interval '1 min', 'c', 1, 6 + g % 3 * 2 FROM generate_series(0, 9) g;
SELECT * FROM tsext.downsample('special', timestamptz '2024-01-02', '1 day', '{"k": "avg"}');
SELECT * FROM tsext.downsample('special', timestamptz '2024-01-02', '1 day', '{"k": "sum"}');
ALTER TABLE special ALTER COLUMN k TYPE numeric;
ALTER TABLE special ADD CHECK (k < 20);
SELECT * FROM tsext.downsample('special', timestamptz '2024-01-02', '1 day', '{"k": "sum"}');
SELECT count(*) FROM special;

-- What is remembered goes with TRUNCATE and DROP.
SELECT count(*) > 0 AS remembered FROM tsext.downsample_range r JOIN pg_class c ON c.reltoastrelid = r.store WHERE c.oid = 'w'::regclass;
TRUNCATE w;
SELECT count(*) FROM tsext.downsample_range r JOIN pg_class c ON c.reltoastrelid = r.store WHERE c.oid = 'w'::regclass;
SELECT * FROM tsext.downsample('w', timestamp '2024-02-07', '1 min', :'weighted', 'n');
SELECT reltoastrelid AS store FROM pg_class WHERE oid = 't'::regclass \gset
DROP TABLE t;
SELECT count(*) FROM tsext.downsample_range WHERE store = :store;

-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- The policy.
CREATE TABLE p (time timestamptz NOT NULL, host text, v float8, n bigint) USING tsext WITH (tsext.segment_by = 'host');
INSERT INTO p SELECT date_trunc('day', now()) - interval '10 days' + g * interval '1 min', 'h' || g % 5, g % 8 FROM generate_series(0, 14399) g;
BEGIN;  -- the scheduler keeps out of it
SELECT add_downsampling_policy('p', '3 days', '1 hour', '{"v": "avg"}', 'n') AS job \gset
SELECT scheduled FROM alter_job(:job, scheduled => false);
COMMIT;
SELECT add_downsampling_policy('p', '3 days', '1 hour', '{"v": "avg"}', 'n', if_not_exists => true) = :job AS same;
\set VERBOSITY terse
SELECT add_downsampling_policy('p', '4 days', '1 hour', '{"v": "avg"}', 'n');
\set VERBOSITY default
SELECT proc_schema, proc_name, relation, schedule_interval, config FROM tsext.jobs WHERE job_id = :job;
SELECT sum(v), count(*) FROM p;
CALL run_job(:job);
SELECT sum(v * coalesce(n, 1)), sum(coalesce(n, 1)) FROM p;
SELECT count(*) = count(DISTINCT (host, time)) AND bool_and(time = time_bucket('1 hour', time)) FROM p
WHERE time < time_bucket('1 hour', now() - interval '3 days 1 hour');
SELECT outcome, rows > 9000 AS rows FROM tsext.job_runs WHERE job_id = :job;
SELECT count(*) > 0 AS remembered FROM tsext.downsample_range r JOIN pg_class c ON c.reltoastrelid = r.store WHERE c.oid = 'p'::regclass;
CALL run_job(:job);
SELECT sum(v * coalesce(n, 1)), sum(coalesce(n, 1)) FROM p;
BEGIN;
CALL run_job(:job);
COMMIT;
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "bucket": "01:00:00", "aggregates": {"v": "avg"}, "weight_column": "n"}');
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "bucket": "01:00:00", "aggregates": {"v": "mean"}}');
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "bucket": "01:00:00", "aggregates": {"v": "avg"}, "weights": "n"}');
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "aggregates": {"v": "avg"}}');
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "bucket": "1 month 3 days", "aggregates": {"v": "avg"}}');
SELECT config FROM alter_job(:job, config => '{"after": 5, "bucket": "01:00:00", "aggregates": {"v": "avg"}}');
SELECT config FROM alter_job(:job, config => '{"after": "5 days", "bucket": "01:00:00"}');
SELECT config FROM alter_job(:job, config => '[]');
SELECT remove_downsampling_policy('p');
SELECT count(*) FROM tsext.downsample_range r JOIN pg_class c ON c.reltoastrelid = r.store WHERE c.oid = 'p'::regclass;
SELECT remove_downsampling_policy('p');
SELECT remove_downsampling_policy('p', true);
CALL tsext.policy_downsample(-1, '{}');

-- Wrong use.
CREATE TABLE plain (time timestamptz, v float8);
CREATE TABLE bad (time timestamptz, host text, v float8, i int, b bigint, j json, g float8 GENERATED ALWAYS AS (v) STORED)
  USING tsext WITH (tsext.segment_by = 'host');
SELECT add_downsampling_policy('plain', '1 day', '1 hour', '{}');
SELECT add_downsampling_policy('bad', '-1 day', '1 hour', '{}');
SELECT add_downsampling_policy('bad', '0', '1 hour', '{}');
SELECT add_downsampling_policy('bad', NULL, '1 hour', '{}');
SELECT add_downsampling_policy('bad', '1 day', '0', '{}');
SELECT add_downsampling_policy('bad', '1 day', '-1 hour', '{}');
SELECT add_downsampling_policy('bad', '1 day', '1 month 2 days', '{}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '[]');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '"avg"');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"v": 1}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"v": {"avg": 1}}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"v": "median"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"nope": "avg"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"i": "avg"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"i": "sum"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"i": "count"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"host": "last"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"time": "max"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"j": "max"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"g": "avg"}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{}', 'nope');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{}', 'i');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{"b": "avg"}', 'b');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', NULL);
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{}', schedule_interval => '-1 h');
SELECT tsext.downsample('bad', NULL::timestamptz, '1 hour', '{}');
SELECT tsext.downsample('bad', 17, '1 hour', '{}');
CREATE TABLE unknown_series (time timestamptz, host text) USING tsext;
SELECT tsext.downsample('unknown_series', now(), '1 hour', '{}');
CREATE TABLE integers (time bigint NOT NULL, host text) USING tsext WITH (tsext.segment_by = 'host', tsext.time_column = 'time');
SELECT tsext.downsample('integers', 100, '1 hour', '{}');
CREATE TABLE no_time (host text) USING tsext WITH (tsext.segment_by = 'host');
SELECT tsext.downsample('no_time', now(), '1 hour', '{}');
CREATE TABLE json_series (time timestamptz, j json) USING tsext WITH (tsext.segment_by = 'j');
SELECT add_downsampling_policy('json_series', '1 day', '1 hour', '{}');
CREATE TABLE dates (day date, host text) USING tsext WITH (tsext.segment_by = 'host');
SELECT add_downsampling_policy('dates', '10 days', '30 hours', '{}');
CREATE UNIQUE INDEX narrow ON bad (time);
SELECT tsext.downsample('bad', now(), '1 hour', '{}');
DROP INDEX narrow;
CREATE UNIQUE INDEX expression ON bad (host, time, lower(host));
SELECT tsext.downsample('bad', now(), '1 hour', '{}');
DROP INDEX expression;
CREATE TABLE parent (host text PRIMARY KEY);
CREATE TABLE child (time timestamptz, host text REFERENCES parent) USING tsext WITH (tsext.segment_by = 'host');
SELECT tsext.downsample('child', now(), '1 hour', '{}');
CREATE TABLE referenced (time timestamptz PRIMARY KEY, host text) USING tsext WITH (tsext.segment_by = '');
CREATE TABLE referencing (time timestamptz REFERENCES referenced);
SELECT tsext.downsample('referenced', now(), '1 hour', '{}');
CREATE ROLE downsample_user;
GRANT CREATE ON SCHEMA public TO downsample_user;
SET ROLE downsample_user;
SELECT tsext.downsample('bad', now(), '1 hour', '{}');
SELECT add_downsampling_policy('bad', '1 day', '1 hour', '{}');
SELECT remove_downsampling_policy('bad');
SELECT count(*) FROM tsext.downsample_range;
-- The owner needs no rights on anything else.
CREATE TABLE mine (time timestamptz, host text, v float8) USING tsext WITH (tsext.segment_by = 'host');
INSERT INTO mine SELECT timestamptz '2024-01-01' + g * interval '1 min', 'h', g FROM generate_series(0, 599) g;
SELECT * FROM tsext.downsample('mine', now(), '1 hour', '{"v": "sum"}');
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
ALTER TABLE mine FORCE ROW LEVEL SECURITY;
SELECT * FROM tsext.downsample('mine', now(), '1 day', '{"v": "sum"}');
RESET ROLE;
-- A superuser runs what the owner wrote with the owner's rights.
SELECT * FROM tsext.downsample('mine', now(), '1 day', '{"v": "sum"}');
ALTER TABLE mine NO FORCE ROW LEVEL SECURITY;
SET ROLE downsample_user;
CREATE FUNCTION tell(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'as %', current_user; RETURN $1; END $$;
SET client_min_messages = warning;
CREATE INDEX ON mine (tell(host));
RESET client_min_messages;
RESET ROLE;
SELECT * FROM tsext.downsample('mine', now(), '1 day', '{"v": "sum"}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT tsext.downsample('bad', now(), '1 hour', '{}');
ROLLBACK;
BEGIN READ ONLY;
SELECT tsext.downsample('bad', now(), '1 hour', '{}');
ROLLBACK;

-- Temporary tables by hand; partitions; nothing there at all.
CREATE TEMP TABLE temporary (time timestamptz, host text, v float8) USING tsext WITH (tsext.segment_by = 'host');
SELECT * FROM tsext.downsample('temporary', now(), '1 hour', '{"v": "sum"}');
INSERT INTO temporary SELECT timestamptz '2024-01-01' + g * interval '1 min', 'h', 1 FROM generate_series(0, 599) g;
SELECT * FROM tsext.downsample('temporary', now(), '1 hour', '{"v": "sum"}');
SELECT * FROM tsext.downsample('temporary', now(), '1 hour', '{"v": "sum"}');
SELECT add_downsampling_policy('temporary', '1 day', '1 hour', '{"v": "sum"}');
CREATE TABLE parted (time timestamptz, host text, v float8) PARTITION BY RANGE (time);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01 12:00') TO ('2024-01-02 12:00') USING tsext WITH (tsext.segment_by = 'host');
INSERT INTO parted SELECT timestamptz '2024-01-01 12:00' + g * interval '1 min', 'h', 1 FROM generate_series(0, 599) g;
SELECT * FROM tsext.downsample('parted_1', now(), '1 day', '{"v": "sum"}');
SELECT * FROM tsext.downsample('parted_1', now(), '1 hour', '{"v": "sum"}');

DROP TABLE mine, temporary, parted, referencing, referenced, child, parent, bad, plain, dates, json_series, no_time, integers,
  unknown_series, p, special, keyed, days;
DROP FUNCTION tell;
REVOKE CREATE ON SCHEMA public FROM downsample_user;
DROP ROLE downsample_user;
DROP VIEW expected, preserved;
DROP TABLE w, w_raw, raw, should;
DROP DOMAIN percent;
DROP FUNCTION fail, differences, totals_agree;
