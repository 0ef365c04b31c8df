-- TsextAggregate: the same answers as PostgreSQL's own aggregation of a heap copy.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET tsext.enable_bulk = off;
SET extra_float_digits = -3;
CREATE EXTENSION IF NOT EXISTS tsext;

CREATE TABLE agg (time timestamptz NOT NULL, host text, region text, i2 smallint, i4 int, i8 bigint,
  f4 real, f8 float8, n numeric, ok bool, d date, u uuid, note text) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
CREATE TABLE agg_heap (LIKE agg) USING heap;
SELECT setseed(0.25);
INSERT INTO agg_heap
SELECT t,
       CASE WHEN h = 7 THEN NULL ELSE 'host_' || h END,
       (ARRAY['eu', 'us', 'ap', NULL])[1 + h % 4],
       (random() * 60000 - 30000)::int::smallint,
       CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 2000000000)::int END,
       CASE WHEN random() < 0.01 THEN 9223372036854775807 WHEN random() < 0.01 THEN -9223372036854775808
            ELSE (random() * 1e15)::bigint END,
       CASE WHEN h = 3 AND random() < 0.1 THEN 'NaN' ELSE (random() * 100)::real END,
       CASE WHEN random() < 0.05 THEN NULL WHEN random() < 0.01 THEN '-0' ELSE round((random() * 1000)::numeric, 2)::float8 END,
       CASE WHEN random() < 0.1 THEN NULL ELSE round((random() * 1000)::numeric, (random() * 4)::int) END,
       random() < 0.7,
       date '2024-03-30' + (random() * 3)::int,
       md5((random() * 20)::int::text)::uuid,
       'n' || (random() * 300)::int
FROM generate_series(timestamptz '2024-03-30 00:00+00', '2024-04-01 23:59+00', '7 minutes') t, generate_series(0, 9) h;
INSERT INTO agg SELECT * FROM agg_heap WHERE time < '2024-04-01 12:00+00';
SELECT tsext.compact('agg') IS NOT NULL AS compacted;
INSERT INTO agg SELECT * FROM agg_heap WHERE time >= '2024-04-01 12:00+00';
SELECT count(*) > 0 AS has_cold_rows FROM tsext.segments WHERE table_name = 'agg';
ANALYZE agg;
ANALYZE agg_heap;

-- Runs a query, whose table is written {t}, on the heap copy, with TsextAggregate and without it. Floats are compared by 12
-- digits. node: what groups; differences: rows on one side only.
CREATE FUNCTION same(query text, OUT node text, OUT rows bigint, OUT differences bigint, OUT differences_off bigint)
LANGUAGE plpgsql AS $$
DECLARE
  ours text := replace(query, '{t}', 'agg');
  theirs text := replace(query, '{t}', 'agg_heap');
  line text;
  is_parallel bool := false;
  compare text := $f$WITH a AS MATERIALIZED (SELECT x::text AS r FROM (%s) x), b AS MATERIALIZED (SELECT x::text AS r FROM (%s) x)
    SELECT count(*) FROM ((SELECT r FROM a EXCEPT ALL SELECT r FROM b) UNION ALL (SELECT r FROM b EXCEPT ALL SELECT r FROM a)) d$f$;
BEGIN
  node := 'other';
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || ours LOOP
    IF line LIKE '%(TsextAggregate)%' THEN node := 'TsextAggregate'; END IF;
    IF line LIKE '%Gather%' THEN is_parallel := true; END IF;
  END LOOP;
  IF is_parallel THEN node := 'parallel ' || node; END IF;
  EXECUTE 'SELECT count(*) FROM (' || theirs || ') x' INTO rows;
  EXECUTE format(compare, ours, theirs) INTO differences;
  SET LOCAL tsext.enable_aggregate = off;
  EXECUTE format(compare, ours, theirs) INTO differences_off;
  SET LOCAL tsext.enable_aggregate = on;
