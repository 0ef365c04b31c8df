-- TsextScan's vector filters against a heap twin: every operator and type, hot, cold and mixed rows, nodes on and off.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';
SET extra_float_digits = 0;
SET intervalstyle = 'postgres';
SET tsext.enable_aggregate = off;
CREATE DOMAIN qs_volts AS float8 CHECK (VALUE IS NULL OR VALUE <> 123456);
CREATE TYPE qs_mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE qs_heap (
  time timestamptz NOT NULL, host text, region varchar(20), gone int, i2 smallint, i4 int, i8 bigint, f4 real, f8 float8, volts qs_volts,
  ts timestamp, d date, b bool, num numeric(10, 2), c5 char(5), cc text COLLATE "C", u uuid, j jsonb, o oid, mood qs_mood, note text,
  gen int GENERATED ALWAYS AS (i4 * 2) STORED);
INSERT INTO qs_heap
SELECT '2024-03-28 00:00+00'::timestamptz + g * interval '40 s', CASE WHEN g % 53 <> 0 THEN 'host_' || g % 9 END, 'region_' || g % 3, g,
  CASE WHEN g % 17 <> 0 THEN g % 200 - 100 END, CASE WHEN g % 19 <> 0 THEN (g * 7919) % 100000 - 50000 END,
  CASE WHEN g % 23 = 0 THEN NULL WHEN g % 500 = 1 THEN 9223372036854775807 WHEN g % 500 = 2 THEN -9223372036854775808 ELSE g::bigint * 1000000007 END,
  CASE WHEN g % 29 = 0 THEN NULL WHEN g % 31 = 0 THEN 'NaN' WHEN g % 37 = 0 THEN '-Infinity' WHEN g % 41 = 0 THEN -0.0 ELSE (g % 1000) / 10.0 END,
  CASE WHEN g % 29 = 0 THEN NULL WHEN g % 31 = 0 THEN 'NaN' WHEN g % 37 = 0 THEN 'Infinity' WHEN g % 41 = 0 THEN '-0' ELSE sin(g) * 100 END,
  CASE WHEN g % 43 <> 0 THEN g % 250 END,
  CASE WHEN g % 47 = 0 THEN 'infinity' WHEN g % 59 = 0 THEN NULL ELSE '2024-03-28'::timestamp + g * interval '40 s' END,
  CASE WHEN g % 61 = 0 THEN '-infinity' WHEN g % 67 = 0 THEN NULL ELSE '2024-03-28'::date + g / 200 END,
  CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN true WHEN 2 THEN true ELSE false END,
  CASE WHEN g % 71 <> 0 THEN (g % 400) / 4.0 END, CASE WHEN g % 73 <> 0 THEN 'c' || g % 30 END, CASE WHEN g % 7 <> 0 THEN chr(65 + g % 50) || g % 11 ELSE '' END,
  CASE WHEN g % 79 <> 0 THEN md5((g % 100)::text)::uuid END, CASE WHEN g % 83 <> 0 THEN jsonb_build_object('k', g % 6) END,
  CASE WHEN g % 2 = 0 THEN 4294967295 - g % 50 ELSE g % 50 END, (ARRAY['sad', 'ok', 'happy', NULL])[g % 4 + 1]::qs_mood,
  CASE WHEN g % 11 = 0 THEN 'note ' || g END
