SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';

SELECT a.aggfnoid::regprocedure AS aggregate, p.proparallel AS parallel, p.provolatile AS volatile, a.aggcombinefn <> 0 AS combines,
       a.aggserialfn <> 0 AND a.aggdeserialfn <> 0 AS serializes, obj_description(p.oid, 'pg_proc') IS NOT NULL AS has_comment
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid
WHERE p.proname IN ('first', 'last') AND p.pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'tsext') ORDER BY 1;
SELECT count(*) AS without_comment FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid
WHERE e.extname = 'tsext' AND p.proname ~ '^(first|last|histogram|time_bucket)' AND obj_description(p.oid, 'pg_proc') IS NULL;

CREATE TEMP TABLE reading (host text, ts timestamptz, usage float8, note text);
INSERT INTO reading VALUES ('a', '2024-05-01 00:02+00', 2.5, 'two'), ('a', '2024-05-01 00:01+00', 1.5, NULL), ('a', NULL, 99, 'no time'),
  ('a', '2024-05-01 00:03+00', NULL, 'three'), ('b', '2024-05-01 00:05+00', 5, 'five'), ('b', 'infinity', 6, 'six'), ('b', '-infinity', 4, 'four'),
  ('c', NULL, 7, 'never');
SELECT host, first(usage, ts), last(usage, ts), first(note, ts) AS first_note, last(note, ts) AS last_note, last(ts, ts) AS last_ts
FROM reading GROUP BY host ORDER BY host;
SELECT first(usage, ts), last(note, ts) FROM reading WHERE host = 'nobody';
-- of equal times the first row seen stays
SELECT first(v, 1), last(v, 1) FROM (VALUES (10), (20), (30)) r(v);