END $$;
-- A list of queries at once, so that each mode below asks all of them.
CREATE TABLE asked (id int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO asked (query) VALUES
  ('SELECT count(*) FROM {t}'),
  ('SELECT count(*), count(i4), count(f8), count(host), count(1), count(NULL) FROM {t}'),
  ('SELECT sum(i2), sum(i4), sum(i8), sum(f8), sum(n) FROM {t}'),
  ('SELECT avg(i2), avg(i4), avg(i8), avg(f8), avg(n), avg(f4) FROM {t} WHERE host <> ''host_3'''),
  ('SELECT min(i2), max(i2), min(i4), max(i4), min(i8), max(i8), min(f4), max(f4), min(f8), max(f8), min(n), max(n) FROM {t}'),
  ('SELECT min(time), max(time), min(d), max(d), min(host), max(region), min(u::text), max(note) FROM {t}'),
  ('SELECT stddev(f8), variance(f8), stddev_pop(f8), var_pop(f8), var_samp(f4), stddev(i2), var_pop(i4), stddev(i8), variance(n) FROM {t} WHERE host = ''host_1'''),
  ('SELECT host, avg(f8), stddev(f8), sum(f8), count(*) FROM {t} GROUP BY host'),
  ('SELECT bool_and(ok), bool_or(ok), every(ok), bool_and(i4 > 0) FROM {t}'),
  ('SELECT host, count(*), sum(i4), avg(i4), max(f4), sum(f4::float8) FROM {t} GROUP BY host'),
  ('SELECT region, host, count(*), min(f8) FROM {t} GROUP BY region, host'),
  ('SELECT time_bucket(''1 hour'', time) b, host, avg(f8), count(*) FROM {t} GROUP BY 1, 2'),
  ('SELECT time_bucket(''25 minutes'', time, ''2024-03-30 00:10+00''::timestamptz) b, sum(i2) FROM {t} GROUP BY 1'),
  ('SELECT time_bucket(''1 month'', time) b, max(i8) FROM {t} GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', time, ''Europe/Berlin'') b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time, ''Australia/Lord_Howe'') b, host, count(*) FROM {t} GROUP BY 1, 2'),
  ('SELECT date_trunc(''hour'', time) b, count(*), avg(f8) FROM {t} GROUP BY 1'),
  ('SELECT date_trunc(''day'', time, ''America/New_York'') b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT date_trunc(''day'', time AT TIME ZONE ''Europe/Berlin'') b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT time AT TIME ZONE ''Europe/Berlin'' b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT date_bin(''15 minutes'', time, ''2024-03-31 00:07+00'') b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT floor(extract(epoch FROM time) / 600) * 600 b, host, avg(f8) FROM {t} GROUP BY 1, 2'),
  ('SELECT extract(hour FROM time) h, count(*) FROM {t} GROUP BY 1'),
  ('SELECT time::date dd, count(*) FROM {t} GROUP BY 1'),
  ('SELECT (extract(epoch FROM time) / 900)::bigint * 900 b, count(*) FROM {t} GROUP BY 1'),
  ('SELECT i2 / 1000 b, i2 % 3, count(*) FROM {t} GROUP BY 1, 2'),
  ('SELECT nullif(f8, 0), f4, count(*) FROM {t} GROUP BY f8, f4'),
  ('SELECT f8 + 0 z, count(*) FROM {t} GROUP BY 1'),
  ('SELECT trim_scale(n), count(*) FROM {t} GROUP BY n'),
  ('SELECT u, ok, d, count(*) FROM {t} GROUP BY u, ok, d'),
  ('SELECT note, count(*) FROM {t} GROUP BY note'),
  ('SELECT upper(region) r, length(note), count(*) FROM {t} GROUP BY 1, 2'),
  ('SELECT host, count(*) FROM {t} GROUP BY host HAVING avg(f8) > 500'),
  ('SELECT host, sum(f8) / count(*) AS mean FROM {t} GROUP BY host HAVING count(*) > 3 AND host IS NOT NULL'),
  ('SELECT host, count(*) FILTER (WHERE f8 > 500), sum(i4) FILTER (WHERE ok), avg(f8) FILTER (WHERE region = ''eu'') FROM {t} GROUP BY host'),
  ('SELECT sum(1000 / i2) FILTER (WHERE i2 <> 0), count(*) FILTER (WHERE false) FROM {t}'),
  ('SELECT sum(f8 * 2 + i4), max(abs(i2)), avg(coalesce(i4, 0)) FROM {t}'),
  ('SELECT host, first(f8, time), last(f8, time), first(note, time), last(i4, time) FROM {t} GROUP BY host'),
  ('SELECT time_bucket(''6 hours'', time) b, host, last(n, time), first(region, time) FROM {t} GROUP BY 1, 2'),
  ('SELECT last(note, d), first(f8, i8 % 7) IS NULL x FROM (SELECT * FROM {t} WHERE host = ''none'') s'),
  ('SELECT region, array_length(array_agg(i4), 1), length(string_agg(note, '','')), histogram(f8, 0, 1000, 4) FROM {t} GROUP BY region'),
  ('SELECT count(*), sum(i4), min(f8), bool_and(ok), avg(i4), stddev(f8), last(f8, time) FROM {t} WHERE host = ''none'''),
  ('SELECT host, count(*) FROM {t} WHERE host = ''none'' GROUP BY host'),
  ('SELECT 1 AS one, count(*) FROM {t} GROUP BY 1'),
  ('SELECT host, count(*) FROM {t} WHERE time >= ''2024-03-30 10:00+00'' AND time < ''2024-03-30 12:00+00'' AND f8 > 100 GROUP BY host'),
  ('SELECT time_bucket(''1 hour'', time) b, max(f8) FROM {t} WHERE host IN (''host_1'', ''host_4'') AND ok GROUP BY b'),
  ('SELECT DISTINCT host FROM {t}'),
  ('SELECT DISTINCT region, ok FROM {t}'),
  ('SELECT DISTINCT date_trunc(''day'', time) FROM {t}'),
  ('SELECT count(DISTINCT host) FROM {t}'),
  ('SELECT host, count(DISTINCT region), count(DISTINCT u) FILTER (WHERE ok), count(DISTINCT f8), count(*) FROM {t} GROUP BY host'),
  ('SELECT region, count(DISTINCT date_trunc(''hour'', time)), count(DISTINCT n), max(DISTINCT i4), count(DISTINCT upper(note)) FILTER (WHERE i2 > 0) FROM {t} WHERE i8 > 5 GROUP BY region'),
  ('SELECT host, sum(DISTINCT i2) FROM {t} GROUP BY host'),
  ('SELECT host, percentile_cont(0.5) WITHIN GROUP (ORDER BY f8) FROM {t} GROUP BY host'),
  ('SELECT host, region, count(*) FROM {t} GROUP BY ROLLUP (host, region)'),
  ('SELECT h.host, x.c FROM (VALUES (''host_1''), (''host_5''), (''none'')) h(host), LATERAL (SELECT count(*) c, max(f8) FROM {t} t WHERE t.host = h.host) x'),
  ('SELECT k, x.b, x.c FROM generate_series(1, 3) k, LATERAL (SELECT time_bucket(''1 day'' , time) b, sum(i2 * k) c FROM {t} GROUP BY 1) x'),
  ('WITH c AS MATERIALIZED (SELECT host, count(*) c FROM {t} GROUP BY host) SELECT a.host, b.c FROM c a JOIN c b USING (host)'),
  ('SELECT host, count(*) FROM {t} GROUP BY host UNION ALL SELECT region, sum(i2) FROM {t} GROUP BY region'),
  ('SELECT rank() OVER (ORDER BY count(*), host), host FROM {t} GROUP BY host'),
  ('SELECT max(m) FROM (SELECT host, max(f8) m FROM {t} GROUP BY host) s'),
  ('SELECT host, (SELECT count(*) FROM {t} i WHERE i.host = o.host AND i.ok) FROM {t} o GROUP BY host'),
  ('SELECT time_bucket(''1 hour'', time) b, max(f8) FROM {t} GROUP BY b ORDER BY b DESC LIMIT 3'),
  ('SELECT time_bucket(''1 hour'', time) b, max(f8) FROM {t} WHERE time < ''2024-03-31 11:00+00'' GROUP BY b ORDER BY b LIMIT 3'),
  ('SELECT time_bucket(''10 minutes'', time) b, max(f8), count(*), sum(i4) FROM {t} GROUP BY b ORDER BY b DESC LIMIT 7 OFFSET 3'),
  ('SELECT time_bucket(''10 minutes'', time) b, min(f8), count(*), last(i2, time) IS NULL FROM {t} WHERE host = ''host_2'' GROUP BY b ORDER BY b LIMIT 20'),
  ('SELECT time_bucket(''2 hours'', time) b, count(*) FROM {t} WHERE f8 > 500 GROUP BY b HAVING count(*) > 80 ORDER BY b DESC LIMIT 4'),
  ('SELECT date_bin(''3 hours'', time, ''2024-03-30 01:00+00'') b, avg(i4) FROM {t} WHERE time > ''2024-03-30 11:00+00'' GROUP BY b ORDER BY b LIMIT 5'),
  ('SELECT time_bucket(''1 day'', time) b, avg(i4) FROM {t} GROUP BY b ORDER BY b DESC LIMIT 100'),
  ('SELECT time_bucket(''1 minute'', time) b, count(*) FROM {t} GROUP BY b ORDER BY b DESC LIMIT 0'),
  ('SELECT host, last(f8, time), last(note, time), max(time) FROM {t} GROUP BY host'),
  ('SELECT host, first(i4, time), min(time) FROM {t} WHERE f8 > 300 GROUP BY host HAVING min(time) > ''2024-03-30 00:01+00'''),
  ('SELECT region, host, max(time), max(time) - interval ''1 hour'' FROM {t} WHERE host <> ''host_4'' GROUP BY host, region'),
  ('SELECT x.host, x.l FROM generate_series(1, 2) k, LATERAL (SELECT host, last(i2, time) + k AS l FROM {t} WHERE i2 % 2 = k - 1 GROUP BY host) x'),
  ('SELECT * FROM (SELECT time_bucket(''4 hours'', time) b, sum(i2) FROM {t} WHERE region = ''eu'' GROUP BY b ORDER BY b DESC LIMIT (SELECT 2)) x');