FROM generate_series(0, 3599) g;
ALTER TABLE qs_heap DROP COLUMN gone;
-- All rows hot; all cold, in segments of several chunks; the older half cold. Column "gone" is in the old rows of all of them, as in the heap.
CREATE TABLE qs_hot (LIKE qs_heap INCLUDING ALL) USING tsext;
CREATE TABLE qs_cold (LIKE qs_heap INCLUDING ALL) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'host');
CREATE TABLE qs_mixed (LIKE qs_heap INCLUDING ALL) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'region,host');
DO $$
DECLARE
  columns text := (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'qs_heap'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
  name text;
BEGIN
  SET LOCAL tsext.enable_bulk = off;
  FOREACH name IN ARRAY ARRAY['qs_hot', 'qs_cold', 'qs_mixed'] LOOP
    EXECUTE format('INSERT INTO %I (%s) SELECT %2$s FROM qs_heap WHERE %L <> ''qs_mixed'' OR time < ''2024-03-29 06:00+00''', name, columns, name);
  END LOOP;
END $$;
SELECT sum(rows_moved) FROM tsext.compact('qs_cold', level => 'hot');
SELECT sum(rows_moved) FROM tsext.compact('qs_mixed', level => 'hot');
DO $$
DECLARE
  columns text := (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'qs_heap'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
BEGIN
  SET LOCAL tsext.enable_bulk = off;
  EXECUTE format('INSERT INTO qs_mixed (%s) SELECT %1$s FROM qs_heap WHERE time >= ''2024-03-29 06:00+00''', columns);
END $$;
-- Columns that segments do not have.
ALTER TABLE qs_heap ADD COLUMN late int DEFAULT 7, ADD COLUMN late_text text DEFAULT 'late', ADD COLUMN later float8;
ALTER TABLE qs_hot ADD COLUMN late int DEFAULT 7, ADD COLUMN late_text text DEFAULT 'late', ADD COLUMN later float8;
ALTER TABLE qs_cold ADD COLUMN late int DEFAULT 7, ADD COLUMN late_text text DEFAULT 'late', ADD COLUMN later float8;
ALTER TABLE qs_mixed ADD COLUMN late int DEFAULT 7, ADD COLUMN late_text text DEFAULT 'late', ADD COLUMN later float8;
INSERT INTO qs_heap (time, host, late, later) VALUES ('2024-04-01', 'new', 8, 'NaN');
INSERT INTO qs_hot (time, host, late, later) VALUES ('2024-04-01', 'new', 8, 'NaN');
INSERT INTO qs_cold (time, host, late, later) VALUES ('2024-04-01', 'new', 8, 'NaN');
INSERT INTO qs_mixed (time, host, late, later) VALUES ('2024-04-01', 'new', 8, 'NaN');
ANALYZE qs_heap, qs_hot, qs_cold, qs_mixed;

-- The answers of a query to all four tables, by the node and without it; TABLE stands for the name.
CREATE FUNCTION qs_answers(query text, OUT answer text, OUT who text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
  name text;
  setting text;
BEGIN
  FOREACH name IN ARRAY ARRAY['qs_heap', 'qs_hot', 'qs_cold', 'qs_mixed'] LOOP
    FOREACH setting IN ARRAY CASE WHEN name IN ('qs_cold', 'qs_mixed') THEN ARRAY['on', 'off'] ELSE ARRAY['on'] END LOOP
      PERFORM set_config('tsext.enable_scan', setting, true);
      BEGIN
        EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended(q::text, 0)), 0) FROM (%s) q', replace(query, 'TABLE', name)) INTO answer;
      EXCEPTION WHEN OTHERS THEN answer := 'error ' || SQLERRM;
      END;
      who := name || ' ' || setting;
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $$;
-- The number of rows when all agree.
CREATE FUNCTION qs_agree(query text) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN count(DISTINCT answer) = 1 THEN split_part(min(answer), ' ', 1) ELSE string_agg(who || ': ' || answer, E'\n') END FROM qs_answers(query)
$$;
-- The same for a list of conditions: those that differ, and how many rows the others found in all.
CREATE FUNCTION qs_check(conditions text[], OUT conditions_agreed bigint, OUT rows_found bigint, OUT differ text) LANGUAGE sql AS $$
  SELECT count(*) FILTER (WHERE a ~ '^\d+$'), sum(a::bigint) FILTER (WHERE a ~ '^\d+$'), string_agg(c || E'\n' || a, E'\n') FILTER (WHERE a !~ '^\d+$')
  FROM (SELECT c, qs_agree('SELECT time, host, i4, f8, note FROM TABLE WHERE ' || c) a FROM unnest(conditions) c OFFSET 0) x
$$;

-- numbers, all comparisons, both ways round
SELECT * FROM qs_check((SELECT array_agg(format('%s %s %s', col, op, val)) FROM
  (VALUES ('i2', '5'), ('i2', '40000'), ('i2', '-5000000000'), ('i4', '-20000'), ('i4', '12::smallint'), ('i4', '99999999999'), ('i8', '5000000035'), ('i8', '7::smallint'),
    ('i8', '9223372036854775807'), ('i8', '(-9223372036854775808)'), ('f4', '12.5'), ('f4', '0'), ('f4', '''NaN'''), ('f4', '''-Infinity'''), ('f4', '12.3::real'), ('f4', '12.3::float8'),
    ('f8', '-0.0'), ('f8', '''NaN'''), ('f8', '''Infinity'''), ('f8', '33.3::real'), ('f8', '1e300'), ('volts', '100'), ('volts', '17::qs_volts'), ('gen', '20'), ('late', '7'), ('later', '''NaN'''), ('later', '0')) v(col, val),
  unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']) op));
SELECT * FROM qs_check((SELECT array_agg(format('%s %s %s', val, op, col)) FROM (VALUES ('i4', '100'), ('f8', '50'), ('time', '''2024-03-29'''), ('host', '''host_3''')) v(col, val), unnest(ARRAY['=', '<>', '<', '>=']) op));
-- times, across types
SELECT * FROM qs_check((SELECT array_agg(format('%s %s %s', col, op, val)) FROM
  (VALUES ('time', '''2024-03-29 12:00'''), ('time', '''2024-03-29''::date'), ('time', '''2024-03-31 02:30''::timestamp'), ('time', '''infinity'''), ('time', '''-infinity'''), ('time', '''infinity''::date'), ('time', '''5000000-01-01''::date'),
    ('ts', '''2024-03-29 12:00'''), ('ts', '''2024-03-29''::date'), ('ts', '''infinity'''), ('ts', '''infinity''::date'), ('ts', '''5000000-01-01''::date'), ('ts', '''2024-03-29 12:00''::timestamptz'),
    ('d', '''2024-03-30'''), ('d', '''-infinity'''), ('d', '''2024-03-30 00:00''::timestamp'), ('d', '''2024-03-30 00:00''::timestamptz')) v(col, val),
  unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']) op));
-- text and other bytes
SELECT * FROM qs_check((SELECT array_agg(format('%s %s %s', col, op, val)) FROM
  (VALUES ('host', '''host_4'''), ('host', '''host_'''), ('host', '''zzz'''), ('host', ''''''), ('region', '''region_1'''), ('region', '''x''::varchar'), ('cc', '''M3'''), ('cc', ''''''), ('cc', '''~'''), ('c5', '''c7'''), ('c5', '''c7   '''),
    ('u', 'md5(''5'')::uuid'), ('j', '''{"k": 3}'''), ('mood', '''ok'''), ('o', '4294967290'), ('o', '10'), ('num', '12.25'), ('num', '12.250'), ('note', '''note 11'''), ('late_text', '''late''')) v(col, val),
  unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']) op));
-- IN, NOT IN, BETWEEN, arrays with NULL, empty and NULL arrays
SELECT * FROM qs_check(ARRAY['i4 IN (1, 2, 2838, -14486)', 'i4 NOT IN (1, 2, 2838)', 'i4 = ANY (''{2838, NULL}'')', 'i4 <> ALL (''{2838, NULL}'')', 'i4 = ANY (''{}'')', 'i4 <> ALL (''{}'')', 'i4 = ANY (NULL::int[])', 'i4 <> ALL (NULL::int[])',
  'i4 = ANY (''{NULL}'')', 'i2 = ANY (''{5,70000,99}''::int[])', 'i4 > ANY (''{5,49000}'')', 'i4 = ALL (''{5,5}'')', 'f8 IN (''NaN'', 0, ''Infinity'')', 'f8 NOT IN (''NaN'', 0)', 'f4 = ANY (''{NaN,-0,12.5}''::float8[])', 'host IN (''host_1'', ''host_8'', ''x'')',
  'host NOT IN (''host_1'', ''host_8'')', 'host = ANY (''{host_1,NULL}'')', 'host <> ALL (''{host_1,NULL}'')', 'host <> ALL (''{}'')', 'cc IN (''A0'', '''')', 'u IN (md5(''1'')::uuid, md5(''99'')::uuid)', 'time IN (''2024-03-28 01:00:20+01'', ''2024-03-30 01:00+01'')', 'd IN (''2024-03-29'', ''-infinity'')',
  'time = ANY (''{2024-03-29,infinity,5000000-01-01}''::date[])', 'time <> ALL (''{5000000-01-01}''::date[])', 'b IN (true)', 'mood IN (''sad'', ''happy'')', 'i4 BETWEEN -10 AND 100', 'i4 NOT BETWEEN -10 AND 100', 'f8 BETWEEN SYMMETRIC 20 AND 10', 'time BETWEEN ''2024-03-28 12:00'' AND ''2024-03-28 13:00''', 'num IN (1, 2.5)', 'c5 IN (''c1'', ''c2 '')', 'late IN (7, 9)', 'late NOT IN (7, 9)', 'later IN (1, ''NaN'')', 'later IS NULL AND late = 7', 'o IN (4294967290, 5)']);
-- NULL and truth
SELECT * FROM qs_check(ARRAY['host IS NULL', 'host IS NOT NULL', 'f8 IS NULL', 'time IS NULL', 'note IS NOT NULL', 'late IS NULL', 'later IS NULL', 'i4 = NULL', 'b', 'NOT b', 'b IS TRUE', 'b IS NOT TRUE', 'b IS FALSE', 'b IS NOT FALSE', 'b IS UNKNOWN', 'b IS NOT UNKNOWN', 'b = false', 'b <> true', 'b > false', '(i4 > 0) IS TRUE', '(i4 > 0) IS NOT TRUE',
  '(i4 > 0 AND b) IS FALSE', '(i4 > 0 AND b) IS NOT FALSE', '(i4 > 0 OR b) IS UNKNOWN', '(i4 > 0 OR host = ''host_1'') IS NOT UNKNOWN', '(i4 > 0) = b', 'i4 IS DISTINCT FROM 5', 'i4 IS NOT DISTINCT FROM 2838', 'NOT (host IS DISTINCT FROM ''host_3'')', 'f8 IS DISTINCT FROM ''NaN''', 'f8 IS NOT DISTINCT FROM NULL', 'host IS NOT DISTINCT FROM ''host_1''', 'host IS DISTINCT FROM NULL', 'NOT (i4 > 0)', 'NOT (i4 > 0 AND f8 < 5)', 'NOT (i4 > 0 OR NOT b)', 'NOT (host = ''host_1'' OR note IS NULL)', 'i4 > 0 OR i4 < -49000', 'i4 > 0 AND (f8 > 99 OR host = ''host_2'' OR (b AND time < ''2024-03-28 04:00''))',
  'host = ''host_1'' OR time > ''2024-03-30 05:00''', 'time < ''2024-03-28 02:00'' OR time > ''2024-03-30 06:00''', '(time > ''2024-03-29'' AND time < ''2024-03-29 01:00'') OR (time > ''2024-03-30'' AND time < ''2024-03-30 01:30'' AND b)', 'time IS NULL OR time > ''2024-03-30 07:00''']);
-- expressions over one column, once a value
SELECT * FROM qs_check(ARRAY['host LIKE ''%_4''', 'host NOT LIKE ''%_4''', 'host ~ ''[2-4]$''', 'host !~* ''HOST_[0-7]''', 'lower(host) = ''host_5''', 'upper(region) IN (''REGION_1'')', 'length(host) > 3', 'coalesce(host, ''none'') = ''none''', 'host || ''x'' < ''host_4''', 'substr(cc, 2)::text = ''3''', 'note LIKE ''%99%''', 'note ILIKE ''NOTE 11%'' OR host = ''host_8''', 'NOT (note LIKE ''%1%'')', '(note LIKE ''%1%'') IS NOT TRUE',
  'j ->> ''k'' = ''3''', 'j @> ''{"k": 1}''', 'c5 LIKE ''c1%''', 'num::text LIKE ''%.25''', 'i4 % 2 = 0', 'i4 + i2 > 100', 'f8 > f4', 'host = region', 'abs(f8) < 1', 'date_trunc(''day'', time) = ''2024-03-29''', 'u::text LIKE ''a%''', 'late_text LIKE ''l%''', 'late_text IS NULL', 'random() >= 0', 'host LIKE ''host%'' AND random() < 2', 'mood::text = ''ok''', 'mood > ''sad''', 'num > 50', 'TABLE.* IS NOT NULL', 'host COLLATE "C" < ''host_3''', 'cc < ''K''', 'cc >= ''a''', 'region = ''region_2'' AND host = ''host_5''', 'host > ''host_3'' COLLATE "C" AND host <= ''host_5'' COLLATE "C"']);
-- everything of a row
SELECT qs_agree('SELECT * FROM TABLE WHERE f8 > 99');
SELECT qs_agree('SELECT t FROM TABLE t WHERE i4 = 2838');
SELECT qs_agree('SELECT tableoid = ''TABLE''::regclass, ctid IS NOT NULL, count(*) FROM TABLE WHERE b GROUP BY 1, 2');
SELECT qs_agree('SELECT count(DISTINCT ctid) FROM TABLE WHERE i4 > 100');
SELECT qs_agree('SELECT 1 FROM TABLE');
SELECT qs_agree('SELECT note FROM TABLE WHERE host = ''host_1'' AND time >= ''2024-03-29'' ORDER BY time LIMIT 5');

-- An expression is not asked about values whose rows are filtered already: 'host_' || … never reaches the cast.
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE note = ''note 22'' AND substr(note, 6)::int = 22');
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE host = ''new'' AND 1 / (length(host) - 6) < 1');
SELECT answer FROM qs_answers('SELECT count(*) FROM TABLE WHERE 1 / (length(host) - 6) > 0') GROUP BY 1;

-- parameters: generic plans, initplans, nested loops, lateral
SET plan_cache_mode = force_generic_plan;
CREATE FUNCTION qs_param(name text, host text, low float8, hosts text[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT count(*) FROM %I WHERE host = $1 AND f8 > $2', name) USING host, low;
  RETURN QUERY EXECUTE format('SELECT count(*) FROM %I WHERE host = ANY ($1) AND NOT (f8 > $2)', name) USING hosts, low;
END $$;
SELECT qs_agree('SELECT p FROM qs_param(''TABLE'', ''host_3'', 10, ''{host_1,NULL,host_2}'') p');
SELECT qs_agree('SELECT p FROM qs_param(''TABLE'', NULL, 10, NULL) p');
PREPARE qs_range(timestamptz, text, int) AS SELECT count(*), sum(i4) FROM qs_cold WHERE time >= $1 AND time < $1 + interval '6 h' AND host = $2 AND i4 IS DISTINCT FROM $3;
EXECUTE qs_range('2024-03-28 12:00', 'host_2', 5);
EXECUTE qs_range('2024-03-29 12:00', 'host_3', NULL);
EXECUTE qs_range(NULL, 'host_3', 1);
EXPLAIN (COSTS OFF) EXECUTE qs_range('2024-03-28 12:00', 'host_2', 5);
RESET plan_cache_mode;
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE time > (SELECT max(time) - interval ''4 days'' FROM TABLE) AND host = (SELECT ''host_1''::text)');
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE host = (SELECT host FROM TABLE WHERE false)');
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE host IS DISTINCT FROM (SELECT host FROM TABLE WHERE false)');
SELECT qs_agree('SELECT h, c FROM (VALUES (''host_1'', 10), (''host_5'', -1), (NULL, 0), (''none'', 0)) v(h, least), LATERAL (SELECT count(*) c FROM TABLE WHERE host = h AND i4 > least) x');
SELECT qs_agree('SELECT x, (SELECT count(*) FROM TABLE t WHERE t.time >= x AND t.time < x + interval ''10 min'' AND host LIKE ''%'' || extract(hour FROM x)::int % 9) FROM generate_series(timestamptz ''2024-03-28'', ''2024-03-30'', ''5 h'') x');
SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT qs_agree('SELECT count(*), sum(t.i4) FROM (VALUES (''host_1'', 10), (''host_5'', -1)) v(h, least) JOIN TABLE t ON t.host = v.h AND t.f8 > v.least');
RESET enable_hashjoin; RESET enable_mergejoin;

-- LIMIT, cursors, rescans
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT time, i4 FROM qs_cold WHERE host = 'host_1' AND time < '2024-03-28 01:20' ORDER BY time;
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FIRST FROM c;
COMMIT;
SELECT count(*) FROM (SELECT 1 FROM qs_cold WHERE f8 > 0 LIMIT 100) x;

-- ORDER BY time LIMIT without a Sort: the same rows where times are distinct, the same times where they are not
EXPLAIN (COSTS OFF) SELECT time, i4 FROM qs_cold ORDER BY time DESC LIMIT 5;
EXPLAIN (COSTS OFF) SELECT time FROM qs_cold WHERE host = 'host_1' AND i4 % 3 = 0 ORDER BY time LIMIT 5 OFFSET 3;
EXPLAIN (COSTS OFF) SELECT max(time), min(time) FROM qs_cold WHERE host = 'host_1';
EXPLAIN (COSTS OFF) SELECT time FROM qs_cold ORDER BY time DESC;
EXPLAIN (COSTS OFF) SELECT ts FROM qs_cold ORDER BY ts DESC LIMIT 5;
SELECT qs_agree('SELECT time, host, i4, note, row_number() OVER () FROM (SELECT * FROM TABLE ORDER BY time DESC LIMIT 10) x');
SELECT qs_agree('SELECT time, host, i4, note, row_number() OVER () FROM (SELECT * FROM TABLE ORDER BY time LIMIT 1500 OFFSET 700) x');
SELECT qs_agree('SELECT *, row_number() OVER () FROM (SELECT time, f8 FROM TABLE WHERE host = ''host_1'' AND i4 % 3 = 0 AND f8 > 0 ORDER BY time DESC LIMIT 20) x');
SELECT qs_agree('SELECT *, row_number() OVER () FROM (SELECT time, f8 FROM TABLE WHERE host = ''host_1'' AND i4 % 3 = 0 AND f8 > 0 ORDER BY time LIMIT 2000) x');
SELECT qs_agree('SELECT *, row_number() OVER () FROM (SELECT time, tableoid = ''TABLE''::regclass, ctid IS NULL FROM TABLE WHERE time < ''2024-03-29'' ORDER BY time DESC LIMIT 3) x');
SELECT qs_agree('SELECT *, row_number() OVER () FROM (SELECT time FROM TABLE WHERE time < ''2024-03-27'' ORDER BY time DESC LIMIT 3) x');
SELECT qs_agree('SELECT *, row_number() OVER () FROM (SELECT time FROM TABLE ORDER BY time DESC FETCH FIRST 7 ROWS WITH TIES) x');
SELECT qs_agree('SELECT max(time), min(time) FROM TABLE WHERE host = ''host_1'' AND b');
SELECT qs_agree('SELECT x, (SELECT t FROM TABLE t WHERE t.time < x AND host = ''host_2'' ORDER BY time DESC LIMIT 1) FROM generate_series(timestamptz ''2024-03-27 20:00'', ''2024-03-30'', ''3 h'') x');
-- Many rows of one time, and more rows than the limit says: WITH TIES.
CREATE TABLE qs_ties (time timestamptz NOT NULL, n int) USING tsext;
CREATE TABLE qs_ties_heap (LIKE qs_ties);
INSERT INTO qs_ties_heap SELECT '2024-01-01'::timestamptz + (g / 500) * interval '1 h', g FROM generate_series(1, 9000) g;
INSERT INTO qs_ties SELECT * FROM qs_ties_heap;
SELECT rows_moved FROM tsext.compact('qs_ties');
SELECT count(*), count(DISTINCT n), min(time) FROM (SELECT * FROM qs_ties ORDER BY time DESC FETCH FIRST 600 ROWS WITH TIES) x;
SELECT count(*), count(DISTINCT n), max(time) FROM (SELECT * FROM qs_ties ORDER BY time FETCH FIRST 1 ROW WITH TIES) x;
SELECT time FROM qs_ties ORDER BY time DESC OFFSET 8999 LIMIT 10;
DROP TABLE qs_ties, qs_ties_heap;

-- parallel
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT qs_agree('SELECT host, count(*), sum(i4) FROM TABLE WHERE f8 > 0 AND host LIKE ''host%'' GROUP BY host');
SELECT qs_agree('SELECT count(*) FROM TABLE WHERE time >= ''2024-03-29 12:00'' AND region = ''region_1''');
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- Policies and security barriers: a function that tells what it sees must not see rows that are hidden.
CREATE FUNCTION qs_spy(value text) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', value; RETURN true; END $$;
CREATE ROLE tsext_qs_reader;
GRANT SELECT ON qs_cold, qs_heap TO tsext_qs_reader;
ALTER TABLE qs_cold ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_host ON qs_cold FOR SELECT TO tsext_qs_reader USING (host = 'host_2');
CREATE POLICY some_rows ON qs_cold AS RESTRICTIVE FOR SELECT TO tsext_qs_reader USING (i4 % 2 = 0);
CREATE VIEW qs_barrier WITH (security_barrier) AS SELECT * FROM qs_mixed WHERE region = 'region_1' AND i4 + i2 > 49000;
GRANT SELECT ON qs_barrier TO tsext_qs_reader;
SET client_min_messages = notice;
SET ROLE tsext_qs_reader;
EXPLAIN (COSTS OFF) SELECT count(*) FROM qs_cold WHERE qs_spy(host);
SELECT count(*) FROM qs_cold WHERE qs_spy(host) AND time < '2024-03-28 01:30';
EXPLAIN (COSTS OFF) SELECT count(*) FROM qs_barrier WHERE qs_spy(host);
SELECT count(*) FROM qs_barrier WHERE qs_spy(host) AND time < '2024-03-28 10:00';
RESET ROLE;
SET client_min_messages = warning;

-- EXPLAIN
EXPLAIN (COSTS OFF) SELECT i4 FROM qs_cold WHERE host LIKE 'host_1%' AND i4 % 2 = 0 AND num > 3 AND time > '2024-03-29' AND random() < 0.5 AND i4 > i2 AND (SELECT true WHERE qs_cold.i2 > 0);
EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) SELECT f8 FROM qs_cold WHERE time >= '2024-03-29' AND host = 'host_4' AND i4 % 2 = 0;
EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) SELECT count(*) FROM qs_cold WHERE f8 > 1000;
EXPLAIN (COSTS OFF, VERBOSE) SELECT i4 FROM qs_cold q WHERE host = 'host_1';

DROP VIEW qs_barrier;
DROP TABLE qs_heap, qs_hot, qs_cold, qs_mixed;
DROP FUNCTION qs_agree(text), qs_answers(text), qs_check(text[]), qs_param(text, text, float8, text[]), qs_spy(text);
DROP DOMAIN qs_volts; DROP TYPE qs_mood;
DROP ROLE tsext_qs_reader;