-- all ways to call an aggregate
SELECT host, first(note, ts) FILTER (WHERE usage > 2) AS filtered, last(DISTINCT note, ts) AS distinct_note, first(note, ts ORDER BY note DESC) AS ordered
FROM reading GROUP BY host ORDER BY host;
SELECT host, ts, first(note, ts) OVER w AS first_so_far, last(note, ts) OVER w AS last_so_far,
       first(note, ts) OVER (PARTITION BY host ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS moving_first,
       last(usage, ts) OVER (PARTITION BY host ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS moving_last
FROM reading WINDOW w AS (PARTITION BY host ORDER BY ts) ORDER BY host, ts;
SELECT host, last(note, ts) FROM reading GROUP BY ROLLUP (host) ORDER BY host;

-- every kind of value: by value, of fixed length, of variable length, composite, toasted, expanded
CREATE TYPE pg_temp.pair AS (a int, b text);
CREATE TEMP TABLE kinds AS
SELECT g AS t, (g % 2 = 0) AS bool, g::int2 AS int2, g AS int4, g::int8 AS int8, g::float4 AS float4, g::float8 AS float8, g::numeric / 7 AS numeric, 'text ' || g AS text,
       ('name' || g)::name AS name, md5(g::text)::uuid AS uuid, make_interval(mins => g) AS interval, jsonb_build_object('g', g) AS jsonb,
       decode(md5(g::text), 'hex') AS bytea, ARRAY[g, NULL, g + 1] AS array, ARRAY['x' || g] AS text_array, ROW(g, 'b' || g)::pg_temp.pair AS pair,
       point(g, g) AS point, int4range(g, g + 5) AS range, date '2024-01-01' + g AS date, ('08:00:2b:01:02:' || lpad(to_hex(g), 2, '0'))::macaddr AS macaddr
FROM (SELECT * FROM generate_series(1, 99) g ORDER BY md5(g::text)) s;
\x on
SELECT first(bool, t) AS bool, first(int2, t) AS int2, first(int4, t) AS int4, first(int8, t) AS int8, first(float4, t) AS float4, first(float8, t) AS float8, first(numeric, t) AS numeric,
       first(text, t) AS text, first(name, t) AS name, first(uuid, t) AS uuid, first(interval, t) AS interval, first(jsonb, t) AS jsonb, first(bytea, t) AS bytea, first("array", t) AS "array",
       first(text_array, t) AS text_array, first(pair, t) AS pair, first(point, t) AS point, first(range, t) AS range, first(date, t) AS date, first(macaddr, t) AS macaddr FROM kinds;
SELECT last(bool, t) AS bool, last(int2, t) AS int2, last(int4, t) AS int4, last(int8, t) AS int8, last(float4, t) AS float4, last(float8, t) AS float8, last(numeric, t) AS numeric,
       last(text, t) AS text, last(name, t) AS name, last(uuid, t) AS uuid, last(interval, t) AS interval, last(jsonb, t) AS jsonb, last(bytea, t) AS bytea, last("array", t) AS "array",
       last(text_array, t) AS text_array, last(pair, t) AS pair, last(point, t) AS point, last(range, t) AS range, last(date, t) AS date, last(macaddr, t) AS macaddr FROM kinds;
-- every kind of time, by its default order
SELECT last(t, int2) AS int2, last(t, int4) AS int4, last(t, int8) AS int8, last(t, float4) AS float4, last(t, float8) AS float8, last(t, numeric) AS numeric, last(t, text COLLATE "C") AS text,
       last(t, name) AS name, last(t, interval) AS interval, last(t, date) AS date, last(t, "array") AS "array", last(t, pair) AS pair, last(t, range) AS range, last(t, macaddr) AS macaddr,
       last(t, bool) % 2 AS bool, first(t, text COLLATE "C") AS first_text, first(t, uuid) = (SELECT t FROM kinds ORDER BY uuid LIMIT 1) AS uuid FROM kinds;
\x off
SELECT first(t, f) AS least, last(t, f) AS greatest FROM (VALUES ('nan', 'NaN'::float8), ('inf', 'Infinity'), ('-inf', '-Infinity'), ('0', 0)) v(t, f);
CREATE TEMP TABLE wide (t int, v text);
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
INSERT INTO wide SELECT g, repeat(chr(64 + g), 100000) FROM generate_series(1, 26) g;
SELECT length(first(v, t)), left(first(v, t), 3) AS first, left(last(v, t), 3) AS last, last(t, v COLLATE "C") AS by_wide_time FROM wide;
CREATE FUNCTION pg_temp.expanded(n int) RETURNS int[] LANGUAGE plpgsql AS $$ DECLARE a int[] := '{}'; BEGIN FOR i IN 1..n LOOP a[i] := i; END LOOP; RETURN a; END $$;
SELECT first(pg_temp.expanded(g), g), last(pg_temp.expanded(g), -g), last(g, pg_temp.expanded(g)) FROM generate_series(3, 6) g;

-- no order, no answer
SELECT first(1, '{}'::json);
SELECT last(1, point(1, 2));
-- support functions are the executor's only
\set VERBOSITY sqlstate
SELECT tsext.first_transition(NULL, 1, 2);
SELECT tsext.first_last_deserialize('\x00', NULL);
\set VERBOSITY default

-- a plain definition of both, over random groups, hashed and sorted, in little memory
CREATE TABLE first_last_heap AS
SELECT g % 97 AS grp, timestamptz '2024-01-01 00:00+00' + (g * 7919 % 100003) * interval '1 second' AS ts,
       CASE WHEN g % 11 <> 0 THEN g END AS value, CASE WHEN g % 13 <> 0 THEN repeat('v' || g, 1 + g % 9) END AS label
FROM generate_series(1, 100000) g;
ANALYZE first_last_heap;
CREATE TEMP TABLE expected AS
SELECT f.grp, f.value AS first_value, f.label AS first_label, l.value AS last_value, l.label AS last_label
FROM (SELECT DISTINCT ON (grp) * FROM first_last_heap ORDER BY grp, ts) f JOIN (SELECT DISTINCT ON (grp) * FROM first_last_heap ORDER BY grp, ts DESC) l USING (grp);
CREATE TEMP VIEW actual AS
SELECT grp, first(value, ts) AS first_value, first(label, ts) AS first_label, last(value, ts) AS last_value, last(label, ts) AS last_label FROM first_last_heap GROUP BY grp;
\set differences 'SELECT count(*) AS groups, count(*) FILTER (WHERE a IS DISTINCT FROM e) AS differ FROM actual a FULL JOIN expected e USING (grp);'
SET max_parallel_workers_per_gather = 0;
SET enable_sort = off;
:differences
SET work_mem = '64kB';
:differences
RESET work_mem; RESET enable_sort;
SET enable_hashagg = off;
:differences
RESET enable_hashagg;

-- the same by parallel workers
SET max_parallel_workers_per_gather = 3;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT first(label, ts), last(label, ts) FROM first_last_heap;
SELECT f.label = a.first AND l.label = a.last AS same
FROM (SELECT first(label, ts), last(label, ts) FROM first_last_heap) a, (SELECT label FROM first_last_heap ORDER BY ts LIMIT 1) f, (SELECT label FROM first_last_heap ORDER BY ts DESC LIMIT 1) l;
:differences
EXPLAIN (COSTS OFF) SELECT * FROM actual;
SET parallel_leader_participation = off;
:differences
-- by reference, NULL at the extreme, no time at all, toasted: each through the workers' bytes
CREATE TABLE first_last_kinds AS
SELECT g AS t, CASE WHEN g NOT IN (1, 5000) THEN 'v' || g END AS null_at_ends, NULL::timestamptz AS never, ARRAY['x' || g] AS text_array, g::numeric / 7 AS numeric,
       CASE g WHEN 1 THEN repeat('first', 50000) WHEN 5000 THEN repeat('last', 50000) ELSE 'short' END AS wide, md5(g::text) AS text_time
FROM generate_series(1, 5000) g;
ANALYZE first_last_kinds;
EXPLAIN (COSTS OFF) SELECT first(wide, t), last(never, never) FROM first_last_kinds;
SELECT first(null_at_ends, t) IS NULL AND last(null_at_ends, t) IS NULL AS nulls, last(t, never) IS NULL AS never, first(text_array, t), last(text_array, t) AS last, last(numeric, t) AS numeric,
       first(ROW(t, numeric), t) AS record, last(ROW(t, wide::char(3)), t) AS last_record, md5(first(wide, t)) = md5(repeat('first', 50000)) AS wide_first, md5(last(wide, t)) = md5(repeat('last', 50000)) AS wide_last,
       last(t, text_time COLLATE "C") = (SELECT t FROM first_last_kinds ORDER BY text_time COLLATE "C" DESC LIMIT 1) AS text_time
FROM first_last_kinds;
RESET parallel_leader_participation;
-- partitions aggregate on their own: states meet without bytes
CREATE TABLE first_last_parts (ts int, label text) PARTITION BY RANGE (ts);
CREATE TABLE first_last_part1 PARTITION OF first_last_parts FOR VALUES FROM (0) TO (100);
CREATE TABLE first_last_part2 PARTITION OF first_last_parts FOR VALUES FROM (100) TO (200);
CREATE TABLE first_last_part3 PARTITION OF first_last_parts FOR VALUES FROM (200) TO (300);
INSERT INTO first_last_parts SELECT g, 'label ' || g FROM generate_series(10, 190) g;
SET enable_partitionwise_aggregate = on;
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT first(label, ts), last(label, ts) FROM first_last_parts;
SELECT first(label, ts), last(label, ts), last(label, -ts) AS last_backwards FROM first_last_parts;
DROP VIEW actual;
DROP TABLE first_last_heap, first_last_kinds, first_last_parts;