SELECT id, s.rows, s.differences, s.differences_off FROM asked, same(query) s ORDER BY id;
SELECT count(*) FILTER (WHERE s.node = 'TsextAggregate') > 40 AS most_are_ours FROM asked, same(query) s;
EXPLAIN (COSTS OFF) SELECT time_bucket('1 hour', time) b, host, avg(f8), count(*) FROM agg WHERE f4 > 10 GROUP BY 1, 2 HAVING count(*) > 1;
EXPLAIN (COSTS OFF, FORMAT json) SELECT date_trunc('day', time), upper(region), sum(i4) FILTER (WHERE ok) FROM agg GROUP BY 1, 2;
EXPLAIN (COSTS OFF) SELECT DISTINCT host FROM agg;
-- Buckets in order, no sort.
EXPLAIN (COSTS OFF) SELECT time_bucket('10 minutes', time) b, max(f8) FROM agg GROUP BY b ORDER BY b DESC LIMIT 7;
-- What is not ours.
EXPLAIN (COSTS OFF) SELECT host, sum(DISTINCT i2) FROM agg GROUP BY host;
EXPLAIN (COSTS OFF) SELECT host, count(DISTINCT region) FROM agg GROUP BY host;
SET tsext.enable_aggregate = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM agg;
-- Of the newest rows of series only: TsextLast below.
EXPLAIN (COSTS OFF) SELECT host, last(f8, time), max(time) FROM agg GROUP BY host;
SET tsext.enable_aggregate = on;

-- Everything again: after a sort by no key, in small memory (several passes), in parallel, all cold, all hot.
CREATE VIEW failures AS SELECT id, s.* FROM asked, same(query) s WHERE s.differences + s.differences_off > 0 OR s.rows IS NULL;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT * FROM failures;
RESET work_mem;
RESET hash_mem_multiplier;

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FILTER (WHERE s.node = 'parallel TsextAggregate') > 20 AS some_are_parallel, sum(differences + differences_off) AS differences
FROM asked, same(query) s;
SELECT * FROM failures;
SET parallel_leader_participation = off;
SELECT * FROM failures;
RESET parallel_leader_participation;
SET max_parallel_workers_per_gather = 0;

SELECT tsext.compact('agg') IS NOT NULL AS compacted;
SELECT * FROM failures;
CREATE TABLE agg_hot (LIKE agg) USING tsext;
INSERT INTO agg_hot SELECT * FROM agg_heap ORDER BY time;
ALTER TABLE agg RENAME TO agg_cold;
ALTER TABLE agg_hot RENAME TO agg;
SELECT * FROM failures;
DROP TABLE agg;
ALTER TABLE agg_cold RENAME TO agg;

-- Prepared statements with generic plans, cursors.
SET plan_cache_mode = force_generic_plan;
PREPARE per_host(timestamptz, text, int) AS
  SELECT host, count(*), sum(i2 * $3) FROM agg WHERE time >= $1 AND host <> $2 GROUP BY host ORDER BY host;
EXECUTE per_host('2024-03-31 00:00+00', 'host_3', 2);
EXECUTE per_host('2024-04-01 12:00+00', 'host_0', -1);
DEALLOCATE per_host;
RESET plan_cache_mode;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT host, count(*) FROM agg GROUP BY host ORDER BY host;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ABSOLUTE 9 FROM c;
COMMIT;

-- Errors are PostgreSQL's, and rows that do not pass are not evaluated.
SELECT sum(1 / i2) FROM (SELECT 0 AS i2) s;
SELECT count(*) FROM agg GROUP BY 1 / (i2 - i2);
SELECT sum(f8 * 1e308) FROM agg;
SELECT stddev(f8 * 1e300) FROM agg WHERE host = 'host_1';
SELECT count(*) FROM agg WHERE i2 <> 0 GROUP BY 10 / i2 LIMIT 0;
SELECT time_bucket('-1 hour', time), count(*) FROM agg GROUP BY 1;

-- Infinite times, times before the origin, time ranges at their ends.
CREATE TABLE agg_times (time timestamptz, d date, ts timestamp, i4 int, i8 bigint) USING tsext;
CREATE TABLE agg_times_heap (LIKE agg_times) USING heap;
INSERT INTO agg_times_heap VALUES
  ('-infinity', '-infinity', '-infinity', -2147483648, -9223372036854775808), ('infinity', 'infinity', 'infinity', 2147483647, 9223372036854775807),
  (NULL, NULL, NULL, NULL, NULL), ('1990-05-05 05:05:05.5+00', '1990-05-05', '1990-05-05 05:05:05.5', -1, -1),
  ('0044-03-15 12:00+00 BC', '0044-03-15 BC', '0044-03-15 12:00 BC', 0, 0), ('9999-12-31 23:59:59.999999+00', '9999-12-31', '9999-12-31 23:59:59.999999', 1, 1);
INSERT INTO agg_times_heap SELECT t, t::date, t, extract(epoch FROM t)::int, extract(epoch FROM t)::bigint * 1000
FROM generate_series(timestamptz '2010-11-01 00:00+00', '2010-11-14 00:00+00', '13 minutes') t;
INSERT INTO agg_times SELECT * FROM agg_times_heap;
TRUNCATE asked;
INSERT INTO asked (query)
SELECT format('SELECT %s b, count(*) FROM {t} GROUP BY 1', key) FROM unnest(ARRAY[
  'time_bucket(''1 hour'', time)', 'time_bucket(''7 days'', d)', 'time_bucket(''90 minutes'', ts, ''20 minutes''::interval)',
  'date_bin(''1 day'', ts, ''2001-01-01 03:00'')', 'date_trunc(''week'', ts)', 'date_trunc(''hour'', time)', 'date_trunc(''day'', d)',
  'date_trunc(''day'', time)', 'time::date', 'time::timestamp', 'ts::date', 'time_bucket(''1 month'', d)',
  'date_trunc(''hour'', time AT TIME ZONE ''America/St_Johns'')', 'extract(epoch FROM time)', 'floor(extract(epoch FROM ts) / 3600) * 3600',
  'i4 / 7', 'i8 / -3', 'time_bucket(86400, i4)', 'i8 + 1.5', 'd', 'd - 3', 'i4 % 5', 'i8::float8 / 86400']) key;
INSERT INTO asked (query) VALUES ('SELECT d b, last(i8, time), max(time) FROM {t} GROUP BY 1'), ('SELECT d b, first(ts, time) FROM {t} GROUP BY d');
CREATE FUNCTION same_times(query text, OUT rows text, OUT differences text) LANGUAGE plpgsql AS $$
DECLARE
  compare text := $f$WITH a AS MATERIALIZED (SELECT x::text AS r FROM (%s) x), b AS MATERIALIZED (SELECT x::text AS r FROM (%s) x)
    SELECT (SELECT count(*) FROM b), count(*) FROM ((SELECT r FROM a EXCEPT ALL SELECT r FROM b) UNION ALL (SELECT r FROM b EXCEPT ALL SELECT r FROM a)) d$f$;
BEGIN
  EXECUTE format(compare, replace(query, '{t}', 'agg_times WHERE i4 NOT IN (-2147483648, 2147483647)'),
    replace(query, '{t}', 'agg_times_heap WHERE i4 NOT IN (-2147483648, 2147483647)')) INTO rows, differences;
EXCEPTION WHEN OTHERS THEN
  rows := SQLERRM;
END $$;
SET timezone = 'America/St_Johns';  -- clocks were put back at 00:01 in November 2010
SELECT query, s.* FROM asked, same_times(query) s ORDER BY id;
SELECT tsext.compact('agg_times') IS NOT NULL AS compacted;
SELECT query, s.* FROM asked, same_times(query) s WHERE s.differences <> '0' ORDER BY id;
SET timezone = 'Australia/Lord_Howe';
SELECT query, s.* FROM asked, same_times(query) s WHERE s.differences <> '0' ORDER BY id;
SET timezone = 'UTC';
-- Infinities and ends of ranges, which some of these refuse.
SELECT time_bucket('1 hour', time) b, count(*) FROM agg_times WHERE i4 IN (-2147483648, 2147483647) GROUP BY 1 ORDER BY 1;
SELECT time_bucket('2 days', d) b, count(*), min(d), max(ts) FROM agg_times WHERE i4 IN (-2147483648, 2147483647) GROUP BY 1 ORDER BY 1;
SELECT time_bucket(86400, i4) b, count(*) FROM agg_times GROUP BY 1 ORDER BY 1;
SELECT time_bucket(1000::bigint, i8) b, count(*) FROM agg_times GROUP BY 1 ORDER BY 1;
SELECT sum(i8), avg(i8), min(i8), max(i8), sum(i4), avg(i4) FROM agg_times;

-- More groups than the planner expected, and than memory holds: several passes; parallel: parts of the groups early.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
CREATE TABLE many (time timestamptz NOT NULL, k int, g text, v float8, n numeric) USING tsext WITH (tsext.segment_by = 'g');
INSERT INTO many SELECT timestamptz '2024-01-01 00:00+00' + i * interval '1 s', i % 5001, 'g' || i % 3001, i, i FROM generate_series(1, 20000) i;
SELECT tsext.compact('many') IS NOT NULL AS compacted;
INSERT INTO many SELECT timestamptz '2024-01-02 00:00+00' + i * interval '1 s', i % 5001, 'g' || i % 3001, i, i FROM generate_series(1, 3000) i;
ALTER TABLE many ALTER k SET (n_distinct = 10), ALTER g SET (n_distinct = 5);
ANALYZE many;
CREATE TABLE many_heap AS SELECT * FROM many;
CREATE FUNCTION passes(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    IF line LIKE '%Passes: %' THEN RETURN 'several passes'; END IF;
  END LOOP;
  RETURN 'one pass';
END $$;
SELECT passes('SELECT k, count(*) FROM many GROUP BY k'), passes('SELECT k % 3, count(*) FROM many GROUP BY 1');
SELECT count(*) FROM (
  SELECT k, count(*), sum(v), sum(n), last(g, time) FROM many GROUP BY k EXCEPT ALL SELECT k, count(*), sum(v), sum(n), last(g, time) FROM many_heap GROUP BY k) d;
SELECT count(*), sum(c), min(c) FROM (SELECT k, count(DISTINCT g) AS c FROM many WHERE k < 4000 GROUP BY k) s;
SELECT count(*), sum(c), sum(array_length(a, 1)) FROM (SELECT g, count(*) AS c, array_agg(v) AS a FROM many GROUP BY g) s;
SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM (
  SELECT k, count(*), sum(v), sum(n), last(g, time) FROM many GROUP BY k EXCEPT ALL SELECT k, count(*), sum(v), sum(n), last(g, time) FROM many_heap GROUP BY k) d;
SET max_parallel_workers_per_gather = 0;
RESET work_mem;
RESET hash_mem_multiplier;
DROP TABLE many, many_heap;
DROP FUNCTION passes;

-- An empty table, one without columns, dropped and added columns.
CREATE TABLE agg_empty (time timestamptz, v float8) USING tsext;
SELECT count(*), sum(v), max(time) FROM agg_empty;
SELECT v, count(*) FROM agg_empty GROUP BY v;
ALTER TABLE agg_times DROP COLUMN d, ADD COLUMN added int DEFAULT 7;
INSERT INTO agg_times (time, added) VALUES ('2010-11-02 00:00+00', 8), ('2010-11-02 00:00+00', NULL);
SELECT added, count(*), sum(added), avg(added) FROM agg_times GROUP BY added ORDER BY added;
-- A sum of -0 is -0, from footers, slices and rows alike; an average is 0.
CREATE TABLE agg_zeros (time timestamptz NOT NULL, g int, v float8) USING tsext;
INSERT INTO agg_zeros SELECT timestamptz '2024-01-01 00:00+00' + i * interval '1 s', i % 2, '-0' FROM generate_series(1, 3000) i;
SELECT rows_moved FROM tsext.compact('agg_zeros');
SELECT sum(v), sum(v) FILTER (WHERE g = 1) AS filtered, sum(v + '-0'::float8) AS expression, avg(v) FROM agg_zeros;
SELECT g, sum(v), avg(v) FROM agg_zeros GROUP BY g ORDER BY g;
SELECT sum(v) FROM agg_zeros;
-- The newest buckets of integers while hot rows are still to come, the first of which are in a bucket below zero.
CREATE TABLE agg_ints (time int NOT NULL, n int) USING tsext WITH (tsext.time_column = 'time', tsext.chunk_interval = '1000');
INSERT INTO agg_ints SELECT i, i FROM generate_series(-5000, -1) i;
SELECT rows_moved FROM tsext.compact('agg_ints');
INSERT INTO agg_ints SELECT i, i FROM generate_series(0, 2999) i;
ANALYZE agg_ints;
SET enable_hashagg = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT time_bucket(60, time, 56) AS b, count(*) FROM agg_ints GROUP BY b ORDER BY b DESC LIMIT 2;
SELECT time_bucket(60, time, 56) AS b, count(*) FROM agg_ints GROUP BY b ORDER BY b DESC LIMIT 2;
RESET enable_hashagg;
RESET enable_sort;
DROP TABLE agg_ints;
DROP TABLE agg_zeros, agg_empty, agg_times, agg_times_heap, agg_heap, agg CASCADE;
